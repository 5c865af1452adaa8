from __future__ import annotations

import json
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
