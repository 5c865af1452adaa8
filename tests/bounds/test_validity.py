"""No bound is above the truth more often than alpha: fixed n, both sides, radius search, joint statements, interval.

The pilots are drawn anew in every repeat, or fixed and wrong (``test_adversarial.py``).
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, norm

from bounds.truth import Atoms, Beta, Law, Mixture, Probit
from bounds.validity import (
    ROUNDING,
    SHIFTS,
    drawn,
    lower_of,
    too_often,
    upper_of,
    wrong_lower,
    wrong_upper,
)
from smoothcert.bounds import BOUNDS, ScoreCertificate, class_radius, clopper_pearson_lower, clopper_pearson_upper

LAWS: dict[str, Law] = {
    "probit": Probit(0.8, 0.4),
    "confident beta": Beta(20, 1),
    "u-shaped beta": Beta(0.5, 0.2),
    "flat beta": Beta(2, 2),
    "rare zero": Atoms((0.0, 1.0), (0.03, 0.97)),
    "coin": Atoms((0.0, 1.0), (0.5, 0.5)),
    "three atoms": Atoms((0.0, 0.5, 1.0), (0.02, 0.28, 0.7)),
    "far tail": Mixture((Beta(30, 1), Beta(5, 5), Atoms((0.0,), (1.0,))), (0.9, 0.08, 0.02)),
    "margin": Atoms((-1.0, 0.2, 1.0), (0.05, 0.25, 0.7), lower=-1.0),
}
#          n0   n     alpha  repeats of the dual bound
SETTINGS = [(20, 60, 0.2, 160), (0, 200, 0.1, 64), (100, 1000, 0.05, 32)]


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("name", LAWS)
def test_at_most_alpha_of_the_bounds_are_wrong(bound: str, name: str) -> None:
    law = LAWS[name]
    rng = np.random.default_rng([BOUNDS.index(bound), list(LAWS).index(name)])
    for n0, n, alpha, repeats in SETTINGS:
        pilots, samples = drawn(law, rng, n0=n0, n=n, repeats=repeats, levels=400)
        low = wrong_lower(law, lower_of(bound, pilots, samples, alpha))
        high = wrong_upper(law, upper_of(bound, pilots, samples, alpha))
        if bound == "dual":  # a statement about one radius at a time
            worst = max(low.sum(axis=0).max(), high.sum(axis=0).max())
        else:  # a statement about all radii at once
            worst = max(low.any(axis=1).sum(), high.any(axis=1).sum())
        assert not too_often(worst, repeats, alpha), (n0, n, alpha, low.mean(axis=0), high.mean(axis=0))


def test_dual_joint_radii_and_both_sides_hold_together() -> None:
    law, alpha, repeats = Atoms((0.0, 1.0), (0.04, 0.96)), 0.2, 150
    pilots, samples = drawn(law, np.random.default_rng(5), n0=20, n=150, repeats=repeats, levels=400)
    together = alpha / (2 * len(SHIFTS))
    wrong = wrong_lower(law, lower_of("dual", pilots, samples, together)).any(axis=1)
    wrong |= wrong_upper(law, upper_of("dual", pilots, samples, together)).any(axis=1)
    assert not too_often(int(wrong.sum()), repeats, alpha)
    certificate = ScoreCertificate(pilots[0], samples[0], 0.5, alpha)
    low, high = certificate.interval(np.multiply(SHIFTS, 0.5), joint=True)
    np.testing.assert_allclose(low, lower_of("dual", pilots[:1], samples[:1], together)[0], atol=1e-7)
    np.testing.assert_allclose(high, upper_of("dual", pilots[:1], samples[:1], together)[0], atol=1e-7)


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize(
    ("law", "threshold"),
    [(Atoms((0.0, 1.0), (0.05, 0.95)), 0.6), (Beta(5, 1), 0.5), (Probit(0.8, 0.4), 0.55)],
    ids=["atoms", "beta", "probit"],
)
def test_the_certified_radius_of_a_threshold_is_rarely_too_large(bound: str, law: Law, threshold: float) -> None:
    alpha, repeats, rng = 0.2, 30 if bound == "dual" else 60, np.random.default_rng([7, BOUNDS.index(bound)])
    pilots, samples = drawn(law, rng, n0=20, n=200, repeats=repeats, levels=400)
    wrong = positive = 0
    for pilot, sample in zip(pilots, samples, strict=True):
        radius = ScoreCertificate(pilot, sample, 0.25, alpha).radius(threshold, bound)
        positive += radius > 0.0
        wrong += radius > 0.0 and law.theta(radius / 0.25) <= threshold - ROUNDING
    assert not too_often(wrong, repeats, alpha)
    assert positive > repeats / 2  # or the test says nothing


def test_the_dual_radius_is_rarely_too_large_where_the_first_false_radius_is_zero() -> None:
    law, alpha, repeats = Atoms((0.0, 1.0), (0.05, 0.95)), 0.2, 40
    threshold = law.theta(0.0)  # "above the threshold" is false at every radius
    pilots, samples = drawn(law, np.random.default_rng(8), n0=100, n=100, repeats=repeats, levels=100)
    wrong = sum(
        ScoreCertificate(p, s, 1.0, alpha).radius(threshold) > 0.0 for p, s in zip(pilots, samples, strict=True)
    )
    assert not too_often(wrong, repeats, alpha)


@pytest.mark.parametrize("p", [0.02, 0.5, 0.9, 0.999])
def test_binomial_bounds_are_exact_by_enumeration(p: float) -> None:
    for n in (1, 7, 60, 300):
        counts = np.arange(n + 1)
        chances = binom.pmf(counts, n, p)
        for alpha in (0.001, 0.05, 0.4):
            assert chances[clopper_pearson_lower(counts, n=n, alpha=alpha) > p].sum() <= alpha + 1e-12
            assert chances[clopper_pearson_upper(counts, n=n, alpha=alpha) < p].sum() <= alpha + 1e-12
            true_radius = max(0.25 * float(norm.ppf(p)), 0.0)
            radii = class_radius(counts, n=n, sigma=0.25, alpha=alpha)
            assert chances[radii > true_radius + 1e-12].sum() <= alpha + 1e-12
