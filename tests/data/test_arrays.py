"""Arrays and tables of numbers, from files."""

from __future__ import annotations

import os
import struct
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smoothcert.data import load_data
from smoothcert.errors import DataError, InvalidArgumentError

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 9, 3), dtype=np.uint8)
LABELS = np.arange(6) % 3


def labels(data):
    return [data.label(position) for position in range(len(data))]


@pytest.fixture
def npz(tmp_path):
    def write(*, compressed=False, **arrays):
        (np.savez_compressed if compressed else np.savez)(tmp_path / "a.npz", **arrays)
        return f"npz:{tmp_path / 'a.npz'}"

    return write


@pytest.fixture
def csv(tmp_path):
    def write(text):
        (tmp_path / "a.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        return f"csv:{tmp_path / 'a.csv'}"

    return write


@pytest.mark.parametrize("compressed", [True, False])
def test_images_of_8_bits(npz, compressed):
    data = load_data(npz(x=PIXELS, y=LABELS, compressed=compressed), stride=2)
    assert (len(data), labels(data), data.lattice, data.input_range) == (3, [0, 2, 1], 1 / 255, (0, 1))
    assert data.notes == ("8-bit numbers divided by 255, channels moved first",)
    np.testing.assert_array_equal(data.load(1).x, PIXELS[2].transpose(2, 0, 1).astype(np.float32) / np.float32(255))
    assert load_data(npz(x=PIXELS.transpose(0, 3, 1, 2))).load(0).x.shape == (3, 8, 9)
    assert load_data(npz(x=PIXELS[..., 0])).load(0).x.shape == (1, 8, 9)


def test_numbers_are_taken_as_they_are(npz):
    x = np.random.default_rng(1).normal(size=(4, 5))
    data = load_data(npz(x=x, y=np.array(["b", "a", "", "b"])))
    assert (data.class_names, labels(data)) == (("a", "b"), [1, 0, None, 1])
    assert (data.lattice, data.input_range, data.load(3).x.dtype) == (None, None, np.float32)
    np.testing.assert_array_equal(data.load(3).x, x[3].astype(np.float32))
    with pytest.raises(DataError, match=r"must lie in \[0, 1\]"):
        load_data(npz(x=x), input_range="0,1").load(0)


def test_labels_of_many_kinds(npz):
    for y in (LABELS[:, None], LABELS.astype(float), LABELS.astype(np.uint8), list(map(str, LABELS))):
        assert labels(load_data(npz(x=PIXELS, y=y))) == [0, 1, 2, 0, 1, 2]
    assert labels(load_data(npz(x=PIXELS, y=[0, -1, np.nan, 1, 1, 1.0]))) == [0, None, None, 1, 1, 1]
    assert load_data(npz(x=PIXELS, y=LABELS, class_names=["a", "b", "c"])).class_names == ("a", "b", "c")
    assert load_data(npz(x=PIXELS)).notes[0] == "unlabelled: a.npz has no array 'y'"


def test_parts_of_one_file(npz):
    name = npz(x_train=PIXELS, y_train=LABELS, x_test=PIXELS[:2], y_test=LABELS[:2])
    assert len(load_data(name, split="test")) == 2
    with pytest.raises(DataError, match=r"has x_train, y_train, x_test, y_test; choose a part with split"):
        load_data(name)
    with pytest.raises(DataError, match="must have an array 'x_val'"):
        load_data(name, split="val")


def test_an_array_alone(tmp_path):
    np.save(tmp_path / "a.npy", PIXELS)
    assert load_data(f"npz:{tmp_path / 'a.npy'}").load(5).x.shape == (3, 8, 9)


def test_arrays_are_not_scaled(npz):
    name = npz(x=PIXELS)
    assert len(load_data(name, image_size=(8, 9), resize=10)) == 6
    with pytest.raises(DataError, match=r"arrays are taken as they are, and image_size is \(224, 224\)"):
        load_data(name, image_size=224)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": PIXELS}, "must have an array 'x', of inputs, and if they are labelled 'y'; it has images"),
        ({"x": np.array([{}, 1], dtype=object)}, "cannot be loaded when allow_pickle=False"),
        ({"x": np.ones((2, 2), complex)}, "must hold arrays of real numbers; it holds complex128"),
        ({"x": np.array(["a"])}, "must hold arrays of real numbers"),
        ({"x": np.float64(3)}, "must hold arrays? of inputs"),
        ({"x": np.zeros((0, 3))}, "is empty"),
        ({"x": PIXELS, "y": LABELS[:3]}, r"one label for each of its 6 inputs; the labels have shape \(3,\)"),
        ({"x": PIXELS, "y": np.eye(6)}, r"one label for each .* shape \(6, 6\)"),
        ({"x": PIXELS, "y": LABELS + 0.5}, "whole numbers or names of classes; row 0 is 0.5"),
    ],
)
def test_arrays_that_cannot_be_used(npz, arrays, message):
    with pytest.raises(DataError, match=message):
        load_data(npz(**arrays))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_values_that_are_not_finite_are_named(npz, value):
    with pytest.raises(DataError, match=r"a\.npz:1 of .* not finite numbers"):
        load_data(npz(x=np.array([[1.0], [value]]))).load(1)


HUGE = b"\x93NUMPY\1\0" + struct.pack("<H", 118)
HUGE += b"{'descr': '<f8', 'fortran_order': False, 'shape': (100000000000, 1000), }".ljust(117) + b"\n"


@pytest.mark.parametrize("content", [b"", b"PK\3\4junk", b"\x93NUMPY\1\0junk", b"text", HUGE])
def test_files_that_are_no_arrays(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npz is no file of NumPy arrays"):
        load_data(f"npz:{tmp_path / 'a.npz'}")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", content)
    with pytest.raises(DataError, match=r"a\.npz is no file of NumPy arrays"):
        load_data(f"npz:{tmp_path / 'a.npz'}")


@pytest.mark.parametrize("kind", ["npz", "csv"])
def test_what_is_no_regular_file_is_named(tmp_path, kind):
    os.mkfifo(tmp_path / "pipe")
    for place in ("pipe", "absent", "."):
        with pytest.raises(DataError, match=r"cannot be read: (it is no regular file|No such file)"):
            load_data(f"{kind}:{tmp_path / place}")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_table_of_numbers(csv, separator):
    text = "age,married,income\n30,true,<=50K\n40,false,>50K\n50,true,\n".replace(",", separator)
    data = load_data(csv(text), label_column="income")
    assert (data.class_names, labels(data)) == (("<=50K", ">50K"), [0, 1, None])
    assert data.load(1).x.tolist() == [40, 0]
    assert (data.lattice, data.input_range, data.notes) == (None, None, ("2 feature columns: age, married",))
    assert labels(data.with_classes([">50K", "<=50K"], 2)) == [1, 0, None]


def test_labels_by_their_usual_names(csv):
    assert labels(load_data(csv("a,target\n1,0\n2,-1\n"))) == [0, None]
    assert labels(load_data(csv(b"\xef\xbb\xbfa,Class\n1,0\n2,1\n"))) == [0, 1]
    with pytest.raises(DataError, match=r"several label columns \(target, y\)"):
        load_data(csv("a,target,y\n1,0,1\n"))
    assert "unlabelled" in load_data(csv("a,b\n1,0\n")).notes[0]


def test_numbers_that_are_names_of_the_classifiers_classes(csv):
    data = load_data(csv("a,y\n1,2\n2,7\n3,1\n"))
    assert labels(data.with_classes([str(number) for number in range(1, 8)], 7)) == [1, 6, 0]
    with pytest.raises(DataError, match="--label-offset"):
        data.with_classes(None, 7)
    assert labels(load_data(csv("a,y\n1,2\n2,7\n3,1\n"), label_offset=-1).with_classes(None, 7)) == [1, 6, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Empty CSV file"),
        ("a,y\n", "is empty"),
        ("1,2\n3,4\n", "must begin with a line of column names; it begins with '1,2'"),
        ("a,job,y\n1,clerk,0\n", "must have numbers in all columns of features; 'job' is string"),
        ("a,when,y\n1,2020-01-01,0\n", "'when' is date"),
        ("a,b,y\n1,2,0\n3\n", "Expected 3 columns, got 1"),
        ("a,a\n1,2\n", "must name each column once; 'a' comes more than once"),
        (b"caf\xe9,b\n1,2\n", "is not a table that can be read"),
        ("a,y\n1,0.5\n", "whole numbers or names of classes; row 0 is 0.5"),
    ],
)
def test_tables_that_cannot_be_used(csv, text, message):
    with pytest.raises(DataError, match=message):
        load_data(csv(text))


def test_a_missing_number_is_named(csv):
    data = load_data(csv("a,b,y\n1,2,0\n1,,0\n"))
    with pytest.raises(DataError, match=r"a\.csv:1 of .* not finite numbers"):
        data.load(1)


@pytest.mark.parametrize("option", [{"image_size": 4}, {"split": "test"}, {"image_column": "a"}])
def test_options_for_other_kinds_are_refused(csv, option):
    with pytest.raises(InvalidArgumentError, match=f"{next(iter(option))} means nothing for 'csv:"):
        load_data(csv("a,y\n1,0\n"), **option)


def test_parquet_of_features(tmp_path):
    table = pa.table({"a": [1, 2, 3], "b": [0.5, None, 1.5], "y": ["p", "q", "p"], "__index_level_0__": list("xyz")})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    data = load_data(f"parquet:{tmp_path / 'a.parquet'}")
    assert (data.class_names, labels(data), data.id(2)) == (("p", "q"), [0, 1, 0], "a.parquet:2")
    assert data.load(2).x.tolist() == [3, 1.5]
    assert (data.lattice, data.input_range) == (None, None)
    with pytest.raises(DataError, match=r"a\.parquet:1 of"):
        data.load(1)


def test_parquet_of_vectors(tmp_path):
    table = pa.table({"x": [[[1.0, 2.0]], [[3.0, 4.0]]], "y": [0, 1], "name": ["a", "b"]})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"lists in column 'x' beside other columns \(name\)"):
        load_data(f"parquet:{tmp_path / 'a.parquet'}")
    assert load_data(f"parquet:{tmp_path / 'a.parquet'}", image_column="x").load(1).x.tolist() == [[3, 4]]


def test_content_is_in_the_fingerprint(npz):
    x = PIXELS.copy()
    before = load_data(npz(x=x, y=LABELS)).fingerprint
    x[5, 0, 0, 0] ^= 1
    changed = load_data(npz(x=x, y=LABELS))
    assert changed.fingerprint != before
    assert load_data(npz(x=x, y=LABELS), limit=5).fingerprint == load_data(npz(x=PIXELS, y=LABELS), limit=5).fingerprint
    assert load_data(npz(x=x, y=LABELS[::-1])).fingerprint != changed.fingerprint


def test_columns_that_number_the_rows_are_no_features(csv):
    data = load_data(csv(",a,label\n0,5,1\n1,6,0\n"))
    assert data.load(0).x.tolist() == [5]
    assert data.notes == ("column '' left out, which numbers the rows", "1 feature column: a")


def test_labels_that_are_bytes(npz):
    assert load_data(npz(x=np.ones((2, 2)), y=np.array([b"dog", b"cat"]))).class_names == ("cat", "dog")
