"""Where to linearize the shift function, and how much to bet: the worst distribution the past still allows.

Nothing here needs to be right for the dual bound to hold, only to make it large. For every function ``p0(t)`` in
(0, 1), convexity gives ``Theta_r(S) >= ceiling - E[deficit(X)]``; the best ``p0`` is the survival function of the
distribution that minimizes ``Theta_r`` among those within ``delta`` nats per sample of the past, and the best bet is
the one that separates the two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from smoothcert.bounds._shift import log_slope
from smoothcert.typing import FloatArray

SMALLEST_MASS = 1e-15  # an event of this probability is the rarest one float64 can tell from 0 next to 1
NEWTON_STEPS = 3


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
    below = np.cumsum(weights, axis=-1)
    above = np.cumsum(weights[..., ::-1], axis=-1)
    q0 = np.clip(below[..., :-1] / below[..., -1:], SMALLEST_MASS, 1.0)  # P(X <= knot), right of each knot
    p0 = np.clip(above[..., -2::-1] / above[..., -1:], SMALLEST_MASS, 1.0)
    z = np.where(q0 < p0, -1.0, 1.0) * ndtri(np.minimum(q0, p0))
    slope = np.exp(np.maximum(log_slope(z, r), -650.0))
    rises = slope * widths
    drop = np.cumsum(rises[..., ::-1], axis=-1)[..., ::-1]
    scale = drop[..., 0]
    deficit = np.concatenate((drop, np.zeros_like(drop[..., :1])), axis=-1) / scale[..., None]
    ceiling = base + np.sum((ndtr(z - r) + slope * np.where(q0 < p0, q0, 1.0 - p0)) * widths, axis=-1)
    return Tangent(ceiling, scale, deficit)


def tilt(weights: FloatArray, deficit: FloatArray, delta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The distribution with the largest mean deficit within ``delta`` nats, and the bet that separates it.

    With ``value = 1 - deficit``, solves ``growth(s) = delta`` for the tilt ``Q = P / (A (1 + s value))``,
    ``A = E_P[1 / (1 + s value)]``, ``growth = log A + E_P log(1 + s value)``, by Newton steps on the logarithms.

    Args:
        weights: Probabilities ``P``, shape ``(inputs, 1, knots)``.
        deficit: Values in ``[0, 1]``, shape ``(inputs, radii, knots)``.
        delta: Relative entropy per sample, positive, shape ``(inputs, 1)``.

    Returns:
        The density ``Q / P``, shape ``(inputs, radii, knots)``; the bet ``lambda = s A`` and the mean of
        ``1 - deficit`` under ``Q``, both shape ``(inputs, radii)`` and positive.
    """
    value = 1.0 - deficit
    column = np.swapaxes(weights, -1, -2)

    def mean(array: FloatArray) -> FloatArray:
        return np.asarray(np.matmul(array, column)[..., 0])

    average = mean(value)
    variance = np.maximum(mean(value * value) - average * average, 1e-24)
    log_s = np.clip(0.5 * np.log(2.0 * delta / variance), -30.0, 30.0)
    for _ in range(NEWTON_STEPS):
        inverse = 1.0 / (1.0 + np.exp(log_s)[..., None] * value)
        total = mean(inverse)
        growth = np.maximum(np.log(total) - mean(np.log(inverse)), 1e-300)
        climb = np.maximum(mean(inverse * inverse) / total - total, 1e-300)  # d growth / d log s
        step = np.log(delta / growth) * growth / climb
        log_s = np.clip(log_s + np.clip(step, -3.0, 3.0), -30.0, 30.0)
    s = np.exp(log_s)
    inverse = 1.0 / (1.0 + s[..., None] * value)
    total = mean(inverse)
    bet = s * total
    return inverse / total[..., None], bet, (1.0 - total) / bet
