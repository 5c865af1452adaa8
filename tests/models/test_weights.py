from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from smoothcert.errors import ModelError
from smoothcert.models.weights import fit_weights, read_weights, state_dict_sha256


@pytest.fixture
def state():
    return {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.tensor([1.0, -1.0])}


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_both_formats_give_the_same_tensors_and_the_hash_of_the_file(tmp_path, state, suffix):
    path = tmp_path / f"w.{suffix}"
    save_file(state, path, {"sigma": "0.25"}) if suffix == "safetensors" else torch.save(state, path)
    weights = read_weights(path)
    assert weights.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert weights.metadata == ({"sigma": "0.25"} if suffix == "safetensors" else {})
    layer = nn.Linear(3, 2)
    fit_weights(layer, weights.state_dict(), source="w")
    assert layer(torch.ones(1, 3)).tolist() == [[4.0, 11.0]]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: {"model": s},
        lambda s: {f"module.{key}": tensor for key, tensor in s.items()},
        lambda s: {"model_state_dict": {f"module._orig_mod.{key}": tensor for key, tensor in s.items()}},
    ],
)
def test_usual_wrappers_and_prefixes_come_off(tmp_path, state, wrap):
    torch.save(wrap(state), tmp_path / "w.pt")
    assert read_weights(tmp_path / "w.pt").state_dict().keys() == state.keys()


def test_prefix_stays_where_only_some_keys_have_it(tmp_path, state):
    torch.save({"module.weight": state["weight"], "bias": state["bias"]}, tmp_path / "w.pt")
    assert set(read_weights(tmp_path / "w.pt").state_dict()) == {"module.weight", "bias"}


def test_two_state_dicts_in_one_file_are_not_guessed_between(tmp_path, state):
    torch.save({"state_dict": state, "model": state}, tmp_path / "w.pt")
    with pytest.raises(ModelError, match=r"several state dicts \(state_dict, model\)"):
        read_weights(tmp_path / "w.pt").state_dict()


def test_file_without_state_dict_shows_its_entries(tmp_path):
    torch.save({"epoch": 1, "loss": 0.5}, tmp_path / "w.pt")
    with pytest.raises(ModelError, match="no state dict; its entries are epoch, loss"):
        read_weights(tmp_path / "w.pt").state_dict()


def test_file_that_holds_no_dict_is_named(tmp_path):
    torch.save(torch.zeros(3), tmp_path / "w.pt")
    with pytest.raises(ModelError, match=r"w\.pt must hold a state dict; it holds a Tensor"):
        read_weights(tmp_path / "w.pt")


class RunsCode:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self):
        return os.mkdir, (str(self.witness),)


@pytest.mark.parametrize("writer", ["torch", "legacy", "protocol 2", "protocol 4"])
def test_pickle_with_code_is_refused_and_the_code_not_run(tmp_path, writer):
    witness, path = tmp_path / "code-was-run", tmp_path / "w.pt"
    content = {"weight": torch.zeros(1), "extra": RunsCode(witness)}
    if writer.startswith("protocol"):
        path.write_bytes(pickle.dumps({"extra": RunsCode(witness)}, protocol=int(writer[-1])))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=writer == "torch")
    with pytest.raises(ModelError, match=r"w\.pt is refused: .* never run") as caught:
        read_weights(path)
    assert not witness.exists()
    # PyTorch gives up on protocol 4 before it meets the code, so there the message cannot name it.
    assert ("mkdir" in str(caught.value)) == (writer != "protocol 4")
    if writer.startswith("protocol"):  # the witness works: plain unpickling does run it
        pickle.loads(path.read_bytes())
        assert witness.exists()


def test_pickled_module_is_refused(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "w.pt")
    with pytest.raises(ModelError, match=r"refused.*Linear.*save the state dict alone"):
        read_weights(tmp_path / "w.pt")


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", b"\x80\x02]q\x00."[:3]])
def test_file_of_another_kind_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=name):
        read_weights(tmp_path / name)


def test_absent_file_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"gone\.pt does not exist"):
        read_weights(tmp_path / "gone.pt")


def test_a_folder_is_no_weights_file(tmp_path):
    with pytest.raises(ModelError, match="is no regular file"):
        read_weights(tmp_path)


def test_misfit_counts_and_shows_missing_left_over_and_reshaped():
    net = nn.Sequential(*(nn.Linear(2, 2) for _ in range(3)))
    state = {"0.weight": torch.zeros(5, 2), **{f"old{i}": torch.zeros(1) for i in range(4)}}
    with pytest.raises(ModelError) as caught:
        fit_weights(net, state, source="weights file w.pt")
    assert str(caught.value) == (
        "weights file w.pt does not fit the model; "
        "5 missing: 0.bias, 1.weight, 1.bias and 2 more; "
        "4 left over: old0, old1, old2 and 1 more; "
        "1 of another shape: 0.weight is (5, 2) instead of (2, 2)"
    )


def test_misfit_leaves_the_module_as_it_was():
    layer = nn.Linear(3, 2)
    before = layer.weight.clone()
    with pytest.raises(ModelError, match="1 missing: bias"):
        fit_weights(layer, {"weight": torch.zeros(2, 3)}, source="w")
    assert layer.weight.equal(before)


def test_batch_norm_counter_may_be_absent_but_not_its_statistics():
    norm = nn.BatchNorm2d(2)
    state = {key: value for key, value in norm.state_dict().items() if key != "num_batches_tracked"}
    fit_weights(norm, state, source="w")
    del state["running_var"]
    with pytest.raises(ModelError, match="1 missing: running_var"):
        fit_weights(norm, state, source="w")


def test_state_dict_hash_follows_values_names_and_shapes():
    layer = nn.Linear(2, 2)
    before = state_dict_sha256(layer)
    assert before == state_dict_sha256(layer)
    with torch.no_grad():
        layer.bias[0] += 1
    assert state_dict_sha256(layer) != before
    assert state_dict_sha256(nn.Sequential(layer)) != state_dict_sha256(layer)
