"""The certified radius of a threshold, where one statement covers all radii: the root of a decreasing function."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from smoothcert.typing import FloatArray

LARGEST_SHIFT = 64.0  # in units of sigma; beyond it float64 cannot tell any probability from 0


def largest_shift_above(lower: Callable[[FloatArray], FloatArray], threshold: float) -> float:
    """Largest ``r`` with ``lower(r) > threshold``, for a non-increasing ``lower``; never above the true one.

    Args:
        lower: Maps radii in units of sigma, shape ``(radii,)``, to bounds of that shape.
        threshold: The value to stay above.

    Returns:
        In units of sigma, to an absolute precision of 1e-9 from below; 0.0 if not even ``lower(0) > threshold``, and
        ``inf`` if the bound never falls to the threshold.
    """
    inside, outside = 0.0, LARGEST_SHIFT
    first, last = lower(np.array([inside, outside]))
    if not first > threshold:
        return 0.0
    if last > threshold:
        return math.inf
    while outside - inside > 1e-9:
        # 15 radii at once divide the interval by 16: the same work as a bisection in a quarter of the calls.
        grid = np.linspace(inside, outside, 17)
        above = lower(grid[1:-1]) > threshold
        last_above = int(np.argmin(above)) if not above.all() else 15
        inside, outside = float(grid[last_above]), float(grid[last_above + 1])
    return inside
