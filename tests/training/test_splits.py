from __future__ import annotations

import pytest

from smoothcert.data import Dataset, load_data
from smoothcert.errors import DataError, InvalidArgumentError
from smoothcert.training import splits as module
from smoothcert.training.splits import choose_splits

from .synthetic import write_folder, write_table


def test_one_in_twenty_is_held_out_and_not_trained_on(tmp_path):
    chosen = choose_splits(write_table(tmp_path / "a.parquet", count=45))
    assert chosen.tested == range(0, 45, 20)
    assert sorted([*chosen.kept, *chosen.tested]) == list(range(45))
    assert chosen.tested_on.startswith("one in 20 of parquet:")
    header = chosen.header()
    assert (header["data_indices"], header["held_out_every"], header["image_shape"]) == ("0:45:1", "20", "3x8x8")


def test_no_more_than_so_many_are_held_out(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "HELD_OUT", 2)
    chosen = choose_splits(write_table(tmp_path / "a.parquet", count=50))
    assert chosen.tested == range(0, 50, 25)
    assert chosen.held_out_every == 25


def test_a_single_image_cannot_be_split(tmp_path):
    with pytest.raises(DataError, match="holds a single image; one is held out"):
        choose_splits(write_table(tmp_path / "a.parquet", count=1, labels=[1]))


def test_test_data_are_all_tested_on_and_all_data_trained_on(tmp_path):
    data, tests = write_table(tmp_path / "a.parquet", count=30), write_table(tmp_path / "b.parquet", count=6)
    chosen = choose_splits(data, test_data=tests)
    assert (len(chosen.kept), len(chosen.tested), chosen.tested_on) == (30, 6, tests)
    assert "held_out_every" not in chosen.header()


def test_splits_of_a_folder_are_named(tmp_path):
    for split, count in (("train", 8), ("test", 4)):
        write_table(tmp_path / f"{split}.parquet", count=count, first=count)
    chosen = choose_splits(f"parquet:{tmp_path}", split="train", test_split="test")
    assert (len(chosen.data), len(chosen.test_data)) == (8, 4)
    with pytest.raises(DataError, match=r"several splits \(test, train\)"):
        choose_splits(f"parquet:{tmp_path}")


@pytest.mark.parametrize("name", ["cifar10", "hf:someone/pictures"])
def test_data_with_splits_of_their_own_are_trained_on_train(tmp_path, monkeypatch, name):
    write_table(tmp_path / "train.parquet", count=40)
    write_table(tmp_path / "test.parquet", count=4, first=40)
    asked = []

    def load(source, *, split, **options):
        asked.append((source, split))
        return load_data(f"parquet:{tmp_path / split}.parquet")

    monkeypatch.setattr(module, "load_data", load)
    choose_splits(name)
    assert asked == [(name, "train")] + [(name, "test")] * (name == "cifar10")
    asked.clear()
    choose_splits(name, test_data=name, test_split="test")
    assert asked == [(name, "train"), (name, "test")]


def test_the_same_images_are_no_test(tmp_path):
    data = write_table(tmp_path / "a.parquet", count=6)
    with pytest.raises(InvalidArgumentError, match="test_data must hold other images than data"):
        choose_splits(data, test_data=data)


def test_two_parts_of_one_source_are(tmp_path):
    whole = load_data(write_table(tmp_path / "a.parquet", count=8, labels=[0, 0, 1, 1] * 2))
    odd = load_data(whole.name)
    odd.indices = whole.indices[1::2]
    even = load_data(whole.name, stride=2)
    chosen = choose_splits(even, test_data=odd)
    assert chosen.header()["data_indices"] == "0:7:2"
    with pytest.raises(InvalidArgumentError, match="other images"):
        choose_splits(even, test_data=whole)
    with pytest.raises(InvalidArgumentError, match="test_split is for test_data given by name; got 'test'"):
        choose_splits(even, test_data=odd, test_split="test")


def test_indices_that_are_no_range_are_not_claimed(tmp_path):
    data = load_data(write_table(tmp_path / "a.parquet", count=8))
    data.indices = [0, 1, 5]
    assert "data_indices" not in choose_splits(data).header()


def test_a_missing_label_is_named(tmp_path):
    unlabelled = write_table(tmp_path / "a.parquet", count=3, labels=[0, None, 1])
    with pytest.raises(DataError, match=r"a\.parquet:1 in parquet:.* has no label; training needs one"):
        choose_splits(unlabelled)
    with pytest.raises(DataError, match=r"a\.parquet:1 in parquet:.* has no label; training needs one"):
        choose_splits(write_table(tmp_path / "b.parquet", count=4), test_data=unlabelled)


def test_one_class_is_nothing_to_learn(tmp_path):
    with pytest.raises(DataError, match="must have at least 2 classes to tell apart; got 1"):
        choose_splits(write_table(tmp_path / "a.parquet", count=4, classes=1))


def test_minus_one_is_no_label(tmp_path):
    with pytest.raises(DataError, match=r"a\.parquet:2 .* has no label"):
        choose_splits(write_table(tmp_path / "a.parquet", count=3, labels=[0, 1, -1]))


def test_grey_images_are_refused_from_the_first(monkeypatch):
    read = []
    load = Dataset.load
    monkeypatch.setattr(Dataset, "load", lambda data, position: (read.append(position), load(data, position))[1])
    with pytest.raises(InvalidArgumentError, match=r"data must be colour images.*got \(1, 8, 8\) in digits"):
        choose_splits("digits")
    assert read == [0]


def test_images_the_network_would_shrink_to_nothing_are_refused(tmp_path):
    with pytest.raises(InvalidArgumentError, match="at least 8 pixels a side; got 7x7"):
        choose_splits(write_table(tmp_path / "a.parquet", count=4, size=7))


def test_test_images_of_another_shape_are_refused(tmp_path):
    data, tests = write_table(tmp_path / "a.parquet", count=4), write_table(tmp_path / "b.parquet", count=4, size=16)
    with pytest.raises(InvalidArgumentError, match=r"shape \(3, 8, 8\), that of data; got \(3, 16, 16\) in parquet:"):
        choose_splits(data, test_data=tests)
    assert choose_splits(data, test_data=tests, image_size=8).shape == (3, 8, 8)


def test_test_labels_outside_the_classes_are_named(tmp_path):
    data, tests = write_table(tmp_path / "a.parquet", count=4), write_table(tmp_path / "b.parquet", count=3, classes=3)
    with pytest.raises(DataError, match=r"b\.parquet:2 .* must be in 0 to 1, the classes; got 2"):
        choose_splits(data, test_data=tests)


def test_test_classes_of_other_names_are_refused(tmp_path):
    data = write_folder(tmp_path / "a", counts={"blue": 2, "red": 2})
    tests = write_folder(tmp_path / "b", counts={"cat": 1, "red": 1})
    with pytest.raises(
        InvalidArgumentError, match=r"the 2 classes of data \(blue, red\); got 2 \(cat, red\) in imagefolder:"
    ):
        choose_splits(data, test_data=tests)
