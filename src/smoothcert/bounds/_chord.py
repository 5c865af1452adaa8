"""The shift function from above: chords over a confidence band, to refute that a certificate exceeds a threshold."""

from __future__ import annotations

import numpy as np

from smoothcert.bounds._shift import shifted_probability
from smoothcert.bounds._tangent import Tangent
from smoothcert.typing import FloatArray


def chord_over(low: FloatArray, high: FloatArray, widths: FloatArray, r: float, base: float) -> Tangent:
    """Chord of the shift function between a lower and an upper survival function, integrated.

    ``g_r`` is convex, so it lies below its chords: ``Theta_r(S) <= ceiling - scale * E[deficit(X)]`` for every survival
    function ``S`` between ``low`` and ``high``.

    Args:
        low: Lower bounds on the survival function between knots, shape ``(knots - 1,)``.
        high: Upper bounds, at least ``low``, shape ``(knots - 1,)``.
        widths: Distances between knots, shape ``(knots - 1,)``.
        r: Radius in units of sigma.
        base: Lowest value of the score.

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
    return Tangent(np.asarray(base + float(level @ widths)), np.asarray(scale), drop / scale)
