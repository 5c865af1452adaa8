"""What every bound must satisfy whatever the samples: range, order, symmetry, no NaN, the same answer twice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smoothcert.bounds import BOUNDS, ScoreCertificate, mirrored_seed
from smoothcert.histogram import ScoreHistogram

QUICK = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], database=None
)
BANDS = [bound for bound in BOUNDS if bound != "dual"]
RADII = np.array([0.0, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0])


@st.composite
def certificates(draw: st.DrawFn, alpha: float | None = None) -> ScoreCertificate:
    """Any counts on any small grid: one cell or many, one sample or 10^9, pilots that may hold nothing."""
    levels = draw(st.sampled_from([1, 2, 7, 100, 1000]))
    lower, upper = draw(st.sampled_from([(0.0, 1.0), (-1.0, 1.0), (-3.0, 7.0)]))

    def histogram(*, at_least: int) -> ScoreHistogram:
        counts = np.zeros(levels + 1, dtype=np.int64)
        for _ in range(draw(st.integers(at_least, 4))):
            size = draw(st.sampled_from([1, 2, 30, 1000, 10**6, 10**9]))
            counts[draw(st.integers(0, levels))] += size
        return ScoreHistogram(counts, lower, upper)

    level = alpha or draw(st.sampled_from([1e-12, 0.001, 0.05, 0.5]))
    return ScoreCertificate(histogram(at_least=0), histogram(at_least=1), 1.0, level)


@pytest.mark.parametrize("bound", BOUNDS)
@QUICK
@given(certificate=certificates())
def test_bounds_are_numbers_in_the_range_on_the_right_side_of_each_other(
    bound: str, certificate: ScoreCertificate
) -> None:
    a, b = certificate.sample.lower, certificate.sample.upper
    low, high = certificate.lower([*RADII, 60.0], bound), certificate.upper([*RADII, 60.0], bound)
    for values in (low, high):
        assert values.shape == (8,)
        assert values.dtype == np.float64
        assert np.all(np.isfinite(values))
        assert np.all((values >= a) & (values <= b))
    # Around the mean at radius 0 up to the grid, except where the samples themselves are far out under the pilot.
    step = (b - a) / certificate.sample.levels
    assert low[0] <= certificate.mean + 1e-9 * (b - a) + step
    assert high[0] >= certificate.mean - 1e-9 * (b - a) - step


@pytest.mark.parametrize("bound", BANDS)
@QUICK
@given(certificate=certificates())
def test_band_bounds_never_rise_with_the_radius(bound: str, certificate: ScoreCertificate) -> None:
    assert np.all(np.diff(certificate.lower(RADII, bound)) <= 1e-12)
    assert np.all(np.diff(certificate.upper(RADII, bound)) >= -1e-12)


@pytest.mark.parametrize("bound", BANDS)
@QUICK
@given(certificate=certificates())
def test_band_bounds_never_fall_with_alpha(bound: str, certificate: ScoreCertificate) -> None:
    rows = [certificate.with_alpha(alpha).lower(RADII, bound) for alpha in (1e-9, 0.001, 0.05, 0.5)]
    assert np.all(np.diff(rows, axis=0) >= -1e-12)


def test_dual_bounds_rise_neither_with_the_radius_nor_with_a_smaller_alpha_by_more_than_noise() -> None:
    """Each radius and alpha has bets of its own, so the order is not exact; this is how near."""
    rng = np.random.default_rng(0)
    for a, b in ((20.0, 1.0), (5.0, 1.0), (0.5, 0.2), (2.0, 2.0), (60.0, 0.5)):
        pilot, sample = (
            ScoreHistogram.from_samples(rng.beta(a, b, n), lower=0.0, upper=1.0, levels=1000) for n in (200, 2000)
        )
        fine = np.linspace(0.0, 4.0, 33)
        certificate = ScoreCertificate(pilot, sample, 1.0, 0.001)
        assert np.diff(certificate.lower(fine)).max() < 0.002
        rows = [certificate.with_alpha(alpha).lower(fine[::4]) for alpha in (1e-6, 0.001, 0.05)]
        assert np.diff(rows, axis=0).min() > -0.002


@pytest.mark.parametrize("bound", BOUNDS)
@QUICK
@given(certificate=certificates())
def test_upper_bounds_are_the_lower_bounds_of_the_mirrored_scores(bound: str, certificate: ScoreCertificate) -> None:
    a, b = certificate.sample.lower, certificate.sample.upper
    pilot, sample = certificate.pilot.mirrored(), certificate.sample.mirrored()
    mirror = ScoreCertificate(pilot, sample, 1.0, certificate.alpha, seed=mirrored_seed(certificate.seed))
    np.testing.assert_array_equal(certificate.upper(RADII, bound), a + b - mirror.lower(RADII, bound))


@pytest.mark.parametrize("bound", BOUNDS)
@QUICK
@given(certificate=certificates(), share=st.floats(-0.1, 1.0))
def test_the_radius_is_a_number_and_zero_where_nothing_is_certified(
    bound: str, certificate: ScoreCertificate, share: float
) -> None:
    a, b = certificate.sample.lower, certificate.sample.upper
    threshold = min(a + share * (b - a), b)
    radius = certificate.radius(threshold, bound)
    assert radius >= 0.0
    assert (radius == float("inf")) == (threshold < a)
    if threshold >= b:
        assert radius == 0.0


@pytest.mark.parametrize("bound", BOUNDS)
@QUICK
@given(certificate=certificates())
def test_the_same_histograms_give_the_same_bounds(bound: str, certificate: ScoreCertificate) -> None:
    copy = ScoreCertificate(
        *(ScoreHistogram(h.counts.copy(), h.lower, h.upper) for h in (certificate.pilot, certificate.sample)),
        1.0,
        certificate.alpha,
    )
    np.testing.assert_array_equal(certificate.lower(RADII, bound), copy.lower(RADII, bound))


@pytest.mark.parametrize("bound", BOUNDS)
def test_the_order_of_samples_and_of_merging_does_not_matter(bound: str) -> None:
    rng = np.random.default_rng(1)
    values = rng.beta(8, 1, 900)
    parts = [ScoreHistogram.from_samples(v, lower=0.0, upper=1.0, levels=500) for v in np.split(values, 3)]
    shuffled = ScoreHistogram.from_samples(rng.permutation(values), lower=0.0, upper=1.0, levels=500)
    pilot = ScoreHistogram.from_samples(rng.beta(8, 1, 100), lower=0.0, upper=1.0, levels=500)
    expected = ScoreCertificate(pilot, shuffled, 1.0, 0.01).lower(RADII, bound)
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        merged = parts[order[0]].merge(*(parts[i] for i in order[1:]))
        np.testing.assert_array_equal(ScoreCertificate(pilot, merged, 1.0, 0.01).lower(RADII, bound), expected)


@pytest.mark.parametrize("bound", BOUNDS)
def test_a_shift_of_many_sigma_certifies_nothing(bound: str) -> None:
    sure = ScoreHistogram(np.array([0, 0, 10**9]), 0.0, 1.0)
    certificate = ScoreCertificate(sure, sure, 1e-6, 0.001)
    np.testing.assert_allclose(certificate.lower([1.0, 1e3], bound), 0.0, atol=1e-12)
    np.testing.assert_allclose(certificate.upper([1.0, 1e3], bound), 1.0, atol=1e-12)


@pytest.mark.parametrize("bound", BANDS)
def test_better_samples_never_hurt_a_band(bound: str) -> None:
    rng = np.random.default_rng(2)
    values = rng.beta(3, 1, 500)
    worse, better = (
        ScoreHistogram.from_samples(v, lower=0.0, upper=1.0, levels=300)
        for v in (values, np.minimum(values + 0.1 * rng.random(500), 1.0))
    )
    low = ScoreCertificate(worse, worse, 1.0, 0.01).lower(RADII, bound)
    assert np.all(ScoreCertificate(better, better, 1.0, 0.01).lower(RADII, bound) >= low - 1e-12)
