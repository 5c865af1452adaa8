"""The histogram: which side it rounds to, and that nothing is lost on the way through storage and merging."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smoothcert.errors import InvalidArgumentError
from smoothcert.histogram import DEFAULT_LEVELS, ScoreHistogram, grid_points

QUICK = settings(max_examples=150, deadline=None, derandomize=True, database=None)
RANGES = st.sampled_from([(0.0, 1.0), (-1.0, 1.0), (-0.1, 0.3), (1e-9, 2e-9), (-1e6, 1e6), (1.0, 1.0 + 1e-12)])
LEVELS = st.sampled_from([1, 2, 3, 7, 10, 49, 1000, 10_000])


@st.composite
def samples_on_a_grid(draw: st.DrawFn) -> tuple[list[float], float, float, int]:
    """Samples on the grid points, one float beside them, and anywhere."""
    (lower, upper), levels = draw(RANGES), draw(LEVELS)
    points = grid_points(lower, upper, levels)
    values = []
    for _ in range(draw(st.integers(1, 8))):
        point = float(points[draw(st.integers(0, levels))])
        kind = draw(st.sampled_from(["on", "below", "above", "anywhere"]))
        x = {
            "on": point,
            "below": math.nextafter(point, -math.inf),
            "above": math.nextafter(point, math.inf),
            "anywhere": draw(st.floats(lower, upper)),
        }[kind]
        values.append(min(max(x, lower), upper))
    return values, lower, upper, levels


@QUICK
@given(samples_on_a_grid())
def test_every_sample_is_in_the_cell_that_starts_at_or_below_it(case: tuple[list[float], float, float, int]) -> None:
    values, lower, upper, levels = case
    points = grid_points(lower, upper, levels).tolist()
    for x in values:
        counts = ScoreHistogram.from_samples([x], lower=lower, upper=upper, levels=levels).counts
        assert counts.sum() == 1
        j = int(np.flatnonzero(counts)[0])
        assert points[j] <= x
        assert (j == levels and x == upper) or x < points[j + 1]


@QUICK
@given(samples_on_a_grid())
def test_counts_at_or_above_a_grid_point_are_exact(case: tuple[list[float], float, float, int]) -> None:
    values, lower, upper, levels = case
    h = ScoreHistogram.from_samples(values, lower=lower, upper=upper, levels=levels)
    direct = [sum(x >= t for x in values) for t in h.points.tolist()]
    assert h.survival_counts.tolist() == direct
    assert h.n == len(values)


@QUICK
@given(samples_on_a_grid())
def test_rounding_goes_down_and_rounded_up_goes_up(case: tuple[list[float], float, float, int]) -> None:
    values, lower, upper, levels = case
    h = ScoreHistogram.from_samples(values, lower=lower, upper=upper, levels=levels)
    up = h.rounded_up()
    slack = 1e-12 * max(abs(lower), abs(upper))
    step = (upper - lower) / levels
    mean = math.fsum(values) / len(values)
    assert mean - step - slack <= h.mean <= mean + slack
    assert mean - slack <= up.mean <= mean + step + slack
    assert up.n == h.n
    assert h.mirrored().mean == pytest.approx(lower + upper - up.mean, abs=slack + 1e-12 * (upper - lower))
    assert h.mirrored().n == h.n


@QUICK
@given(samples_on_a_grid(), st.integers(0, 8))
def test_merging_is_counting_together_in_any_order(case: tuple[list[float], float, float, int], cut: int) -> None:
    values, lower, upper, levels = case

    def count(some: list[float]) -> ScoreHistogram:
        return ScoreHistogram.from_samples(some, lower=lower, upper=upper, levels=levels)

    whole, left, right = count(values), count(values[:cut]), count(values[cut:])
    assert left.merge(right) == whole == right.merge(left)
    assert hash(left.merge(right)) == hash(whole)
    assert whole.merge() == whole
    assert ScoreHistogram.empty(lower=lower, upper=upper, levels=levels).merge(left, right) == whole


@QUICK
@given(samples_on_a_grid())
def test_sparse_form_loses_nothing(case: tuple[list[float], float, float, int]) -> None:
    values, lower, upper, levels = case
    h = ScoreHistogram.from_samples(values, lower=lower, upper=upper, levels=levels)
    cells, counts = h.to_sparse()
    assert np.all(counts > 0)
    assert np.all(np.diff(cells) > 0)
    assert ScoreHistogram.from_sparse(cells, counts, lower=lower, upper=upper, levels=levels) == h


def test_the_empty_histogram_goes_through_storage() -> None:
    empty = ScoreHistogram.empty(lower=-1.0, upper=1.0)
    assert (empty.n, empty.levels) == (0, DEFAULT_LEVELS)
    assert ScoreHistogram.from_sparse(*empty.to_sparse(), lower=-1.0, upper=1.0, levels=DEFAULT_LEVELS) == empty
    with pytest.raises(InvalidArgumentError, match="mean"):
        _ = empty.mean


def test_samples_of_any_shape_and_type_are_counted() -> None:
    h = ScoreHistogram.from_samples(np.full((2, 3), 0.3, dtype=np.float32), lower=0.0, upper=1.0, levels=10)
    assert h.counts[3] == 6  # the float32 nearest to 0.3 is above it
    assert ScoreHistogram.from_samples([], lower=0.0, upper=1.0, levels=10).n == 0


def test_counts_are_a_copy_that_nobody_can_change() -> None:
    counts = np.array([1, 2, 3])
    h = ScoreHistogram(counts, 0.0, 1.0)
    counts[0] = 9
    assert h.counts.tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="read-only"):
        h.counts[0] = 9
    with pytest.raises(ValueError, match="read-only"):
        h.points[0] = 9.0


def test_counts_of_billions_do_not_overflow() -> None:
    h = ScoreHistogram(np.array([10**12, 0, 3 * 10**12], dtype=np.int64), 0.0, 1.0)
    assert h.n == 4 * 10**12
    assert h.mean == pytest.approx(0.75)
    assert ScoreHistogram(np.array([200, 200], dtype=np.uint8), 0.0, 1.0).n == 400


def test_equality_is_of_range_grid_and_counts() -> None:
    h = ScoreHistogram(np.array([1, 0]), 0.0, 1.0)
    assert h == ScoreHistogram(np.array([1, 0]), 0.0, 1.0)
    assert h != ScoreHistogram(np.array([0, 1]), 0.0, 1.0)
    assert h != ScoreHistogram(np.array([1, 0]), -1.0, 1.0)
    assert h != ScoreHistogram(np.array([1, 0, 0]), 0.0, 1.0)
    assert h != "histogram"
    assert "n=1" in repr(h)


@pytest.mark.parametrize(
    ("lower", "upper"), [(1.0, 0.0), (0.0, 0.0), (float("nan"), 1.0), (0.0, float("inf")), (float("-inf"), 1.0)]
)
def test_a_range_must_be_one(lower: float, upper: float) -> None:
    with pytest.raises(InvalidArgumentError, match="lower"):
        ScoreHistogram(np.array([1, 0]), lower, upper)
    with pytest.raises(InvalidArgumentError, match="lower"):
        ScoreHistogram.from_samples([0.5], lower=lower, upper=upper)


@pytest.mark.parametrize(
    "counts",
    [
        np.array([0.5, 1.0]),
        np.array([1.0, 2.0]),
        np.array([True, False]),
        np.array([-1, 2]),
        np.array([1]),
        np.array([[1, 2]]),
        np.array([], dtype=np.int64),
    ],
)
def test_counts_must_be_non_negative_integers_in_a_row(counts: np.ndarray) -> None:
    with pytest.raises(InvalidArgumentError, match="counts"):
        ScoreHistogram(counts, 0.0, 1.0)


@pytest.mark.parametrize("bad", [float("nan"), -1e-12, 1.0 + 1e-12, float("inf"), float("-inf")])
def test_samples_outside_the_range_are_refused_not_clipped(bad: float) -> None:
    with pytest.raises(InvalidArgumentError, match=r"samples must lie in \[0, 1\]; got 1 outside"):
        ScoreHistogram.from_samples([0.5, bad], lower=0.0, upper=1.0)


@pytest.mark.parametrize("levels", [0, -1, 2.0, True])
def test_levels_must_be_a_positive_integer(levels: int) -> None:
    with pytest.raises(InvalidArgumentError, match="levels"):
        ScoreHistogram.from_samples([0.5], lower=0.0, upper=1.0, levels=levels)


@pytest.mark.parametrize("cells", [[-1], [5]])
def test_cells_must_be_on_the_grid(cells: list[int]) -> None:
    with pytest.raises(InvalidArgumentError, match="cells"):
        ScoreHistogram.from_sparse(cells, [1], lower=0.0, upper=1.0, levels=4)


def test_sparse_counts_are_not_guessed() -> None:
    for cells, counts in (([1, 1], [2, 3]), ([1], [2.7]), ([1.9], [2]), ([1, 2], [2, 3, 4])):
        with pytest.raises(InvalidArgumentError, match=r"cells|counts"):
            ScoreHistogram.from_sparse(cells, counts, lower=0.0, upper=1.0, levels=4)


@pytest.mark.parametrize("ends", [(-1e308, 1e308), (0.0, 5e-324), (0.0, 1e-250)])
def test_ranges_whose_steps_float64_does_not_hold_are_refused(ends):
    with pytest.raises(InvalidArgumentError, match="upper - lower must be finite and at least"):
        ScoreHistogram.from_samples([0.0], lower=ends[0], upper=ends[1])
