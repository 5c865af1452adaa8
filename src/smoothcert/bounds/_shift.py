"""How far a shift of the Gaussian can move the probability of an event."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from smoothcert.typing import FloatArray


def shifted_probability(p: npt.ArrayLike, r: npt.ArrayLike) -> FloatArray:
    r"""Least probability an event can keep when the Gaussian is shifted by at most ``r`` standard deviations.

    ``g_r(p) = Phi(Phi^-1(p) - r)``: for every event ``A`` with ``P(x + eps in A) = p`` and every shift
    ``|delta|_2 <= r sigma``, ``P(x + delta + eps in A) >= g_r(p)``. Non-decreasing in ``p``, non-increasing in ``r``,
    convex in ``p`` for ``r >= 0``. With a negative ``r`` it is the greatest probability.

    Args:
        p: Probabilities in ``[0, 1]``.
        r: Shifts in units of sigma, broadcast against ``p``.

    Returns:
        The broadcast shape, in ``[0, 1]``.

    References:
        Cohen, Rosenfeld and Kolter (2019), Lemma 4, https://arxiv.org/abs/1902.02918.

    Example:
        >>> shifted_probability([0.0, 0.5, 0.99, 1.0], 1.0).round(4)
        array([0.    , 0.1587, 0.9076, 1.    ])
    """
    shifted: FloatArray = ndtr(ndtri(np.asarray(p, dtype=np.float64)) - np.asarray(r, dtype=np.float64))
    return shifted


def log_slope(z: npt.ArrayLike, r: npt.ArrayLike) -> npt.NDArray[Any]:
    """Logarithm of the slope of ``g_r`` at ``p = Phi(z)``: ``r z - r^2 / 2``; finite where the slope overflows."""
    shift = np.asarray(r, dtype=np.float64)
    return np.asarray(shift * np.asarray(z, dtype=np.float64) - 0.5 * shift * shift)
