from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from smoothcert.data import DATA_NAMES, Dataset, load_data
from smoothcert.errors import DataError, InvalidArgumentError


@pytest.mark.parametrize("name", ["", "nonsense", "digits:8", "cifar10:", "parquet", "parquet:", "hf:", "imagenet"])
def test_unknown_name_lists_every_known_form(name):
    with pytest.raises(DataError) as caught:
        load_data(name)
    assert all(form in str(caught.value) for form in DATA_NAMES)
    assert repr(name) in str(caught.value)


def test_digits_are_scikit_learns_divided_by_sixteen():
    bunch, data = load_digits(), load_data("digits", split="train")
    example = data.load(5)
    assert (example.index, example.id, example.label) == (5, "digits:5", int(bunch.target[5]))
    assert (example.x.shape, example.x.dtype) == ((1, 8, 8), np.float32)
    np.testing.assert_array_equal(example.x[0] * 16, bunch.images[5])


def test_digits_splits_are_disjoint_and_complete():
    train, test = load_data("digits", split="train"), load_data("digits")
    assert (len(train), len(test)) == (1197, 600)
    assert sorted(train.indices + test.indices) == list(range(1797))
    assert train.fingerprint != test.fingerprint
    assert (test.num_classes, test.class_names) == (10, tuple("0123456789"))


def test_stride_comes_before_limit_and_neither_changes_index_or_id():
    whole, chosen = load_data("digits"), load_data("digits", stride=7, limit=3)
    assert chosen.indices == [1197, 1204, 1211]
    assert len(chosen) == 3
    for position, source_position in enumerate((0, 7, 14)):
        a, b = chosen.load(position), whole.load(source_position)
        assert (a.index, a.id, a.label) == (b.index, b.id, b.label)
        assert (chosen.id(position), chosen.label(position)) == (a.id, a.label)
        np.testing.assert_array_equal(a.x, b.x)
    assert chosen.source_fingerprint == whole.source_fingerprint
    assert chosen.fingerprint != whole.fingerprint


@pytest.mark.parametrize(
    ("stride", "limit", "length"), [(600, None, 1), (1, 10_000, 600), (599, None, 2), (10, 60, 60)]
)
def test_lengths(stride, limit, length):
    assert len(load_data("digits", stride=stride, limit=limit)) == length


def test_changing_a_loaded_image_does_not_change_the_data():
    data = load_data("digits")
    data.load(0).x[:] = 0
    assert data.load(0).x.max() > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"limit": 0}, "limit must be an integer, at least 1; got 0"),
        ({"stride": 0}, "stride must be an integer, at least 1; got 0"),
        ({"stride": 1.5}, "stride must be an integer"),
        ({"split": "validation"}, "split must be one of train, test; got 'validation'"),
        ({"image_size": 32}, "image_size and resize must be 8 or absent"),
        ({"resize": 16}, "image_size and resize must be 8 or absent"),
        ({"label_column": "digit"}, "label_column means nothing"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        load_data("digits", **arguments)


def test_size_of_the_digits_may_be_asked_for():
    assert load_data("digits", image_size=8, limit=1).load(0).x.shape == (1, 8, 8)


class Labelled:
    name, class_names, fingerprint = "made up", None, "0"

    def __init__(self, labels, class_names=None):
        self.labels, self.indices, self.class_names = labels, list(range(len(labels))), class_names

    def id(self, index):
        return f"made-up:{index}"

    def label(self, index):
        return self.labels[index]

    def read(self, index):
        raise AssertionError("checking labels reads no image")


def test_empty_source_is_named():
    with pytest.raises(DataError, match="made up is empty"):
        Dataset(Labelled([]))


@pytest.mark.parametrize("label", [-2, 3, 999])
def test_labels_outside_the_classes_name_the_input(label):
    with pytest.raises(DataError, match=rf"made-up:2 in made up must be in 0 to 2.*got {label}"):
        Dataset(Labelled([0, 2, label], ("a", "b", "c")))
    data = Dataset(Labelled([0, 2, label, None]))
    data.check_labels(1000) if label >= 0 else None
    with pytest.raises(DataError, match=rf"made-up:2.*got {label}"):
        data.check_labels(3)


def test_labels_that_were_not_chosen_do_not_matter():
    assert len(Dataset(Labelled([0, 99], ("a",)), limit=1)) == 1


KINDS = ("imagefolder", "audiofolder", "parquet", "npz", "csv", "hf", "python")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", ["x" * 300, "~nosuchuser/x", "/a\0b", "x/" * 3000])
def test_paths_that_cannot_be_are_a_sentence(kind, path):
    with pytest.raises(DataError, match=r"cannot be (used|read|loaded)|does not exist|no folder|importing"):
        load_data(f"{kind}:{path}{':make.py' if kind == 'python' else ''}")


@pytest.mark.parametrize("split", ["../images", "a/b", "x" * 300, "", ".hidden", "_part", "/etc"])
def test_split_of_a_folder_is_the_name_of_one(tmp_path, split):
    with pytest.raises((InvalidArgumentError, DataError), match=r"split must be the name of a folder|cannot be used"):
        load_data(f"imagefolder:{tmp_path}", split=split)


def test_grey_digits_for_a_colour_model():
    grey, colour = load_data("digits", limit=3), load_data("digits", limit=3, channels=3)
    assert (grey.lattice, grey.input_range, colour.load(0).x.shape) == (1 / 16, (0, 1), (3, 8, 8))
    assert (colour.load(1).x == grey.load(1).x).all()
    assert grey.fingerprint != colour.fingerprint
    assert grey.source_fingerprint == colour.source_fingerprint


@pytest.mark.parametrize(
    ("use", "absent"),
    [
        ("import smoothcert.data", "torch PIL pyarrow datasets sklearn soundfile"),
        (
            "from smoothcert.data import load_data; load_data('digits').load(0)",
            "torch pyarrow datasets sklearn soundfile",
        ),
        ("from smoothcert.data import as_dataset", "torch datasets sklearn soundfile"),
    ],
)
def test_libraries_are_imported_when_they_are_needed(use, absent):
    code = f"import sys\n{use}\nassert not set({absent.split()}) & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
