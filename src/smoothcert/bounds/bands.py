"""Lower confidence bands on a survival function: a table from the number of samples at or above t to a bound on S(t).

Every band here is simultaneous over all thresholds, hence over all radii.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy.special import expit, logit

from smoothcert._check import check_alpha, check_count
from smoothcert.bounds.clopper_pearson import clopper_pearson_lower
from smoothcert.errors import InvalidArgumentError
from smoothcert.typing import FloatArray, IntArray


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
