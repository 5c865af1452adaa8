"""What the header of a weights file says of its training, against the run that certifies with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from runs.synthetic import ArraySource
from smoothcert.certify import RunSpec, certify_run
from smoothcert.certify.provenance import training_notes
from smoothcert.data import Dataset
from smoothcert.runs import Run

from .tiny_model import tiny_model

SOURCE = ArraySource(40)
SAME = {"data_fingerprint": SOURCE.fingerprint}


def notes(metadata, *, sigma=0.25, data=None):
    return training_notes(metadata, name="net", sigma=sigma, data=data or Dataset(SOURCE))


def trained_on(which):
    return (f"{which} among the images net was trained on, so its certified accuracy here is not that on new images",)


@pytest.mark.parametrize("sigma", ["0.25", "2.5e-1", repr(float(np.float32(0.25) * np.float32(1 + 1e-7)))])
def test_the_same_noise_says_nothing(sigma):
    assert notes({"sigma": sigma}) == ()


@pytest.mark.parametrize("sigma", ["0.5", "0.2501", "0", "nan"])
def test_other_noise_is_said(sigma):
    (note,) = notes({"sigma": sigma})
    assert note == f"net was trained under noise of sigma {sigma}, not 0.25"


@pytest.mark.parametrize(
    "metadata", [{}, {"sigma": "a quarter"}, {"sigma": ""}, {"image_shape": "square"}, {"data_fingerprint": ""}]
)
def test_headers_of_other_origin_say_nothing(metadata):
    assert notes(metadata) == ()


def test_training_noise_says_nothing_behind_a_denoiser():
    assert notes({"sigma": "0.5"}, sigma=None) == ()


def test_other_data_say_nothing():
    assert notes({"data_fingerprint": ArraySource(41).fingerprint, "data_indices": "0:41:1"}) == ()


@pytest.mark.parametrize("indices", [None, "", "all", "0:40:0", "0:40", "-1:40:1", "0:40:1:1", "9" * 5000 + ":1:1"])
def test_the_same_data_count_in_full_where_the_header_does_not_tell(indices):
    metadata = SAME if indices is None else {**SAME, "data_indices": indices}
    assert notes(metadata) == trained_on("all inputs are")


@pytest.mark.parametrize(
    ("header", "selection", "expected"),
    [
        ({"data_indices": "0:40:1"}, {}, "all inputs are"),
        ({"data_indices": "0:40:1", "held_out_every": "20"}, {}, "38 of 40 inputs are"),
        ({"data_indices": "0:40:1", "held_out_every": "20"}, {"stride": 20}, None),
        ({"data_indices": "0:40:1", "held_out_every": "20"}, {"stride": 10}, "2 of 4 inputs are"),
        ({"data_indices": "0:40:1", "held_out_every": "never"}, {"limit": 5}, "all inputs are"),
        ({"data_indices": "0:10:1"}, {"limit": 20}, "10 of 20 inputs are"),
        ({"data_indices": "1:40:2"}, {"stride": 2}, None),
        ({"data_indices": "1:40:3", "held_out_every": "4"}, {}, "9 of 40 inputs are"),
        ({"data_indices": "0:999999999999:1", "held_out_every": "20"}, {}, "38 of 40 inputs are"),
    ],
)
def test_the_images_trained_on_are_counted(header, selection, expected):
    found = notes({**SAME, **header}, data=Dataset(SOURCE, **selection))
    assert found == (() if expected is None else trained_on(expected))


def test_images_of_another_size_are_said():
    assert notes({"image_shape": "1x4x4"}) == ()
    assert notes({"image_shape": "3x32x64"}) == ("net was trained on images of 32x64 pixels, not 4x4",)
    assert notes({"image_shape": "3x32x64"}, data=Dataset(ArraySource(4, unreadable=[0]))) == ()


def test_the_run_keeps_what_is_said(tmp_path):
    model = replace(tiny_model(), metadata={**SAME, "sigma": "0.5"})
    spec = RunSpec.of(sigma=0.25, n=50, n0=10, device="cpu", verify_precision=True)
    certify_run(spec, out=tmp_path, model=model, data=Dataset(SOURCE, limit=2))
    kept = Run.open(tmp_path).config.notes
    assert kept[0] == "tiny was trained under noise of sigma 0.5, not 0.25"
    assert kept[1].startswith("all inputs are among the images tiny was trained on")
    assert kept[2].startswith("torch in float32 against PyTorch in float32: ")
    assert len(kept) == 3


def test_behind_a_denoiser_the_images_still_count(tmp_path):
    (tmp_path / "mine.py").write_text("import torch\n\n\ndef make(sigma):\n    return torch.nn.Identity()\n")
    model = replace(tiny_model(), metadata={**SAME, "sigma": "0.5"})
    denoiser = f"python:{tmp_path / 'mine.py'}:make"
    spec = RunSpec.of(sigma=0.25, n=50, n0=10, device="cpu", denoiser=denoiser)
    run = certify_run(spec, out=tmp_path / "run", model=model, data=Dataset(SOURCE, limit=2))
    (note,) = run.config.notes
    assert note.startswith("all inputs are among the images tiny was trained on")
