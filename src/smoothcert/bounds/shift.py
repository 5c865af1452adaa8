"""How far a shift of the Gaussian moves the probability of an event, and straight lines below and above that.

The shift function ``g_r`` is convex, so it lies above its tangents and below its chords. Integrated along the grid of
scores either becomes the mean of one bounded variable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, ndtr, ndtri

from smoothcert.typing import FloatArray, IntArray

LARGEST_SHIFT = 1e6  # in units of sigma: far below, every bound is at the end of its range already
# Lines are moved by what float64 may have added to them, so that no claim is decided by rounding: a relative error of
# sums, exponentials and normal probabilities, and what becomes of numbers too small for float64.
ROUNDING, UNDERFLOW = 1e-12, 1e-250
# A tangent may touch anywhere, so quantiles are looked up, at the nearest of logarithmic odds in steps of 1/64: the
# error of the bound is of second order in the step. The rarest event is one that float64 can tell from 0 next to 1.
_STEPS, _REACH = 64, 34.5
_ODDS = np.arange(-_STEPS * _REACH, _STEPS * _REACH + 1) / _STEPS
QUANTILES = np.where(_ODDS < 0, 1.0, -1.0) * ndtri(expit(-np.abs(_ODDS)))


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


@dataclass(frozen=True)
class Tangent:
    """A tangent of the shift function along the grid, integrated.

    ``Theta_r(S) - a >= ceiling - scale * E[deficit(X)]`` for every distribution of the score, with ``a`` its lowest
    value. The deficit is 1 at the lowest knot, 0 at the highest and linear between knots. Written downward from the top
    because there the terms are small; upward, the constant and the mean are large numbers that nearly cancel. Measured
    from ``a`` because far out what is left is less than the rounding of ``a``.

    Args:
        ceiling: Shape ``(inputs, radii)``.
        scale: Shape ``(inputs, radii)``, positive.
        deficit: Shape ``(inputs, radii, knots)``.
    """

    ceiling: FloatArray
    scale: FloatArray
    deficit: FloatArray


def tangent_at(weights: FloatArray, widths: FloatArray, r: FloatArray) -> Tangent:
    """Tangent at the survival function of a distribution on the knots.

    Args:
        weights: Masses in proportion, shape ``(inputs, radii, knots)`` or broadcast to it.
        widths: Distances between knots, shape ``(inputs, 1, knots - 1)``.
        r: Radii in units of sigma, shape ``(radii, 1)``.
    """
    at = nearest_quantiles(weights)
    scale, deficit = _integrate(_looked_up(_slope, at, r), widths)
    level = np.matmul(_looked_up(_level, at, r), np.swapaxes(widths, -1, -2))[..., 0]
    return Tangent(level * (1.0 - ROUNDING) - UNDERFLOW, scale, deficit)


def deficit_at(weights: FloatArray, widths: FloatArray, r: FloatArray) -> FloatArray:
    """Only the deficit of :func:`tangent_at`."""
    return _integrate(_looked_up(_slope, nearest_quantiles(weights), r), widths)[1]


def nearest_quantiles(weights: FloatArray) -> IntArray:
    """Where in ``QUANTILES`` to find ``Phi^-1(P(X > knot))`` for each knot but the last."""
    below = np.cumsum(weights, axis=-1)
    odds = below[..., -1:] - below[..., :-1]  # imprecise where it is minute; there the slope is, too
    with np.errstate(divide="ignore", over="ignore"):
        np.divide(odds, below[..., :-1], out=odds)
        np.log(odds, out=odds)
    np.clip(odds, -_REACH, _REACH, out=odds)
    odds *= _STEPS
    odds += _STEPS * _REACH
    return np.rint(odds, out=odds).astype(np.int64)


def _slope(z: FloatArray, r: FloatArray) -> FloatArray:
    """Slope of the shift function at ``p = Phi(z)``."""
    return np.asarray(np.exp(np.maximum(log_slope(z, r), -650.0)))


def _level(z: FloatArray, r: FloatArray) -> FloatArray:
    """Value at 1 of the tangent of the shift function at ``p = Phi(z)``."""
    return np.asarray(ndtr(z - r) + _slope(z, r) * ndtr(-z))


def _looked_up(function: Callable[[FloatArray, FloatArray], FloatArray], at: IntArray, r: FloatArray) -> FloatArray:
    """A function of ``QUANTILES[at]`` and radii; of many inputs from a table, which is the same and cheaper."""
    if at.shape[0] * at.shape[-1] < QUANTILES.size:
        return function(QUANTILES[at], r)
    table = _table(function, r.tobytes())
    found = np.empty((at.shape[0], r.size, at.shape[-1]))
    for column, of_radius in enumerate(table):
        of_radius.take(at[:, column if at.shape[1] > 1 else 0], out=found[:, column], mode="clip")
    return found


@lru_cache(maxsize=16)
def _table(function: Callable[[FloatArray, FloatArray], FloatArray], radii: bytes) -> FloatArray:
    return function(QUANTILES, np.frombuffer(radii)[:, None])


def _integrate(slope: FloatArray, widths: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Scale and deficit of a tangent with these slopes."""
    deficit = np.zeros((*slope.shape[:-1], slope.shape[-1] + 1))
    np.cumsum((slope * widths)[..., ::-1], axis=-1, out=deficit[..., -2::-1])
    scale = deficit[..., 0].copy()
    deficit /= scale[..., None]
    return scale, deficit


def chord_over(low: FloatArray, high: FloatArray, widths: FloatArray, r: float) -> Tangent:
    """Chord of the shift function between a lower and an upper survival function, integrated.

    ``g_r`` is convex, so it lies below its chords: ``Theta_r(S) - a <= ceiling - scale * E[deficit(X)]`` for every
    survival function ``S`` between ``low`` and ``high``.

    Args:
        low: Lower bounds on the survival function between knots, shape ``(knots - 1,)``.
        high: Upper bounds, at least ``low``, shape ``(knots - 1,)``.
        widths: Distances between knots, shape ``(knots - 1,)``.
        r: Radius in units of sigma.

    Returns:
        The same form as a tangent, with arrays of shape ``()`` and ``(knots,)``.
    """
    bottom, top = shifted_probability(low, r), shifted_probability(high, r)
    gap = high - low
    wide = gap > 1e-12
    slope = np.where(wide, (top - bottom) / np.where(wide, gap, 1.0), 0.0)
    # Where the band has closed the function is at most its value at the upper end.
    level = np.where(wide, bottom + slope * (1.0 - low), top)
    drop = np.append(np.cumsum((slope * widths)[::-1])[::-1], 0.0)
    scale = max(float(drop[0]), 1e-300)
    ceiling = float(level @ widths) * (1.0 + ROUNDING) + UNDERFLOW
    return Tangent(np.asarray(ceiling), np.asarray(scale), drop / scale)
