"""Data given in Python, or by the name of a function that returns them."""

from __future__ import annotations

import pickle

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset

from smoothcert.data import Dataset, Source, as_dataset, load_data
from smoothcert.errors import DataError, InvalidArgumentError

X = torch.rand(5, 3, 4, 4, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 1, 2, 0, -1])
RED, BLUE = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")


def labels(data):
    return [data.label(position) for position in range(len(data))]


@pytest.mark.parametrize(
    "data",
    [
        (X, Y),
        (X.numpy(), Y.tolist()),
        (X.double(), Y.numpy()),
        {"x": X, "y": Y},
        TensorDataset(X, Y),
        [(x, y) for x, y in zip(X, Y, strict=True)],
        [{"x": x, "y": y} for x, y in zip(X.numpy(), Y.tolist(), strict=True)],
    ],
)
def test_forms_of_the_same_data(data):
    found = as_dataset(data, name="five")
    assert (labels(found), found.name, found.id(1), found.lattice) == ([0, 1, 2, 0, None], "five", "five:1", None)
    assert found.load(2).x.dtype == np.float32
    np.testing.assert_array_equal(found.load(2).x, X[2].numpy())
    assert found.fingerprint == as_dataset((X, Y)).fingerprint
    assert labels(as_dataset(data, limit=2, stride=2)) == [0, 2]


@pytest.mark.parametrize("data", [X, list(X), TensorDataset(X), {"x": X}])
def test_without_labels(data):
    found = as_dataset(data)
    assert labels(found) == [None] * 5
    assert found.load(0).x.shape == (3, 4, 4)


def test_parts_of_a_data_set_and_precisions():
    assert labels(as_dataset(Subset(TensorDataset(X, Y), [1, 2]))) == [1, 2]
    for kind in (torch.float16, torch.bfloat16, torch.int16):
        x = (X * 100).to(kind)
        np.testing.assert_array_equal(as_dataset(x).load(0).x, x[0].float().numpy())


def test_what_is_known_of_the_values():
    assert as_dataset(X, lattice=1 / 255, input_range=(0, 1)).lattice == 1 / 255
    eight = as_dataset((X * 255).to(torch.uint8))
    assert (eight.lattice, eight.input_range) == (1 / 255, (0, 1))
    items = as_dataset([((X[0] * 255).to(torch.uint8), 1)])
    assert (items.lattice, items.load(0).x.max() <= 1) == (1 / 255, True)


def test_pictures_and_labels_that_are_names():
    data = as_dataset([(RED, "red"), (BLUE, "blue"), (BLUE, None)])
    assert (data.class_names, labels(data), data.lattice) == (("blue", "red"), [1, 0, None], 1 / 255)
    assert data.load(0).x[:, 0, 0].tolist() == [1, 0, 0]
    assert labels(data.with_classes(["red", "green", "blue"], 3)) == [0, 2, None]


def test_targets_and_classes_of_torchvision_are_used():
    class Pictures:
        classes, targets, read = ("red", "blue"), [1, 0], 0

        def __len__(self):
            return 2

        def __getitem__(self, index):
            self.read += 1
            return (RED, BLUE)[index], self.targets[index]

    pictures = Pictures()
    data = as_dataset(pictures)
    assert (data.class_names, labels(data), pictures.read <= 2) == (("red", "blue"), [1, 0], True)


class Waves:
    """The protocol and nothing else."""

    name, indices = "waves", range(4)

    def id(self, index):
        return f"wave {index}"

    def label(self, index):
        return index % 2

    def read(self, index):
        return np.full((7,), index, dtype=np.float32)


def test_source_of_three_methods():
    source: Source = Waves()
    assert isinstance(source, Source)
    for data in (Dataset(source), as_dataset(source)):
        assert (data.class_names, data.lattice, data.input_range, data.notes) == (None, None, None, ())
        assert (data.id(3), labels(data), data.load(3).x.tolist()) == ("wave 3", [0, 1, 0, 1], [3] * 7)
        assert data.fingerprint == data.source_fingerprint
    assert Dataset(source, limit=2).fingerprint != Dataset(source).fingerprint
    assert as_dataset(Dataset(source)).indices == [0, 1, 2, 3]


ROWS = datasets.Dataset.from_dict(
    {"image": [RED, BLUE], "label": [1, 0]},
    features=datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["blue", "red"])}),
)


@pytest.mark.parametrize("rows", [ROWS, ROWS.with_format("torch"), ROWS.select([1, 0]).select([1, 0])])
def test_hugging_face_rows(rows):
    data = as_dataset(rows)
    assert (data.class_names, labels(data), data.lattice) == (("blue", "red"), [1, 0], 1 / 255)
    assert data.load(1).x[:, 0, 0].tolist() == [0, 0, 1]


def test_hugging_face_rows_of_numbers():
    data = as_dataset(datasets.Dataset.from_dict({"a": [1.0, 2.0], "b": [3, 4], "label": [0, 1]}))
    assert (labels(data), data.load(1).x.tolist()) == ([0, 1], [2, 4])
    kinds = datasets.Features({"x": datasets.Array2D((3, 4), "float32"), "label": datasets.Value("int64")})
    rows = datasets.Dataset.from_dict({"x": np.ones((2, 3, 4), np.float32), "label": [0, 1]}, features=kinds)
    assert as_dataset(rows).load(0).x.shape == (3, 4)


def test_tables_of_pandas():
    data = as_dataset(pd.DataFrame({"a": [1, 2], "b": [0.5, 1], "income": ["low", "high"]}), label_column="income")
    assert (data.class_names, labels(data), data.load(0).x.tolist()) == (("high", "low"), [1, 0], [1, 0.5])


class Endless(IterableDataset):
    def __iter__(self):
        return iter([(X[0], 0)])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (DataLoader(TensorDataset(X, Y)), "got a torch.*DataLoader: pass its dataset"),
        (iter(DataLoader(TensorDataset(X, Y))), "an iterator is read only once"),
        ((x for x in X), "got a generator: an iterator is read only once"),
        (zip(X, Y, strict=True), "an iterator is read only once"),
        (Endless(), "must have a length"),
        (ROWS.to_iterable_dataset(), "load it without streaming"),
        (datasets.DatasetDict({"test": ROWS}), "got a DatasetDict of test: choose one"),
        ({"a": X, "b": Y}, "got a dict of a, b"),
        ("digits", "for the name 'digits' there is load_data"),
        (None, "got a NoneType"),
        (3, "got a int"),
        ([], "is empty"),
        (["a", "b"], "must be an array of real numbers; it is a str"),
        ((X, Y[:3]), "one label for each of its 5 inputs"),
        ((np.ma.masked_greater(X.numpy(), 0.5), Y), "some of it is masked"),
        ((X, X[:3]), None),
        ([X[0], (X[0] * 255).to(torch.uint8)], "all must be of one kind"),
        ([[[1, 2], [3]]], "is no array"),
    ],
)
def test_other_objects_are_refused_in_a_sentence(data, message):
    def use():
        found = as_dataset(data)
        for position in range(len(found)):
            found.load(position)

    if message is None:  # two tensors of different lengths are two inputs
        assert len(as_dataset(data)) == 2
        return
    with pytest.raises(DataError, match=message):
        use()


def test_an_item_that_fails_is_named():
    class Broken:
        def __len__(self):
            return 3

        def __getitem__(self, index):
            if index == 1:
                raise OSError("disk gone")
            return X[index], 0

    data = as_dataset(Broken(), name="broken")
    with pytest.raises(DataError, match="input broken:1 cannot be read: OSError: disk gone"):
        data.load(1)
    assert data.load(2).label == 0


FACTORIES = """
import argparse, sys
import helper
def arrays(): return helper.X, [0, 1]
def fails(): raise RuntimeError("boom")
def nothing(): pass
def whole():
    import smoothcert
    return smoothcert.load_data("digits")
"""


@pytest.fixture
def code(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    (tmp_path / "helper.py").write_text("import numpy as np\nX = np.ones((2, 3), np.float32)\n")
    (tmp_path / "factories.py").write_text(FACTORIES)
    yield tmp_path / "factories.py"
    for name in ("helper", "factories", "smoothcert_user_data_factories"):
        __import__("sys").modules.pop(name, None)


def test_python_factory(code, monkeypatch):
    data = load_data(f"python:{code}:arrays", limit=1, input_range="0,1")
    assert (data.name, len(data), data.label(0), data.load(0).x.tolist()) == (f"python:{code}:arrays", 1, 0, [1, 1, 1])
    monkeypatch.chdir(code.parent)
    assert len(load_data("python:factories:arrays")) == 2
    assert len(load_data("python:factories.py:arrays")) == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fails", r"fails\(\) of .* failed with RuntimeError: boom"),
        ("nothing", r"nothing\(\) of .* returned what cannot be used: .* got a NoneType"),
        ("whole", r"must return all data; --limit and --stride choose"),
        ("absent", "has no function 'absent'"),
        ("helper", "has no function 'helper'"),
        ("", "must read python:"),
    ],
)
def test_factories_that_cannot_be_used(code, name, message):
    with pytest.raises(DataError, match=message):
        load_data(f"python:{code}:{name}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(:", "importing .* failed with SyntaxError"),
        ("import argparse\nargparse.ArgumentParser().parse_args(['x'])", "ended the program"),
        ("import sys\nassert sys.argv == [__file__]\ndef f(): return []", "is empty"),
        ("raise KeyError('x')", "failed with KeyError"),
    ],
)
def test_code_that_cannot_be_imported(tmp_path, monkeypatch, text, message):
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    (tmp_path / "odd.py").write_text(text)
    with pytest.raises(DataError, match=message):
        load_data(f"python:{tmp_path / 'odd.py'}:f")
    with pytest.raises(DataError, match="does not exist"):
        load_data(f"python:{tmp_path / 'gone.py'}:f")
    with pytest.raises(InvalidArgumentError, match="split means nothing"):
        load_data(f"python:{tmp_path / 'odd.py'}:f", split="test")


def test_a_source_that_fails_is_named():
    class Broken(Waves):
        def read(self, index):
            raise KeyError("gone")

    with pytest.raises(DataError, match="input wave 2 of waves cannot be read: KeyError: 'gone'"):
        Dataset(Broken()).load(2)
    assert len(Dataset(Broken()).fingerprint) == 64


@pytest.mark.parametrize("x", [None, "text", np.array([]), np.array([1 + 1j]), [[1], [1, 2]]])
def test_a_source_that_returns_no_array_is_named(x):
    class Odd(Waves):
        def read(self, index):
            return x

    with pytest.raises(DataError, match=r"input wave 0 of waves (must be an array of numbers|cannot be read)"):
        Dataset(Odd()).load(0)


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("lattice", 0, "lattice must be a positive step"),
        ("lattice", "1/255", "lattice must be a positive step"),
        ("input_range", (1, 0), "input_range must be two finite numbers"),
        ("class_names", "ab", "class_names of waves must be a sequence of names"),
        ("indices", [], "is empty"),
    ],
)
def test_attributes_of_a_source_are_checked(attribute, value, message):
    odd = Waves()
    setattr(odd, attribute, value)
    with pytest.raises((DataError, InvalidArgumentError), match=message):
        Dataset(odd)


@pytest.mark.parametrize(
    ("item", "message"),
    [((X[0], 1, "meta"), "is a tuple of 3"), ((X[0], [0, 1]), "is no array"), ((X[0], float("inf")), "whole number")],
)
def test_items_of_other_forms_are_named(item, message):
    with pytest.raises(DataError, match=message):
        as_dataset([item]).load(0)


def test_data_go_to_other_processes(tmp_path):
    (tmp_path / "red").mkdir()
    RED.save(tmp_path / "red" / "0.png")
    np.savez(tmp_path / "a.npz", x=X.numpy(), y=Y.numpy())
    buffer = (tmp_path / "red" / "0.png").read_bytes()
    pq.write_table(pa.table({"image": [buffer] * 3, "label": [0, 1, 0]}), tmp_path / "a.parquet")
    names = ("digits", f"imagefolder:{tmp_path}", f"npz:{tmp_path / 'a.npz'}", f"parquet:{tmp_path / 'a.parquet'}")
    for data in (*(load_data(name, limit=3) for name in names), as_dataset(ROWS), as_dataset(TensorDataset(X, Y))):
        data.load(0)
        copy = pickle.loads(pickle.dumps(data))
        assert copy.fingerprint == data.fingerprint
        assert (copy.load(0).x == data.load(0).x).all()


def test_a_pair_of_numbers_is_two_inputs():
    assert len(as_dataset((np.float32(1), 0))) == 2


def test_inputs_that_change_from_reading_to_reading_are_said_so():
    class Cropped(torch.utils.data.Dataset):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return torch.rand(3, 4, 4), 0

    assert "inputs are others each time they are read" in " ".join(as_dataset(Cropped()).notes)
    assert not as_dataset(TensorDataset(X, Y)).notes
