from __future__ import annotations

import numpy as np
import pytest
import torch
from reference_resnet import logits, random_state
from safetensors.torch import save_file

from smoothcert.data import load_data
from smoothcert.errors import ModelError
from smoothcert.models import resolve_model
from smoothcert.models.cifar import CifarResNet


@pytest.mark.parametrize(("depth", "width", "classes"), [(8, 16, 10), (20, 20, 10), (32, 4, 3)])
def test_loads_any_width_and_equals_a_second_implementation(tmp_path, depth, width, classes):
    state = random_state(depth, width=width, classes=classes)
    save_file(state, tmp_path / "w.safetensors", {"sigma": "0.5"})
    model = resolve_model(f"cifar:resnet{depth}", weights=tmp_path / "w.safetensors")
    x = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(model.module(x), logits(state, x), rtol=1e-4, atol=1e-3)
    assert (model.num_classes, model.input_size, model.metadata) == (classes, (3, 32, 32), {"sigma": "0.5"})
    assert (model.class_names is None) == (classes != 10)


def test_grey_images_are_refused_rather_than_broadcast(tmp_path):
    save_file(random_state(8, width=2), tmp_path / "w.safetensors")
    module = resolve_model("cifar:resnet8", weights=tmp_path / "w.safetensors").module
    with pytest.raises(ModelError, match=r"\(batch, 3, H, W\); got \(2, 1, 32, 32\)"):
        module(torch.zeros(2, 1, 32, 32))


def test_other_depth_in_the_file_says_what_is_left_over(tmp_path):
    save_file(random_state(20, width=4), tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match=r"does not fit the model; 72 left over: layer1\.1"):
        resolve_model("cifar:resnet8", weights=tmp_path / "w.safetensors")


def test_other_network_in_the_file_says_what_is_missing(tmp_path):
    save_file({"encoder": torch.zeros(2)}, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match=r"missing: conv1\.weight.*1 left over: encoder"):
        resolve_model("cifar:resnet20", weights=tmp_path / "w.safetensors")


@pytest.mark.parametrize("name", ["cifar:resnet", "cifar:vgg16", "cifar:resnet20x"])
def test_unknown_networks_list_the_known(name):
    with pytest.raises(ModelError, match="resnet20, resnet32"):
        resolve_model(name)


@pytest.mark.parametrize("depth", [2, 19, 52])
def test_depth_must_be_six_n_plus_two(depth):
    with pytest.raises(ModelError, match=rf"6 n \+ 2.*got {depth}"):
        CifarResNet(depth)


def test_no_weights_asks_for_them():
    with pytest.raises(ModelError, match="--weights"):
        resolve_model("cifar:resnet20")


@pytest.mark.shared
def test_real_weights_classify_real_noisy_images(shared):
    model = resolve_model("cifar:resnet20", weights=shared / "models" / "cifar10_resnet20_sigma0.25.safetensors")
    assert model.metadata["sigma"] == "0.25"
    data = load_data(f"parquet:{shared / 'data' / 'cifar10' / 'test.parquet'}", stride=25)
    assert len(data) == 200
    assert data.class_names == model.class_names
    examples = [data.load(position) for position in range(len(data))]
    images = torch.from_numpy(np.stack([example.x for example in examples]))
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        predictions = model.module(images + 0.25 * noise).argmax(1)
    labels = torch.tensor([example.label for example in examples])
    assert (predictions == labels).double().mean().item() >= 0.60
