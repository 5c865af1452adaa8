"""Weights as people have them: wrapped, prefixed, in checkpoints; and files that ask for what they must not get."""

from __future__ import annotations

import argparse
import io
import pickle
import zipfile
from collections import OrderedDict
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from smoothcert.errors import ModelError
from smoothcert.models import resolve_model
from smoothcert.models.weights import fit_weights, load_weights, read_weights


class Net(nn.Module):
    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, classes)


class Wrapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.module = Net()


def prefixed(prefix: str, state):
    return {prefix + key: value for key, value in state.items()}


WRAPPERS = {
    "bare": lambda s: s,
    "state_dict": lambda s: {"state_dict": s, "epoch": 3},
    "net": lambda s: {"net": s, "acc": 93.1, "epoch": 9},
    "params": lambda s: {"params": s},
    "ema": lambda s: {"ema": s, "step": torch.tensor(3)},
    "nested": lambda s: {"state": {"model": {"network": s}}},
    "lightning": lambda s: {"state_dict": prefixed("model.", s), "pytorch-lightning_version": "2.4.0"},
    "lightning with a loss": lambda s: {"state_dict": prefixed("model.", s) | {"loss.weight": torch.ones(3)}},
    "data parallel": lambda s: prefixed("module.", s),
    "compiled in data parallel": lambda s: {"model": prefixed("module._orig_mod.", s)},
    "any prefix": lambda s: prefixed("backbone.encoder.", s),
    "arguments": lambda s: {"model": s, "args": argparse.Namespace(lr=0.1, nested=SimpleNamespace(a=[1, "b"]))},
    "optimizer": lambda s: {"model": s, "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}}},
    "beside numbers": lambda s: {**s, "epoch": 3},
    "without counters": lambda s: {key: value for key, value in s.items() if "num_batches" not in key},
    "half": lambda s: {key: v.half() if v.is_floating_point() else v for key, v in s.items()},
}


@pytest.mark.parametrize("kind", WRAPPERS)
@pytest.mark.parametrize("suffix", ["pt", "legacy"])
def test_a_state_dict_is_found_wherever_it_is(tmp_path, kind, suffix):
    torch.manual_seed(1)
    state = {key: torch.randn_like(v) if v.is_floating_point() else v for key, v in Net().state_dict().items()}
    torch.save(WRAPPERS[kind](state), tmp_path / "w.pt", _use_new_zipfile_serialization=suffix == "pt")
    net = Net()
    load_weights(net, read_weights(tmp_path / "w.pt"))
    for key, value in net.state_dict().items():
        if "num_batches" not in key:
            torch.testing.assert_close(value, state[key], rtol=1e-3, atol=1e-3)


@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")
@pytest.mark.parametrize("make", [Wrapped, lambda: nn.DataParallel(Net()), lambda: torch.compile(Net())])
@pytest.mark.parametrize("own", [True, False])
def test_wrappers_take_their_own_state_and_that_of_what_they_wrap(tmp_path, make, own):
    torch.manual_seed(0)
    target, source = make(), make()
    state = source.state_dict()
    inner = OrderedDict((key.removeprefix("module.").removeprefix("_orig_mod."), v) for key, v in state.items())
    torch.save(state if own else inner, tmp_path / "w.pt")
    load_weights(target, read_weights(tmp_path / "w.pt"))
    assert all(a.equal(b) for a, b in zip(target.state_dict().values(), state.values(), strict=True))


def test_of_several_state_dicts_the_user_says_which(tmp_path):
    first, second = Net(), Net()
    path = tmp_path / "w.pt"
    torch.save({"state_dict": first.state_dict(), "state_dict_ema": second.state_dict()}, path)
    with pytest.raises(ModelError, match=r"several state dicts \(state_dict, state_dict_ema\).*w\.pt#state_dict"):
        load_weights(Net(), read_weights(path))
    net = Net()
    load_weights(net, read_weights(tmp_path / "w.pt#state_dict_ema"))
    assert net.fc.weight.equal(second.fc.weight)
    with pytest.raises(ModelError, match="no entry 'gone'; its entries are state_dict, state_dict_ema"):
        read_weights(tmp_path / "w.pt#gone")
    both = prefixed("model.", first.state_dict()) | prefixed("teacher.", second.state_dict())
    torch.save(both, path)
    with pytest.raises(ModelError, match=r"several state dicts \(model, teacher\)"):
        load_weights(Net(), read_weights(path))
    load_weights(net, read_weights(tmp_path / "w.pt#teacher"))
    assert net.fc.weight.equal(second.fc.weight)


def test_of_several_state_dicts_only_those_of_the_right_shape_count(tmp_path):
    net = Net(7)
    torch.save({"old": Net(3).state_dict(), "new": net.state_dict()}, tmp_path / "w.pt")
    target = Net(7)
    load_weights(target, read_weights(tmp_path / "w.pt"))
    assert target.fc.weight.equal(net.fc.weight)


def test_versions_of_modules_reach_them(tmp_path):
    class Versioned(nn.Linear):
        _version = 2
        seen = None

        def _load_from_state_dict(self, state, prefix, metadata, *rest):
            type(self).seen = metadata.get("version")
            super()._load_from_state_dict(state, prefix, metadata, *rest)

    state = nn.Sequential(Versioned(2, 2)).state_dict()
    state._metadata["0"]["version"] = 1
    torch.save({"state_dict": state}, tmp_path / "w.pt")
    load_weights(nn.Sequential(Versioned(2, 2)), read_weights(tmp_path / "w.pt"))
    assert Versioned.seen == 1
    inner = OrderedDict(prefixed("module.", state))
    inner._metadata = {"": {}, "module": {}, "module.0": {"version": 1}}
    Versioned.seen = None
    torch.save(inner, tmp_path / "w.pt")
    load_weights(nn.Sequential(Versioned(2, 2)), read_weights(tmp_path / "w.pt"))
    assert Versioned.seen == 1
    save_file(dict(state), tmp_path / "w.safetensors")  # which knows no versions: those of today
    load_weights(nn.Sequential(Versioned(2, 2)), read_weights(tmp_path / "w.safetensors"))
    assert Versioned.seen == 2


def test_lazy_and_meta_networks_get_their_values(tmp_path):
    torch.save(nn.Linear(4, 2).state_dict(), tmp_path / "w.pt")
    lazy = nn.LazyLinear(2)
    with torch.device("meta"):
        meta = nn.Linear(4, 2)
    for net in (lazy, meta):
        load_weights(net, read_weights(tmp_path / "w.pt"))
        assert net.weight.shape == (2, 4)
        assert not net.weight.is_meta


NUMBERS = {
    "complex64": lambda t: t.to(torch.complex64),
    "int64": lambda t: t.long(),
    "uint8": lambda t: t.to(torch.uint8),
    "bool": lambda t: t.bool(),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_of_another_kind_are_refused(kind):
    state = {"weight": NUMBERS[kind](torch.ones(2, 4)), "bias": torch.zeros(2)}
    with pytest.raises(ModelError, match=f"1 of another kind: weight is {kind} instead of float32"):
        fit_weights(nn.Linear(4, 2), state, source="w")
    counter = nn.BatchNorm2d(2).state_dict() | {"num_batches_tracked": torch.tensor(1.5)}
    with pytest.raises(ModelError, match="num_batches_tracked is float32 instead of int64"):
        fit_weights(nn.BatchNorm2d(2), counter, source="w")


STRANGE = {
    "sparse": (lambda: {"weight": torch.eye(2).to_sparse(), "bias": torch.zeros(2)}, "sparse"),
    "compressed": (lambda: {"weight": torch.eye(2).to_sparse_csr(), "bias": torch.zeros(2)}, "sparse"),
    "quantized": (
        lambda: {"weight": torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.qint8), "bias": torch.zeros(2)},
        r"quantized|cannot be read",
    ),
    "meta": (lambda: {"weight": torch.empty(2, 2, device="meta"), "bias": torch.zeros(2)}, "meta"),
    "integer keys": (lambda: {0: torch.zeros(2, 2), 1: torch.zeros(2)}, "by strings; it has the key 0"),
    "tuple keys": (lambda: {("weight", 1): torch.zeros(2, 2)}, r"by strings; it has the key \('weight', 1\)"),
    "a list": (lambda: [torch.zeros(2)], "must hold a state dict; it holds a list"),
    "nothing": (dict, "holds no state dict"),
}


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning", "ignore:.*quantize:DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("kind", STRANGE)
@pytest.mark.parametrize("new", [True, False])
def test_what_is_no_plain_tensor_is_refused_in_one_line(tmp_path, kind, new):
    make, message = STRANGE[kind]
    torch.save(make(), tmp_path / "w.pt", _use_new_zipfile_serialization=new)
    with pytest.raises(ModelError, match=message) as caught:
        load_weights(nn.Linear(2, 2), read_weights(tmp_path / "w.pt"))
    assert "\n" not in str(caught.value)


def test_sizes_are_checked_before_memory_is_asked_for(tmp_path):
    path = tmp_path / "w.pt"
    wide = torch.zeros(1).expand(200_000, 200_000)  # 160 GB, of which four bytes are stored
    torch.save({"weight": wide, "bias": torch.zeros(2)}, path)
    with pytest.raises(ModelError, match=r"refused: its tensors ask for 160,000,000,000 bytes"):
        read_weights(path)
    buffer = io.BytesIO()
    torch.save({"weight": torch.zeros(4)}, buffer, _use_new_zipfile_serialization=False)
    content = buffer.getvalue()
    huge = content.replace(b"K\x04", b"J\xff\xff\xff\x7f")  # numel of the storage: 4 becomes 2**31 - 1
    assert huge != content
    path.write_bytes(huge)
    with pytest.raises(ModelError, match=r"w\.pt (is refused: its tensors ask|cannot be read)"):
        read_weights(path)


def test_a_compressed_archive_is_no_way_around_that(tmp_path):
    stored, packed = tmp_path / "stored.pt", tmp_path / "packed.pt"
    torch.save({"weight": torch.zeros(2_000_000)}, stored)
    with zipfile.ZipFile(stored) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    assert packed.stat().st_size < 100_000
    with pytest.raises(ModelError, match=r"packed\.pt is refused: its tensors ask for 8,0"):
        read_weights(packed)


def test_a_small_file_does_not_make_a_large_network(tmp_path):
    """Width and classes are the file's: they are seen to fit before a network of that size is made."""
    save_file(
        {"conv1.weight": torch.zeros(60_000, 1, 1, 1), "fc.weight": torch.zeros(10, 1)}, tmp_path / "w.safetensors"
    )
    with pytest.raises(ModelError, match="does not fit the model"):
        resolve_model("cifar:resnet20", weights=tmp_path / "w.safetensors")


class Call:
    def __reduce__(self):
        return print, ("code was run",)


def test_namespaces_are_plain_but_what_they_hold_is_looked_at(tmp_path, capsys):
    torch.save({"model": Net().state_dict(), "args": argparse.Namespace(a=Call())}, tmp_path / "w.pt")
    with pytest.raises(ModelError, match=r"refused: it is a pickle that needs more than tensors"):
        read_weights(tmp_path / "w.pt")
    (tmp_path / "p.pt").write_bytes(pickle.dumps(argparse.Namespace(a=Call()), protocol=2))
    with pytest.raises(ModelError, match="refused"):
        read_weights(tmp_path / "p.pt")
    assert "code was run" not in capsys.readouterr().out


def test_a_state_of_another_kind_belongs_to_the_state_dict(tmp_path):
    class Counting(nn.Linear):
        seen = 0

        def get_extra_state(self):
            return {"seen": self.seen}

        def set_extra_state(self, state):
            self.seen = state["seen"]

    module, other = Counting(3, 2), Counting(3, 2)
    module.seen = 7
    for content in (module.state_dict(), {"state_dict": module.state_dict(), "epoch": 3}):
        torch.save(content, tmp_path / "w.pt")
        load_weights(other, read_weights(tmp_path / "w.pt"))
        assert other.seen == 7
        assert torch.equal(other.weight, module.weight)
        other = Counting(3, 2)
