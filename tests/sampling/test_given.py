"""What may be given as inputs, and what is said of anything else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import smoothcert as sc
from sampling.networks import SmallConvolutions
from smoothcert.errors import InvalidArgumentError, ModelError

IMAGES = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))
LABELS = torch.tensor([0, 1, 2])
PAIRS = TensorDataset(IMAGES, LABELS)
FEW = {"n0": 20, "n": 40, "alpha": 0.5}


@pytest.fixture(scope="module")
def smoothed():
    return sc.SmoothedClassifier(SmallConvolutions(), sigma=0.25, num_classes=5)


@pytest.mark.parametrize(
    "give",
    [
        lambda: IMAGES,
        lambda: IMAGES.numpy(),
        lambda: iter(IMAGES),
        lambda: list(IMAGES),
        lambda: tuple(image.numpy() for image in IMAGES),
        lambda: (x for x, _ in PAIRS),
        lambda: (x for batch, _ in DataLoader(PAIRS, batch_size=2) for x in batch),
        lambda: DataLoader(list(IMAGES), batch_size=None),
    ],
)
def test_inputs_in_any_form_are_the_same_inputs(smoothed, give):
    certificates = smoothed.certify(give(), **FEW)
    assert isinstance(certificates, sc.Certificates)
    assert certificates == [smoothed.certify(image, **FEW) for image in IMAGES]


@pytest.mark.parametrize("nothing", [IMAGES[:0], np.zeros((0, 3, 8, 8), np.float32), [], (), iter([])])
def test_no_inputs_give_no_results(smoothed, nothing):
    found = smoothed.certify(nothing, **FEW)
    assert found == []
    assert repr(found) == "<Certificates: none>"
    assert smoothed.decide(IMAGES[:0], threshold=0.5, radius=0.1) == []
    labels = smoothed.predict(IMAGES[:0])
    assert (labels.dtype, labels.shape) == (np.int64, (0,))


@pytest.mark.parametrize(
    ("give", "advice"),
    [
        (lambda: iter(PAIRS), "(x for x, _ in data)"),
        (lambda: PAIRS, "(x for x, _ in data)"),
        (lambda: DataLoader(PAIRS), "(x for batch, _ in data for x in batch)"),
        (lambda: iter(DataLoader(PAIRS, batch_size=3)), "(x for batch, _ in data for x in batch)"),
        (lambda: iter([(IMAGES[0].numpy(), 3)]), "(x for x, _ in data)"),
        (lambda: iter([(IMAGES[0], 3, "cat.png")]), "(x for x, *_ in data)"),
        (lambda: (IMAGES[0], 3), "(x for x, _ in data)"),
        (lambda: (IMAGES, LABELS), "(x for batch, _ in data for x in batch)"),
    ],
)
def test_pairs_of_inputs_and_labels_are_refused_in_a_sentence_that_helps(smoothed, give, advice):
    with pytest.raises(InvalidArgumentError, match=r"^x must be inputs alone; [^\n]*an input with its label") as error:
        smoothed.certify(give(), **FEW)
    assert f"Pass {advice}, " in str(error.value)
    assert "certify_run" in str(error.value)


@pytest.mark.parametrize(
    ("give", "message"),
    [
        (lambda: iter([IMAGES]), r"item 0 has shape \(3, 3, 8, 8\)\. Pass \(x for batch in x for x in batch\)$"),
        (lambda: iter([IMAGES[0], IMAGES[0, 0]]), r"single inputs of 3 dimensions; item 1 has shape \(8, 8\)\.$"),
        (
            lambda: iter([{"image": IMAGES[0]}]),
            r"^item 0 of x: x must be an array or tensor of floats; got a dict; take the array out",
        ),
        (lambda: {"image": IMAGES[0]}, r"^x must be an array or tensor of floats; got a dict; take the array out"),
        (
            lambda: [[0.5, 0.5], [0.5]],
            r"^x must be an array or tensor of floats; got a list of parts of several shapes$",
        ),
        (lambda: sc.load_data("digits", limit=2), r"got a Dataset; [^\n]* give a data set to certify_run$"),
        (lambda: "cat.png", r"^x must be an array or tensor of floats; got dtype <U7$"),
        (lambda: None, r"^x must be an array or tensor of floats; got a NoneType; take"),
        (lambda: range(3), r"^item 0 of x: x must have a floating-point dtype"),
    ],
)
def test_what_is_no_input_is_said(smoothed, give, message):
    with pytest.raises(InvalidArgumentError, match=message):
        smoothed.certify(give(), **FEW)


def test_nested_numbers_are_an_array():
    g = sc.SmoothedClassifier(torch.nn.Linear(2, 3), sigma=0.25, num_classes=3, input_ndim=1)
    assert isinstance(g.certify([0.5, 0.25], **FEW), sc.Certificate)
    assert g.certify([[0.5, 0.25], [0.0, 1.0]], **FEW) == g.certify(np.array([[0.5, 0.25], [0.0, 1.0]]), **FEW)
    assert isinstance(g.certify([torch.tensor(0.5), torch.tensor(0.25)], **FEW), sc.Certificate)


@pytest.mark.parametrize("value", [1.0000001, -1e-7])
def test_rounding_is_told_from_another_scale(smoothed, value):
    with pytest.raises(InvalidArgumentError, match=r"got values 1.*e-07 beyond it, as rounding leaves them: clip x"):
        smoothed.certify(torch.full((3, 8, 8), value), **FEW)
    with pytest.raises(InvalidArgumentError, match="Normalization belongs to the base classifier"):
        smoothed.certify(torch.full((3, 8, 8), 1.01), **FEW)
    one_sided = sc.SmoothedClassifier(SmallConvolutions(), sigma=0.25, num_classes=5, input_range=(0.0, float("inf")))
    with pytest.raises(InvalidArgumentError, match="Normalization belongs"):
        one_sided.certify(torch.full((3, 8, 8), -1e-7), **FEW)


def test_errors_name_the_input_where_there_are_several(smoothed):
    odd = [IMAGES[0], torch.full((3, 8, 8), 2.0)]
    for give in (iter(odd), odd):
        with pytest.raises(InvalidArgumentError, match=r"^input 1 of the batch: x must lie in \[0, 1\]"):
            smoothed.certify(give, **FEW)
    with pytest.raises(InvalidArgumentError, match=r"^x must lie in \[0, 1\]"):
        smoothed.certify(odd[1], **FEW)
    wrong = sc.SmoothedClassifier(SmallConvolutions(), sigma=0.25, num_classes=7)
    with pytest.raises(ModelError, match=r"^input 0 of the batch: "):
        wrong.certify(list(IMAGES), **FEW)
