"""A histogram of 10,000 levels on a few hundred knots: what the dual bound computes on.

Between two knots the dual bound's function is linear, so a sample may be replaced by two fractions of a sample, at the
knots around it, with the same mean. The logarithm is concave: the capital computed from the fractions is at most the
capital of the samples. A certificate only gets more cautious, by a second-order amount.
"""

from __future__ import annotations

import numpy as np

from smoothcert.typing import FloatArray, IntArray

KNOTS = 224


def choose_knots(pilot_counts: IntArray) -> IntArray:
    """Grid indices of the knots, from the pilot alone: ascending, exactly ``KNOTS``, repeats allowed.

    Some hold the same number of pilot samples in each interval. The others follow the tails of the pilot, where the
    dual bound bends most, reach below its lowest sample, and cover the range evenly in case the pilot misleads.

    Args:
        pilot_counts: Pilot samples in each grid cell, shape ``(levels + 1,)``; may hold none.

    Returns:
        Shape ``(KNOTS,)``; the first is 0, the last ``levels``.
    """
    levels = pilot_counts.size - 1
    total = int(pilot_counts.sum())
    if total == 0:
        return np.rint(np.linspace(0, levels, KNOTS)).astype(np.int64)
    even = np.linspace(0, levels, KNOTS // 5)
    below = np.linspace(0, np.flatnonzero(pilot_counts)[0], KNOTS // 8)
    low = np.geomspace(0.5 / total, 0.5, KNOTS // 5)
    high = 1.0 - np.geomspace(0.5 / total, 0.5, KNOTS // 10)
    body = np.linspace(0.0, 1.0, KNOTS - even.size - below.size - low.size - high.size)
    ranks = np.concatenate((body, low, high)) * total
    quantiles = np.minimum(np.searchsorted(np.cumsum(pilot_counts), ranks), levels)
    # A cell with many samples, an atom perhaps, gets a knot on either side, or it would be smeared over an interval.
    heavy = quantiles[pilot_counts[quantiles] * body.size > total]
    knots = np.unique(np.rint(np.concatenate((even, below, quantiles, heavy + 1))).astype(np.int64))
    knots = knots[knots <= levels]
    if knots.size > KNOTS:
        knots = knots[np.rint(np.linspace(0, knots.size - 1, KNOTS)).astype(np.int64)]
    return np.concatenate((knots, np.full(KNOTS - knots.size, levels)))


def project(cells: IntArray, counts: FloatArray, knots: IntArray) -> FloatArray:
    """Samples at grid cells as fractions at the knots around them, keeping number and mean.

    Args:
        cells: Grid indices, ascending, shape ``(cells,)``.
        counts: Samples in each, shape ``(groups, cells)``.
        knots: Ascending grid indices that enclose the cells, shape ``(knots,)``; repeats allowed at the end.

    Returns:
        Shape ``(groups, knots)``.
    """
    out = np.zeros((counts.shape[0], knots.size))
    if cells.size:
        left = np.minimum(np.searchsorted(knots, cells, side="right") - 1, np.searchsorted(knots, knots[-1]) - 1)
        right_share = counts * ((cells - knots[left]) / (knots[left + 1] - knots[left]))
        starts = np.flatnonzero(np.diff(left, prepend=-1))
        out[:, left[starts]] += np.add.reduceat(counts - right_share, starts, axis=1)
        out[:, left[starts] + 1] += np.add.reduceat(right_share, starts, axis=1)
    return out
