from __future__ import annotations

import os
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


@pytest.fixture
def colours(tmp_path):
    """Two images in each of three classes."""
    root = tmp_path / "colours"
    for number, name in enumerate(("blue", "green", "red")):
        (root / name).mkdir(parents=True)
        for image in range(2):
            (root / name / f"{image}.png").write_bytes(solid(10 * number + image))
    return root


def labels(data):
    return [data.label(position) for position in range(len(data))]


def test_links_to_class_folders_and_files_are_followed(colours, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (colours / "green").rename(tmp_path / "elsewhere" / "green")
    (colours / "green").symlink_to(tmp_path / "elsewhere" / "green")
    (colours / "red" / "2.png").symlink_to(tmp_path / "elsewhere" / "green" / "0.png")
    data = load_data(f"imagefolder:{colours}")
    assert (data.class_names, labels(data)) == (("blue", "green", "red"), [0, 0, 1, 1, 2, 2, 2])
    assert data.load(6).x.max() == data.load(2).x.max()


def test_broken_links_are_named(colours, tmp_path):
    (colours / "red" / "9.png").symlink_to("/no/such.png")
    data = load_data(f"imagefolder:{colours}")
    assert len(data) == 7
    with pytest.raises(DataError, match=r"red/9\.png cannot be read: it is a link to /no/such\.png"):
        data.load(6)
    assert len(data.fingerprint) == 64
    (colours / "yellow").symlink_to("/no/such/folder")
    with pytest.raises(DataError, match=r"yellow in .* is a link to /no/such/folder, which is not there"):
        load_data(f"imagefolder:{colours}")


@pytest.mark.parametrize(("link", "target"), [("red/up", ".."), ("red/self", "self"), ("again", ".")])
def test_links_that_lead_back_are_named(colours, link, target):
    (colours / link).symlink_to(target)
    with pytest.raises(DataError, match=f"{link.split('/')[-1]}.*(leads back|cannot be followed)"):
        load_data(f"imagefolder:{colours}")


def test_what_is_no_regular_file_is_named_and_does_not_wait(colours):
    os.mkfifo(colours / "red" / "8.png")
    (colours / "red" / "9.png").symlink_to("/dev/zero")
    data = load_data(f"imagefolder:{colours}")
    for position in (6, 7):
        with pytest.raises(DataError, match=r"red/[89]\.png cannot be read: it is no regular file"):
            data.load(position)
    assert len(data.fingerprint) == 64


def test_a_folder_that_cannot_be_listed_is_named(colours, monkeypatch):
    def scandir(folder, list_it=os.scandir):
        if str(folder).endswith("green"):
            raise PermissionError(13, "Permission denied")
        return list_it(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match="green cannot be listed: Permission denied"):
        load_data(f"imagefolder:{colours}")


def test_what_is_left_out_is_counted(colours):
    for name in ("__MACOSX/blue", ".ipynb_checkpoints", "@eaDir/x", "_drafts", "$RECYCLE.BIN", "red/__MACOSX"):
        (colours / name).mkdir(parents=True)
    for name in ("Thumbs.db", "blue/notes.txt", "blue/._0.png", "_SUCCESS"):
        (colours / name).touch()
    data = load_data(f"imagefolder:{colours}")
    assert (data.class_names, len(data)) == (("blue", "green", "red"), 6)
    assert data.notes == (
        f"8 hidden or system files or folders in {colours} left out ($RECYCLE.BIN, .ipynb_checkpoints, @eaDir, ...)",
        f"2 files of other kinds in {colours} left out (Thumbs.db, blue/notes.txt)",
    )


@pytest.mark.parametrize("parts", [("train", "val"), ("train", "test", "notes"), ("Train",), ("training", "testing")])
def test_parts_of_a_data_set_are_no_classes(colours, tmp_path, parts):
    root = tmp_path / "root"
    for part in parts:
        shutil.copytree(colours, root / part)
    with pytest.raises(DataError, match=rf"holds parts of a data set .* --split T?t?rain|{parts[0]}"):
        load_data(f"imagefolder:{root}")
    data = load_data(f"imagefolder:{root}", split=parts[0])
    assert (data.class_names, len(data)) == (("blue", "green", "red"), 6)
    with pytest.raises(DataError, match=rf"dev does not exist; .* has .*{parts[0]}"):
        load_data(f"imagefolder:{root}", split="dev")


def test_a_class_may_be_called_train(colours):
    (colours / "red").rename(colours / "train")
    assert load_data(f"imagefolder:{colours}").class_names == ("blue", "green", "train")


def test_home_folder(colours, monkeypatch):
    monkeypatch.setenv("HOME", str(colours.parent))
    assert len(load_data("imagefolder:~/colours")) == 6


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata.csv", "file_name,label\nred/1.png,rot\nblue/0.png,blau\n"),
        (
            "metadata.jsonl",
            '{"file_name": "red/1.png", "label": "rot"}\n{"file_name": "blue/0.png", "label": "blau"}\n',
        ),
    ],
)
def test_metadata_name_the_files_and_their_labels(colours, name, text):
    (colours / name).write_text(text)
    data = load_data(f"imagefolder:{colours}")
    assert (data.class_names, labels(data)) == (("blau", "rot"), [1, 0])
    assert [data.id(0), data.id(1)] == ["red/1.png", "blue/0.png"]
    assert round(float(data.load(0).x.max()) * 255) == 21
    assert data.notes == (f"4 files in {colours} left out, which its metadata do not name",)


def test_metadata_without_labels_leave_them_to_the_folders(colours):
    (colours / "metadata.csv").write_text("file_name,text\nred/1.png,a\nblue/0.png,b\n")
    assert labels(load_data(f"imagefolder:{colours}")) == [2, 0]
    assert labels(load_data(f"imagefolder:{colours}", label_column="text")) == [0, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name\nx.png\n", "must have a column 'file_name'; it has name"),
        ("file_name,a\n/etc/passwd,1\n", "row 0 of its metadata lies at '/etc/passwd', outside"),
        ("file_name,a\n../secret.png,1\n", r"outside the data's own folder .*allow_outside"),
        ("file_name,label,target\nred/1.png,1,2\n", None),
        ("file_name,y,target\nred/1.png,1,2\n", "several label columns"),
        ("file_name\n", "is empty"),
        ('"', "cannot be read|must have a column|is empty"),
    ],
)
def test_odd_metadata(colours, text, message):
    (colours / "metadata.csv").write_text(text)
    if message is None:
        assert len(load_data(f"imagefolder:{colours}")) == 1
        return
    with pytest.raises(DataError, match=message):
        load_data(f"imagefolder:{colours}")


def test_a_file_that_metadata_name_but_is_not_there(colours):
    (colours / "metadata.csv").write_text("file_name,label\nred/1.png,0\nred/7.png,1\n")
    data = load_data(f"imagefolder:{colours}")
    with pytest.raises(DataError, match=r"red/7\.png cannot be read: No such file"):
        data.load(1)


def test_content_preprocessing_and_selection_are_in_the_fingerprint(colours):
    def fingerprint(**options):
        return load_data(f"imagefolder:{colours}", **options).fingerprint

    before = fingerprint()
    others = [fingerprint(limit=3), fingerprint(stride=2), fingerprint(image_size=2), fingerprint(channels=1)]
    assert len({before, *others}) == 5
    assert fingerprint() == before
    same_size = solid(77)[:-12] + solid(77)[-12:]
    old = (colours / "red" / "1.png").read_bytes()
    replaced = bytes(reversed(old)) if len(same_size) != len(old) else same_size
    (colours / "red" / "1.png").write_bytes(replaced)  # the same size and name
    assert fingerprint() != before
    assert fingerprint(limit=3) == others[0]  # which does not hold it


def test_many_paths_by_a_few_links_are_not_followed_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr("smoothcert.data.paths._MAX_LINKS", 1000)
    for level in range(40):
        (tmp_path / "set" / str(level)).mkdir(parents=True)
        for name in "ab":
            (tmp_path / "set" / str(level) / name).symlink_to(f"../{level + 1}")
    (tmp_path / "set" / "40").mkdir()
    with pytest.raises(DataError, match="too deep, or behind too many links"):
        load_data(f"imagefolder:{tmp_path / 'set'}")
