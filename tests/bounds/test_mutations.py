"""Planted bugs: the counting that passes for the bounds as they are must fail for each of these.

====================================  ==========================================================================
bug                                   caught here by
====================================  ==========================================================================
a third of ``log(1 / alpha)`` paid    ``test_a_third_of_the_price``
the class chosen on reused samples    ``test_a_class_selected_on_the_samples_that_certify_it``
wrong constant of the tangent         ``test_a_tangent_that_is_no_tangent``
looks at growing n without a price    ``test_looks_that_cost_nothing``
scores rounded up for a lower bound   ``test_rounding_the_wrong_way``
a band that is only pointwise         ``test_a_band_that_holds_at_one_threshold_at_a_time``
the sequential test as a fixed test   ``test_stopping_a_fixed_test_when_it_pleases``
====================================  ==========================================================================
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import smoothcert.bounds.plan
from bounds.truth import Atoms, Beta
from bounds.validity import drawn, lower_of, too_often, wrong_lower
from smoothcert.bounds import clopper_pearson_lower, clopper_pearson_survival_lower, dkw_survival_lower
from smoothcert.bounds.shift import Tangent, tangent_at

ALPHA = 0.05
LAW = Atoms((0.0, 1.0), (0.1, 0.9))


def dual_is_caught(alpha: float = ALPHA, *, seed: int = 0, r: float = 1.0) -> bool:
    """The check of ``test_validity.py`` on the dual bound as it is at the moment, promising ``ALPHA``."""
    pilots, samples = drawn(LAW, np.random.default_rng(seed), n0=50, n=300, repeats=150, levels=100)
    wrong = wrong_lower(LAW, lower_of("dual", pilots, samples, alpha, (r,)), (r,))
    return too_often(int(wrong.sum()), len(samples), ALPHA)


def test_the_bound_as_it_is_passes() -> None:
    assert not dual_is_caught()


def test_a_third_of_the_price() -> None:
    """The capital has to reach ``1 / alpha``; here its cube root is enough."""
    assert dual_is_caught(alpha=ALPHA ** (1.0 / 3.0))


def test_a_class_selected_on_the_samples_that_certify_it() -> None:
    """The pilot reused: thirty classes of equal truth, and the one that looks best is certified by the same samples.

    Tuning alone on reused samples is no bug that counting can see: the tangents and bets are too smooth to overfit,
    and ``pilot = sample`` was measured wrong less often than alpha. It is still not covered by the proof.
    """
    rng, r, repeats, alpha, law = np.random.default_rng(1), (0.0,), 60, 0.2, Atoms((0.0, 1.0), (0.5, 0.5))
    chosen = []
    for _ in range(repeats):
        classes = [law.histogram(rng, 200, 100) for _ in range(30)]
        chosen.append(max(classes, key=lambda h: h.mean))
    wrong = wrong_lower(law, lower_of("dual", chosen, chosen, alpha, r), r)
    assert too_often(int(wrong.sum()), repeats, alpha)


def test_a_tangent_that_is_no_tangent(monkeypatch: pytest.MonkeyPatch) -> None:
    """``g(p0) + beta p0`` where theory has ``g(p0) - beta p0``."""

    def wrong(weights: np.ndarray, widths: np.ndarray, r: np.ndarray) -> Tangent:
        tangent = tangent_at(weights, widths, r)
        rises = -np.diff(tangent.deficit, axis=-1) * tangent.scale[..., None]
        above = np.cumsum(weights[..., ::-1], axis=-1)[..., ::-1]
        p0 = above[..., 1:] / above[..., :1]
        return dataclasses.replace(tangent, ceiling=tangent.ceiling + 2.0 * np.sum(rises * p0, axis=-1))

    monkeypatch.setattr(smoothcert.bounds.plan, "tangent_at", wrong)
    assert dual_is_caught()


def test_looks_that_cost_nothing() -> None:
    """The best bound of many looks at a growing sample, each made at the full alpha."""
    rng, r, repeats = np.random.default_rng(2), (0.0,), 80
    pilots, samples = drawn(LAW, rng, n0=50, n=50, repeats=repeats, levels=100)
    best = lower_of("dual", pilots, samples, ALPHA, r)
    for _ in range(24):
        samples = [s.merge(LAW.histogram(rng, max(s.n // 8, 10), 100)) for s in samples]
        best = np.maximum(best, lower_of("dual", pilots, samples, ALPHA, r))
    assert too_often(int(wrong_lower(LAW, best, r).sum()), repeats, ALPHA)


def test_rounding_the_wrong_way() -> None:
    """On a coarse grid every score counts for the next grid point above it."""
    law, r, repeats = Beta(5, 1), (0.0,), 60
    pilots, samples = drawn(law, np.random.default_rng(3), n0=100, n=2000, repeats=repeats, levels=10)
    up = [p.rounded_up() for p in pilots], [s.rounded_up() for s in samples]
    for bound in ("dual", "cdf", "hoeffding", "clopper_pearson"):
        assert not too_often(int(wrong_lower(law, lower_of(bound, pilots, samples, ALPHA, r), r).sum()), repeats, ALPHA)
        assert too_often(int(wrong_lower(law, lower_of(bound, *up, ALPHA, r), r).sum()), repeats, ALPHA)


def test_a_band_that_holds_at_one_threshold_at_a_time() -> None:
    """Clopper-Pearson bounds at level alpha, not alpha over the number of counts."""
    rng, n, repeats = np.random.default_rng(4), 200, 300
    values = -np.sort(-rng.random((repeats, n)), axis=1)  # the k-th largest is at survival probability 1 - value
    pointwise = clopper_pearson_lower(np.arange(1, n + 1), n=n, alpha=ALPHA)
    wrong = np.any(pointwise > 1.0 - values + 1e-12, axis=1)
    assert too_often(int(wrong.sum()), repeats, ALPHA)


def test_the_band_as_it_is_passes() -> None:
    rng = np.random.default_rng(5)
    n, repeats = 200, 400
    counts = np.arange(1, n + 1)
    for band in (dkw_survival_lower, clopper_pearson_survival_lower):
        values = -np.sort(-rng.random((repeats, n)), axis=1)
        wrong = np.any(band(counts, n=n, alpha=ALPHA) > 1.0 - values + 1e-12, axis=1)
        assert not too_often(int(wrong.sum()), repeats, ALPHA)


def test_stopping_a_fixed_test_when_it_pleases() -> None:
    """Clopper-Pearson after every batch until it says what one wants to hear."""
    rng, batch, looks, repeats = np.random.default_rng(6), 20, 50, 300
    n = batch * np.arange(1, looks + 1)
    successes = np.cumsum(rng.binomial(batch, 0.9, (repeats, looks)), axis=1)
    wrong = clopper_pearson_lower(successes, n=n, alpha=ALPHA) > 0.9
    assert not too_often(int(wrong[:, -1].sum()), repeats, ALPHA)
    assert too_often(int(wrong.any(axis=1).sum()), repeats, ALPHA)


def test_the_check_itself_can_tell() -> None:
    assert too_often(30, 100, 0.1)
    assert not too_often(14, 100, 0.1)
    assert not too_often(0, 100, 0.1)
