from __future__ import annotations

import time
from importlib.resources import files

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from smoothcert.data import load_data
from smoothcert.errors import ModelError
from smoothcert.models import resolve_model


@pytest.fixture(scope="module")
def model():
    return resolve_model("digits")


@pytest.fixture(scope="module")
def test_split():
    data = load_data("digits")
    examples = [data.load(position) for position in range(len(data))]
    return torch.from_numpy(np.stack([e.x for e in examples])), torch.tensor([e.label for e in examples])


def accuracy(model, images, labels):
    with torch.inference_mode():
        return (model.module(images).argmax(1) == labels).double().mean().item()


def test_bundled_accuracy_is_what_its_header_says(model, test_split):
    images, labels = test_split
    stated = float(model.metadata["test_accuracy_clean"])
    assert accuracy(model, images, labels) == pytest.approx(stated, abs=2 / 600)
    assert stated > 0.97
    noise = torch.randn(20, *images.shape, generator=torch.Generator().manual_seed(1))
    noisy = np.mean([accuracy(model, images + 0.25 * draw, labels) for draw in noise])
    # The standard error of 20 draws of 600 images is about 0.002.
    assert noisy == pytest.approx(float(model.metadata["test_accuracy_noisy"]), abs=0.01)
    assert noisy > 0.92


def test_training_images_are_none_of_the_test_images(model, test_split):
    assert model.metadata["data"] == "scikit-learn digits, images 0 to 1196"
    train, test = load_data("digits", split="train"), load_data("digits", split="test")
    assert train.indices[-1] == 1196
    assert not set(train.indices) & set(test.indices)


def test_what_is_known_about_it(model):
    assert (model.num_classes, model.class_names, model.input_size) == (10, tuple("0123456789"), (1, 8, 8))
    assert {"sigma", "seed", "recipe", "architecture"} <= model.metadata.keys()
    assert float(model.metadata["sigma"]) == 0.25


def test_bundled_file_is_small(model):
    folder = files("smoothcert.models") / "assets"
    assert sum(len(file.read_bytes()) for file in folder.iterdir()) < 250_000


def test_thousands_of_samples_a_second_on_one_core(model):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        batch = torch.zeros(500, 1, 8, 8)
        with torch.inference_mode():
            model.module(batch)
            start = time.perf_counter()
            for _ in range(4):
                model.module(batch)
        assert 2000 / (time.perf_counter() - start) > 5000
    finally:
        torch.set_num_threads(threads)


def test_other_weights_of_the_same_network_load_and_others_do_not(model, tmp_path):
    state = {key: torch.zeros_like(tensor) for key, tensor in model.module.state_dict().items()}
    save_file(state, tmp_path / "zero.safetensors", {"sigma": "1"})
    zero = resolve_model("digits", weights=str(tmp_path / "zero.safetensors"))
    assert zero.metadata == {"sigma": "1"}
    assert zero.weights_hash != model.weights_hash
    assert zero.module(torch.rand(2, 1, 8, 8)).count_nonzero() == 0
    del state["fc2.bias"]
    save_file(state, tmp_path / "short.safetensors")
    with pytest.raises(ModelError, match=r"short\.safetensors does not fit the model; 1 missing: fc2\.bias"):
        resolve_model("digits", weights=tmp_path / "short.safetensors")
