"""A valid bound that says nothing must fail too: how much is certified where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from bounds.truth import Atoms, Beta, Law, Mixture
from smoothcert.bounds import (
    ScoreCertificate,
    cdf_lower,
    clopper_pearson_survival_lower,
    dkw_survival_lower,
    dual_lower,
)

RADII = np.array([0.0, 0.5, 1.0, 2.0, 3.0, 4.0])
LEVELS = 10_000
CONFIDENT: dict[str, Law] = {
    "Beta(20, 1)": Beta(20, 1),
    "Beta(5, 1)": Beta(5, 1),
    "Beta(60, .5)": Beta(60, 0.5),
    "Beta(8, .3)": Beta(8, 0.3),
}
LAWS: dict[str, Law] = {
    **CONFIDENT,
    "Beta(.5, .2)": Beta(0.5, 0.2),
    "Beta(2, 2)": Beta(2, 2),
    "two atoms": Atoms((0.0, 1.0), (0.001, 0.999)),
    "far tail": Mixture((Beta(40, 1), Beta(5, 5), Beta(1, 20)), (0.96, 0.03, 0.01)),
}


@pytest.mark.parametrize("name", LAWS)
def test_dual_is_above_the_papers_bound_at_equal_budget(name: str) -> None:
    law, rng = LAWS[name], np.random.default_rng(31)
    for _ in range(3):
        pilot, sample = law.histogram(rng, 1_000, LEVELS), law.histogram(rng, 9_000, LEVELS)
        dual = dual_lower(pilot, sample, r=RADII, alpha=0.001)
        paper = cdf_lower(pilot.merge(sample), r=RADII, alpha=0.001)
        assert np.all(dual >= paper - 0.002)
        assert np.all(dual[RADII >= 1.0] > paper[RADII >= 1.0])


@pytest.mark.parametrize("name", CONFIDENT)
def test_dual_with_a_tenth_of_the_samples_is_above_the_papers_bound(name: str) -> None:
    law, rng = CONFIDENT[name], np.random.default_rng(32)
    dual = dual_lower(law.histogram(rng, 1_000, LEVELS), law.histogram(rng, 9_000, LEVELS), r=RADII[2:4], alpha=0.001)
    paper = cdf_lower(law.histogram(rng, 100_000, LEVELS), r=RADII[2:4], alpha=0.001)
    assert np.all(dual > paper)


@pytest.mark.parametrize("name", CONFIDENT)
def test_dual_with_four_thousand_samples_reaches_the_papers_bound(name: str) -> None:
    law, rng, repeats = CONFIDENT[name], np.random.default_rng(33), 4
    shifts = RADII[2:4]
    dual = np.mean(
        [
            dual_lower(law.histogram(rng, 400, LEVELS), law.histogram(rng, 3_600, LEVELS), r=shifts, alpha=0.001)
            for _ in range(repeats)
        ],
        axis=0,
    )
    paper = cdf_lower(law.histogram(rng, 100_000, LEVELS), r=shifts, alpha=0.001)
    assert np.all(dual >= paper)


def test_dual_closes_most_of_the_distance_to_the_known_distribution() -> None:
    shares = []
    for law in CONFIDENT.values():
        rng = np.random.default_rng(34)
        truth = np.array([law.theta(r) for r in (1.0, 2.0, 3.0)])
        shifts = np.array([1.0, 2.0, 3.0])
        dual = dual_lower(law.histogram(rng, 5_000, LEVELS), law.histogram(rng, 95_000, LEVELS), r=shifts, alpha=0.001)
        paper = cdf_lower(law.histogram(rng, 100_000, LEVELS), r=shifts, alpha=0.001)
        shares.append((dual - paper) / (truth - paper))
    mean = np.mean(shares, axis=0)
    assert mean[:2].mean() >= 0.90
    assert mean[2] >= 0.74


@pytest.mark.parametrize("name", ["Beta(20, 1)", "two atoms"])
def test_upper_bounds_say_something(name: str) -> None:
    law, rng = LAWS[name], np.random.default_rng(35)
    certificate = ScoreCertificate(law.histogram(rng, 1_000, LEVELS), law.histogram(rng, 9_000, LEVELS), 1.0, 0.001)
    for bound, slack in (("dual", 0.01), ("clopper_pearson", 0.02), ("cdf", 0.04), ("hoeffding", 0.06)):
        upper = certificate.upper(0.0, bound)[0]
        assert law.theta(0.0) <= upper <= law.theta(0.0) + slack
    flat = ScoreCertificate(
        Beta(2, 2).histogram(rng, 1_000, LEVELS), Beta(2, 2).histogram(rng, 9_000, LEVELS), 1.0, 0.001
    )
    assert Beta(2, 2).theta(-1.0) <= flat.upper(1.0)[0] <= Beta(2, 2).theta(-1.0) + 0.02


def test_there_is_no_wall_for_dual_and_clopper_pearson() -> None:
    rng, law = np.random.default_rng(36), Atoms((1.0,), (1.0,))
    certificate = ScoreCertificate(law.histogram(rng, 1_000, LEVELS), law.histogram(rng, 99_000, LEVELS), 1.0, 0.001)
    assert certificate.radius(0.5, "cdf") < 2.53  # the wall of the paper's band
    assert certificate.radius(0.5, "hoeffding") < 2.53
    assert certificate.radius(0.5, "clopper_pearson") > 3.3
    assert certificate.radius(0.5, "dual") > 3.75  # 3.81 is what class votes alone reach


def test_the_clopper_pearson_band_is_tighter_than_dkw_near_the_ends() -> None:
    counts = np.array([50, 100, 9_800, 9_900, 10_000])
    exact = clopper_pearson_survival_lower(counts, n=10_000, alpha=0.001)
    dkw = dkw_survival_lower(counts, n=10_000, alpha=0.001)
    assert np.all(exact > dkw)
    assert 1.0 - exact[-1] < (1.0 - dkw[-1]) / 10


def test_dual_without_a_pilot_still_says_something() -> None:
    rng, law = np.random.default_rng(37), Beta(20, 1)
    lower = dual_lower(law.histogram(rng, 0, LEVELS), law.histogram(rng, 10_000, LEVELS), r=RADII, alpha=0.001)
    paper = cdf_lower(law.histogram(rng, 10_000, LEVELS), r=RADII, alpha=0.001)
    assert np.all(lower[2:] > paper[2:])
    assert lower[0] > law.theta(0.0) - 0.02


def test_the_certified_radius_is_close_to_the_true_one() -> None:
    rng, law = np.random.default_rng(38), Beta(20, 1)
    certificate = ScoreCertificate(law.histogram(rng, 1_000, LEVELS), law.histogram(rng, 9_000, LEVELS), 1.0, 0.001)
    assert law.theta(certificate.radius(0.8)) - 0.8 < 0.06
