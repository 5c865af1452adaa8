from __future__ import annotations

import os
import threading

import pytest

from smoothcert.errors import RunError
from smoothcert.runs import Run, RunStore
from smoothcert.runs import part as part_module
from smoothcert.runs.part import encode_part
from smoothcert.runs.parts import Parts
from smoothcert.runs.records import to_table

from .synthetic import CONFIG, make_record, same


@pytest.fixture
def folder(tmp_path):
    with RunStore(tmp_path, CONFIG, merge_every=4) as store:
        for index in range(10):
            store.append(make_record(index))
    return tmp_path


def test_no_run_is_an_error_that_names_the_folder(tmp_path):
    with pytest.raises(RunError, match="nothing holds no run"):
        Run.open(tmp_path / "nothing")


def test_a_run_without_records_is_empty(tmp_path):
    RunStore(tmp_path, CONFIG).close()
    run = Run.open(tmp_path)
    assert run
    assert (len(run), run.records(), run.skipped) == (0, [], [])


def test_only_the_named_columns_are_read(folder):
    tables = list(Run.open(folder).tables(["id", "label"]))
    assert all(table.column_names == ["id", "label"] for table in tables)
    assert [id for t in tables for id in t["id"].to_pylist()] == [f"file {i}.png" for i in range(10)]


def test_parts_that_do_not_interleave_are_read_one_by_one(folder):
    assert [table.num_rows for table in Parts(folder / "parts", CONFIG).read()] == [4, 4, 2]


def test_an_unknown_input_is_an_error(folder):
    with pytest.raises(RunError, match="no input with index 77"):
        Run.open(folder).record(77)


def test_a_damaged_part_is_named(folder):
    part = next((folder / "parts").glob("part-00000004*"))
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(RunError, match=r"part-00000004-00000007\.parquet is damaged"):
        Run.open(folder).records()


def test_reading_goes_on_in_the_merged_part_when_singles_vanish(tmp_path):
    store = RunStore(tmp_path, CONFIG, merge_every=100)
    for index in range(5):
        store.append(make_record(index))
    records = Run.open(tmp_path).iter_records()
    found = [next(records), next(records)]
    store.merge()
    found += records
    store.close()
    assert [r.index for r in found] == list(range(5))
    assert all(same(r, make_record(r.index)) for r in found)


def test_a_listing_that_misses_a_merge_is_repeated(folder, monkeypatch):
    real = os.listdir
    stale = [["part-00000099.parquet"]]  # vanishes; what replaced it was not listed

    def listdir(path):
        return stale.pop() if stale else real(path)

    monkeypatch.setattr(os, "listdir", listdir)
    assert len(Parts(folder / "parts", CONFIG).paths()) == 3


def test_reading_gives_up_when_parts_never_settle(folder, monkeypatch):
    def gone(*_):
        raise FileNotFoundError

    monkeypatch.setattr(part_module, "read_file", gone)
    with pytest.raises(RunError, match="keep changing"):
        Run.open(folder).records()


def test_a_part_that_is_a_link_to_nothing_is_named(folder):
    (folder / "parts" / "part-00000007.parquet").symlink_to("nowhere.parquet")
    with pytest.raises(RunError, match=r"part-00000007.parquet cannot be read \(it is a link to nothing\)"):
        Run.open(folder).records()


def test_a_part_whose_name_ends_before_it_begins_is_named(folder):
    (folder / "parts" / "part-00000009-00000003.parquet").write_bytes(b"PAR1")
    with pytest.raises(RunError, match=r"part-00000009-00000003.parquet is not named as a part of a run is"):
        Run.open(folder).records()


def test_a_run_that_goes_on_always_reads_as_a_whole(tmp_path):
    total, seen, problems = 60, [], []
    store = RunStore(tmp_path, CONFIG, merge_every=2)  # merges at every second record
    records = [make_record(index % 5) for index in range(5)]
    done = threading.Event()

    def write():
        for index in range(total):
            template = records[index % 5]
            store.append(type(template)(index, template.id, template.label, 0.0, template.samples))
        store.close()
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        indices = [r.index for r in Run.open(tmp_path).iter_records()]
        if indices != list(range(len(indices))) or (seen and len(indices) < seen[-1]):
            problems.append(indices)
        seen.append(len(indices))
    writer.join()
    assert not problems
    assert len(set(seen)) > 3  # it did read while writing
    assert len(Run.open(tmp_path)) == total


def test_a_part_that_is_replaced_while_it_is_read_is_read_again(tmp_path, monkeypatch):
    """Set aside and sampled again under the same name, with fewer inputs in between."""
    with RunStore(tmp_path, CONFIG, merge_every=4) as store:
        for index in range(4):
            store.append(make_record(index))
    path = next((tmp_path / "parts").iterdir())
    other = encode_part(to_table([make_record(0), make_record(3)]), CONFIG)
    real, calls = part_module.read_file, []

    def read_file(path):
        calls.append(path)
        if len(calls) == 2:  # after the folder was listed
            path.write_bytes(other)
        return real(path)

    monkeypatch.setattr(part_module, "read_file", read_file)
    assert [r.index for r in Run.open(tmp_path).records()] == [0, 3]
    assert path.exists()
