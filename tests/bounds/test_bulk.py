"""Many inputs at once: the arrays they are kept in, and that company changes nothing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bounds.truth import Atoms, Beta
from smoothcert.bounds import (
    BOUNDS,
    TABLE,
    Bound,
    ScoreCertificate,
    certified_radii,
    dual,
    lower_bounds,
    table,
    upper_bounds,
)
from smoothcert.bounds.capital import BOLDEST, FOURTH
from smoothcert.bounds.deal import KNOTS, choose_knots, project
from smoothcert.bounds.plan import tilt
from smoothcert.bounds.shift import QUANTILES, shifted_probability, tangent_at
from smoothcert.bounds.stack import HistogramStack
from smoothcert.errors import InvalidArgumentError
from smoothcert.histogram import ScoreHistogram

LAWS = (Beta(20, 1), Beta(0.5, 0.2), Beta(2, 2), Beta(8, 0.3), Atoms((0.0, 1.0), (0.1, 0.9)))


def histograms(n: int, *, levels: int = 300, seed: int = 0, copies: int = 1) -> list[ScoreHistogram]:
    rng = np.random.default_rng(seed)
    return [law.histogram(rng, n, levels) for _ in range(copies) for law in LAWS]


def empty(levels: int = 300) -> ScoreHistogram:
    return ScoreHistogram.empty(lower=0.0, upper=1.0, levels=levels)


def test_a_stack_holds_what_was_put_in() -> None:
    given = [*histograms(50), empty(), *histograms(7, seed=1)]
    stack = HistogramStack.of(given)
    assert list(stack.each()) == given
    assert list(stack[2:7].each()) == given[2:7]
    assert len(stack[3:3]) == 0
    assert stack.n.tolist() == [h.n for h in given]
    assert HistogramStack.of(stack) is stack
    full = histograms(50)
    np.testing.assert_allclose(HistogramStack.of(full).means, [h.mean for h in full], rtol=1e-14)


def test_a_stack_mirrors_each_histogram() -> None:
    ends = ScoreHistogram(np.array([2, 0, 0, 3, 4]), 0.0, 1.0)
    top = ScoreHistogram(np.array([0, 0, 0, 0, 4]), 0.0, 1.0)
    nothing = empty(4)
    given = [ends, nothing, top, ends, nothing]
    assert list(HistogramStack.of(given).mirrored.each()) == [h.mirrored() for h in given]
    assert list(HistogramStack.of([nothing]).mirrored.each()) == [nothing.mirrored()]
    votes = ScoreHistogram(np.array([3, 7]), 0.0, 1.0, exact=True)
    assert votes.mirrored() == ScoreHistogram(np.array([7, 3]), 0.0, 1.0, exact=True)
    assert votes.merge(votes).exact
    assert not votes.merge(empty(1)).exact
    assert list(HistogramStack.of([votes, votes])[1:].mirrored.each()) == [votes.mirrored()]


@pytest.mark.parametrize(
    ("starts", "cells", "counts"),
    [
        ([0, 3], [0, 2], [1, 1]),
        ([1, 2], [0, 2], [1, 1]),
        ([0, 2, 1, 2], [0, 2], [1, 1]),
        ([0, 2], [2, 0], [1, 1]),
        ([0, 2], [2, 2], [1, 1]),
        ([0, 2], [0, 5], [1, 1]),
        ([0, 2], [-1, 2], [1, 1]),
        ([0, 2], [0, 2], [1, 0]),
        ([0, 2], [0, 2], [1]),
    ],
)
def test_arrays_that_are_no_stack_are_refused(starts: list[int], cells: list[int], counts: list[int]) -> None:
    arrays = (np.array(values, dtype=np.int64) for values in (starts, cells, counts))
    with pytest.raises(InvalidArgumentError, match=r"starts|cells"):
        HistogramStack.checked(*arrays, lower=0.0, upper=1.0, levels=4)


def test_cells_may_begin_anew_with_each_input() -> None:
    stack = HistogramStack.checked(
        np.array([0, 2, 2, 3]), np.array([1, 4, 0]), np.array([1, 2, 3]), lower=0.0, upper=1.0, levels=4
    )
    assert [h.counts.tolist() for h in stack.each()] == [[0, 1, 0, 0, 2], [0] * 5, [3, 0, 0, 0, 0]]


def test_other_grids_and_steps_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="range and levels"):
        HistogramStack.of([empty(4), empty(5)])
    with pytest.raises(InvalidArgumentError, match="at least one"):
        HistogramStack.of([])
    with pytest.raises(InvalidArgumentError, match="consecutive"):
        HistogramStack.of(histograms(5))[::2]


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("chunk", [1, 3, 64])
def test_company_and_chunks_change_nothing(bound: str, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chunked = {name: dataclasses.replace(entry, chunk=chunk) for name, entry in TABLE.items()}
    monkeypatch.setattr(table, "TABLE", chunked)
    pilots = [*histograms(40, copies=2)[:-1], empty()]  # an input without a pilot among others
    samples = histograms(400, seed=1, copies=2)
    radii, sigma, alpha = [0.0, 0.1, 0.5, 1.0], 0.25, 0.01
    together = lower_bounds(pilots, samples, radii=radii, sigma=sigma, alpha=alpha, bound=bound)
    stacked = lower_bounds(
        HistogramStack.of(pilots), HistogramStack.of(samples), radii=radii, sigma=sigma, alpha=alpha, bound=bound
    )
    alone = [ScoreCertificate(*pair, sigma, alpha).lower(radii, bound) for pair in zip(pilots, samples, strict=True)]
    np.testing.assert_array_equal(together, stacked)
    np.testing.assert_allclose(together, alone, atol=1e-12)
    assert together.max() > 0.5


@pytest.mark.parametrize("bound", ["cdf", "clopper_pearson"])
def test_inputs_may_differ_in_their_number_of_samples(bound: str) -> None:
    samples = [*histograms(400), *histograms(90, seed=1)]
    found = lower_bounds(samples, samples, radii=[0.0, 0.2], sigma=0.25, alpha=0.01, bound=bound)
    alone = [ScoreCertificate(h, h, 0.25, 0.01).lower([0.0, 0.2], bound) for h in samples]
    np.testing.assert_allclose(found, alone, atol=1e-12)


def test_more_cells_than_thresholds_are_placed_as_for_one_input() -> None:
    fine = ScoreHistogram(np.ones(12_001, dtype=np.int64), 0.0, 1.0)
    found = lower_bounds([fine], [fine], radii=[0.0, 0.2], sigma=0.25, alpha=0.01, bound="cdf")
    np.testing.assert_allclose(found[0], ScoreCertificate(fine, fine, 0.25, 0.01).lower([0.0, 0.2], "cdf"), atol=1e-12)


def test_knots_enclose_the_grid_and_do_not_depend_on_company() -> None:
    pilots = [
        *histograms(40),
        empty(),
        *histograms(3, seed=2),
        ScoreHistogram(np.bincount([7] * 9, minlength=301), 0.0, 1.0),
    ]
    knots = choose_knots(HistogramStack.of(pilots))
    assert knots.shape == (len(pilots), KNOTS)
    assert np.all(knots[:, 0] == 0)
    assert np.all(knots[:, -1] == 300)
    steps = np.diff(knots, axis=1)
    assert np.all((steps > 0) | (knots[:, 1:] == 300))
    for row, pilot in zip(knots, pilots, strict=True):
        np.testing.assert_array_equal(row, choose_knots(HistogramStack.of([pilot]))[0])


def test_samples_keep_number_and_mean_on_the_knots() -> None:
    pilots, samples = HistogramStack.of(histograms(40)), HistogramStack.of(histograms(400, seed=1))
    knots = choose_knots(pilots)
    on_knots = project(samples, knots)
    assert np.all(on_knots >= -1e-12)
    np.testing.assert_allclose(on_knots.sum(axis=1), samples.n)
    np.testing.assert_allclose((on_knots * knots).sum(axis=1), samples.sums(samples.cells * samples.counts))


@pytest.mark.parametrize("r", [0.0, 0.5, 2.0, 6.0, 1e6])
@pytest.mark.parametrize("inputs", [1, 40])
def test_the_tangent_is_below_the_shift_function_wherever_it_touches(r: float, inputs: int) -> None:
    """For any survival function, whatever distribution the tangent was made for; looked up or computed."""
    rng = np.random.default_rng(0)
    weights = rng.gamma(0.1, size=(inputs, 1, KNOTS))
    widths = rng.random((inputs, 1, KNOTS - 1))
    widths /= widths.sum(axis=-1, keepdims=True)
    tangent = tangent_at(weights, widths, np.full((1, 1), r))
    others = rng.gamma(rng.choice([0.05, 1.0, 20.0], size=(50, inputs, 1)), size=(50, inputs, KNOTS))
    others /= others.sum(axis=-1, keepdims=True)
    survival = np.clip(others[..., ::-1].cumsum(axis=-1)[..., ::-1][..., 1:], 0.0, 1.0)
    truth = (shifted_probability(survival, r) * widths[:, 0]).sum(axis=-1)
    claimed = tangent.ceiling[:, 0] - tangent.scale[:, 0] * (others * tangent.deficit[:, 0]).sum(axis=-1)
    assert np.all(claimed <= truth + 1e-12)


def test_the_tangent_touches_at_its_own_distribution_but_for_the_step_of_the_table() -> None:
    rng = np.random.default_rng(1)
    weights = rng.gamma(0.5, size=(1, 1, KNOTS))
    weights /= weights.sum()
    widths = np.full((1, 1, KNOTS - 1), 1.0 / (KNOTS - 1))
    survival = weights[0, 0, ::-1].cumsum()[::-1][1:]
    for r in (0.5, 1.0, 3.0):
        tangent = tangent_at(weights, widths, np.full((1, 1), r))
        own = float(tangent.ceiling[0, 0] - tangent.scale[0, 0] * (weights * tangent.deficit).sum())
        truth = float((shifted_probability(survival, r) * widths[0, 0]).sum())
        assert truth - 1e-5 < own <= truth + 1e-12
    assert np.all(np.diff(QUANTILES) > 0.0)


def test_a_warm_start_finds_the_same_tilt() -> None:
    rng = np.random.default_rng(2)
    weights = rng.gamma(0.3, size=(6, 1, KNOTS))
    weights /= weights.sum(axis=-1, keepdims=True)
    deficit = np.sort(rng.random((6, 3, KNOTS)))[..., ::-1]
    deficit = (deficit - deficit[..., -1:]) / (deficit[..., :1] - deficit[..., -1:])
    delta = np.full((6, 1), 1e-3)
    cold = tilt(weights, deficit, delta)
    warm = tilt(weights, deficit, delta, start=cold.log_s + 0.3)
    np.testing.assert_allclose(warm.bet, cold.bet, rtol=1e-3)
    worst = weights * cold.density
    worst /= worst.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose((worst * (1.0 - deficit)).sum(axis=-1), cold.value, rtol=1e-9)
    relative_entropy = weights * np.log(
        weights / np.maximum(worst, 1e-300), where=weights > 0, out=np.zeros_like(worst)
    )
    np.testing.assert_allclose(relative_entropy.sum(axis=-1), delta * np.ones(3), rtol=1e-2)


def test_the_fourth_power_pays_for_the_logarithm_everywhere() -> None:
    """``log(1 + x) >= x - x^2 / 2 + x^3 / 3 - k x^4`` for ``x >= -y`` with the k that is read for y."""
    steps = FOURTH.size - 1
    for y in (1e-9, 0.01, 0.0301, 0.3, 0.7777, 0.95, BOLDEST):
        k = FOURTH[int(np.ceil(y * steps / BOLDEST))]
        x = np.concatenate((np.linspace(-y, y, 1001), np.linspace(0.0, 50.0, 1001)))
        assert np.all(np.log1p(x) >= x - x**2 / 2 + x**3 / 3 - k * x**4 - 1e-15)
    assert np.all(np.diff(FOURTH) >= 0.0)


def test_radii_tested_in_lots_are_the_same_sequence(monkeypatch: pytest.MonkeyPatch) -> None:
    for pilot, sample in zip(histograms(100), histograms(1000, seed=1), strict=True):
        certificate = ScoreCertificate(pilot, sample, 0.25, 0.01)
        found = [certificate.radius(threshold) for threshold in (0.1, 0.5, 0.9)]
        with monkeypatch.context() as patch:
            patch.setattr(dual, "LOT", 10_000)
            assert found == [certificate.radius(threshold) for threshold in (0.1, 0.5, 0.9)]
        assert found[0] > 0.0


@pytest.mark.parametrize("bound", BOUNDS)
def test_each_input_has_its_own_seed_offset_and_price(bound: str) -> None:
    """In any order, equal or not: as the certificate of each input alone gives it."""
    pilots, samples = histograms(40, copies=2), histograms(400, seed=1, copies=2)
    seeds = [7, 7, 2**127, 0, 5, 6, 8, 9, 10, 11]
    offsets = [0.0, 0.0, 0.01, 0.01, 0.0, 0.3, 0.3, 0.3, 0.0, 7.0]
    prices = [0.0, 0.001, 0.001, 0.001, 0.0, 0.0, 0.0, 0.002, 0.002, 0.0]
    each = {"sigma": 0.25, "alpha": 0.01, "bound": bound, "seeds": seeds, "offsets": offsets, "prices": prices}
    alone = [
        ScoreCertificate(p, s, 0.25, 0.01, seed=seed, offset=offset, price=price)
        for p, s, seed, offset, price in zip(pilots, samples, seeds, offsets, prices, strict=True)
    ]
    radii = [0.0, 0.1, 0.5]
    low, high = lower_bounds(pilots, samples, radii=radii, **each), upper_bounds(pilots, samples, radii=radii, **each)
    np.testing.assert_allclose(low, [c.lower(radii, bound) for c in alone], atol=1e-12)
    np.testing.assert_allclose(high, [c.upper(radii, bound) for c in alone], atol=1e-12)
    found = certified_radii(pilots, samples, threshold=0.4, **each)
    np.testing.assert_array_equal(found, [c.radius(0.4, bound) for c in alone])
    assert found.max() > 0.1
    assert found[-1] == 0.0


@pytest.mark.parametrize("name", ["offsets", "prices"])
@pytest.mark.parametrize("values", [[0.0], [0.0, -1.0], [0.0, np.nan], [0.0, np.inf], [[0.0, 0.0]]])
def test_offsets_and_prices_that_do_not_fit(name: str, values: list[float]) -> None:
    h = histograms(50)[:2]
    with pytest.raises(InvalidArgumentError, match=name):
        lower_bounds(h, h, radii=[0.0], sigma=1.0, alpha=0.01, **{name: values})


def test_a_price_that_leaves_nothing_is_refused() -> None:
    h = histograms(50)[:2]
    with pytest.raises(InvalidArgumentError, match="price"):
        lower_bounds(h, h, radii=[0.0], sigma=1.0, alpha=0.01, prices=[0.0, 0.01])


def test_a_bound_is_one_entry_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bulk, one certificate, upper bounds, intervals and radii all read it there."""

    def constant(pilots: HistogramStack, samples: HistogramStack, *, r: np.ndarray, **_: object) -> np.ndarray:
        return np.tile(0.75 - 0.25 * r, (len(samples), 1))

    entry = Bound(
        name="mine",
        label="mine",
        lower_of_many=constant,
        simultaneous_over=("radii", "thresholds"),
        needs_pilot=False,
        chunk=2,
    )
    monkeypatch.setattr(table, "TABLE", {**TABLE, "mine": entry})
    pilots, samples = histograms(5), histograms(50)
    found = lower_bounds(pilots, samples, radii=[0.0, 1.0], sigma=1.0, alpha=0.01, bound="mine")
    np.testing.assert_array_equal(found, [[0.75, 0.5]] * len(LAWS))
    certificate = ScoreCertificate(pilots[0], samples[0], 1.0, 0.01)
    assert certificate.radius(0.25, "mine") == pytest.approx(2.0)
    assert [side.tolist() for side in certificate.interval([1.0], "mine", joint=True)] == [[0.5], [0.5]]


@pytest.mark.parametrize("bound", BOUNDS)
def test_what_a_bound_holds_over_is_what_joint_statements_cost(bound: str) -> None:
    """Bounds at several radii jointly are those at alpha over their number, or the same where all hold together."""
    pilot, sample = histograms(40)[0], histograms(400, seed=1)[0]
    joint = ScoreCertificate(pilot, sample, 0.25, 0.01).lower([0.0, 0.1, 0.2], bound, joint=True)
    price = TABLE[bound].statements(3)
    assert price == (1 if "radii" in TABLE[bound].simultaneous_over else 3)
    each = ScoreCertificate(pilot, sample, 0.25, 0.01 / price).lower([0.0, 0.1, 0.2], bound)
    np.testing.assert_array_equal(joint, each)
