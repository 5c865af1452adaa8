"""Runs of any measures, with the lead, keep them all, and their ranges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from smoothcert.errors import RunError
from smoothcert.histogram import ScoreHistogram
from smoothcert.runs import Record, Run, RunStore
from smoothcert.runs.records import to_table
from smoothcert.samples import StageHistograms

from .synthetic import CONFIG, make_record, make_samples, same


def stages(index, lower, upper):
    generator = np.random.default_rng(index)
    return StageHistograms(
        *(
            ScoreHistogram.from_samples(generator.uniform(lower, upper, size), lower=lower, upper=upper, levels=100)
            for size in (20, 200)
        )
    )


def rich(index, *, rivals=2, rest=True, names=("score", "top_2", "logit gap")):
    if index % 7 == 6:
        return make_record(index)
    samples = make_samples(index)
    ranges = {"score": (0.0, 1.0), "top_2": (0.0, 1.0), "logit gap": (-37.5, 1e3)}
    others = [k for k in range(3) if k != samples.prediction][:rivals]
    return Record(
        index,
        f"x{index}",
        None,
        0.5,
        replace(
            samples,
            measures={name: stages(index + 50 * at, *ranges[name]) for at, name in enumerate(names)},
            rivals=tuple(others),
            lead=tuple(stages(index + 900 + k, -1.0, 1.0) for k in range(rivals + rest)),
            offset=0.01 * index,
        ),
    )


def assert_equal(one, other):
    assert one.index == other.index
    a, b = one.samples, other.samples
    if a is None or b is None:
        assert a is b
        return
    assert dict(a.measures) == dict(b.measures)
    assert (a.rivals, a.lead, a.offset) == (b.rivals, b.lead, b.offset)
    assert [h.upper for h in (a.score.pilot, b.score.pilot)] == [1.0, 1.0]


def test_all_of_it_comes_back_from_disk(tmp_path):
    with RunStore(tmp_path, CONFIG, merge_every=4) as store:
        for index in range(9):
            store.append(rich(index, rivals=1 + index % 2, rest=index % 3 == 0))
    run = Run.open(tmp_path)
    for record in run.iter_records():
        assert_equal(record, rich(record.index, rivals=1 + record.index % 2, rest=record.index % 3 == 0))
    assert run.measures == ("score", "top_2", "logit gap")
    assert run.ranges["logit gap"] == (-37.5, 1e3)
    assert run.pairs == 3
    tables = list(run.tables(["index", "lead_2_sample_cells", "top_2_pilot_counts"]))
    held = [row["lead_2_sample_cells"] is not None for table in tables for row in table.to_pylist()]
    assert held == [index % 3 == 0 and index % 2 == 1 for index in range(9)]
    frame = run.to_pandas()
    assert frame.loc[3, "lead_mean"] == pytest.approx(
        min(pair.sample.mean for pair in rich(3, rivals=2, rest=True).samples.lead), abs=1e-12
    )
    assert frame.loc[3, "logit gap_mean"] == pytest.approx(rich(3).samples.measures["logit gap"].sample.mean, abs=1e-9)


def test_a_skipped_input_says_nothing_about_measures(tmp_path):
    with RunStore(tmp_path, CONFIG) as store:
        for index in (6, 0, 13, 1):
            store.append(rich(index, names=("score",)))
    run = Run.open(tmp_path)
    assert run.measures == ("score",)
    assert [r.samples is None for r in run.records()] == [False, False, True, True]


def test_a_run_without_any_histogram_is_read(tmp_path):
    with RunStore(tmp_path, CONFIG) as store:
        store.append(make_record(6))
    run = Run.open(tmp_path)
    assert run.measures == ()
    assert [table["score_sample_cells"].null_count for table in run.tables(["score_sample_cells"])] == [1]
    with pytest.raises(RunError, match="no column 'scroe'"):
        list(run.tables(["scroe"]))


def test_records_of_other_measures_do_not_mix(tmp_path):
    with pytest.raises(RunError, match="input 1 was sampled with the measures score, others of the run with score, "):
        to_table([rich(0), rich(1, names=("score",))])


@pytest.mark.parametrize("rivals", [(0, 0), (3, 1), (1, -1)])
def test_rivals_are_other_classes(tmp_path, rivals):
    record = rich(0)
    with RunStore(tmp_path, CONFIG) as store, pytest.raises(RunError, match="input 0: its rivals are not distinct"):
        store.append(replace(record, samples=replace(record.samples, rivals=rivals)))


def test_what_makes_no_sense_is_not_stored(tmp_path):
    with RunStore(tmp_path, CONFIG) as store:
        store.append(make_record(0))
    for wrong, reason in [
        (replace(make_record(1), label=3), "its label is not one of the 3 classes"),
        (replace(make_record(1), seconds=float("nan")), "its seconds cannot be"),
        (replace(make_record(1), answer="certified"), "its answer cannot be"),
        (replace(make_record(1), samples=make_samples(1, n=199)), "add up to 199, not 200"),
        (replace(make_record(1), samples=make_samples(1, levels=99)), "its levels is not the run's, 100"),
    ]:
        store = RunStore(tmp_path, CONFIG)
        with store, pytest.raises(RunError, match=f"makes no sense there: input 1: .*{reason}"):
            store.append(wrong)
    assert all(same(r, make_record(r.index)) for r in Run.open(tmp_path).records())
    assert len(Run.open(tmp_path)) == 1
