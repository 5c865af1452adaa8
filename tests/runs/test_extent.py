"""How far a run goes: what counts of several records, how shares are read as one, what is said of growth."""

from __future__ import annotations

from dataclasses import replace
from shutil import copytree

import numpy as np
import pytest

from smoothcert.errors import RunError
from smoothcert.runs import Record, Run, RunConfig, RunStore, merge_runs
from smoothcert.runs.extent import Extent, joined

from .synthetic import CONFIG, make_record, make_samples, same, varied

BEFORE = Extent(n=200, inputs=40, indices=(0, 40, 1), data_fingerprint="ab" * 32)
GROWN = replace(varied(CONFIG, n=400), grown=(BEFORE,))
SHARDS = [varied(CONFIG, shard=f"{number}/3") for number in (1, 2, 3)]


def larger(index: int, n: int = 400) -> Record:
    """The record of an input that has grown: the samples it had, and others."""
    held, more = make_samples(index), make_samples(index + 1000, n=n - 200)
    stages = {
        name: replace(held.measures[name], sample=held.measures[name].sample.merge(more.measures[name].sample))
        for name in held.measures
    }
    return replace(
        make_record(index), samples=replace(held, votes=held.votes + more.votes, measures=stages), error=None
    )


def failed(index: int, why: str = "it failed") -> Record:
    return replace(make_record(index), samples=None, error=why)


def store(folder, records, *, config=CONFIG, settle=None, merge_every=4):
    with RunStore(folder, config, settle=settle or (lambda kept, asked: asked), merge_every=merge_every) as opened:
        for record in records:
            opened.append(record)
    return folder


def sampled(folder):
    return {record.index: record for record in Run.open(folder).records()}


# --- one folder


@pytest.mark.parametrize("merge_every", [1, 2, 3, 100])
@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [5, 0, 3, 1, 4, 2], [0, 5], [2]])
def test_a_larger_record_takes_the_place_of_a_smaller_one_and_no_other(tmp_path, merge_every, order):
    store(tmp_path, map(make_record, range(6)), merge_every=merge_every)
    store(tmp_path, map(larger, order), config=GROWN, merge_every=merge_every)
    found = sampled(tmp_path)
    assert sorted(found) == list(range(6))
    for index, record in found.items():
        assert same(record, larger(index) if index in order else make_record(index))
    assert Run.open(tmp_path).sizes == {200: 6 - len(order), 400: len(order)} if len(order) < 6 else {400: 6}
    with RunStore(tmp_path, GROWN) as opened:
        for part in (tmp_path / "parts").iterdir():  # none is left whose records are all elsewhere
            assert opened._rows[part] > 0


def test_a_smaller_record_never_takes_the_place_of_a_larger_one(tmp_path):
    store(tmp_path, [larger(3)], config=GROWN)
    with RunStore(tmp_path, GROWN) as opened, pytest.raises(RunError, match="input 3 is already in"):
        opened.append(make_record(3))
    with RunStore(tmp_path, GROWN) as opened:
        opened.append(failed(3))  # nothing is known that was not
    assert same(sampled(tmp_path)[3], larger(3))


def test_samples_take_the_place_of_an_error(tmp_path):
    store(tmp_path, [failed(1), failed(2)])
    with RunStore(tmp_path, CONFIG) as opened:
        assert opened.failed == {1, 2}
        opened.append(make_record(1))
        opened.append(failed(2, "again"))
        assert (opened.failed, opened.sizes) == ({2}, {1: 200, 2: 0})
    assert same(sampled(tmp_path)[1], make_record(1))
    assert sampled(tmp_path)[2].error == "it failed"


@pytest.mark.parametrize("whole", [False, True])
def test_what_a_kill_leaves_of_both_records_reads_as_the_larger_one(tmp_path, whole):
    """The moment between a better record and the deletion of the part with the other."""
    store(tmp_path / "run", map(make_record, range(4)))
    copytree(tmp_path / "run", tmp_path / "before")
    store(tmp_path / "run", map(larger, range(4) if whole else [1, 2]), config=GROWN)
    for part in (tmp_path / "before" / "parts").iterdir():
        target = tmp_path / "run" / "parts" / part.name
        if target.exists():  # the same name for both: only one of them was ever there
            target = target.with_name("part-00000000-00000003.parquet")
            part = tmp_path / "none"
        if part.exists():
            target.write_bytes(part.read_bytes())
    found = sampled(tmp_path / "run")
    for index in range(4):
        assert same(found[index], larger(index) if whole or index in (1, 2) else make_record(index))
    store(tmp_path / "run", [], config=GROWN)
    assert len(sampled(tmp_path / "run")) == 4


def test_two_records_with_equally_many_samples_must_be_the_same(tmp_path):
    store(tmp_path / "one", [larger(3)], config=GROWN)
    other = replace(larger(3), samples=replace(larger(3).samples, prediction=2))
    store(tmp_path / "two", [other, larger(4)], config=GROWN)
    part = next((tmp_path / "two" / "parts").iterdir())
    (tmp_path / "one" / "parts" / part.name).write_bytes(part.read_bytes())
    with pytest.raises(RunError, match="hold different records of input 3"):
        Run.open(tmp_path / "one").records()


def test_numbers_of_samples_that_the_run_never_had_are_refused(tmp_path):
    with RunStore(tmp_path, GROWN) as opened, pytest.raises(RunError, match=r"add up to 300, not 400"):
        opened.append(larger(1, n=300))


def test_a_run_opened_before_it_grew_says_so(tmp_path):
    store(tmp_path, map(make_record, range(3)))
    run = Run.open(tmp_path)
    store(tmp_path, [larger(1)], config=GROWN)
    for read in (run.records, lambda: run.record(1), run.per_input, run.state):
        with pytest.raises(RunError, match="has grown since it was opened: open it again"):
            read()


def test_a_run_opened_before_it_grew_does_not_count_by_what_it_was(tmp_path):
    store(tmp_path, map(make_record, range(3)))
    unread, read = Run.open(tmp_path), Run.open(tmp_path)
    assert (len(read), read.sizes) == (3, {200: 3})
    store(tmp_path, [larger(1)], config=GROWN)
    for run in (unread, read):
        for ask in (lambda run: len(run), lambda run: run.sizes, lambda run: run.missing, lambda run: run.state()):
            with pytest.raises(RunError, match="has grown since it was opened: open it again"):
                ask(run)
    assert Run.open(tmp_path).sizes == {200: 2, 400: 1}


def test_a_run_half_way_through_growing_says_so(tmp_path):
    store(tmp_path, [*map(make_record, range(3)), failed(4)])
    store(tmp_path, [larger(1)], config=GROWN)
    run = Run.open(tmp_path)
    assert (run.short, len(run), run.sizes) == (2, 4, {200: 2, 400: 1})
    assert "still growing: 1 of 3 inputs hold 400 samples, 2 hold 200 samples; each certificate" in run.notes[-1]
    state = run.state()
    assert not state.whole
    assert state.short == {0: 200, 2: 200}
    rows = [row for row in state.rows() if row[1] != "missing"]
    assert [(index, name) for index, name, _ in rows] == [(0, "short"), (1, "ok"), (2, "short"), (4, "skipped")]
    assert [record.samples.n for record in run.records() if record.samples] == [200, 400, 200]
    assert run.per_input()["n"].to_pylist() == [200, 400, 200, 0]


# --- several folders


def test_shards_are_read_as_one_run(tmp_path):
    folders = [
        store(tmp_path / f"{k}", map(make_record, range(k, 40, 3)), config=config) for k, config in enumerate(SHARDS)
    ]
    whole = Run.open(folders)
    assert whole.config == CONFIG
    assert (len(whole), whole.missing, whole.label) == (40, 0, f"{folders[0]} and 2 more")
    assert whole.indices.tolist() == list(range(40))
    assert all(same(record, make_record(record.index)) for record in whole.iter_records())
    assert same(whole.record(17), make_record(17))
    assert whole.find("file 9.png") == 9
    assert [record.index for record in whole.skipped] == [6, 13, 20, 27, 34]
    assert whole.state().whole
    shard = Run.open(folders[1])
    assert (len(shard), shard.expected, shard.missing, shard.state().whole) == (13, 13, 0, True)
    two = Run.open([folders[2], folders[0]])
    assert two.missing_indices.tolist() == list(range(1, 40, 3))
    assert two.state().missing.tolist() == list(range(1, 40, 3))
    merged = merge_runs(folders, tmp_path / "out")
    assert merged.config == CONFIG
    assert [same(one, other) for one, other in zip(merged.records(), whole.records(), strict=True)] == [True] * 40


def test_a_shard_misses_only_what_is_its_own(tmp_path):
    run = Run.open(store(tmp_path, map(make_record, [1, 4]), config=SHARDS[1]))
    assert run.missing_indices.tolist() == list(range(7, 40, 3))
    assert (run.expected, run.missing) == (13, 11)
    assert not run.state().whole


def test_merged_into_one_of_the_shards_the_run_is_the_whole(tmp_path):
    folders = [store(tmp_path / f"{k}", map(make_record, range(k, 9, 3)), config=SHARDS[k]) for k in range(3)]
    merged = merge_runs(folders, folders[0])
    assert merged.config.shard is None
    assert merged.indices.tolist() == list(range(9))
    again = merge_runs(folders[1:2], tmp_path / "again")
    assert (again.config.shard, again.expected) == (SHARDS[1].shard, 13)  # copies of one shard are that shard


@pytest.mark.parametrize("swapped", [False, True])
def test_of_a_grown_copy_and_the_original_the_larger_records_count(tmp_path, swapped):
    store(tmp_path / "old", map(make_record, range(5)))
    copytree(tmp_path / "old", tmp_path / "new")
    store(tmp_path / "new", map(larger, [0, 3]), config=GROWN)
    folders = [tmp_path / "old", tmp_path / "new"][:: -1 if swapped else 1]
    for opened in (
        Run.open,
        lambda shares: merge_runs(shares, tmp_path / "out"),
        lambda shares: merge_runs(shares, shares[0]),
    ):
        run = opened(folders)
        assert (run.config.n, run.config.extents) == (400, (BEFORE, GROWN.extent))
        assert run.config.fingerprint == CONFIG.fingerprint
        records = {record.index: record for record in run.records()}
        assert all(same(records[index], larger(index) if index in (0, 3) else make_record(index)) for index in range(5))
        assert same(run.record(3), larger(3))
        assert run.state().short == {1: 200, 2: 200, 4: 200}


def test_other_samples_in_two_folders_name_both(tmp_path):
    store(tmp_path / "a", [make_record(3), make_record(1)])
    store(tmp_path / "b", [replace(make_record(3), samples=make_samples(33))])
    with pytest.raises(RunError, match=r"a and .*b hold different samples of input 3"):
        Run.open([tmp_path / "a", tmp_path / "b"])
    store(tmp_path / "c", [replace(make_record(3), seconds=99.0)])
    run = Run.open([tmp_path / "a", tmp_path / "c"])  # only the time differs
    assert same(run.record(3), make_record(3))
    store(tmp_path / "c", [replace(make_record(1), samples=make_samples(11))])
    with pytest.raises(RunError, match=r"a and .*c hold different samples of input 1"):
        run.records()  # also what comes later is compared


def test_a_smaller_record_may_not_hide_that_folders_contradict(tmp_path):
    store(tmp_path / "a", [larger(3)], config=GROWN)
    store(tmp_path / "b", [replace(larger(3), samples=replace(larger(3).samples, prediction=1))], config=GROWN)
    store(tmp_path / "c", [make_record(3)])
    with pytest.raises(RunError, match=r"a and .*b hold different samples of input 3"):
        Run.open([tmp_path / "c", tmp_path / "a", tmp_path / "b"])


def test_columns_of_several_folders_are_those_of_one(tmp_path):
    store(tmp_path / "a", map(make_record, range(0, 9, 2)))
    store(tmp_path / "b", map(make_record, range(1, 9)))
    run = Run.open([tmp_path / "a", tmp_path / "b"])
    for columns in (["label"], ["index", "votes_counts"], ["id", "error"], []):
        tables = list(run.tables(columns))
        assert {tuple(table.column_names) for table in tables} == {tuple(columns)}
    assert np.concatenate([table["index"] for table in run.tables(["index"])]).tolist() == list(range(9))


def test_folders_of_different_runs_are_refused(tmp_path):
    store(tmp_path / "a", [])
    store(tmp_path / "b", [], config=varied(CONFIG, seed=8))
    with pytest.raises(RunError, match=r"a and .*b are shares of different runs: seed is 7 there and 8 here"):
        Run.open([tmp_path / "a", tmp_path / "b"])
    fresh = varied(CONFIG, n=400)  # the same as GROWN is now, but never smaller: other checksums
    with pytest.raises(RunError, match="they began as 200 samples per input of 40 inputs and as 400 samples"):
        joined([GROWN, fresh], names=["a", "b"])
    with pytest.raises(RunError, match="at least one"):
        Run.open([])


def test_runs_that_grew_to_other_inputs_are_no_shares(tmp_path):
    def to(inputs, fingerprint):
        return replace(
            CONFIG, inputs=inputs, indices=(0, inputs, 1), data_fingerprint=fingerprint * 32, grown=(BEFORE,)
        )

    with pytest.raises(RunError, match="b and a have grown to different inputs, of 60 and 50"):
        joined([to(50, "cd"), to(60, "ef")], names=["a", "b"])
    assert joined([to(50, "cd"), CONFIG], names=["a", "b"]) == to(50, "cd")
    one = joined([to(50, "cd"), GROWN], names=["a", "b"])  # more inputs there, more samples here
    assert (one.n, one.inputs, one.sizes) == (400, 50, [200, 400])


# --- configurations


def test_the_fingerprint_is_that_of_the_run_as_first_made():
    assert GROWN.fingerprint == CONFIG.fingerprint != varied(CONFIG, n=400).fingerprint
    assert RunConfig.from_json(GROWN.to_json()) == GROWN
    assert GROWN.sizes == [200, 400]


@pytest.mark.parametrize(
    ("alpha", "sizes", "named"), [(0.001, 2, "0.0005"), (0.001, 7, "0.0001428"), (0.05, 3, "0.01666")]
)
def test_alpha_of_a_look_is_rounded_down(alpha, sizes, named):
    earlier = tuple(replace(BEFORE, n=200 + size) for size in range(sizes - 1))
    (note,) = replace(varied(CONFIG, n=400, alpha=alpha), grown=earlier).growth_notes
    assert note.endswith(f"divided by the {sizes} looks, --alpha {named}")
    assert float(named) * sizes <= alpha


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "1/0", "a/b", "1/3/5", "-1/3", ""])
def test_shards_that_are_none(text):
    with pytest.raises(Exception, match="shard must be written K/N"):
        varied(CONFIG, shard=text)


@pytest.mark.parametrize("of", [1, 2, 7, 16, 40, 41])
def test_shards_hold_every_input_once(of):
    shares = [varied(CONFIG, shard=f"{number}/{of}") for number in range(1, of + 1)]
    assert sorted(index for share in shares for index in share.own) == list(range(40))
    assert sum(share.expected for share in shares) == 40
    assert {share.fingerprint for share in shares} == {CONFIG.fingerprint}
