"""The paper's method: a band on the survival function of the score, shifted threshold by threshold."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np
from scipy.special import expit, logit

from smoothcert._check import check_alpha, check_choice, check_count, check_radii
from smoothcert.bounds.clopper_pearson import clopper_pearson_lower
from smoothcert.bounds.shift import shifted_probability
from smoothcert.bounds.stack import HistogramStack
from smoothcert.errors import InvalidArgumentError
from smoothcert.histogram import ScoreHistogram
from smoothcert.typing import FloatArray, IntArray

PLACEMENTS = ("equal_mass", "uniform", "all")
DEFAULT_THRESHOLDS = 10_000


def dkw_survival_lower(counts: IntArray, *, n: int, alpha: float) -> FloatArray:
    r"""Lower confidence band on the survival function by the Dvoretzky-Kiefer-Wolfowitz inequality.

    With probability at least ``1 - alpha`` over the i.i.d. samples, ``P(h >= t)`` is at least the returned value for
    every threshold ``t`` at once, hence for every radius at once.

    Args:
        counts: Number of samples at or above each threshold, any shape, in ``[0, n]``.
        n: Number of samples, at least 1.
        alpha: Failure probability in ``(0, 0.5]``; the one-sided constant needs ``alpha <= 1/2``.

    Returns:
        The shape of ``counts``, in ``[0, 1]``.

    Raises:
        InvalidArgumentError: If an argument is outside its domain.

    References:
        Massart (1990), Annals of Probability 18(3), https://doi.org/10.1214/aop/1176990746; Kumar et al. (2020),
        https://arxiv.org/abs/2009.08061.

    Example:
        >>> dkw_survival_lower(np.array([4, 3, 2, 1]), n=4, alpha=0.5).round(3)
        array([0.706, 0.456, 0.206, 0.   ])
    """
    _check_counts(counts, n)
    epsilon = math.sqrt(-math.log(check_alpha(alpha)) / (2 * n))
    return np.maximum(counts / n - epsilon, 0.0)


def clopper_pearson_survival_lower(counts: IntArray, *, n: int, alpha: float, knots: int = 64) -> FloatArray:
    r"""Lower confidence band on the survival function by exact binomial bounds at ``knots`` fixed counts.

    With probability at least ``1 - alpha`` over the i.i.d. samples, ``P(h >= t)`` is at least the returned value for
    every threshold ``t`` at once. At the ``k``-th largest sample the survival function is at least a Beta(k, n - k + 1)
    variable, so the Clopper-Pearson bound at level ``alpha / knots`` holds for all thresholds with at least ``k``
    samples above them; a count between two knots takes the lower one. Far tighter than the DKW band near 0 and 1.

    Args:
        counts: Number of samples at or above each threshold, any shape, in ``[0, n]``.
        n: Number of samples, at least 1.
        alpha: Failure probability in ``(0, 0.5]``.
        knots: Number of fixed counts, spaced evenly in the logit of ``k / n`` and always including ``n``.

    Returns:
        The shape of ``counts``, in ``[0, 1]``.

    Raises:
        InvalidArgumentError: If an argument is outside its domain.

    Example:
        >>> clopper_pearson_survival_lower(np.array([1000, 990, 500, 0]), n=1000, alpha=0.001).round(3)
        array([0.989, 0.968, 0.434, 0.   ])
    """
    _check_counts(counts, n)
    at, bounds = _clopper_pearson_table(n, check_alpha(alpha), check_count("knots", knots))
    below = np.searchsorted(at, counts, side="right") - 1
    return np.asarray(np.where(below >= 0, bounds[np.maximum(below, 0)], 0.0), dtype=np.float64)


@lru_cache(maxsize=64)
def _clopper_pearson_table(n: int, alpha: float, knots: int) -> tuple[IntArray, FloatArray]:
    """Fixed counts, ascending, and their bounds; the counts depend on nothing but ``n`` and ``knots``."""
    edge = logit(n / (n + 1.0))
    at = np.unique(np.append(np.rint(n * expit(np.linspace(-edge, edge, knots - 1))), n)).astype(np.int64)
    at = at[at > 0]
    return at, clopper_pearson_lower(at, n=n, alpha=alpha / at.size)


def _check_counts(counts: IntArray, n: int) -> None:
    check_count("n", n)
    if counts.size and (counts.min() < 0 or counts.max() > n):
        raise InvalidArgumentError(f"counts must lie in [0, n]; got {counts.min()} to {counts.max()} with n={n}")


BANDS: dict[str, Callable[..., FloatArray]] = {
    "dkw": dkw_survival_lower,
    "clopper_pearson": clopper_pearson_survival_lower,
}


def place_thresholds(
    survival_counts: IntArray, *, placement: str = "equal_mass", thresholds: int = DEFAULT_THRESHOLDS
) -> IntArray:
    """Grid indices of the thresholds, ascending, without repeats.

    Args:
        survival_counts: Number of samples at or above each grid point, shape ``(levels + 1,)``, non-increasing.
        placement: ``"equal_mass"``: each interval holds the same number of samples, as the paper places them;
            ``"uniform"``: evenly spaced over the range; ``"all"``: every grid point that changes the result.
        thresholds: How many at most; ignored by ``"all"``.

    Returns:
        Shape ``(m,)`` with ``m <= thresholds``, indices of grid points above the lowest.

    Raises:
        InvalidArgumentError: If the placement is unknown or there is no threshold.

    References:
        Kumar et al. (2020), Section 4.1, https://arxiv.org/abs/2009.08061.

    Example:
        >>> counts = np.array([8, 8, 7, 3, 3, 1])
        >>> place_thresholds(counts, placement="all")
        array([1, 2, 4, 5])
        >>> place_thresholds(counts, placement="equal_mass", thresholds=2)
        array([1, 2])
        >>> place_thresholds(counts, placement="uniform", thresholds=2)
        array([2, 5])
    """
    check_choice("placement", placement, PLACEMENTS)
    m = check_count("thresholds", thresholds)
    levels = survival_counts.size - 1
    if placement == "uniform":
        return np.unique((np.arange(1, m + 1) * levels) // m)[int(m > levels) :]
    # The survival function is flat up to each grid point where the count drops: only the last of a flat piece counts.
    last_of_flat = np.append(survival_counts[1:] != survival_counts[:-1], survival_counts[-1] > 0)
    distinct = np.flatnonzero(last_of_flat)
    distinct = distinct[distinct > 0]
    if placement == "all" or distinct.size <= m:
        return distinct
    # Each threshold is the highest grid point with at least n, n (m - 1) / m, ..., n / m samples at or above it.
    wanted = np.maximum((np.arange(m, 0, -1) * int(survival_counts[0])) // m, 1)
    from_top = np.searchsorted(survival_counts[::-1], wanted, side="left")
    chosen = np.unique(levels - from_top)
    return chosen[chosen > 0]


def cdf_lower(
    sample: ScoreHistogram,
    *,
    r: FloatArray,
    alpha: float,
    band: str = "dkw",
    placement: str = "equal_mass",
    thresholds: int = DEFAULT_THRESHOLDS,
) -> FloatArray:
    r"""Lower bound on the smoothed score under every shift, from the distribution of the score.

    With probability at least ``1 - alpha`` over the i.i.d. samples, ``E[h(x + delta + eps)]`` is at least the returned
    value for every shift ``|delta|_2 <= r sigma``, for all ``r`` at once. With thresholds ``s_1 <= ... <= s_m`` and
    lower bounds ``p_i`` on the survival function there, the value is
    ``a + (s_1 - a) g_r(p_1) + sum_i (s_{i+1} - s_i) g_r(p_{i+1})``.

    Args:
        sample: Scores of the estimation samples, at least one.
        r: Radii in units of sigma, shape ``(radii,)``.
        alpha: Failure probability in ``(0, 1/2]``.
        band: ``"dkw"`` (the paper's) or ``"clopper_pearson"``.
        placement: ``"equal_mass"`` (the paper's), ``"uniform"`` or ``"all"``.
        thresholds: Number of thresholds at most.

    Returns:
        Shape ``(radii,)``, in ``[sample.lower, sample.upper]``.

    Raises:
        InvalidArgumentError: If there is no sample or an argument is outside its domain.

    References:
        Kumar et al. (2020), Theorem 2, https://arxiv.org/abs/2009.08061.

    Example:
        >>> h = ScoreHistogram.from_samples([0.9] * 1000, lower=0.0, upper=1.0)
        >>> cdf_lower(h, r=np.array([0.0, 1.0]), alpha=0.001).round(3)
        array([0.847, 0.643])
    """
    return np.asarray(
        cdf_lower_many(
            HistogramStack.of([sample]), r=r, alpha=alpha, band=band, placement=placement, thresholds=thresholds
        )[0]
    )


def cdf_lower_many(
    samples: HistogramStack,
    *,
    r: FloatArray,
    alpha: float,
    band: str = "dkw",
    placement: str = "equal_mass",
    thresholds: int = DEFAULT_THRESHOLDS,
) -> FloatArray:
    """:func:`cdf_lower` of many inputs, shape ``(inputs, radii)``.

    A band is a table from the number of samples at or above a threshold to a probability, and inputs share it: what is
    shifted is the table and not every input's probabilities.
    """
    check_choice("band", band, tuple(BANDS))
    check_choice("placement", placement, PLACEMENTS)
    most = check_count("thresholds", thresholds)
    return _lower_many(samples, r=r, alpha=alpha, band=BANDS[band], placement=placement, thresholds=most)


def clopper_pearson_cdf_lower_many(samples: HistogramStack, *, r: FloatArray, alpha: float) -> FloatArray:
    """:func:`cdf_lower_many` by exact binomial bounds; where the grid has but one step, by the only one there is.

    A measure that is 0 or 1, such as a vote, has one threshold: its certified radius is then that of Cohen et al.
    """
    band = clopper_pearson_lower if samples.levels == 1 else clopper_pearson_survival_lower
    return _lower_many(samples, r=r, alpha=alpha, band=band, placement="all", thresholds=1)


def _lower_many(
    samples: HistogramStack,
    *,
    r: FloatArray,
    alpha: float,
    band: Callable[..., FloatArray],
    placement: str,
    thresholds: int,
) -> FloatArray:
    samples.require_samples()
    shifts, level = check_radii(r, name="r"), check_alpha(alpha)
    n = int(samples.n[0])
    if (samples.n != n).any():  # nothing to share
        own = partial(_lower_many, r=r, alpha=alpha, band=band, placement=placement, thresholds=thresholds)
        return np.concatenate([own(one) for one in samples.split()])
    if placement == "uniform" or (placement == "equal_mass" and np.diff(samples.starts).max() > thresholds):
        at, at_or_above, first = _placed(samples, placement, thresholds)
    else:  # every cell that holds a sample
        through = np.cumsum(samples.counts) - samples.counts  # samples before each cell, of this and earlier inputs
        at, first = samples.cells, samples.starts[:-1]
        at_or_above = n - (through - np.repeat(through[first], np.diff(samples.starts)))
    heights = samples.points[at]
    widths = np.diff(heights, prepend=samples.lower)
    widths[first] = heights[first] - samples.lower
    lower = _integrals(at_or_above, widths, first, shifts, n=n, alpha=level, band=band)
    return np.clip(samples.lower + lower, samples.lower, samples.upper)


def _placed(samples: HistogramStack, placement: str, thresholds: int) -> tuple[IntArray, IntArray, IntArray]:
    """Thresholds of all inputs, the samples at or above each, and where each input's begin."""
    at, counts = [], []
    for sample in samples.each():
        survival = sample.survival_counts
        own = place_thresholds(survival, placement=placement, thresholds=thresholds)
        if sample.counts[0]:
            own = np.append(0, own)  # adds nothing, and leaves no input without a threshold
        at.append(own)
        counts.append(survival[own])
    first = np.cumsum([0, *(own.size for own in at[:-1])])
    return np.concatenate(at), np.concatenate(counts), first


def _integrals(
    at_or_above: IntArray,
    widths: FloatArray,
    first: IntArray,
    shifts: FloatArray,
    *,
    n: int,
    alpha: float,
    band: Callable[..., FloatArray],
) -> FloatArray:
    """Shifted probabilities times widths, summed from each of ``first`` to the next; shape ``(first, shifts)``."""
    if n <= at_or_above.size:  # many inputs: a table over all counts costs less than sorting those that occur
        present = np.bincount(at_or_above, minlength=n + 1) > 0
        counts, where = np.flatnonzero(present), (np.cumsum(present) - 1)[at_or_above]
    else:
        counts, where = np.unique(at_or_above, return_inverse=True)
    probabilities = band(counts, n=n, alpha=alpha)
    sums = np.empty((first.size, shifts.size))
    for column, shift in enumerate(shifts):
        sums[:, column] = np.add.reduceat(shifted_probability(probabilities, shift)[where] * widths, first)
    return sums
