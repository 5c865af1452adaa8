"""The paper's method: a band on the survival function of the score, shifted threshold by threshold."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from smoothcert._check import check_choice, check_radii
from smoothcert.bounds._shift import shifted_probability
from smoothcert.bounds.bands import clopper_pearson_survival_lower, dkw_survival_lower
from smoothcert.bounds.thresholds import DEFAULT_THRESHOLDS, place_thresholds
from smoothcert.errors import InvalidArgumentError
from smoothcert.histogram import ScoreHistogram
from smoothcert.typing import FloatArray

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
    shifts = check_radii(r, name="r")[:, None]
    check_choice("band", band, tuple(BANDS))
    counts = sample.survival_counts
    at = place_thresholds(counts, placement=placement, thresholds=thresholds)
    probabilities = BANDS[band](counts[at], n=sample.n, alpha=alpha)
    widths = np.diff(sample.points[at], prepend=sample.lower)
    useful = probabilities > 0.0  # g_r(0) = 0
    shifted = shifted_probability(probabilities[useful], shifts)
    return np.clip(sample.lower + shifted @ widths[useful], sample.lower, sample.upper)
