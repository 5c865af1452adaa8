"""Slow, obviously right versions stand behind the fast ones: the paper's sum over raw samples, and other packages."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import beta as beta_law
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

from bounds.truth import Beta, Law, Mixture, Probit, survival_integral
from smoothcert.bounds import (
    ScoreCertificate,
    cdf_lower,
    class_radius,
    clopper_pearson_lower,
    clopper_pearson_survival_lower,
    clopper_pearson_upper,
    dkw_survival_lower,
    hoeffding_lower,
    lower_bounds,
)
from smoothcert.bounds.cdf import place_thresholds
from smoothcert.histogram import ScoreHistogram

LEVELS = 10_000
STEP = 1.0 / LEVELS
RADII = np.array([0.0, 0.5, 1.0, 2.0, 3.0])


def cohen(p: float, r: float) -> float:
    return float(norm.cdf(norm.ppf(p) - r)) if 0.0 < p < 1.0 else p


def paper_sum(values: np.ndarray, *, r: float, alpha: float, a: float, b: float) -> float:
    """Theorem 2 with every order statistic as a threshold and the DKW band, one threshold at a time."""
    ordered = np.sort(values)
    epsilon = math.sqrt(math.log(1.0 / alpha) / (2 * values.size))
    survival = [max((values.size - i) / values.size - epsilon, 0.0) for i in range(values.size)]
    return survival_integral(lambda p: cohen(p, r), survival, [a, *ordered.tolist()])


@pytest.mark.parametrize("law", [Beta(20, 1), Beta(0.5, 0.2), Probit(0.8, 0.4)])
def test_cdf_is_the_papers_sum_up_to_the_grid_and_never_above_it(law: Law) -> None:
    values = law.draw(np.random.default_rng(0), 400)
    sample = ScoreHistogram.from_samples(values, lower=0.0, upper=1.0, levels=LEVELS)
    fast = cdf_lower(sample, r=RADII, alpha=0.01, placement="all")
    for r, value in zip(RADII, fast, strict=True):
        slow = paper_sum(values, r=float(r), alpha=0.01, a=0.0, b=1.0)
        assert slow - STEP - 1e-12 <= value <= slow + 1e-12


@pytest.mark.parametrize("r", [0.0, 1.0, 2.5])
def test_upper_is_the_papers_sum_over_mirrored_scores(r: float) -> None:
    values = Beta(5, 2).draw(np.random.default_rng(1), 300)
    sample = ScoreHistogram.from_samples(values, lower=0.0, upper=1.0, levels=LEVELS)
    certificate = ScoreCertificate(sample.empty(lower=0.0, upper=1.0), sample, 0.25, 0.05)
    slow = 1.0 - paper_sum(1.0 - values, r=r, alpha=0.05, a=0.0, b=1.0)
    value = certificate.upper(0.25 * r, "cdf")[0]
    assert slow - 1e-12 <= value <= slow + STEP + 1e-12


def test_hoeffding_is_the_papers_baseline_up_to_the_grid() -> None:
    values = Beta(8, 2).draw(np.random.default_rng(2), 500) * 2.0 - 1.0
    sample = ScoreHistogram.from_samples(values, lower=-1.0, upper=1.0, levels=LEVELS)
    fast = hoeffding_lower(sample, r=RADII, alpha=0.01)
    for r, value in zip(RADII, fast, strict=True):
        p = (values.mean() + 1.0) / 2.0 - math.sqrt(math.log(100.0) / 1000.0)
        slow = -1.0 + 2.0 * cohen(p, float(r))
        # The slope of the shift in the mean is below 2 for these radii and means.
        assert slow - 2 * 2 * STEP * math.exp(r * abs(norm.ppf(p))) <= value <= slow + 1e-12


def test_dkw_band_is_the_empirical_survival_function_less_massarts_constant() -> None:
    counts = np.array([250, 200, 10, 0])
    direct = [max(k / 250 - math.sqrt(math.log(1 / 0.02) / 500), 0.0) for k in counts.tolist()]
    np.testing.assert_allclose(dkw_survival_lower(counts, n=250, alpha=0.02), direct, atol=1e-15)


def test_clopper_pearson_agrees_with_statsmodels() -> None:
    rng = np.random.default_rng(3)
    n = rng.integers(1, 5000, 300)
    k = rng.integers(0, n + 1)
    k[:20], k[20:40] = 0, n[20:40]
    for alpha in (0.4, 0.05, 1e-3, 1e-6):
        low, high = proportion_confint(k, n, alpha=2 * alpha, method="beta")
        np.testing.assert_allclose(clopper_pearson_lower(k, n=n, alpha=alpha), low, rtol=1e-9, atol=1e-13)
        np.testing.assert_allclose(clopper_pearson_upper(k, n=n, alpha=alpha), high, rtol=1e-9, atol=1e-13)


def test_clopper_pearson_of_every_success_is_a_root_of_alpha() -> None:
    for n in (1, 10, 100_000, 1_000_000_000):
        assert float(clopper_pearson_lower(n, n=n, alpha=0.001)) == pytest.approx(0.001 ** (1 / n), abs=1e-12)


def test_clopper_pearson_band_is_a_beta_quantile_and_conservative_between_knots() -> None:
    n, alpha, knots = 500, 0.01, 32
    counts = np.arange(n + 1)
    band = clopper_pearson_survival_lower(counts, n=n, alpha=alpha, knots=knots)
    exact = np.append(0.0, beta_law.ppf(alpha / knots, counts[1:], n - counts[1:] + 1))
    assert np.all(np.diff(band) >= 0.0)
    assert np.unique(band[band > 0]).size <= knots
    pointwise = np.append(0.0, beta_law.ppf(alpha, counts[1:], n - counts[1:] + 1))
    assert np.all(band <= pointwise + 1e-12)
    assert band[n] >= exact[n] - 1e-12  # the knot everything confident depends on


def test_class_radius_is_cohens() -> None:
    for votes, n, sigma, alpha in [(990, 1000, 0.25, 0.001), (51, 100, 1.0, 0.05), (100_000, 100_000, 0.5, 0.001)]:
        p = proportion_confint(votes, n, alpha=2 * alpha, method="beta")[0]
        expected = sigma * norm.ppf(p) if p > 0.5 else 0.0
        assert float(class_radius(votes, n=n, sigma=sigma, alpha=alpha)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("band", ["dkw", "clopper_pearson"])
def test_more_thresholds_never_hurt(band: str) -> None:
    law = Mixture((Beta(20, 1), Beta(2, 5)), (0.9, 0.1))
    sample = law.histogram(np.random.default_rng(4), 3000, 2000)
    every = cdf_lower(sample, r=RADII, alpha=0.01, band=band, placement="all")
    assert np.all(
        cdf_lower(sample, r=RADII, alpha=0.01, band=band, placement="uniform", thresholds=2000) <= every + 1e-12
    )
    last = {name: np.full(RADII.size, -1.0) for name in ("equal_mass", "uniform")}
    for thresholds in (1, 2, 4, 8, 64, 256):
        for name, previous in last.items():
            value = cdf_lower(sample, r=RADII, alpha=0.01, band=band, placement=name, thresholds=thresholds)
            assert np.all(value <= every + 1e-12)
            if name == "uniform":  # 2, 4, 8, ... contain one another; equal mass is rounded to whole samples
                assert np.all(value >= previous - 1e-12)
            last[name] = value
    for value in last.values():
        assert np.all(every - value < 0.02)


def test_equal_mass_thresholds_are_the_largest_with_that_many_samples() -> None:
    sample = Beta(5, 1).histogram(np.random.default_rng(5), 1000, 500)
    at = place_thresholds(sample.survival_counts, placement="equal_mass", thresholds=10)
    above = sample.survival_counts
    expected = [max(j for j in range(501) if above[j] >= share * 100) for share in range(10, 0, -1)]
    assert at.tolist() == sorted(set(expected) - {0})


@pytest.mark.parametrize("bound", ["cdf", "hoeffding", "clopper_pearson", "dual"])
def test_an_affine_map_of_the_scores_maps_the_bounds(bound: str) -> None:
    rng = np.random.default_rng(6)
    pilot, sample = Beta(8, 1).histogram(rng, 100, 1000), Beta(8, 1).histogram(rng, 1000, 1000)
    moved = [ScoreHistogram(h.counts, -3.0, 7.0) for h in (pilot, sample)]
    radii = 0.5 * RADII
    here, there = ScoreCertificate(pilot, sample, 0.5, 0.01), ScoreCertificate(*moved, 0.5, 0.01)
    np.testing.assert_allclose(there.lower(radii, bound), -3.0 + 10.0 * here.lower(radii, bound), atol=1e-6)
    np.testing.assert_allclose(there.upper(radii, bound), -3.0 + 10.0 * here.upper(radii, bound), atol=1e-6)
    # Rounding can only shorten the radius, and only a little.
    assert there.radius(2.0, bound) == pytest.approx(here.radius(0.5, bound), abs=0.02)


@pytest.mark.parametrize("bound", ["cdf", "hoeffding", "clopper_pearson", "dual"])
def test_sigma_only_scales_the_radii(bound: str) -> None:
    rng = np.random.default_rng(7)
    pilot, sample = Beta(8, 1).histogram(rng, 100, 1000), Beta(8, 1).histogram(rng, 1000, 1000)
    narrow, wide = (ScoreCertificate(pilot, sample, sigma, 0.01) for sigma in (0.25, 1.0))
    np.testing.assert_allclose(narrow.lower(0.25 * RADII, bound), wide.lower(RADII, bound), atol=1e-12)
    assert narrow.radius(0.6, bound) == pytest.approx(0.25 * wide.radius(0.6, bound), abs=1e-12)


@pytest.mark.parametrize("bound", ["cdf", "hoeffding", "clopper_pearson"])
def test_the_radius_is_where_the_bound_meets_the_threshold(bound: str) -> None:
    rng = np.random.default_rng(8)
    certificate = ScoreCertificate(
        Beta(8, 1).histogram(rng, 100, 1000), Beta(8, 1).histogram(rng, 1000, 1000), 0.5, 0.01
    )
    for threshold in (0.2, 0.5, 0.8):
        radius = certificate.radius(threshold, bound)
        inside, outside = certificate.lower([radius, radius + 1e-8], bound)
        assert inside > threshold >= outside


def test_the_dual_radius_agrees_with_the_dual_bound() -> None:
    rng = np.random.default_rng(9)
    certificate = ScoreCertificate(
        Beta(8, 1).histogram(rng, 100, 1000), Beta(8, 1).histogram(rng, 2000, 1000), 0.5, 0.01
    )
    for threshold in (0.3, 0.6, 0.8):
        radius = certificate.radius(threshold)
        inside, outside = certificate.lower([radius, radius + 0.05])
        assert inside >= threshold - 0.01  # the bound tests other claims, in steps, so the two agree only nearly
        assert outside < threshold


@pytest.mark.parametrize("bound", ["dual", "cdf", "hoeffding", "clopper_pearson"])
def test_many_inputs_at_once_are_the_same_inputs_one_by_one(bound: str) -> None:
    rng = np.random.default_rng(10)
    laws = [Beta(20, 1), Beta(0.5, 0.2), Beta(2, 2)]
    pilots, samples = ([law.histogram(rng, n, 300) for law in laws] for n in (50, 500))
    table = lower_bounds(pilots, samples, radii=[0.0, 0.25, 0.5], sigma=0.25, alpha=0.01, bound=bound)
    assert table.shape == (3, 3)
    for row, pilot, sample in zip(table, pilots, samples, strict=True):
        one = ScoreCertificate(pilot, sample, 0.25, 0.01).lower([0.0, 0.25, 0.5], bound)
        np.testing.assert_allclose(row, one, atol=1e-8)
