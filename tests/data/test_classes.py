"""Labels are the classifier's numbers: found by name, or refused."""

from __future__ import annotations

import json
from importlib import resources

import numpy as np
import pytest

from smoothcert.data import ClassList, Dataset
from smoothcert.data.classes import class_numbers
from smoothcert.errors import DataError, InvalidArgumentError


class Labelled:
    name = "made up"

    def __init__(self, labels, class_names=None):
        self.labels, self.indices, self.class_names = labels, list(range(len(labels))), class_names

    def id(self, index):
        return f"made-up:{index}"

    def label(self, index):
        return self.labels[index]

    def read(self, index):
        return np.full((2,), index, dtype=np.float32)


def labels(data):
    return [data.label(position) for position in range(len(data))]


TABLE = resources.files("smoothcert.data").joinpath("imagenet_classes.txt").read_text(encoding="utf-8")
IMAGENET = [line.split(" ", 1) for line in TABLE.splitlines()]


@pytest.mark.parametrize(
    ("data", "model", "expected"),
    [
        (["blue", "green", "red"], ["red", "blue", "green"], (1, 2, 0)),
        (["Sea_Lion", "polar bear"], ["Polar-Bear", "dog", "sea  lion"], (2, 0)),
        (["tench"], ["goldfish, Carassius auratus", "tench, Tinca tinca"], (1,)),
        (["Tinca tinca", "goldfish, Carassius auratus"], ["Goldfish", "tench, Tinca tinca"], (1, 0)),
        (["n01443537", "n01440764"], ["Tinca tinca", "goldfish"], (1, 0)),
        (["goldfish"], ["n01440764", "n01443537"], (1,)),
        (["3", "12"], [str(number) for number in range(20)], (3, 12)),
        (["c"], ["b, c", "c"], (1,)),  # the name as it is written comes before a synonym
    ],
)
def test_names_decide(data, model, expected):
    assert class_numbers(data, model, num_classes=len(model), name="d", present=range(len(data))) == expected


@pytest.mark.parametrize("names", [None, [name for _, name in IMAGENET], [name.split(",")[0] for _, name in IMAGENET]])
def test_folders_of_imagenet_are_its_classes(names):
    # Two of the six that names alone get wrong: both are a crane, both a maillot.
    folders = ["n02012849", "n03126707", "n03710637", "n03710721"]
    found = class_numbers(folders, names, num_classes=1000, name="d", present=range(4))
    assert found == tuple(next(k for k, (key, _) in enumerate(IMAGENET) if key == folder) for folder in folders)
    assert found == (134, 517, 638, 639)


def test_all_of_imagenet_in_two_spellings():
    ours, theirs = [name for _, name in IMAGENET], [name.split(",")[-1].upper() for _, name in IMAGENET]
    assert class_numbers(ours, theirs, num_classes=1000, name="d", present=range(1000)) == tuple(range(1000))


@pytest.mark.parametrize(
    ("data", "model", "num_classes", "message"),
    [
        (
            ["cat", "dog"],
            ["cat", "fish"],
            2,
            r"1 class of d \(dog\) is none of .* \(cat, fish\).*--classes",
        ),
        (["cat", "dog", "bird"], ["cat", "dog", "fish"], 3, r"\(bird\) is none"),
        (["crane"], ["crane", "crane"], 2, "'crane' of d could be class 0 or 1"),
        (
            ["a", "b", "c"],
            None,
            1000,
            r"d has 3 classes \(a, b, c\) and .* 1,000, whose names are not known",
        ),
        (["a", "b", "c"], ["LABEL_0", "LABEL_1"], 2, "d has 3 classes .* and the classifier 2"),
        (["0", "1"], ["cat", "dog", "fish"], 3, r"d has 2 classes \(0, 1\) and the classifier 3, which are cat"),
        (sorted(map(str, range(12))), None, 12, r"called by numbers, sorted as names \(0, 1, 10, 11, \.\.\.\)"),
    ],
)
def test_what_names_do_not_decide_is_refused(data, model, num_classes, message):
    with pytest.raises(DataError, match=message):
        class_numbers(data, model, num_classes=num_classes, name="d", present=range(len(data)))


@pytest.mark.parametrize("model", [None, ["LABEL_0", "LABEL_1"], ["0", "1"]])
def test_numbers_are_compared_where_one_side_has_no_names(model):
    data = Dataset(Labelled([1, 0, None], ["cat", "dog"])).with_classes(model, 2)
    assert labels(data) == [1, 0, None]
    assert data.num_classes == 2
    assert Dataset(Labelled([1, 0])).with_classes(["cat", "dog"], 2).class_names == ("cat", "dog")


def test_mapped_labels_and_a_class_that_no_input_has():
    data = Dataset(Labelled([2, 0, -1], ["red", "unused", "blue"]))
    found = data.with_classes(["blue", "green", "red"], 3)
    assert labels(found) == [0, 2, None]
    assert labels(data) == [2, 0, None]
    assert (found.class_names, found.num_classes) == (("blue", "green", "red"), 3)
    assert found.fingerprint != data.fingerprint
    assert found.load(0).label == 0


@pytest.mark.parametrize("nothing", [None, -1, float("nan"), np.float32("nan"), np.int64(-1), -1.0])
def test_unlabelled(nothing):
    assert labels(Dataset(Labelled([nothing, 1.0, np.int8(0)], ["a", "b"]))) == [None, 1, 0]


@pytest.mark.parametrize("label", [0.5, True, "1"])
def test_labels_that_are_no_whole_numbers_are_named(label):
    with pytest.raises(DataError, match=r"label of made-up:0 in made up must be a whole number; got"):
        Dataset(Labelled([label], ["a", "b"]))


def test_offset():
    data = Dataset(Labelled([1, 3, -1], ["a", "b", "c", "d"]), label_offset=-1)
    assert labels(data.with_classes(["x", "y", "z"], 3)) == [0, 2, None]
    with pytest.raises(DataError, match=r"made-up:0 .*in 0 to 2.*got 3"):
        Dataset(Labelled([1]), label_offset=2).with_classes(None, 3)
    with pytest.raises(InvalidArgumentError, match="label_offset must be an integer"):
        Dataset(Labelled([1]), label_offset=0.5)


def write(tmp_path, text):
    path = tmp_path / "classes.txt"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "red\nblue\n\ngreen\n",
        "rot = red\nblau=blue\ngruen = green",
        "rot = 0\nblau = 1\ngruen = 2\n",
        json.dumps({"rot": "red", "gruen": 2, "blau": "blue"}),
    ],
)
def test_classes_file(tmp_path, text):
    names = ("blue", "green", "red") if "rot" not in text else ("blau", "gruen", "rot")
    data = Dataset(Labelled([0, 1, 2], names), classes=ClassList.of(write(tmp_path, text)))
    assert labels(data.with_classes(["red", "blue", "green"], 3)) == [1, 2, 0]


@pytest.mark.parametrize(
    "text",
    [
        "cat\ndog",
        '["cat", "dog"]',
        '{"0": "cat", "1": "dog"}',
        '{"model_type": "vit", "id2label": {"0": "cat", "1": "dog"}}',
        "\ufeffcat\r\ndog\r\n",
    ],
)
def test_names_in_order(tmp_path, text):
    given = ClassList.of(write(tmp_path, text))
    assert given.names == ("cat", "dog")
    data = Dataset(Labelled([0, 1]), classes=given).with_classes(None, 2)
    assert (labels(data), data.class_names) == ([0, 1], ("cat", "dog"))
    with pytest.raises(DataError, match="each of the classifier's 3 classes, in its order; it has 2 names"):
        Dataset(Labelled([0, 1]), classes=given).with_classes(None, 3)


def test_folders_called_by_numbers_as_the_file_says(tmp_path):
    names = sorted(map(str, range(12)))
    numeric = ClassList.of([str(number) for number in range(12)])
    assert labels(Dataset(Labelled([2], names), classes=numeric).with_classes(None, 12)) == [10]
    assert labels(Dataset(Labelled([2], names), classes=ClassList.of(names)).with_classes(None, 12)) == [2]


def test_numbers_mapped_to_numbers():
    data = Dataset(Labelled([0, 2]), classes=ClassList.of({"0": "tench", "2": 7}))
    assert labels(data.with_classes([*"abc", "tench", *"defghi"], 10)) == [3, 7]
    with pytest.raises(DataError, match=r"made-up:1 .*got 3"):
        Dataset(Labelled([0, 3]), classes=ClassList.of({"0": 1})).with_classes(None, 10)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("{}", "is empty"),
        ("[]", "is empty"),
        ("cat\na = b", "both, such as 'cat'"),
        ("a = b\na = c", "one class of the classifier; see 'a = c'"),
        ("a =", "see 'a ='"),
        ("[1, {}]", r"holds \{\}"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_bad_classes_files(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        ClassList.of(write(tmp_path, text))


def test_files_of_classes_that_cannot_be_read(tmp_path):
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    with pytest.raises(DataError, match="cannot be read"):
        ClassList.of(tmp_path / "latin")
    for place in (tmp_path, tmp_path / "absent", "/dev/zero"):
        with pytest.raises(DataError, match="does not exist, or is no regular file"):
            ClassList.of(place)


@pytest.mark.parametrize("given", ["0", "1,0", "0,1,2", "0,nan", (1, 1), 5])
def test_input_range(given):
    with pytest.raises(InvalidArgumentError, match="input_range must be"):
        Dataset(Labelled([0]), input_range=given)
    assert Dataset(Labelled([0]), input_range="-1, 2").input_range == (-1, 2)
    assert Dataset(Labelled([0]), input_range="none").input_range is None


def test_values_outside_the_range_are_named():
    data = Dataset(Labelled([0, 0, 0]), input_range=(0, 1))
    assert data.load(1).x.tolist() == [1, 1]
    with pytest.raises(DataError, match=r"made-up:2 of made up must lie in \[0, 1\]; its values go from 2 to 2"):
        data.load(2)


@pytest.mark.parametrize("number", ["9" * 11, "9" * 5000, "\u0663"])
def test_numbers_that_are_none_of_a_class_are_names(number):
    with pytest.raises(DataError, match="is none of the classifier's"):
        class_numbers(["cat"], None, num_classes=10, name="d", given=ClassList.of({"cat": number}), present=[0])
    assert ClassList.of({number: "cat"}).numbered() is None
    assert class_numbers([number, "b"], None, num_classes=2, name="d") == (0, 1)
