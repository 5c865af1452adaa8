"""Analyses read a run in chunks: the same numbers as from all of it, and never more than a chunk in memory."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pyarrow as pa
import pytest

from smoothcert.analysis import bounds_table, stored_histograms
from smoothcert.analysis import table as table_module
from smoothcert.analysis.stored_histograms import certifiable, in_chunks, lists
from smoothcert.bounds import BOUNDS, lower_bounds, upper_bounds
from smoothcert.bounds.stack import HistogramStack
from smoothcert.certificate import Certificate
from smoothcert.errors import DataError
from synthetic_runs import beta_samples, mixed_run, synthetic_run


@pytest.fixture
def run():
    found = mixed_run(16, skipped=[("broken.png", "not an image")])
    found.rows.insert(5, found.rows.pop())  # among the others, as it would be
    return found


def certified(run):
    return [record for record in run.records() if record.samples is not None]


@pytest.mark.parametrize("chunk", [1, 7, 256])
@pytest.mark.parametrize("measure", ["score", "margin"])
def test_chunks_hold_the_histograms_of_the_records(run, measure, chunk, monkeypatch):
    monkeypatch.setattr(stored_histograms, "CHUNK", chunk)
    indices = np.array([record.index for record in certified(run)])
    found = [some[:2] for some in certifiable(run, measure, ends=run.ranges[measure], indices=indices)]
    assert {len(pilot) for pilot, _ in found[:-1]} <= {chunk}
    stages = [record.samples.measure(measure) for record in certified(run)]
    assert [h for pilot, _ in found for h in pilot.each()] == [stage.pilot for stage in stages]
    assert [h for _, sample in found for h in sample.each()] == [stage.sample for stage in stages]


@pytest.mark.parametrize("chunk", [3, 256])
def test_numbers_are_those_of_the_records(run, chunk, monkeypatch):
    monkeypatch.setattr(stored_histograms, "CHUNK", chunk)
    table = bounds_table(run)
    certificates = [Certificate.from_samples(record.samples, alpha=table.alpha) for record in certified(run)]
    assert table.inputs.predictions.tolist() == [c.prediction for c in certificates]
    assert table.inputs.abstained.tolist() == [c.abstained for c in certificates]
    assert table.class_radius().tolist() == [c.class_radius for c in certificates]
    assert [s.id for s in table.inputs.skipped] == ["broken.png"]
    for measure in ("score", "margin"):
        own = [c.measure(measure) for c in certificates]
        np.testing.assert_allclose(table.smoothed(measure), [c.mean for c in own], rtol=1e-13)
        for bound in BOUNDS:
            asked = {"measure": measure, "bound": bound, "radii": [0.0, 0.25]}
            np.testing.assert_allclose(table.lower(**asked), [c.lower([0.0, 0.25], bound) for c in own], atol=1e-12)
            np.testing.assert_allclose(table.upper(**asked), [c.upper([0.0, 0.25], bound) for c in own], atol=1e-12)
    found = table.radius(measure="score", bound="dual", threshold=0.5, at_most=4)
    assert found.tolist() == [c.score.radius(0.5) for c in certificates[:4]]


@pytest.mark.parametrize("bound", ["hoeffding", "dual"])
def test_no_more_than_a_chunk_is_ever_in_memory(run, bound, monkeypatch):
    monkeypatch.setattr(stored_histograms, "CHUNK", 4)
    seen: list[weakref.ref[HistogramStack]] = []

    def watched(function):
        def bounds(pilots, samples, **options):
            assert len(samples) <= 4
            assert not any(ref() for ref in seen)
            seen.extend(weakref.ref(stack) for stack in (pilots, samples))
            return function(pilots, samples, **options)

        return bounds

    for function in (lower_bounds, upper_bounds):
        monkeypatch.setattr(table_module, function.__name__, watched(function))
    table = bounds_table(run)
    for side in (table.lower, table.upper):
        assert side(measure="score", bound=bound, radii=[0.1]).shape == (16, 1)
    assert len(seen) == 2 * 2 * 4
    gc.collect()
    assert not any(ref() for ref in seen)
    size = sum(array.nbytes for array in table._known.values())
    assert size == 2 * 16 * 8


def test_a_run_that_goes_on_does_not_change_the_table(run):
    late = run.rows.pop(10)
    table = bounds_table(run)
    before = table.lower(measure="score", bound="cdf", radii=[0.1])
    run.rows.insert(10, late)
    assert table.lower(measure="score", bound="cdf", radii=[0.1, 0.2]).shape == (15, 2)
    assert table.smoothed("score").shape == (15,)
    np.testing.assert_array_equal(table.lower(measure="score", bound="cdf", radii=[0.1, 0.2])[:, :1], before)


def test_a_run_of_skipped_inputs_has_an_empty_table():
    table = bounds_table(synthetic_run([], skipped=[("a.png", "no bytes"), ("b.png", "no bytes")]))
    assert (len(table.inputs), len(table.inputs.skipped), table.drawn) == (0, 2, 0)
    assert table.lower(measure="score", bound="dual", radii=[0.0, 1.0]).shape == (0, 2)
    assert table.smoothed("margin").shape == (0,)


def test_mixed_grids_are_refused(run):
    record = run.rows[0]
    object.__setattr__(record, "samples", beta_samples(20, 1, levels=500))
    with pytest.raises(DataError, match="one grid"):
        bounds_table(run).lower(measure="score", bound="cdf", radii=[0.0])


@pytest.mark.parametrize("sizes", [[], [0], [1, 1, 1], [10], [3, 0, 4, 2], [4, 4]])
def test_rows_are_put_together_and_cut(sizes):
    ends = np.cumsum(sizes)
    tables = [pa.table({"x": np.arange(end - size, end)}) for size, end in zip(sizes, ends, strict=True)]
    found = list(in_chunks(tables, 4))
    total = sum(sizes)
    assert [table.num_rows for table in found] == [4] * (total // 4) + [total % 4] * (total % 4 > 0)
    assert [x for table in found for x in table["x"].to_pylist()] == list(range(total))


def test_lists_of_a_slice_are_its_own():
    column = pa.chunked_array([[[1, 2], []], [[3], [4, 5]]])
    starts, values = lists(column.slice(1, 2))
    assert (starts.tolist(), values.tolist()) == ([0, 0, 1], [3])


def test_what_is_computed_ahead_is_read_once_and_the_same(run, monkeypatch):
    passes = []
    reading = table_module.certifiable
    monkeypatch.setattr(
        table_module, "certifiable", lambda *args, **kwargs: passes.append(1) or reading(*args, **kwargs)
    )
    asked = {"measure": "score", "radii": [0.0, 0.25]}

    def answers(table):
        lowers = table.lowers(bounds=["dual", "cdf"], **asked)
        uppers = table.uppers(bounds=["cdf", "hoeffding"], **asked)
        return [*lowers, *uppers, table.smoothed("score"), table.histograms("score", bins=7)]

    ahead, plain = bounds_table(run), bounds_table(run)
    ahead.ahead(bounds=["dual", "cdf"], uppers=["cdf", "hoeffding"], bins=7, **asked)
    found = answers(ahead)
    assert len(passes) == 1
    for one, other in zip(found, answers(plain), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(passes) == 5
