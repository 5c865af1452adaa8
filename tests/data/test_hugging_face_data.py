"""The hub is replaced; what it returns is a real ``datasets.Dataset``."""

from __future__ import annotations

import io
import json
import os

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from image_bytes import solid
from PIL import Image

from smoothcert.data import load_data
from smoothcert.errors import DataError


@pytest.fixture
def hub(monkeypatch):
    asked = []

    def answer(columns, **features):
        def load_dataset(repository, config=None, *, split, trust_remote_code):
            assert trust_remote_code is False
            asked.append((repository, config, split))
            return datasets.Dataset.from_dict(columns, datasets.Features(features))

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
        return asked

    return answer


def images(*values):
    return [{"bytes": solid(value), "path": None} for value in values]


def test_cifar10_is_its_repository_on_the_hub(hub):
    names = datasets.ClassLabel(names=["airplane", "automobile"])
    asked = hub({"img": images(5, 6, 7), "label": [1, 0, 1]}, img=datasets.Image(), label=names)
    data = load_data("cifar10", stride=2)
    assert asked == [("uoft-cs/cifar10", None, "test")]
    assert (data.name, data.class_names) == ("cifar10", ("airplane", "automobile"))
    example = data.load(1)
    assert (example.index, example.id, example.label) == (2, "cifar10:2", 1)
    np.testing.assert_array_equal(example.x, np.full((3, 4, 4), np.float32(7) / np.float32(255)))


def test_name_configuration_split_and_columns(hub):
    columns = {"photo": images(1), "thumb": images(2), "coarse": [3], "fine": [4]}
    kinds = {"photo": datasets.Image(), "thumb": datasets.Image()}
    asked = hub(columns, **kinds, coarse=datasets.Value("int64"), fine=datasets.Value("int64"))
    data = load_data("hf:org/set:small", split="validation", image_column="thumb", label_column="fine", image_size=2)
    assert asked == [("org/set", "small", "validation")]
    example = data.load(0)
    assert (example.label, example.x.shape, data.class_names) == (4, (3, 2, 2), None)
    assert round(float(example.x[0, 0, 0]) * 255) == 2


def test_same_content_has_the_same_fingerprint_and_other_labels_another(hub):
    def fingerprint(labels, *, kind="fingerprint", **arguments):
        hub({"image": images(1, 2), "label": labels}, image=datasets.Image(), label=datasets.Value("int64"))
        return getattr(load_data("hf:set", **arguments), kind)

    assert fingerprint([0, 1]) == fingerprint([0, 1])
    assert fingerprint([0, 1]) != fingerprint([1, 0])
    assert fingerprint([0, 1]) == fingerprint([0, 1], split="train")  # of the same content
    source = fingerprint([0, 1], kind="source_fingerprint")
    assert source != fingerprint([0, 1], kind="source_fingerprint", split="train")


def test_unreadable_image_is_named(hub):
    hub({"image": [*images(1), {"bytes": b"broken", "path": None}]}, image=datasets.Image())
    data = load_data("hf:set")
    with pytest.raises(DataError, match="image hf:set:1 cannot be read"):
        data.load(1)
    assert (data.load(0).label, data.label(1)) == (None, None)


def test_minus_one_is_no_label(hub):
    names = datasets.ClassLabel(names=["a", "b"])
    hub({"image": images(1, 2), "label": [1, -1]}, image=datasets.Image(), label=names)
    data = load_data("hf:set")
    assert [data.label(0), data.label(1)] == [1, None]


def test_empty_split_is_named(hub):
    hub({"image": []}, image=datasets.Image())
    with pytest.raises(DataError, match="hf:set is empty"):
        load_data("hf:set")


def test_without_a_network_the_way_out_is_said(monkeypatch):
    def load_dataset(*_, **__):
        raise ConnectionError("Couldn't reach the hub\nwith details")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(DataError, match=r"data 'cifar10', split 'test', .*Couldn't reach the hub; .*parquet:PATH") as e:
        load_data("cifar10")
    assert "details" not in str(e.value)


def test_folder_on_disk_through_the_real_loader(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    for label in ("cat", "dog"):
        (tmp_path / "set" / "test" / label).mkdir(parents=True)
        buffer = io.BytesIO()
        Image.new("L", (3, 3), 51).save(buffer, "PNG")
        (tmp_path / "set" / "test" / label / "1.png").write_bytes(buffer.getvalue())
    data = load_data(f"hf:{tmp_path / 'set'}")
    assert data.class_names == ("cat", "dog")
    example = data.load(1)
    assert example.label == 1
    np.testing.assert_allclose(example.x, np.full((3, 3, 3), 0.2), rtol=1e-6)


@pytest.fixture
def saved(tmp_path):
    names = datasets.ClassLabel(names=["a", "b"])
    features = datasets.Features({"image": datasets.Image(), "label": names})
    rows = datasets.Dataset.from_dict({"image": images(5, 6), "label": [1, -1]}, features=features)
    rows.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": rows.select([0]), "test": rows}).save_to_disk(tmp_path / "parts")
    return tmp_path


def test_what_save_to_disk_wrote(saved, monkeypatch):
    monkeypatch.setenv("HOME", str(saved))
    for name, split in (("one", None), ("parts", None), ("parts", "test")):
        data = load_data(f"hf:~/{name}", split=split)
        assert (data.class_names, data.label(0), data.label(1)) == (("a", "b"), 1, None)
        assert round(float(data.load(1).x.max()) * 255) == 6
    assert len(load_data(f"hf:{saved / 'parts'}", split="train")) == 1
    with pytest.raises(DataError, match=r"has no split 'val'.*test, train"):
        load_data(f"hf:{saved / 'parts'}", split="val")
    with pytest.raises(DataError, match="has no split 'val'"):
        load_data(f"hf:{saved / 'one'}", split="val")
    with pytest.raises(DataError, match="open it as hf:PATH"):
        load_data(f"parquet:{saved / 'one'}")


@pytest.mark.parametrize("file", ["../secret.arrow", "/etc/passwd", "sub/data.arrow"])
def test_saved_data_name_files_of_their_own_folder_only(saved, file):
    state = json.loads((saved / "one" / "state.json").read_text())
    state["_data_files"] = [{"filename": file}]
    (saved / "one" / "state.json").write_text(json.dumps(state))
    with pytest.raises(DataError, match=r"state\.json names files outside its folder"):
        load_data(f"hf:{saved / 'one'}")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"_data_files": 3}', '{"_data_files": [{"filename": 1}]}'])
def test_a_broken_state_is_named(saved, text):
    (saved / "one" / "state.json").write_text(text)
    with pytest.raises(DataError, match=r"state\.json"):
        load_data(f"hf:{saved / 'one'}")


def test_rows_may_name_files_of_the_folder_only(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "set").mkdir()
    for place in ("set/inside.png", "outside.png"):
        (tmp_path / place).write_bytes(solid(8))
    paths = [str(tmp_path / "set" / "inside.png"), str(tmp_path / "outside.png"), "inside.png"]
    features = datasets.Features({"image": datasets.Image()})
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array([{"bytes": None, "path": path} for path in paths], kind)})
    pq.write_table(table.replace_schema_metadata(features.arrow_schema.metadata), tmp_path / "set" / "test-0.parquet")
    data = load_data(f"hf:{tmp_path / 'set'}")
    assert data.load(0).x.shape == data.load(2).x.shape == (3, 4, 4)
    with pytest.raises(DataError, match=r"hf:.*:1 lies at .*outside the data's own folder .*set"):
        data.load(1)


def test_orientation_is_applied(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[16:] = 200
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", exif=exif, quality=95)
    (tmp_path / "set").mkdir()
    features = datasets.Features({"image": datasets.Image()})
    rows = datasets.Dataset.from_dict({"image": [{"bytes": buffer.getvalue(), "path": None}]}, features=features)
    rows.to_parquet(tmp_path / "set" / "test-0.parquet")
    theirs = np.asarray(datasets.load_dataset(str(tmp_path / "set"), split="test")[0]["image"], dtype=np.float32)
    for name in (f"hf:{tmp_path / 'set'}", f"parquet:{tmp_path / 'set'}"):
        data = load_data(name)
        np.testing.assert_array_equal(data.load(0).x, theirs.transpose(2, 0, 1) / np.float32(255))
        assert data.notes[-1] == "1 of 1 image: turned upright as the EXIF orientation says"


def test_pipes_in_a_local_folder_are_named_and_do_not_wait(tmp_path):
    os.mkfifo(tmp_path / "test-0.parquet")
    with pytest.raises(DataError, match=r"test-0\.parquet in .* cannot be read: it is no regular file"):
        load_data(f"hf:{tmp_path}")


@pytest.mark.parametrize("place", ["./nowhere", "/nowhere/at/all", "~/nowhere/at/all", "a/b/c", "-x"])
def test_a_folder_that_is_not_there_is_refused_before_anybody_is_asked(place, monkeypatch):
    monkeypatch.setattr("smoothcert.data.hugging_face._datasets", lambda: pytest.fail("asked"))
    with pytest.raises(DataError, match="there is no folder"):
        load_data(f"hf:{place}")
