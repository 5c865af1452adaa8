from __future__ import annotations

import json
import os
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from image_bytes import solid

from smoothcert.data import load_data
from smoothcert.errors import DataError, InvalidArgumentError

STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def features(**columns):
    return {b"huggingface": json.dumps({"info": {"features": columns}}).encode()}


ANIMALS = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}


@pytest.fixture
def write(tmp_path):
    def write(name="a.parquet", *, images, metadata=None, group=2, image_type=STRUCT, **columns):
        table = pa.table({"image": pa.array(images, image_type), **columns})
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.replace_schema_metadata(metadata), path, row_group_size=group)
        return path

    return write


def cells(*values, path=None):
    return [{"bytes": solid(value), "path": path} for value in values]


def value(example):
    assert example.x.min() == example.x.max()
    return round(float(example.x[0, 0, 0]) * 255)


def test_rows_in_order_across_row_groups(write):
    path = write(images=cells(*range(7)), label=[0, 1, 0, 1, 0, 1, 0], metadata=features(**ANIMALS))
    data = load_data(f"parquet:{path}")
    assert (data.class_names, data.num_classes, len(data)) == (("cat", "dog"), 2, 7)
    for position in (0, 1, 6, 3, 2, 5, 4):  # any order
        example = data.load(position)
        assert (example.index, example.id, example.label) == (position, f"a.parquet:{position}", position % 2)
        assert value(example) == position


def test_folder_is_one_data_set_in_the_order_of_paths(write, tmp_path):
    write("set/test-00001.parquet", images=cells(3, 4), label=[1, 1])
    write("set/test-00000.parquet", images=cells(0, 1, 2), label=[0, 0, 1])
    data = load_data(f"parquet:{tmp_path / 'set'}", stride=2)
    examples = [data.load(position) for position in range(len(data))]
    assert [value(e) for e in examples] == [0, 2, 4]
    assert [e.index for e in examples] == [0, 2, 4]
    assert [e.id for e in examples] == ["test-00000.parquet:0", "test-00000.parquet:2", "test-00001.parquet:1"]
    assert [e.label for e in examples] == [0, 1, 1]


@pytest.mark.parametrize("layout", ["set/{}.parquet", "set/{}-00000-of-00001.parquet", "set/{}/0000.parquet"])
def test_folder_of_several_splits_wants_one_named(write, tmp_path, layout):
    for number, split in enumerate(("train", "test")):
        write(layout.format(split), images=cells(number), label=[0])
    with pytest.raises(DataError, match=r"several splits \(test, train\); choose one"):
        load_data(f"parquet:{tmp_path / 'set'}")
    assert value(load_data(f"parquet:{tmp_path / 'set'}", split="test").load(0)) == 1
    with pytest.raises(DataError, match=r"empty: no .parquet file of split 'validation'"):
        load_data(f"parquet:{tmp_path / 'set'}", split="validation")


def test_split_of_a_single_file_is_refused(write):
    with pytest.raises(InvalidArgumentError, match="split means nothing"):
        load_data(f"parquet:{write(images=cells(1))}", split="test")


def test_bytes_without_struct_and_without_labels(write):
    data = load_data(f"parquet:{write(images=[solid(9)], image_type=pa.binary())}", image_size=2)
    example = data.load(0)
    assert (example.label, data.num_classes, example.x.shape, value(example)) == (None, None, (3, 2, 2), 9)


def test_image_beside_the_file_by_its_path(write, tmp_path):
    (tmp_path / "one.png").write_bytes(solid(17))
    path = write(images=[{"bytes": None, "path": "one.png"}])
    assert value(load_data(f"parquet:{path}").load(0)) == 17


def test_columns_can_be_named(write):
    path = write(images=cells(1), thumbnail=pa.array([solid(2)]), fine=pa.array([5]), label=pa.array([0]))
    with pytest.raises(DataError, match=r"several image columns \(image, thumbnail\).*image_column"):
        load_data(f"parquet:{path}")
    example = load_data(f"parquet:{path}", image_column="thumbnail", label_column="fine").load(0)
    assert (value(example), example.label) == (2, 5)


def test_class_label_is_found_by_its_metadata(write):
    names = {"_type": "ClassLabel", "names": ["x", "y"]}
    path = write(images=cells(1), img_id=[7], coarse=[1], metadata=features(coarse=names))
    data = load_data(f"parquet:{path}")
    assert (data.class_names, data.label(0)) == (("x", "y"), 1)
    path = write("b.parquet", images=cells(1), fine=[0], coarse=[1], metadata=features(coarse=names, fine=names))
    with pytest.raises(DataError, match=r"several label columns \(fine, coarse\).*label_column"):
        load_data(f"parquet:{path}")


@pytest.mark.parametrize("metadata", [{b"huggingface": b"not json"}, {b"huggingface": b"[]"}, features(), None])
def test_odd_metadata_means_no_class_names(write, metadata):
    data = load_data(f"parquet:{write(images=cells(1), label=[41], metadata=metadata)}")
    assert (data.class_names, data.label(0)) == (None, 41)


def test_missing_label_of_a_row_is_none(write):
    data = load_data(f"parquet:{write(images=cells(1, 2), label=[None, 1], metadata=features(**ANIMALS))}")
    assert [data.label(0), data.label(1)] == [None, 1]


@pytest.mark.parametrize(
    ("columns", "arguments", "message"),
    [
        ({"label": ["cow"]}, {}, "label 'cow' is none of the classes cat, dog"),
        ({"label": [0.5]}, {}, "'label' of .* must hold whole numbers or names of classes; row 0 is 0.5"),
        ({"label": [[0]]}, {}, "must hold labels: whole numbers, or names of classes; it is list"),
        ({"label": [2]}, {}, r"label of a\.parquet:0 .* must be in 0 to 1, the classes; got 2"),
        ({"label": [-2]}, {}, r"label of a\.parquet:0 .* must be in 0 to 1, the classes; got -2"),
        ({"label": [0]}, {"image_column": "img"}, "image_column 'img' is not in .*; its columns are image, label"),
        ({"label": [0]}, {"label_column": "y"}, "label_column 'y' is not in"),
        ({"label": [0]}, {"image_column": "label"}, "column 'label' of .* must hold encoded images"),
    ],
)
def test_bad_columns_are_named(write, columns, arguments, message):
    path = write(images=cells(1), metadata=features(**ANIMALS), **columns)
    with pytest.raises(DataError, match=message):
        load_data(f"parquet:{path}", **arguments)


def test_table_without_images(tmp_path):
    pq.write_table(pa.table({"label": [1], "text": ["x"]}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"no image column.*must have numbers in all .* 'text' is string"):
        load_data(f"parquet:{tmp_path / 't.parquet'}")


def test_files_that_differ_in_their_columns(write, tmp_path):
    write("set/a.parquet", images=cells(1), label=[0])
    write("set/b.parquet", images=cells(1))
    with pytest.raises(DataError, match=r"columns of .*b\.parquet are not those of .*a\.parquet"):
        load_data(f"parquet:{tmp_path / 'set'}")


def test_unreadable_image_names_file_row_and_path_and_spares_the_others(write):
    images = [*cells(1), {"bytes": b"broken", "path": "cats/7.png"}, {"bytes": None, "path": None}, *cells(4)]
    data = load_data(f"parquet:{write(images=images, label=[0, 0, 0, 0])}")
    with pytest.raises(DataError, match=r"image .*a\.parquet:1 \(cats/7\.png\) cannot be read"):
        data.load(1)
    with pytest.raises(DataError, match=r"image .*a\.parquet:2 is absent"):
        data.load(2)
    assert (value(data.load(3)), data.id(1), data.label(1)) == (4, "a.parquet:1", 0)


def test_damaged_row_group_names_the_row(write):
    path = write(images=cells(*range(40)), label=[0] * 40, group=20)
    content = bytearray(path.read_bytes())
    start = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    content[start : start + 60] = b"\xff" * 60
    path.write_bytes(content)
    data = load_data(f"parquet:{path}")
    assert value(data.load(19)) == 19
    with pytest.raises(DataError, match=r"a\.parquet:25"):
        data.load(25)


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir(), lambda p: p.write_bytes(b"PAR1 not really")])
def test_nothing_to_read(tmp_path, make):
    path = tmp_path / "x.parquet"
    make(path)
    with pytest.raises(DataError, match=r"x\.parquet.*(does not exist|is empty|not a readable Parquet file)"):
        load_data(f"parquet:{path}")


def test_no_rows_is_empty(write):
    with pytest.raises(DataError, match="is empty"):
        load_data(f"parquet:{write(images=[], label=pa.array([], pa.int64()))}")


def test_fingerprint_follows_content_not_place(write):
    def fingerprint(name, **table):
        return load_data(f"parquet:{write(name, **table)}").fingerprint

    base = fingerprint("a.parquet", images=cells(1, 2), label=[0, 1])
    assert fingerprint("elsewhere/b.parquet", images=cells(1, 2), label=[0, 1]) == base
    assert fingerprint("c.parquet", images=cells(1, 2), label=[1, 0]) != base
    assert fingerprint("d.parquet", images=cells(1, 2, 3), label=[0, 1, 1]) != base


def test_fifty_thousand_rows_open_quickly(write):
    count = 50_000
    path = write(images=[{"bytes": solid(3), "path": None}] * count, label=[1] * count, group=1000)
    start = time.perf_counter()
    data = load_data(f"parquet:{path}", stride=100)
    assert value(data.load(499)) == 3
    assert len(data) == 500
    assert time.perf_counter() - start < 2


@pytest.mark.shared
def test_real_files(shared):
    cifar = load_data(f"parquet:{shared / 'data' / 'cifar10' / 'test.parquet'}", limit=2)
    assert cifar.class_names[7] == "horse"
    first = cifar.load(0)
    assert (first.label, first.x.shape, first.id) == (7, (3, 32, 32), "test.parquet:0")
    imagenet = load_data(f"parquet:{shared / 'data' / 'imagenet-sample' / 'val.parquet'}", image_size=224, resize=256)
    last = imagenet.load(499)
    assert (imagenet.num_classes, len(imagenet), last.x.shape) == (1000, 500, (3, 224, 224))
    assert imagenet.load(0).label == 340
    assert "zebra" in imagenet.class_names[340]
    assert 0.0 <= last.x.min() < last.x.max() <= 1.0
    assert last.x.dtype == np.float32


def test_hidden_and_unfinished_files_are_left_out(write, tmp_path):
    write("set/a.parquet", images=cells(1), label=[0])
    write("set/.ipynb_checkpoints/a-checkpoint.parquet", images=cells(2), label=[0])
    write("set/_temporary/0/part-0.parquet", images=cells(3), label=[0])
    (tmp_path / "set" / "_SUCCESS").touch()
    (tmp_path / "set" / "README.md").touch()
    data = load_data(f"parquet:{tmp_path / 'set'}")
    assert [data.id(position) for position in range(len(data))] == ["a.parquet:0"]
    root = tmp_path / "set"
    assert data.notes == (
        f"3 hidden or system files or folders in {root} left out (.ipynb_checkpoints, _SUCCESS, _temporary)",
        f"1 file of other kinds in {root} left out (README.md)",
    )


@pytest.mark.parametrize(
    "layout",
    ["set/default/{}/0000.parquet", "set/data/{}-00000-of-00001.parquet", "set/{}_0.parquet", "set/{}0.parquet"],
)
def test_splits_are_not_mixed(write, tmp_path, layout):
    for number, split in enumerate(("train", "test")):
        write(layout.format(split), images=cells(number), label=[0])
    with pytest.raises(DataError, match=r"several splits \(test, train\)"):
        load_data(f"parquet:{tmp_path / 'set'}")
    data = load_data(f"parquet:{tmp_path / 'set'}", split="test")
    assert (len(data), value(data.load(0))) == (1, 1)
    with pytest.raises(DataError, match="of split 'val', only of test, train"):
        load_data(f"parquet:{tmp_path / 'set'}", split="val")


def test_configurations_and_other_files_are_not_mixed(write, tmp_path):
    for configuration in ("small", "large"):
        write(f"set/{configuration}/test/0000.parquet", images=cells(1), label=[0])
    for split in (None, "test"):
        with pytest.raises(DataError, match=r"several configurations \(large, small\)"):
            load_data(f"parquet:{tmp_path / 'set'}", split=split)
    assert len(load_data(f"parquet:{tmp_path / 'set' / 'small'}", split="test")) == 1
    write("odd/test.parquet", images=cells(1), label=[0])
    write("odd/more.parquet", images=cells(1), label=[0])
    with pytest.raises(DataError, match=r"several splits \(others, test\)"):
        load_data(f"parquet:{tmp_path / 'odd'}")


@pytest.mark.parametrize("column", ["labels", "target", "targets", "class", "y", "Label"])
def test_labels_are_found_by_their_usual_names(write, column):
    data = load_data(f"parquet:{write(images=cells(1, 2), **{column: [1, 0]})}")
    assert [data.label(0), data.label(1)] == [1, 0]


def test_what_may_be_labels_is_not_guessed_about(write):
    path = write(images=cells(1), labels=[1], target=[2])
    with pytest.raises(DataError, match=r"several label columns \(labels, target\).*--label-column"):
        load_data(f"parquet:{path}")
    assert load_data(f"parquet:{path}", label_column="target").label(0) == 2
    data = load_data(f"parquet:{write(images=cells(1), digit=[1], source=['x'])}")
    assert data.notes[0] == "unlabelled: no column (digit, source) is known to hold labels; --label-column names one"


@pytest.mark.parametrize(
    ("column", "names", "expected"),
    [
        (pa.array(["b", None, "a", " "]), ("a", "b"), [1, None, 0, None]),
        (pa.array(["b", "a", "b", None]).dictionary_encode(), ("a", "b"), [1, 0, 1, None]),
        (pa.array([1.0, float("nan"), None, 0.0]), None, [1, None, None, 0]),
        (pa.array([True, False, None, True]), None, [1, 0, None, 1]),
        (pa.array(["3", "-1", None, "12"]), None, [3, None, None, 12]),
        (pa.array([None] * 4, pa.null()), None, [None] * 4),
        (pa.array([7, 2**63, 0, 0], pa.uint64()), None, None),
    ],
)
def test_labels_of_many_kinds(write, column, names, expected):
    path = write(images=cells(1, 2, 3, 4), label=column)
    if expected is None:
        with pytest.raises(DataError, match="whole numbers or names of classes; row 1 is"):
            load_data(f"parquet:{path}")
        return
    data = load_data(f"parquet:{path}")
    assert (data.class_names, [data.label(position) for position in range(4)]) == (names, expected)


@pytest.mark.parametrize("path", ["/etc/hostname", "../secret.png", "sub/../../secret.png", "link.png"])
def test_files_outside_the_data_are_not_opened(write, tmp_path, path):
    (tmp_path / "secret.png").write_bytes(solid(99))
    file = write("set/a.parquet", images=[{"bytes": None, "path": path}])
    (tmp_path / "set" / "sub").mkdir()
    (tmp_path / "set" / "link.png").symlink_to(tmp_path / "secret.png")
    for name in (f"parquet:{file}", f"parquet:{tmp_path / 'set'}"):
        data = load_data(name)
        with pytest.raises(DataError, match=r"outside the data's own folder .*set; .* --allow-outside"):
            data.load(0)
        assert len(data.fingerprint) == 64
    if path != "/etc/hostname":
        assert value(load_data(f"parquet:{file}", allow_outside=True).load(0)) == 99


@pytest.mark.parametrize("path", ["https://example.org/a.png", "pipe", "folder", "gone.png"])
def test_what_is_no_file_is_named(write, tmp_path, path):
    file = write(images=[{"bytes": None, "path": path}])
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=r"must be the path of a file|no regular file|No such file"):
        load_data(f"parquet:{file}").load(0)


def test_inside_a_snapshot_of_the_hub(write, tmp_path):
    blob = tmp_path / "repo" / "blobs" / "0a1b"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(solid(5))
    file = write("repo/snapshots/abc/a.parquet", images=[{"bytes": None, "path": "x.png"}])
    file.with_name("x.png").symlink_to("../../blobs/0a1b")
    assert value(load_data(f"parquet:{file.parent}").load(0)) == 5


def test_more_rows_than_could_be_meant_are_refused(write, monkeypatch):
    monkeypatch.setattr("smoothcert.data.parquet._MAX_ROWS", 4)
    path = write(images=cells(1, 2, 3, 4))
    assert len(load_data(f"parquet:{path}")) == 4
    path = write(images=cells(1, 2, 3, 4, 5))
    with pytest.raises(DataError, match="must have at most 4 rows; it says 5"):
        load_data(f"parquet:{path}")


def test_pipes_are_refused_and_do_not_wait(tmp_path):
    (tmp_path / "set").mkdir()
    os.mkfifo(tmp_path / "set" / "a.parquet")
    for path in (tmp_path / "set", tmp_path / "set" / "a.parquet"):
        with pytest.raises(DataError, match=r"a\.parquet cannot be read: it is no regular file"):
            load_data(f"parquet:{path}")


def test_content_and_preprocessing_are_in_the_fingerprint(write):
    path = write(images=cells(1, 2, 3), label=[0, 0, 0])
    before = load_data(f"parquet:{path}").fingerprint
    half = load_data(f"parquet:{path}", limit=2).fingerprint
    assert len({before, half, *(load_data(f"parquet:{path}", image_size=size).fingerprint for size in (2, 3))}) == 4
    write(images=cells(1, 2, 4), label=[0, 0, 0])
    assert load_data(f"parquet:{path}").fingerprint != before
    assert load_data(f"parquet:{path}", limit=2).fingerprint == half


def test_variants_of_a_split_are_not_mixed_with_it(write, tmp_path):
    for number, name in enumerate(("test", "test-lossless", "train")):
        write(f"set/{name}.parquet", images=cells(number), label=[0])
    for number, split in enumerate(("test", "test-lossless", "train")):
        data = load_data(f"parquet:{tmp_path / 'set'}", split=split)
        assert (len(data), value(data.load(0))) == (1, number)
    with pytest.raises(DataError, match=r"several splits \(test, test-lossless, train\)"):
        load_data(f"parquet:{tmp_path / 'set'}")
    for number, name in enumerate(("test-a", "test-b")):
        write(f"other/{name}.parquet", images=cells(number), label=[0])
    assert len(load_data(f"parquet:{tmp_path / 'other'}")) == len(
        load_data(f"parquet:{tmp_path / 'other'}", split="test")
    )
    assert len(load_data(f"parquet:{tmp_path / 'other'}", split="test-b")) == 1
