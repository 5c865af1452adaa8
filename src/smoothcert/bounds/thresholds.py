"""Where the CDF bound reads the survival function: the paper's thresholds ``s_1 <= ... <= s_m``, as grid indices.

A threshold more never lowers the bound: the band holds for all of them at once, so they may be chosen from the
samples.
"""

from __future__ import annotations

import numpy as np

from smoothcert._check import check_choice, check_count
from smoothcert.typing import IntArray

PLACEMENTS = ("equal_mass", "uniform", "all")
DEFAULT_THRESHOLDS = 10_000


def place_thresholds(
    survival_counts: IntArray, *, placement: str = "equal_mass", thresholds: int = DEFAULT_THRESHOLDS
) -> IntArray:
    """Grid indices of the thresholds, ascending, without repeats.

    Args:
        survival_counts: Number of samples at or above each grid point, shape ``(levels + 1,)``, non-increasing.
        placement: ``"equal_mass"``: each interval holds the same number of samples, as the paper places them;
            ``"uniform"``: evenly spaced over the range; ``"all"``: every grid point that changes the result.
        thresholds: How many at most; ignored by ``"all"``.

    Returns:
        Shape ``(m,)`` with ``m <= thresholds``, indices of grid points above the lowest.

    Raises:
        InvalidArgumentError: If the placement is unknown or there is no threshold.

    References:
        Kumar et al. (2020), Section 4.1, https://arxiv.org/abs/2009.08061.

    Example:
        >>> counts = np.array([8, 8, 7, 3, 3, 1])
        >>> place_thresholds(counts, placement="all")
        array([1, 2, 4, 5])
        >>> place_thresholds(counts, placement="equal_mass", thresholds=2)
        array([1, 2])
        >>> place_thresholds(counts, placement="uniform", thresholds=2)
        array([2, 5])
    """
    check_choice("placement", placement, PLACEMENTS)
    m = check_count("thresholds", thresholds)
    levels = survival_counts.size - 1
    if placement == "uniform":
        return np.unique((np.arange(1, m + 1) * levels) // m)[int(m > levels) :]
    # The survival function is flat up to each grid point where the count drops: only the last of a flat piece counts.
    last_of_flat = np.append(survival_counts[1:] != survival_counts[:-1], survival_counts[-1] > 0)
    distinct = np.flatnonzero(last_of_flat)
    distinct = distinct[distinct > 0]
    if placement == "all" or distinct.size <= m:
        return distinct
    # Each threshold is the highest grid point with at least n, n (m - 1) / m, ..., n / m samples at or above it.
    wanted = np.maximum((np.arange(m, 0, -1) * int(survival_counts[0])) // m, 1)
    from_top = np.searchsorted(survival_counts[::-1], wanted, side="left")
    chosen = np.unique(levels - from_top)
    return chosen[chosen > 0]
