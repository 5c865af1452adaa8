"""Counting wrong statements: how often a bound is above the truth, and whether that is more often than alpha."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import binom

from bounds.truth import Law
from smoothcert.bounds import lower_bounds, upper_bounds
from smoothcert.histogram import ScoreHistogram

SHIFTS = (0.0, 0.5, 1.0, 2.0, 3.0)
ROUNDING = 1e-10  # float64 rounding of a bound and of the truth: six orders below a grid step
SIGNIFICANCE = 1e-4  # of one check; the seeds are fixed, so this decides what is a bug and not how flaky the test is

Histograms = list[ScoreHistogram]


def too_often(wrong: int, repeats: int, alpha: float) -> bool:
    """Whether ``wrong`` statements in ``repeats`` contradict a failure probability of at most ``alpha``."""
    return bool(binom.sf(wrong - 1, repeats, alpha) < SIGNIFICANCE)


def drawn(
    law: Law, rng: np.random.Generator, *, n0: int, n: int, repeats: int, levels: int, pilot_law: Law | None = None
) -> tuple[Histograms, Histograms]:
    """Pilots and estimation samples of independent inputs."""
    pilots = [(pilot_law or law).histogram(rng, n0, levels) for _ in range(repeats)]
    return pilots, [law.histogram(rng, n, levels) for _ in range(repeats)]


def lower_of(
    bound: str, pilots: Histograms, samples: Histograms, alpha: float, shifts: Sequence[float] = SHIFTS
) -> np.ndarray:
    """Lower bounds, shape ``(inputs, radii)``; each input has a deal of its own."""
    seeds = range(len(samples))
    return lower_bounds(pilots, samples, radii=np.asarray(shifts), sigma=1.0, alpha=alpha, bound=bound, seeds=seeds)


def wrong_lower(law: Law, bounds: np.ndarray, shifts: Sequence[float] = SHIFTS) -> np.ndarray:
    """Which lower bounds are above the truth, shape of ``bounds``."""
    truth = np.array([law.theta(r) for r in shifts])
    return bounds > truth + ROUNDING


def wrong_upper(law: Law, bounds: np.ndarray, shifts: Sequence[float] = SHIFTS) -> np.ndarray:
    """Which upper bounds are below the truth."""
    truth = np.array([law.theta(-r) for r in shifts])
    return bounds < truth - ROUNDING


def upper_of(
    bound: str, pilots: Histograms, samples: Histograms, alpha: float, shifts: Sequence[float] = SHIFTS
) -> np.ndarray:
    """Upper bounds, shape ``(inputs, radii)``; each input has a deal of its own."""
    seeds = range(len(samples))
    return upper_bounds(pilots, samples, radii=np.asarray(shifts), sigma=1.0, alpha=alpha, bound=bound, seeds=seeds)
