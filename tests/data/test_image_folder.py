from __future__ import annotations

import shutil

import numpy as np
import pytest
from image_bytes import solid

from smoothcert.data import load_data
from smoothcert.errors import DataError, InvalidArgumentError


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "images"
    for name, number in (("dog/b.PNG", 3), ("cat/2.png", 2), ("cat/1.jpeg.png", 1), ("dog/deep/er.png", 4)):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(solid(number, size=(6, 5)))
    (root / "bird").mkdir()
    (root / ".cache").mkdir()
    (root / ".cache" / "x.png").write_bytes(solid(9))
    (root / "cat" / ".hidden.png").write_bytes(solid(9))
    (root / "cat" / "notes.txt").write_text("no image")
    return root


def test_class_folders_sorted_are_the_labels(folder):
    data = load_data(f"imagefolder:{folder}")
    assert data.class_names == ("bird", "cat", "dog")  # the empty one counts
    examples = [data.load(position) for position in range(len(data))]
    assert [(e.id, e.label) for e in examples] == [
        ("cat/1.jpeg.png", 1),
        ("cat/2.png", 1),
        ("dog/b.PNG", 2),
        ("dog/deep/er.png", 2),
    ]
    assert [round(float(e.x[0, 0, 0]) * 255) for e in examples] == [1, 2, 3, 4]
    assert {e.x.shape for e in examples} == {(3, 5, 6)}


def test_flat_folder_has_no_labels(folder):
    data = load_data(f"imagefolder:{folder / 'cat'}", image_size=4)
    assert (data.class_names, data.num_classes, len(data)) == (None, None, 2)
    example = data.load(1)
    assert (example.id, example.label, example.x.shape, example.x.dtype) == ("2.png", None, (3, 4, 4), np.float32)


def test_split_is_a_sub_folder(folder):
    data = load_data(f"imagefolder:{folder.parent}", split="images")
    assert data.id(0) == "cat/1.jpeg.png"
    with pytest.raises(DataError, match="test does not exist"):
        load_data(f"imagefolder:{folder}", split="test")


def test_unreadable_image_is_named_and_spares_the_others(folder):
    (folder / "cat" / "2.png").write_bytes(b"broken")
    data = load_data(f"imagefolder:{folder}")
    with pytest.raises(DataError, match=r"image .*cat/2\.png cannot be read"):
        data.load(1)
    assert (data.id(1), data.label(1), data.load(2).label) == ("cat/2.png", 1, 2)


def test_images_beside_class_folders_are_not_guessed_about(folder):
    (folder / "stray.png").write_bytes(solid(1))
    with pytest.raises(DataError, match=r"files or class folders, not both; stray\.png lies beside bird/"):
        load_data(f"imagefolder:{folder}")


def test_nothing_to_read(folder, tmp_path):
    with pytest.raises(DataError, match="gone does not exist"):
        load_data(f"imagefolder:{tmp_path / 'gone'}")
    with pytest.raises(DataError, match="bird is empty"):
        load_data(f"imagefolder:{folder / 'bird'}")
    with pytest.raises(InvalidArgumentError, match="image_column"):
        load_data(f"imagefolder:{folder}", image_column="image")


def test_fingerprint_follows_content_not_place(folder, tmp_path):
    before = load_data(f"imagefolder:{folder}").fingerprint
    shutil.copytree(folder, tmp_path / "copy")
    assert load_data(f"imagefolder:{tmp_path / 'copy'}").fingerprint == before
    (tmp_path / "copy" / "bird" / "new.png").write_bytes(solid(5))
    assert load_data(f"imagefolder:{tmp_path / 'copy'}").fingerprint != before
