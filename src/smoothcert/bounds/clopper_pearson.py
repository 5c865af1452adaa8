"""Exact binomial bounds, and Cohen's class radius from them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv, ndtri

from smoothcert._check import check_alpha, check_sigma
from smoothcert.errors import InvalidArgumentError
from smoothcert.typing import FloatArray, IntArray


def clopper_pearson_lower(successes: npt.ArrayLike, *, n: npt.ArrayLike, alpha: float) -> FloatArray:
    """Lower confidence bound on a probability from a binomial count.

    Each returned value is at most the success probability with probability at least ``1 - alpha`` over the ``n``
    independent trials; one statement for each entry, not all of them at once.

    Args:
        successes: Number of successes, any shape, in ``[0, n]``.
        n: Number of trials, at least 1, broadcast against ``successes``.
        alpha: Failure probability in ``(0, 1)``.

    Returns:
        The broadcast shape, in ``[0, 1]``; 0 where there is no success.

    Raises:
        InvalidArgumentError: If a count is outside ``[0, n]`` or ``alpha`` outside ``(0, 1)``.

    References:
        Clopper and Pearson (1934), Biometrika 26(4), https://doi.org/10.1093/biomet/26.4.404.

    Example:
        >>> float(clopper_pearson_lower(1000, n=1000, alpha=0.001).round(5))
        0.99312
    """
    k, trials = _counts(successes, n)
    level = check_alpha(alpha, at_most=1.0)
    with np.errstate(invalid="ignore"):  # a Beta(0, .) quantile, replaced at once
        quantile = betaincinv(np.maximum(k, 1), trials - k + 1.0, level)
    return np.asarray(np.where(k == 0, 0.0, quantile), dtype=np.float64)


def clopper_pearson_upper(successes: npt.ArrayLike, *, n: npt.ArrayLike, alpha: float) -> FloatArray:
    """Upper confidence bound on a probability from a binomial count: the mirror of :func:`clopper_pearson_lower`.

    Example:
        >>> float(clopper_pearson_upper(0, n=1000, alpha=0.001).round(5))
        0.00688
    """
    k, trials = _counts(successes, n)
    return np.asarray(1.0 - clopper_pearson_lower(trials - k, n=trials, alpha=alpha), dtype=np.float64)


def class_radius(votes: npt.ArrayLike, *, n: npt.ArrayLike, sigma: float, alpha: float) -> FloatArray:
    """Radius within which the majority class of the smoothed classifier cannot change; 0 where it abstains.

    With probability at least ``1 - alpha`` over the ``n`` samples, no shift of L2 norm below the returned radius
    changes the class with the most votes. ``sigma Phi^-1(p)`` for the Clopper-Pearson lower bound ``p`` on the
    probability of the class, where ``p > 1/2``.

    Args:
        votes: Number of samples whose highest score is the class selected beforehand, any shape.
        n: Number of samples, broadcast against ``votes``.
        sigma: Standard deviation of the noise, in input units.
        alpha: Failure probability in ``(0, 1/2]``.

    Returns:
        The broadcast shape, in input units.

    Raises:
        InvalidArgumentError: If an argument is outside its domain.

    References:
        Cohen, Rosenfeld and Kolter (2019), Section 3.2.2, https://arxiv.org/abs/1902.02918.

    Example:
        >>> float(class_radius(99_999, n=100_000, sigma=0.25, alpha=0.001).round(3))
        0.935
    """
    scale = check_sigma(sigma)
    p = clopper_pearson_lower(votes, n=n, alpha=check_alpha(alpha))
    return np.asarray(np.where(p > 0.5, scale * ndtri(np.maximum(p, 0.5)), 0.0), dtype=np.float64)


def _counts(successes: npt.ArrayLike, n: npt.ArrayLike) -> tuple[IntArray, IntArray]:
    k, trials = np.asarray(successes), np.asarray(n)
    if not (np.issubdtype(k.dtype, np.integer) and np.issubdtype(trials.dtype, np.integer)):
        raise InvalidArgumentError(f"successes and n must be integers; got dtypes {k.dtype} and {trials.dtype}")
    if np.any(trials < 1) or np.any(k < 0) or np.any(k > trials):
        raise InvalidArgumentError(f"successes must lie in [0, n] with n >= 1; got successes={successes!r}, n={n!r}")
    return k.astype(np.int64), trials.astype(np.int64)
