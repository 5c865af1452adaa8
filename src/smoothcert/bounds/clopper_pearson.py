"""Exact binomial bounds, and class radii from them: of one class against all others, or against each."""

from __future__ import annotations

from dataclasses import dataclass

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


def pairwise_class_radius(
    votes: npt.ArrayLike, rival_votes: npt.ArrayLike, *, n: npt.ArrayLike, sigma: float, alpha: float
) -> FloatArray:
    """Class radius from the votes of the class against those of each rival; 0 where nothing is certified.

    With probability at least ``1 - alpha`` over the ``n`` samples, no shift of L2 norm below the returned radius makes
    another class more probable than this one. For one rival ``j`` fixed beforehand, a lower bound ``p`` on the
    probability of the class and an upper bound ``q`` on that of ``j``, each at ``alpha / 2``, give
    ``sigma (Phi^-1(p) - Phi^-1(q)) / 2``, and the least of these over all rivals needs no union bound: it is too large
    only if that of one fixed rival is, the one with the smallest true radius (intersection-union test). The least is
    that of the rival with the most votes, so only its votes are asked for.

    Args:
        votes: Number of samples whose highest score is the class selected beforehand, any shape.
        rival_votes: The largest number of votes of another class among the same samples.
        n: Number of samples.
        sigma: Standard deviation of the noise, in input units.
        alpha: Failure probability in ``(0, 1/2]``.

    Returns:
        The broadcast shape, in input units.

    Raises:
        InvalidArgumentError: If an argument is outside its domain.

    References:
        Cohen, Rosenfeld and Kolter (2019), Theorem 1; Berger (1982), Technometrics 24(4).

    Example:
        >>> float(pairwise_class_radius(900, 50, n=1_000, sigma=1.0, alpha=0.001).round(3))
        1.266
        >>> float(class_radius(900, n=1_000, sigma=1.0, alpha=0.001).round(3))
        1.114
    """
    scale, each = check_sigma(sigma), check_alpha(alpha) / 2
    p = clopper_pearson_lower(votes, n=n, alpha=each)
    q = clopper_pearson_upper(rival_votes, n=n, alpha=each)
    gap = np.where(p > q, ndtri(np.maximum(p, 1e-300)) - ndtri(np.minimum(q, 1.0 - 1e-16)), 0.0)
    return np.asarray(np.maximum(0.5 * scale * gap, 0.0), dtype=np.float64)


@dataclass(frozen=True)
class TopVotes:
    """Votes of the selected class and of its strongest rival, in both stages; one per input or one number each.

    Args:
        pilot: Votes of the class in the pilot.
        pilot_rival: Most votes of another class in the pilot.
        n0: Number of pilot samples.
        sample: Votes of the class among the estimation samples.
        sample_rival: Most votes of another class among the estimation samples.
        n: Number of estimation samples.
    """

    pilot: npt.ArrayLike
    pilot_rival: npt.ArrayLike
    n0: npt.ArrayLike
    sample: npt.ArrayLike
    sample_rival: npt.ArrayLike
    n: npt.ArrayLike

    def by_pairs(self, *, alpha: float) -> npt.NDArray[np.bool_]:
        """Whether the pilot promises a larger radius from pairs of classes than from the class alone."""
        n, n0 = (np.asarray(size, dtype=np.int64) for size in (self.n, self.n0))
        # As many votes as the pilot has in proportion, its rival's rounded up; without a pilot the rival has all.
        share = n / np.maximum(n0, 1)
        own = np.floor(np.asarray(self.pilot) * share).astype(np.int64)
        rival = np.where(n0 > 0, np.ceil(np.asarray(self.pilot_rival) * share), n).astype(np.int64)
        pairs = pairwise_class_radius(own, np.minimum(rival, n - own), n=n, sigma=1.0, alpha=alpha)
        return np.asarray((n0 > 0) & (pairs > class_radius(own, n=n, sigma=1.0, alpha=alpha)))

    def class_radius(self, *, sigma: float, alpha: float, offset: npt.ArrayLike = 0.0) -> FloatArray:
        """Radius within which the class cannot change, by the way that the pilot promises more of.

        With probability at least ``1 - alpha`` over the estimation samples, no change of the input of L2 norm below the
        returned radius makes another class the most probable one. By :func:`class_radius` the class keeps more than
        half of the votes; by :func:`pairwise_class_radius` it keeps more than any other. Which of the two is used is
        settled by the pilot, which is independent of the estimation samples, so the choice costs nothing.

        Args:
            sigma: Standard deviation of the noise, in input units.
            alpha: Failure probability in ``(0, 1/2]``.
            offset: L2 distance from the input to the point that was sampled around: the radius shrinks by it.

        Returns:
            The shape of the votes, in input units; 0 where the class is not certified at the input itself.
        """
        alone = class_radius(self.sample, n=self.n, sigma=sigma, alpha=alpha)
        pairs = pairwise_class_radius(self.sample, self.sample_rival, n=self.n, sigma=sigma, alpha=alpha)
        return np.asarray(np.maximum(np.where(self.by_pairs(alpha=alpha), pairs, alone) - offset, 0.0))


def _counts(successes: npt.ArrayLike, n: npt.ArrayLike) -> tuple[IntArray, IntArray]:
    k, trials = np.asarray(successes), np.asarray(n)
    if not (np.issubdtype(k.dtype, np.integer) and np.issubdtype(trials.dtype, np.integer)):
        raise InvalidArgumentError(f"successes and n must be integers; got dtypes {k.dtype} and {trials.dtype}")
    if np.any(trials < 1) or np.any(k < 0) or np.any(k > trials):
        raise InvalidArgumentError(f"successes must lie in [0, n] with n >= 1; got successes={successes!r}, n={n!r}")
    return k.astype(np.int64), trials.astype(np.int64)
