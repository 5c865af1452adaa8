"""Bad arguments: one sentence that names the argument, raised before anything is computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from smoothcert.bounds import (
    BOUNDS,
    ScoreCertificate,
    SequentialTest,
    VoteTest,
    cdf_lower,
    class_radius,
    clopper_pearson_lower,
    clopper_pearson_survival_lower,
    clopper_pearson_upper,
    dkw_survival_lower,
    dual_lower,
    hoeffding_lower,
    lower_bounds,
    split_alpha,
)
from smoothcert.errors import InvalidArgumentError, SmoothcertError
from smoothcert.histogram import ScoreHistogram

H = ScoreHistogram.from_samples(np.linspace(0.0, 1.0, 50), lower=0.0, upper=1.0, levels=20)
VOTES = ScoreHistogram(np.array([2, 8]), 0.0, 1.0, exact=True)
EMPTY = ScoreHistogram.empty(lower=0.0, upper=1.0, levels=20)
GOOD = ScoreCertificate(H, H, 0.25, 0.01)
ONE = np.array([1.0])
BAD_ALPHAS = [0.0, -1.0, 0.7, float("nan"), True, "much", "0.01", None]


@pytest.mark.parametrize("alpha", BAD_ALPHAS)
@pytest.mark.parametrize(
    "call",
    [
        lambda alpha: ScoreCertificate(H, H, 0.25, alpha),
        lambda alpha: GOOD.with_alpha(alpha),
        lambda alpha: cdf_lower(H, r=ONE, alpha=alpha),
        lambda alpha: cdf_lower(H, r=ONE, alpha=alpha, band="clopper_pearson"),
        lambda alpha: hoeffding_lower(H, r=ONE, alpha=alpha),
        lambda alpha: dual_lower(H, H, r=ONE, alpha=alpha),
        lambda alpha: dkw_survival_lower(np.array([3]), n=5, alpha=alpha),
        lambda alpha: clopper_pearson_survival_lower(np.array([3]), n=5, alpha=alpha),
        lambda alpha: class_radius(9, n=10, sigma=0.25, alpha=alpha),
        lambda alpha: lower_bounds([H], [H], radii=[0.0], sigma=0.25, alpha=alpha),
        lambda alpha: SequentialTest(threshold=0.5, r=1.0, alpha=alpha, pilot=H),
        lambda alpha: VoteTest(threshold=0.5, r=1.0, alpha=alpha, pilot=VOTES),
        lambda alpha: split_alpha(alpha, radii=2),
    ],
)
def test_alpha(call: Callable[[Any], object], alpha: object) -> None:
    with pytest.raises(InvalidArgumentError, match="alpha"):
        call(alpha)


@pytest.mark.parametrize("alpha", [0.0, -0.1, 1.5, float("nan"), True])
def test_binomial_alpha(alpha: float) -> None:
    for bound in (clopper_pearson_lower, clopper_pearson_upper):
        with pytest.raises(InvalidArgumentError, match="alpha"):
            bound(3, n=5, alpha=alpha)


@pytest.mark.parametrize("sigma", [0.0, -0.25, float("nan"), float("inf"), True, np.True_, "wide", "0.25", None])
def test_sigma(sigma: Any) -> None:
    for call in (
        lambda: ScoreCertificate(H, H, sigma, 0.01),
        lambda: class_radius(9, n=10, sigma=sigma, alpha=0.01),
        lambda: lower_bounds([H], [H], radii=[0.0], sigma=sigma, alpha=0.01),
    ):
        with pytest.raises(InvalidArgumentError, match="sigma"):
            call()


@pytest.mark.parametrize(
    "radii", [[-0.1], -1.0, [0.0, float("nan")], float("inf"), [], [[0.0, 1.0]], ["far"], ["0.1"], True, None]
)
@pytest.mark.parametrize("side", ["lower", "upper", "interval"])
def test_radii(side: str, radii: Any) -> None:
    for bound in BOUNDS:
        with pytest.raises(InvalidArgumentError, match="radii"):
            getattr(GOOD, side)(radii, bound)


@pytest.mark.parametrize("bound", BOUNDS)
def test_a_threshold_that_nothing_can_exceed(bound: str) -> None:
    for threshold in (GOOD.sample.upper, np.nextafter(GOOD.sample.upper, np.inf), 50):
        assert GOOD.radius(threshold, bound) == 0.0


@pytest.mark.parametrize("bound", BOUNDS)
def test_the_largest_radii_there_are(bound: str) -> None:
    largest = np.finfo(np.float64).max
    assert np.array_equal(GOOD.lower([1e300, largest], bound), [GOOD.sample.lower] * 2)
    assert np.array_equal(GOOD.upper([1e300, largest], bound), [GOOD.sample.upper] * 2)


@pytest.mark.parametrize("threshold", [float("nan"), float("inf"), "high", "0.5", None, True])
def test_threshold(threshold: Any) -> None:
    for bound in BOUNDS:
        with pytest.raises(InvalidArgumentError, match="threshold"):
            GOOD.radius(threshold, bound)
    with pytest.raises(InvalidArgumentError, match="threshold"):
        SequentialTest(threshold=threshold, r=1.0, alpha=0.01, pilot=H)
    with pytest.raises(InvalidArgumentError, match="threshold"):
        VoteTest(threshold=threshold, r=1.0, alpha=0.01, pilot=VOTES)


def test_unknown_names_list_the_known_ones() -> None:
    for call in (
        lambda: GOOD.lower([0.0], "magic"),
        lambda: GOOD.upper([0.0], "magic"),
        lambda: GOOD.interval([0.0], "magic"),
        lambda: GOOD.radius(0.5, "magic"),
        lambda: lower_bounds([H], [H], radii=[0.0], sigma=0.25, alpha=0.01, bound="magic"),
    ):
        with pytest.raises(InvalidArgumentError, match=r"bound must be one of dual, cdf, hoeffding.*'magic'"):
            call()
    with pytest.raises(InvalidArgumentError, match=r"placement must be one of equal_mass.*'random'"):
        cdf_lower(H, r=ONE, alpha=0.01, placement="random")
    with pytest.raises(InvalidArgumentError, match="thresholds"):
        cdf_lower(H, r=ONE, alpha=0.01, thresholds=0)


@pytest.mark.parametrize(
    "other",
    [
        ScoreHistogram.empty(lower=0.0, upper=1.0, levels=21),
        ScoreHistogram.empty(lower=-1.0, upper=1.0, levels=20),
    ],
)
def test_histograms_on_different_grids(other: ScoreHistogram) -> None:
    for call in (
        lambda: ScoreCertificate(other, H, 0.25, 0.01),
        lambda: dual_lower(other, H, r=ONE, alpha=0.01),
        lambda: H.merge(other),
    ):
        with pytest.raises(InvalidArgumentError, match=r"range and levels"):
            call()
    test = SequentialTest(threshold=0.5, r=1.0, alpha=0.01, pilot=H)
    with pytest.raises(InvalidArgumentError, match=r"range and levels"):
        test.update(other)


def test_empty_samples() -> None:
    for call in (
        lambda: ScoreCertificate(H, EMPTY, 0.25, 0.01),
        lambda: cdf_lower(EMPTY, r=ONE, alpha=0.01),
        lambda: dual_lower(H, EMPTY, r=ONE, alpha=0.01),
        lambda: hoeffding_lower(EMPTY, r=ONE, alpha=0.01),
        lambda: EMPTY.mean,
    ):
        with pytest.raises(InvalidArgumentError, match=r"empty|at least one"):
            call()


@pytest.mark.parametrize(("successes", "n"), [(-1, 5), (6, 5), (0, 0), (2.0, 5), (2, 5.0)])
def test_binomial_counts(successes: Any, n: Any) -> None:
    for bound in (clopper_pearson_lower, clopper_pearson_upper):
        with pytest.raises(InvalidArgumentError, match="successes"):
            bound(successes, n=n, alpha=0.01)


def test_band_counts() -> None:
    for band in (dkw_survival_lower, clopper_pearson_survival_lower):
        with pytest.raises(InvalidArgumentError, match="counts"):
            band(np.array([6]), n=5, alpha=0.01)
        with pytest.raises(InvalidArgumentError, match="counts"):
            band(np.array([-1]), n=5, alpha=0.01)
        with pytest.raises(InvalidArgumentError, match="n must"):
            band(np.array([0]), n=0, alpha=0.01)
    with pytest.raises(InvalidArgumentError, match="knots"):
        clopper_pearson_survival_lower(np.array([1]), n=5, alpha=0.01, knots=0)


def test_inputs_that_do_not_pair_up() -> None:
    with pytest.raises(InvalidArgumentError, match="pilots and samples"):
        lower_bounds([H], [H, H], radii=[0.0], sigma=0.25, alpha=0.01)


def test_counts_of_statements() -> None:
    assert split_alpha(0.01, radii=5, sides=2) == pytest.approx(0.001)
    for bad in (0, -1, 1.5, True):
        with pytest.raises(InvalidArgumentError, match="radii"):
            split_alpha(0.01, radii=bad)


def test_every_error_is_caught_by_one_name() -> None:
    with pytest.raises(SmoothcertError):
        ScoreCertificate(H, EMPTY, 0.25, 0.01)


@pytest.mark.parametrize("bound", BOUNDS)
def test_many_inputs_on_different_grids_are_refused_or_each_on_its_own_grid(bound: str) -> None:
    """Two inputs of different measures in one call: never the range of one applied to the other."""
    margin = ScoreHistogram(H.counts, -1.0, 1.0)
    coarse = ScoreHistogram(np.array([1, 3, 50]), 0.0, 1.0)
    for other in (margin, coarse):
        alone = [lower_bounds([h], [h], radii=[0.0, 0.1], sigma=0.25, alpha=0.01, bound=bound) for h in (H, other)]
        try:
            both = lower_bounds([H, other], [H, other], radii=[0.0, 0.1], sigma=0.25, alpha=0.01, bound=bound)
        except InvalidArgumentError:
            continue
        np.testing.assert_allclose(both, np.concatenate(alone), atol=1e-8)


@pytest.mark.parametrize("r", [-1.0, float("nan"), float("inf"), [1.0, 2.0], None])
def test_the_shift_of_a_sequential_test_is_one_number(r: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"\br\b"):
        SequentialTest(threshold=0.5, r=r, alpha=0.01, pilot=H)


@pytest.mark.parametrize("r", [[-1.0], [float("nan")], [float("inf")], [[1.0, 2.0]], []])
def test_shifts_of_the_pure_functions(r: list[float]) -> None:
    """A negative shift would turn the promise around: the value is then no lower bound."""
    for bound in (
        lambda r: dual_lower(H, H, r=r, alpha=0.01),
        lambda r: cdf_lower(H, r=r, alpha=0.01),
        lambda r: hoeffding_lower(H, r=r, alpha=0.01),
    ):
        with pytest.raises(InvalidArgumentError, match=r"\br\b"):
            bound(np.asarray(r))


def test_unknown_bands_and_measures() -> None:
    with pytest.raises(InvalidArgumentError, match="band"):
        cdf_lower(H, r=ONE, alpha=0.01, band="magic")


@pytest.mark.parametrize("radius", [1e160, 1e300])
@pytest.mark.parametrize("bound", BOUNDS)
def test_radii_beyond_any_float_certify_nothing(bound: str, radius: float) -> None:
    np.testing.assert_allclose(GOOD.lower([radius], bound), 0.0, atol=1e-12)
