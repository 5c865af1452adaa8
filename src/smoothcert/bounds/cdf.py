"""The paper's method: a band on the survival function of the score, shifted threshold by threshold."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from smoothcert._check import check_choice, check_radii
from smoothcert.bounds._shift import shifted_probability
from smoothcert.bounds.bands import clopper_pearson_survival_lower, dkw_survival_lower
from smoothcert.bounds.stack import HistogramStack
from smoothcert.bounds.thresholds import DEFAULT_THRESHOLDS, place_thresholds
from smoothcert.errors import InvalidArgumentError
from smoothcert.histogram import ScoreHistogram
from smoothcert.typing import FloatArray, IntArray

BANDS: dict[str, Callable[..., FloatArray]] = {
    "dkw": dkw_survival_lower,
    "clopper_pearson": clopper_pearson_survival_lower,
}


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
    if sample.n == 0:
        raise InvalidArgumentError("sample must hold at least one sample; it is empty")
    shifts = check_radii(r, name="r")
    check_choice("band", band, tuple(BANDS))
    counts = sample.survival_counts
    at = place_thresholds(counts, placement=placement, thresholds=thresholds)
    if sample.counts[0]:
        at = np.append(0, at)  # adds nothing, and leaves no case without a threshold
    widths = np.diff(sample.points[at], prepend=sample.lower)
    start = np.zeros(1, dtype=np.int64)
    lower = _integrals(counts[at], widths, start, shifts, n=sample.n, alpha=alpha, band=band)[0]
    return np.asarray(np.clip(sample.lower + lower, sample.lower, sample.upper))


def cdf_lower_many(
    samples: HistogramStack, *, r: FloatArray, alpha: float, band: str = "dkw", placement: str = "equal_mass"
) -> FloatArray:
    """:func:`cdf_lower` of many inputs, shape ``(inputs, radii)``.

    A band is a table from the number of samples at or above a threshold to a probability, and inputs share it: what is
    shifted is the table and not every input's probabilities.
    """
    samples.require_samples()
    shifts = check_radii(r, name="r")
    n, sizes, first = int(samples.n[0]), np.diff(samples.starts), samples.starts[:-1]
    if (samples.n != n).any() or (placement != "all" and sizes.max() > DEFAULT_THRESHOLDS):
        return np.stack([cdf_lower(h, r=r, alpha=alpha, band=band, placement=placement) for h in samples.each()])
    heights = samples.points[samples.cells]
    widths = np.diff(heights, prepend=samples.lower)
    widths[first] = heights[first] - samples.lower
    through = np.cumsum(samples.counts) - samples.counts  # samples before each cell, of this input and earlier ones
    at_or_above = n - (through - np.repeat(through[first], sizes))
    lower = _integrals(at_or_above, widths, first, shifts, n=n, alpha=alpha, band=band)
    return np.clip(samples.lower + lower, samples.lower, samples.upper)


def _integrals(
    at_or_above: IntArray, widths: FloatArray, first: IntArray, shifts: FloatArray, *, n: int, alpha: float, band: str
) -> FloatArray:
    """Shifted probabilities times widths, summed from each of ``first`` to the next; shape ``(first, shifts)``."""
    if n <= at_or_above.size:  # many inputs: a table over all counts costs less than sorting those that occur
        present = np.bincount(at_or_above, minlength=n + 1) > 0
        counts, where = np.flatnonzero(present), (np.cumsum(present) - 1)[at_or_above]
    else:
        counts, where = np.unique(at_or_above, return_inverse=True)
    probabilities = BANDS[band](counts, n=n, alpha=alpha)
    sums = np.empty((first.size, shifts.size))
    for column, shift in enumerate(shifts):
        sums[:, column] = np.add.reduceat(shifted_probability(probabilities, shift)[where] * widths, first)
    return sums
