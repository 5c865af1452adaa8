from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from smoothcert.errors import RunError
from smoothcert.runs import Record, Run, RunStore
from smoothcert.runs import store as store_module
from smoothcert.runs.store import check_folder

from .synthetic import CONFIG, assert_same_run, make_record, same


def fill(path, indices, *, merge_every=4):
    with RunStore(path, CONFIG, merge_every=merge_every) as store:
        for index in indices:
            store.append(make_record(index))


def parts(path):
    return sorted(p.name for p in (path / "parts").iterdir())


def assert_holds(path, indices):
    records = Run.open(path).records()
    assert [r.index for r in records] == sorted(indices)
    assert all(same(record, make_record(record.index)) for record in records)


def test_what_is_written_is_read(tmp_path):
    fill(tmp_path / "run", range(10))
    assert_holds(tmp_path / "run", range(10))
    run = Run.open(tmp_path / "run")
    assert len(run) == 10
    assert run.config == CONFIG
    assert [r.index for r in run.skipped] == [6]
    assert run.skipped[0].error == "file 6.png cannot be read"
    assert same(run.record(3), make_record(3))


def test_parts_are_merged_and_singles_deleted(tmp_path):
    fill(tmp_path, range(10))
    assert parts(tmp_path) == [
        "part-00000000-00000003.parquet",
        "part-00000004-00000007.parquet",
        "part-00000008-00000009.parquet",
    ]


def test_records_are_durable_before_anything_is_closed(tmp_path):
    store = RunStore(tmp_path, CONFIG, merge_every=100)
    for index in range(3):
        store.append(make_record(index))
        assert_holds(tmp_path, range(index + 1))
    store.close()


def test_inputs_in_any_order_are_read_in_order(tmp_path):
    order = [9, 0, 5, 1, 8, 2, 7, 3, 6, 4]
    fill(tmp_path, order, merge_every=3)
    assert_holds(tmp_path, range(10))


def test_a_run_is_continued_and_keeps_its_first_config(tmp_path):
    fill(tmp_path, range(5))
    with RunStore(tmp_path, replace(CONFIG, created="later", notes=("odd",))) as store:
        assert store.present == set(range(5))
        assert store.config == CONFIG
        store.append(make_record(5))
    assert_holds(tmp_path, range(6))


def test_an_input_is_stored_once(tmp_path):
    fill(tmp_path, range(5))
    with RunStore(tmp_path, CONFIG) as store, pytest.raises(RunError, match="input 3 is already"):
        store.append(make_record(3))


def test_another_run_is_refused_by_naming_what_differs(tmp_path):
    fill(tmp_path, range(3))
    message = "holds another run: sigma is 0.25 there and 0.5 here, seed is 7 there and 3 here"
    with pytest.raises(RunError, match=message):
        RunStore(tmp_path, replace(CONFIG, spec=CONFIG.spec.vary(sigma=0.5, seed=3)))
    assert_holds(tmp_path, range(3))
    fill(tmp_path, [3])  # and the refusal left no lock


def test_a_folder_of_other_things_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(RunError, match=r"thesis\.tex is there, config\.json is not"):
        RunStore(tmp_path, CONFIG)
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_parts_without_a_config_are_refused(tmp_path):
    fill(tmp_path, range(3))
    (tmp_path / "config.json").unlink()
    with pytest.raises(RunError, match="holds no run"):
        RunStore(tmp_path, CONFIG)


def test_a_file_is_refused(tmp_path):
    (tmp_path / "run").touch()
    with pytest.raises(RunError, match="is a file"):
        RunStore(tmp_path / "run", CONFIG)


def test_a_config_of_something_else_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(RunError, match="not the configuration of a run"):
        RunStore(tmp_path, CONFIG)


def test_only_one_writer_at_a_time(tmp_path):
    with RunStore(tmp_path, CONFIG), pytest.raises(RunError, match="another process is writing"):
        RunStore(tmp_path, CONFIG)
    RunStore(tmp_path, CONFIG).close()


def test_what_a_kill_leaves_half_written_is_ignored_and_removed(tmp_path):
    fill(tmp_path, range(3))
    (tmp_path / "parts" / ".part-00000003.parquet.smoothcert-99-0123abcd.tmp").write_bytes(b"PAR1 half")
    (tmp_path / ".config.json.smoothcert-99-0123abcd.tmp").write_bytes(b"{")
    assert_holds(tmp_path, range(3))
    fill(tmp_path, [3])
    assert_holds(tmp_path, range(4))
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_kill_before_the_config_is_written_leaves_a_usable_folder(tmp_path):
    (tmp_path / ".lock").touch()
    (tmp_path / ".config.json.smoothcert-99-0123abcd.tmp").write_bytes(b"{")
    fill(tmp_path, range(2))
    assert_holds(tmp_path, range(2))


@pytest.mark.parametrize("deleted", [0, 1, 3])
def test_a_merge_that_was_cut_off_loses_and_repeats_nothing(tmp_path, monkeypatch, deleted):
    store = RunStore(tmp_path, CONFIG, merge_every=100)
    for index in range(4):
        store.append(make_record(index))
    unlinked = []

    def unlink(path, missing_ok=False):
        if len(unlinked) == deleted:
            raise KeyboardInterrupt
        unlinked.append(path)
        os.unlink(path)

    with monkeypatch.context() as patch:
        patch.setattr(type(tmp_path), "unlink", unlink)
        with pytest.raises(KeyboardInterrupt):
            store.merge()
    store._lock.release()
    assert len(parts(tmp_path)) == 1 + 4 - deleted
    assert_holds(tmp_path, range(4))
    fill(tmp_path, [4])
    assert_holds(tmp_path, range(5))
    assert parts(tmp_path) == ["part-00000000-00000003.parquet", "part-00000004.parquet"]


@pytest.mark.parametrize("failing", ["write", "fsync"])
def test_a_full_disk_loses_nothing_and_says_so(tmp_path, monkeypatch, failing):
    store = RunStore(tmp_path, CONFIG, merge_every=100)
    store.append(make_record(0))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        if failing == "fsync":
            patch.setattr(os, "fsync", full)
        else:
            patch.setattr(os, "replace", full)
        with pytest.raises(RunError, match=r"disk .* is full: everything stored so far is intact"):
            store.append(make_record(1))
        assert store.present == {0}
    assert not list(tmp_path.rglob("*.tmp"))
    store.close()
    assert_holds(tmp_path, [0])
    fill(tmp_path, [1, 2])
    assert_holds(tmp_path, range(3))


def test_a_full_disk_during_a_merge_loses_nothing(tmp_path, monkeypatch):
    store = RunStore(tmp_path, CONFIG, merge_every=100)
    for index in range(3):
        store.append(make_record(index))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store_module, "write_atomically", full)
        with pytest.raises(RunError, match="is full"):
            store.close()
    assert_holds(tmp_path, range(3))
    fill(tmp_path, [3])
    assert_holds(tmp_path, range(4))


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(type(tmp_path), "mkdir", denied)
    with pytest.raises(RunError, match=r"cannot write to .*run: Permission denied"):
        RunStore(tmp_path / "run", CONFIG)


def test_ids_that_are_not_utf8_are_stored_as_people_see_them(tmp_path):
    name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    with RunStore(tmp_path, CONFIG) as store:
        store.append(replace(make_record(0), id=name))
        store.append(replace(make_record(6), error=f"{name} cannot be read"))
    found = Run.open(tmp_path).records()
    assert (found[0].id, found[1].error) == (r"caf\udce9.png", r"caf\udce9.png cannot be read")


def test_names_in_a_config_need_not_be_utf8(tmp_path):
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    config = replace(CONFIG, data=f"imagefolder:{name}", class_names=None)
    RunStore(tmp_path, config).close()
    assert Run.open(tmp_path).config == config
    RunStore(tmp_path, config).close()  # and the run goes on


def odd_names():
    return [
        "run-14:30",
        "s3:",
        "ünïcode",
        b"\xff\xfe".decode("utf-8", "surrogateescape"),
        "a b\nc",
        "file:%41",
        "x" * 255,
    ]


@pytest.mark.parametrize("name", odd_names())
@pytest.mark.parametrize("relative", [True, False])
def test_any_name_of_a_folder_works(tmp_path, monkeypatch, name, relative):
    monkeypatch.chdir(tmp_path)
    path = Path(name) if relative else tmp_path / name
    check_folder(path)
    fill(path, range(6))
    assert_holds(path, range(6))
    assert os.listdir(tmp_path) == [name]


def test_a_name_the_file_system_refuses_is_a_sentence_before_anything_is_sampled(tmp_path):
    with pytest.raises(RunError, match=r"cannot write to .*File name too long"):
        check_folder(tmp_path / ("x" * 300))


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
@pytest.mark.parametrize("name", ["config.json", ".lock", "parts"])
def test_what_is_no_file_in_a_run_is_an_error_and_not_waited_for(tmp_path, make, name):
    if (name, make) in (("parts", Path.mkdir), (".lock", os.mkfifo)):
        return  # the one is as it should be, the other can be locked
    make(tmp_path / name)
    with pytest.raises(RunError, match=name.replace(".", r"\.") + r"|cannot lock|cannot write"):
        RunStore(tmp_path, CONFIG)
    with pytest.raises(RunError):
        Run.open(tmp_path)


def test_a_users_own_hidden_files_stay(tmp_path):
    fill(tmp_path, range(2))
    mine = [tmp_path / ".notes.tmp", tmp_path / "parts" / ".x.123.tmp", tmp_path / "README"]
    for path in mine:
        path.write_text("mine")
    fill(tmp_path, [2])
    assert all(path.read_text() == "mine" for path in mine)
    assert_holds(tmp_path, range(3))


def test_large_records_are_merged_before_they_are_many(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "MERGE_BYTES", 20_000)
    with RunStore(tmp_path, CONFIG, merge_every=1_000) as store:
        for index in range(10):
            store.append(make_record(index))
        assert any(path.name.count("-") == 2 for path in (tmp_path / "parts").iterdir())
    assert_holds(tmp_path, range(10))


def test_records_stored_together_are_those_stored_one_by_one(tmp_path):
    with RunStore(tmp_path / "one", CONFIG, merge_every=10) as store:
        for index in range(40):
            store.append(make_record(index))
    with RunStore(tmp_path / "many", CONFIG, merge_every=10) as store:
        for start in range(4):
            store.append(*(make_record(index) for index in reversed(range(start, 40, 4))))
        store.append()
    assert_same_run(tmp_path / "one", tmp_path / "many")
    with RunStore(tmp_path / "many", CONFIG) as store, pytest.raises(RunError, match="input 3 is already in"):
        store.append(make_record(5), make_record(3))


def test_small_parts_with_records_that_no_longer_count_are_merged_without_them(tmp_path):
    errors = [Record(index, f"file {index}.png", index % 3, 0.0, None, "away") for index in range(6)]
    with RunStore(tmp_path, CONFIG) as store:
        store.append(*errors)
        store.append(make_record(2), make_record(4))
        store.append(*errors)  # which changes nothing
        assert len(list((tmp_path / "parts").iterdir())) == 2
    run = Run.open(tmp_path)
    assert [record.index for record in run.records()] == list(range(6))
    assert [record.index for record in run.skipped] == [0, 1, 3, 5]
    with RunStore(tmp_path, CONFIG) as store:
        assert store.failed == {0, 1, 3, 5}
        store.append(make_record(0), make_record(5))
    assert len(list((tmp_path / "parts").iterdir())) == 1
    assert [record.index for record in Run.open(tmp_path).skipped] == [1, 3]
