"""Where to linearize the shift function, and how much to bet: the worst distribution the past still allows.

Nothing here needs to be right for the dual bound to hold, only to make it large. For every function ``p0(t)`` in
(0, 1), convexity gives ``Theta_r(S) >= ceiling - E[deficit(X)]``; the best ``p0`` is the survival function of the
distribution that minimizes ``Theta_r`` among those within ``delta`` nats per sample of the past, and the best bet is
the one that separates the two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import expit, ndtr, ndtri

from smoothcert.bounds._shift import log_slope
from smoothcert.typing import FloatArray, IntArray

COLD_STEPS, WARM_STEPS = 3, 2  # of Newton's method, from a rough guess and from the solution of a like problem
# A tangent may touch anywhere, so quantiles are looked up, at the nearest of logarithmic odds in steps of 1/64: the
# error of the bound is of second order in the step. The rarest event is one that float64 can tell from 0 next to 1.
_STEPS, _REACH = 64, 34.5
_ODDS = np.arange(-_STEPS * _REACH, _STEPS * _REACH + 1) / _STEPS
QUANTILES = np.where(_ODDS < 0, 1.0, -1.0) * ndtri(expit(-np.abs(_ODDS)))


@dataclass(frozen=True)
class Tangent:
    """A tangent of the shift function along the grid, integrated.

    ``Theta_r(S) >= ceiling - scale * E[deficit(X)]`` for every distribution of the score. The deficit is 1 at the
    lowest knot, 0 at the highest and linear between knots. Written downward from the top because there the
    terms are small; upward, the constant and the mean are large numbers that nearly cancel.

    Args:
        ceiling: Shape ``(inputs, radii)``.
        scale: Shape ``(inputs, radii)``, positive.
        deficit: Shape ``(inputs, radii, knots)``.
    """

    ceiling: FloatArray
    scale: FloatArray
    deficit: FloatArray


def tangent_at(weights: FloatArray, widths: FloatArray, r: FloatArray, base: float) -> Tangent:
    """Tangent at the survival function of a distribution on the knots.

    Args:
        weights: Masses in proportion, shape ``(inputs, radii, knots)`` or broadcast to it.
        widths: Distances between knots, shape ``(inputs, 1, knots - 1)``.
        r: Radii in units of sigma, shape ``(radii, 1)``.
        base: Lowest value of the score.
    """
    at = nearest_quantiles(weights)
    scale, deficit = _integrate(_looked_up(_slope, at, r), widths)
    level = np.matmul(_looked_up(_level, at, r), np.swapaxes(widths, -1, -2))[..., 0]
    return Tangent(base + level, scale, deficit)


def deficit_at(weights: FloatArray, widths: FloatArray, r: FloatArray) -> FloatArray:
    """Only the deficit of :func:`tangent_at`."""
    return _integrate(_looked_up(_slope, nearest_quantiles(weights), r), widths)[1]


def nearest_quantiles(weights: FloatArray) -> IntArray:
    """Where in ``QUANTILES`` to find ``Phi^-1(P(X > knot))`` for each knot but the last."""
    below = np.cumsum(weights, axis=-1)
    above = below[..., -1:] - below[..., :-1]  # imprecise where it is minute; there the slope is, too
    with np.errstate(divide="ignore", over="ignore"):
        odds = np.log((above / below[..., :-1]).astype(np.float32))
    return np.rint(np.clip(odds, -_REACH, _REACH) * _STEPS + _STEPS * _REACH).astype(np.int64)


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
    return np.asarray(_table(function, r.tobytes())[at + QUANTILES.size * np.arange(r.size)[:, None]])


@lru_cache(maxsize=16)
def _table(function: Callable[[FloatArray, FloatArray], FloatArray], radii: bytes) -> FloatArray:
    return np.asarray(function(QUANTILES, np.frombuffer(radii)[:, None]).ravel())


def _integrate(slope: FloatArray, widths: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Scale and deficit of a tangent with these slopes."""
    deficit = np.zeros((*slope.shape[:-1], slope.shape[-1] + 1))
    np.cumsum((slope * widths)[..., ::-1], axis=-1, out=deficit[..., -2::-1])
    scale = deficit[..., 0].copy()
    deficit /= scale[..., None]
    return scale, deficit


@dataclass(frozen=True)
class Tilt:
    """The distribution with the largest mean deficit within ``delta`` nats of the past, and the bet that separates it.

    Args:
        log_s: Logarithm of the tilt ``s``, shape ``(inputs, radii)``.
        density: Of it over the past's, up to a constant: ``1 / (1 + s (1 - deficit))``, shape
            ``(inputs, radii, knots)``.
        total: Its mean ``A`` over the past, shape ``(inputs, radii)``.
    """

    log_s: FloatArray
    density: FloatArray
    total: FloatArray

    @property
    def bet(self) -> FloatArray:
        """The bet ``s A``, shape ``(inputs, radii)``."""
        return np.asarray(np.exp(self.log_s) * self.total)

    @property
    def value(self) -> FloatArray:
        """Mean of ``1 - deficit`` in the worst distribution, positive, shape ``(inputs, radii)``."""
        return np.asarray((1.0 - self.total) / self.bet)


def tilt(weights: FloatArray, deficit: FloatArray, delta: FloatArray, *, start: FloatArray | None = None) -> Tilt:
    """Solve ``growth(s) = delta`` for the tilt ``Q = P / (A (1 + s value))`` with ``value = 1 - deficit``.

    ``A = E_P[1 / (1 + s value)]`` and ``growth = log A + E_P log(1 + s value)``; by Newton steps on the logarithms.

    Args:
        weights: Probabilities ``P``, shape ``(inputs, 1, knots)``.
        deficit: Values in ``[0, 1]``, shape ``(inputs, radii, knots)``.
        delta: Relative entropy per sample, positive, shape ``(inputs, 1)``.
        start: A guess of ``log s`` that is near enough for one step, shape ``(inputs, radii)``.
    """
    value = 1.0 - deficit
    column = np.swapaxes(weights, -1, -2)

    def mean(array: FloatArray) -> FloatArray:
        return np.asarray(np.matmul(array, column)[..., 0])

    if start is None:
        average = mean(value)
        variance = np.maximum(mean(value * value) - average * average, 1e-24)
        log_s = np.clip(0.5 * np.log(2.0 * delta / variance), -30.0, 30.0)
    else:
        log_s = start
    # The bet needs no precision. Single precision serves as long as it can tell what one sample is to win.
    kind = np.float32 if delta.min() > 1e-6 else np.float64
    for _ in range(COLD_STEPS if start is None else WARM_STEPS):
        inverse = 1.0 / (1.0 + np.exp(log_s)[..., None] * value)
        total = mean(inverse)
        growth = np.maximum(np.log(total) - mean(np.log(inverse.astype(kind))), 1e-300)
        climb = np.maximum(mean(inverse * inverse) / total - total, 1e-300)  # d growth / d log s
        step = np.log(delta / growth) * growth / climb
        log_s = np.clip(log_s + np.clip(step, -3.0, 3.0), -30.0, 30.0)
    inverse = 1.0 / (1.0 + np.exp(log_s)[..., None] * value)
    return Tilt(log_s, inverse, mean(inverse))
