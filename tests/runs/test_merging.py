from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from smoothcert.cli.merge import merge
from smoothcert.errors import RunError
from smoothcert.runs import Run, RunStore, joining, merge_runs, merging

from .attacks import flip_bit, random
from .synthetic import CONFIG, make_record, make_samples, same, varied


def share(folder, indices, *, config=CONFIG, records=make_record):
    with RunStore(folder, config, merge_every=5) as store:
        for index in indices:
            store.append(records(index))
    return folder


def assert_holds(run, indices):
    records = run.records()
    assert [r.index for r in records] == sorted(indices)
    assert all(same(record, make_record(record.index)) for record in records)


@pytest.mark.parametrize("size", [4, 256])
def test_shares_of_any_shape_make_one_run(tmp_path, monkeypatch, size):
    monkeypatch.setattr(merging, "MERGE_EVERY", size)
    shares = [
        share(tmp_path / "a", range(0, 40, 3)),
        share(tmp_path / "b", range(1, 40, 3)),
        share(tmp_path / "c", [*range(2, 30, 3), 0, 1]),
    ]
    run = merge_runs(shares, tmp_path / "out")
    held = sorted({*range(0, 40, 3), *range(1, 40, 3), *range(2, 30, 3)})
    assert_holds(run, held)
    assert run.missing_indices.tolist() == [32, 35, 38]
    assert [len(Run.open(one)) for one in shares] == [14, 13, 12]  # only read
    assert merge_runs(shares, tmp_path / "out").records()[5].index == 5  # again changes nothing


def test_one_of_the_sources_may_be_the_target(tmp_path):
    one, other = share(tmp_path / "a", range(8)), share(tmp_path / "b", range(5, 15))
    assert_holds(merge_runs([one, other], one), range(15))


def test_a_merge_goes_on_where_it_was_interrupted(tmp_path, monkeypatch):
    monkeypatch.setattr(merging, "MERGE_EVERY", 4)
    shares = [share(tmp_path / "a", range(0, 20, 2)), share(tmp_path / "b", range(1, 20, 2))]
    real, calls = RunStore.put_table, []

    def put_table(store, table):
        calls.append(table)
        if len(calls) == 3:
            raise KeyboardInterrupt
        real(store, table)

    with monkeypatch.context() as patch:
        patch.setattr(RunStore, "put_table", put_table)
        with pytest.raises(KeyboardInterrupt):
            merge_runs(shares, tmp_path / "out")
    assert len(Run.open(tmp_path / "out")) == 8
    assert_holds(merge_runs(shares, tmp_path / "out"), range(20))


def test_other_samples_of_one_input_are_an_error_that_names_both(tmp_path):
    def other(index):
        return replace(make_record(index), samples=make_samples(index + 100))

    shares = [share(tmp_path / "a", range(4)), share(tmp_path / "b", [3], records=other)]
    with pytest.raises(RunError, match=r"a and .*b hold different samples of input 3"):
        merge_runs(shares, tmp_path / "out")


def test_the_time_an_input_took_may_differ(tmp_path):
    def slower(index):
        return replace(make_record(index), seconds=99.0)

    shares = [share(tmp_path / "a", range(4)), share(tmp_path / "b", range(2, 6), records=slower)]
    run = merge_runs(shares, tmp_path / "out")
    assert [r.seconds for r in run.records()[2:5]] == [make_record(2).seconds, make_record(3).seconds, 99.0]


def test_samples_go_before_a_reason_why_there_are_none(tmp_path):
    def skipped(index):
        return replace(make_record(index), samples=None, error="the disk was away")

    shares = [share(tmp_path / "a", range(4), records=skipped), share(tmp_path / "b", range(1, 4))]
    records = merge_runs(shares, tmp_path / "out").records()
    assert [r.error for r in records] == ["the disk was away", None, None, None]
    assert same(records[2], make_record(2))


def test_other_runs_are_refused_by_what_differs(tmp_path):
    config = varied(CONFIG, sigma=0.5)
    shares = [share(tmp_path / "a", range(4)), share(tmp_path / "b", [], config=config)]
    with pytest.raises(RunError, match=r"shares of different runs: sigma is 0.25 there and 0.5 here"):
        merge_runs(shares, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_share_is_named(tmp_path):
    folder = share(tmp_path / "a", range(4))
    flip_bit(next((folder / "parts").iterdir()), random.Random(0))
    with pytest.raises(RunError, match=r"a/parts/part-00000000-00000003\.parquet is damaged"):
        merge_runs([folder], tmp_path / "out")


def test_nothing_to_merge_is_an_error(tmp_path):
    with pytest.raises(RunError, match="at least one"):
        merge_runs([], tmp_path / "out")


def test_memory_holds_a_few_rows_of_each_share(tmp_path, monkeypatch):
    """Shares whose inputs alternate are merged row by row, not read whole."""
    shares = [
        share(tmp_path / f"{k}", range(k, 120, 4), config=replace(CONFIG, inputs=120, indices=(0, 120, 1)))
        for k in range(4)
    ]
    seen = []
    real = joining.concat_parts

    def concat_parts(tables):
        seen.append(sum(table.num_rows for table in tables))
        return real(tables)

    monkeypatch.setattr(joining, "concat_parts", concat_parts)
    assert len(merge_runs(shares, tmp_path / "out")) == 120
    assert max(seen) <= 4 * 5
    assert sum(seen) == 120


def test_the_command_says_what_is_missing(tmp_path, capsys):
    shares = [share(tmp_path / "a", range(0, 40, 2)), share(tmp_path / "b", range(1, 20, 2))]
    merge(shares, out=tmp_path / "out")
    out = capsys.readouterr().out.splitlines()
    assert out == [f"30 inputs in {tmp_path / 'out'} from 2 runs", "missing of 40: 21 to 39 in steps of 2"]
    assert np.array_equal(Run.open(tmp_path / "out").missing_indices, np.arange(21, 40, 2))
