from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import smoothcert
from smoothcert.data import load_data
from smoothcert.errors import DataError, InvalidArgumentError, ModelError, RunError
from smoothcert.models import resolve_model
from smoothcert.training import engine, loop
from smoothcert.training.checkpoint import checkpoint_path

from .synthetic import Listening, recipe, train_small, write_table


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    return write_table(tmp_path_factory.mktemp("data") / "train.parquet", count=64)


@pytest.fixture(scope="module")
def tests(tmp_path_factory) -> str:
    return write_table(tmp_path_factory.mktemp("data") / "test.parquet", count=40, first=500)


def same_weights(one, other) -> bool:
    first, second = load_file(one), load_file(other)
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize(
    "changes", [{}, {"consistency": 5.0, "draws": 3, "augment": False}], ids=["plain", "consistent"]
)
def test_it_learns_and_the_file_says_how(tmp_path, data, tests, changes):
    listening = Listening()
    changes = {"epochs": 4, **changes}
    trained = train_small(data, tmp_path / "w.safetensors", changes=changes, test_data=tests, reporter=listening)
    assert trained.noisy_accuracy > 0.9  # chance is 0.5
    assert trained.test_images == 40
    with safe_open(trained.path, framework="pt") as file:
        metadata = file.metadata()
    assert metadata == trained.metadata
    expected = {
        "sigma": "0.25",
        "arch": "resnet8",
        "seed": "0",
        "recipe": recipe(**changes).to_json(),
        "data": data,
        "data_fingerprint": load_data(data).source_fingerprint,
        "data_indices": "0:64:1",
        "image_shape": "3x8x8",
        "test_data": tests,
        "test_images": "40",
        "precision": "float32",
        "noisy_accuracy": f"{trained.noisy_accuracy:.6f}",
        "smoothcert": smoothcert.__version__,
        "torch": torch.__version__,
    }
    assert {key: metadata[key] for key in expected} == expected
    assert metadata.keys() - expected.keys() == {"data_sha256", "initial_weights_sha256", "created"}
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]  # neither checkpoint nor lock
    assert listening.notes[0] == f"reading 64 images of {data}"
    assert "64 images x 4 epochs on cpu, float32; accuracy under noise is of 40 images of" in listening.notes[1]
    assert [note.partition(": loss")[0] for note in listening.notes[2:]] == [f"epoch {n}.00 of 4" for n in (1, 2, 3, 4)]
    assert all("accuracy under noise" in note for note in listening.notes[2:])


def test_what_is_written_is_what_was_measured(tmp_path, data, tests):
    trained = train_small(data, tmp_path / "w.safetensors", test_data=tests)
    module = resolve_model("cifar:resnet8", weights=trained.path).module
    examples = [load_data(tests).load(position) for position in range(40)]
    images = torch.from_numpy(np.stack([example.x for example in examples]))
    draws = [
        (module(images + 0.25 * torch.randn(images.shape, generator=torch.Generator().manual_seed(seed)))).argmax(1)
        for seed in range(20)
    ]
    labels = torch.tensor([example.label for example in examples])
    right = torch.stack([draw == labels for draw in draws]).double().mean().item()
    assert right == pytest.approx(trained.noisy_accuracy, abs=0.15)
    assert right > 0.6


def test_it_is_deterministic_and_the_seed_matters(tmp_path, data):
    for name, seed in (("one", 1), ("two", 1), ("other", 2)):
        train_small(data, tmp_path / f"{name}.safetensors", changes={"seed": seed, "epochs": 1})
    assert same_weights(tmp_path / "one.safetensors", tmp_path / "two.safetensors")
    assert not same_weights(tmp_path / "one.safetensors", tmp_path / "other.safetensors")


def test_random_numbers_of_the_caller_are_left_alone(tmp_path, data):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    train_small(data, tmp_path / "w.safetensors", changes={"epochs": 1})
    assert torch.equal(torch.rand(3), expected)


def test_it_begins_with_given_weights(tmp_path, data):
    first = train_small(data, tmp_path / "first.safetensors", changes={"epochs": 1})
    still = {"epochs": 1, "learning_rate": 1e-30, "weight_decay": 0.0}
    second = train_small(data, tmp_path / "second.safetensors", changes=still, weights=first.path)
    weights, after = load_file(first.path), load_file(second.path)
    learnt = [key for key in weights if "running" not in key and "tracked" not in key]
    assert learnt
    assert all(torch.equal(weights[key], after[key]) for key in learnt)
    assert second.metadata["initial_weights_sha256"] != first.metadata["initial_weights_sha256"]


def test_bfloat16_is_another_arithmetic_for_float32_weights(tmp_path, data):
    trained = train_small(data, tmp_path / "b.safetensors", changes={"epochs": 1}, precision="bfloat16")
    train_small(data, tmp_path / "f.safetensors", changes={"epochs": 1})
    assert trained.metadata["precision"] == "bfloat16"
    assert load_file(trained.path)["fc.weight"].dtype == torch.float32
    assert not same_weights(trained.path, tmp_path / "f.safetensors")


@pytest.mark.parametrize(("width", "last"), [(4, False), (15, False), (16, True)])
def test_channels_are_last_only_where_the_cpus_gradients_are_right(width, last):
    # https://github.com/uxlfoundation/oneDNN/issues/6035: below a width of 16 they may be wrong, or crash.
    layout = loop._layout(torch.device("cpu"), width=width)
    assert (layout is torch.channels_last) == last
    assert loop._layout(torch.device("cuda"), width=width) is torch.channels_last


def test_training_that_diverges_stops_and_keeps_the_last_checkpoint(tmp_path, data, monkeypatch):
    out = tmp_path / "w.safetensors"
    real = loop.noisy_loss

    def nan_in_the_last_epoch(logits, labels, recipe):
        nan_in_the_last_epoch.step += 1
        return real(logits, labels, recipe) * (float("nan") if nan_in_the_last_epoch.step > 6 else 1.0)

    nan_in_the_last_epoch.step = 0
    monkeypatch.setattr(loop, "noisy_loss", nan_in_the_last_epoch)
    message = r"training diverged: at step 8 of 8 .* lower learning_rate, now 0\.2, .*checkpoint holds step 4\)"
    with pytest.raises(ModelError, match=message):
        train_small(data, out)
    assert not out.exists()
    assert torch.load(checkpoint_path(out), weights_only=True)["step"] == 4


def test_a_learning_rate_beyond_reason_is_said_to_diverge(tmp_path, data):
    with pytest.raises(ModelError, match=r"now 1e\+30, .*there is no checkpoint yet"):
        train_small(data, tmp_path / "w.safetensors", changes={"learning_rate": 1e30})


def test_a_step_too_large_for_the_device_names_the_batch_size(tmp_path, data, monkeypatch):
    def full(*arguments):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(loop, "noisy_loss", full)
    with pytest.raises(InvalidArgumentError, match=r"batch_size must be .* got 16, 32 noisy images a step"):
        train_small(data, tmp_path / "w.safetensors", changes={"consistency": 1.0})


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"out": "w.pt"}, InvalidArgumentError, r"out must be a file that ends in \.safetensors; got .*w\.pt"),
        ({"precision": "float16"}, InvalidArgumentError, "precision must be one of float32, bfloat16; got 'float16'"),
        ({"device": "abacus"}, InvalidArgumentError, "device must be one of cpu, cuda"),
        ({"checkpoint_seconds": -1.0}, InvalidArgumentError, r"checkpoint_seconds must be .* got -1\.0"),
        ({"checkpoint_seconds": float("nan")}, InvalidArgumentError, "checkpoint_seconds must be .* got nan"),
        ({"recipe": recipe(arch="vgg16")}, ModelError, "arch must be resnet20, .* got 'vgg16'"),
        ({"recipe": recipe(arch="resnet9")}, ModelError, r"depth must be 6 n \+ 2, .* got 9"),
        ({"weights": "none.safetensors"}, ModelError, r"weights file none\.safetensors does not exist"),
        ({"data": "parquet:nowhere.parquet"}, DataError, r"parquet:nowhere\.parquet does not exist"),
        ({"data": "digits"}, InvalidArgumentError, "data must be colour images"),
        ({"split": "train"}, InvalidArgumentError, "split means nothing for the single file"),
    ],
)
def test_mistakes_are_named_before_an_image_is_decoded_and_leave_nothing(
    tmp_path, data, monkeypatch, options, kind, message
):
    monkeypatch.setattr(engine, "read_images", lambda *_, **__: pytest.fail("images were decoded"))
    settings = {"data": data, "recipe": recipe(), "out": "w.safetensors", "device": "cpu", **options}
    settings["out"] = tmp_path / "runs" / settings["out"]
    with pytest.raises(kind, match=message):
        smoothcert.train(settings.pop("data"), **settings)
    assert not list(tmp_path.iterdir())


def test_weights_of_another_network_are_refused(tmp_path, data):
    first = train_small(data, tmp_path / "first.safetensors", changes={"epochs": 1})
    with pytest.raises(ModelError, match=r"weights file .*first\.safetensors does not fit the model"):
        train_small(data, tmp_path / "second.safetensors", changes={"arch": "resnet14"}, weights=first.path)


def test_a_file_that_is_there_is_not_overwritten(tmp_path, data):
    out = tmp_path / "w.safetensors"
    out.write_text("precious")
    with pytest.raises(RunError, match="exists already; choose another out"):
        train_small(data, out)
    assert out.read_text() == "precious"


def test_an_opened_set_is_trained_on(tmp_path, data):
    opened = load_data(data, limit=40)
    trained = train_small(opened, tmp_path / "w.safetensors", changes={"epochs": 1})
    assert trained.metadata["data_indices"] == "0:40:1"
    assert json.loads(trained.metadata["recipe"])["epochs"] == 1
    assert trained.test_images == 2


def test_the_public_names_are_those_of_the_part():
    assert smoothcert.train is smoothcert.training.train
    assert smoothcert.Recipe is smoothcert.training.Recipe
