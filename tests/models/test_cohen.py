"""Stand-ins for the published checkpoints: same entries, names, shapes, prefixes and file format."""

from __future__ import annotations

import pytest
import torch
from reference_resnet import logits, random_state

from smoothcert.errors import ModelError
from smoothcert.models import resolve_model
from torchvision_ops import import_torchvision


@pytest.fixture(scope="module")
def torchvision():
    return import_torchvision()


def checkpoint(arch, state, prefix):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1, momentum=0.9)
    optimizer.param_groups[0]["params"][0].sum().backward()
    optimizer.step()  # so that it holds momentum buffers, as the published ones do
    return {
        "epoch": 90,
        "arch": arch,
        "state_dict": {prefix + key: tensor for key, tensor in state.items()},
        "optimizer": optimizer.state_dict(),
    }


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "checkpoint.pth.tar"
        torch.save(content, path, _use_new_zipfile_serialization=False)
        return path

    return write


@pytest.mark.parametrize("depth", [20, 110])
@pytest.mark.parametrize("prefix", ["1.", "1.module."])
def test_cifar_checkpoints_load_as_published(write, depth, prefix):
    state = random_state(depth)
    path = write(checkpoint(f"cifar_resnet{depth}", state, prefix))
    model = resolve_model(f"cohen:cifar10/resnet{depth}", weights=path)
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(model.module(x), logits(state, x), rtol=1e-3, atol=1e-2)
    assert (model.num_classes, model.class_names[3], model.input_size) == (10, "cat", (3, 32, 32))


def test_imagenet_checkpoint_loads_as_published(write, torchvision):
    torch.manual_seed(0)
    network = torchvision.models.resnet50(weights=None).eval()
    model = resolve_model(
        "cohen:imagenet/resnet50", weights=write(checkpoint("resnet50", network.state_dict(), "1.module."))
    )
    x = torch.rand(2, 3, 64, 64)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.inference_mode():
        expected = network((x - mean.view(3, 1, 1)) / std.view(3, 1, 1))
        torch.testing.assert_close(model.module(x), expected)
    assert (model.num_classes, model.input_size, model.resize) == (1000, (3, 224, 224), 256)
    assert model.class_names[0] == "tench"


def test_other_architecture_in_the_file_is_named(write):
    path = write(checkpoint("cifar_resnet20", random_state(20), "1."))
    with pytest.raises(ModelError, match=r"must be of 'cifar_resnet110'.*says 'cifar_resnet20'"):
        resolve_model("cohen:cifar10/resnet110", weights=path)


def test_tampered_checkpoint_says_what_is_missing_and_left_over(write):
    state = random_state(20)
    state["layer1.0.shortcut.weight"] = state.pop("fc.bias")
    path = write(checkpoint("cifar_resnet20", state, "1."))
    with pytest.raises(ModelError, match=r"1 missing: fc\.bias; 1 left over: layer1\.0\.shortcut\.weight"):
        resolve_model("cohen:cifar10/resnet20", weights=path)


@pytest.mark.parametrize("prefix", ["", "0.", "module.1."])
def test_keys_without_the_published_prefix_are_refused_or_unwrapped(write, prefix):
    path = write(checkpoint("cifar_resnet20", random_state(20), prefix))
    if prefix == "module.1.":  # the whole Sequential in DataParallel: unambiguous
        assert resolve_model("cohen:cifar10/resnet20", weights=path).num_classes == 10
    else:
        with pytest.raises(ModelError, match=r"begin with '1\.'.* of 128 do not, such as"):
            resolve_model("cohen:cifar10/resnet20", weights=path)


def test_bare_state_dict_is_no_checkpoint(write):
    with pytest.raises(ModelError, match="has no arch and no state_dict"):
        resolve_model("cohen:cifar10/resnet20", weights=write(random_state(20)))


def test_unknown_and_fileless_names(write):
    with pytest.raises(ModelError, match="cohen:cifar10/resnet20, cohen:cifar10/resnet110, cohen:imagenet/resnet50"):
        resolve_model("cohen:cifar10/resnet50")
    with pytest.raises(ModelError, match="--weights"):
        resolve_model("cohen:cifar10/resnet110")
