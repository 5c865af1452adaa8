"""Scores of many noisy samples as counts on a grid: small enough to store, exact about which way it rounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from smoothcert._check import check_count
from smoothcert.errors import InvalidArgumentError
from smoothcert.typing import FloatArray, IntArray

DEFAULT_LEVELS = 10_000
_SMALLEST_WIDTH = 1e-200  # of a range: the bounds divide by steps of it
# From so few the dual bound certifies more than the CDF bound from 100,000 wherever scores are near 1, and hardly less
# where they are not: bench/sizes.py.
DEFAULT_PILOT, DEFAULT_N = 500, 9_500


@lru_cache(maxsize=32)
def grid_points(lower: float, upper: float, levels: int) -> FloatArray:
    """Grid points ``t_0 = lower < ... < t_levels = upper``, shape ``(levels + 1,)``, read-only.

    Every rounding in the package is relative to exactly these float64 numbers, so "rounded down" is a fact and not
    an intention.

    Example:
        >>> grid_points(0.0, 1.0, 4)
        array([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    points = lower + (upper - lower) * (np.arange(levels + 1, dtype=np.float64) / levels)
    points[-1] = upper
    points.setflags(write=False)
    return points


@dataclass(frozen=True, eq=False)
class ScoreHistogram:
    r"""Counts of scores in ``[lower, upper]``, each score rounded **down** to a grid point.

    ``counts[j]`` is the number of samples ``x`` with ``t_j <= x < t_{j+1}`` where ``t = grid_points(...)``; the last
    entry counts ``x == upper``. Hence the number of samples at or above a grid point is exact, and a statistic
    that increases in every sample can only get smaller by the rounding: safe for a lower bound. For an upper bound
    read :meth:`mirrored`, which rounds the other way.

    Args:
        counts: Non-negative integers, shape ``(levels + 1,)``.
        lower: Smallest value a score can take.
        upper: Largest value a score can take.
        exact: Whether every sample lies on a grid point, as votes do, so that rounding up changes nothing either.

    Raises:
        InvalidArgumentError: If the range is empty, or the counts are not non-negative integers.

    Example:
        >>> h = ScoreHistogram.from_samples([0.1, 0.5, 0.5, 1.0], lower=0.0, upper=1.0, levels=4)
        >>> h.counts
        array([1, 0, 2, 0, 1])
        >>> h.survival_counts
        array([4, 3, 3, 1, 1])
    """

    counts: IntArray
    lower: float
    upper: float
    exact: bool = False

    def __post_init__(self) -> None:
        """Check the range and freeze the counts."""
        if not (math.isfinite(self.lower) and math.isfinite(self.upper) and self.lower < self.upper):
            raise InvalidArgumentError(
                f"lower and upper must be finite with lower < upper; got lower={self.lower!r}, upper={self.upper!r}"
            )
        if not _SMALLEST_WIDTH <= self.upper - self.lower < math.inf:
            raise InvalidArgumentError(
                f"upper - lower must be finite and at least {_SMALLEST_WIDTH:g}; "
                f"got lower={self.lower!r}, upper={self.upper!r}"
            )
        counts = np.asarray(self.counts)
        if counts.ndim != 1 or counts.size < 2:
            raise InvalidArgumentError(f"counts must have shape (levels + 1,) with levels >= 1; got {counts.shape}")
        if not np.issubdtype(counts.dtype, np.integer):
            raise InvalidArgumentError(f"counts must be integers; got dtype {counts.dtype}")
        counts = counts.astype(np.int64)  # a copy: nobody else can change it
        if np.any(counts < 0):
            raise InvalidArgumentError(f"counts must not be negative; got a minimum of {counts.min()}")
        counts.setflags(write=False)
        object.__setattr__(self, "counts", counts)

    @classmethod
    def empty(cls, *, lower: float, upper: float, levels: int = DEFAULT_LEVELS) -> ScoreHistogram:
        """A histogram without samples."""
        return cls(np.zeros(check_count("levels", levels) + 1, dtype=np.int64), lower, upper)

    @classmethod
    def from_samples(
        cls, samples: npt.ArrayLike, *, lower: float, upper: float, levels: int = DEFAULT_LEVELS
    ) -> ScoreHistogram:
        """Count samples on the grid.

        Args:
            samples: Scores, any shape, each in ``[lower, upper]``.
            lower: Smallest value a score can take.
            upper: Largest value a score can take.
            levels: Number of equal steps of the range.

        Raises:
            InvalidArgumentError: If a sample is NaN or outside the range.
        """
        values = np.asarray(samples, dtype=np.float64).ravel()
        points = cls.empty(lower=lower, upper=upper, levels=levels).points
        if not np.all((values >= lower) & (values <= upper)):  # also False for NaN
            bad = values[~((values >= lower) & (values <= upper))]
            raise InvalidArgumentError(
                f"samples must lie in [{lower:g}, {upper:g}]; got {bad.size} outside it, the first is {bad[0]!r}"
            )
        cells = np.searchsorted(points, values, side="right") - 1
        return cls(np.bincount(cells, minlength=levels + 1).astype(np.int64), lower, upper)

    @classmethod
    def from_sparse(
        cls, cells: npt.ArrayLike, counts: npt.ArrayLike, *, lower: float, upper: float, levels: int
    ) -> ScoreHistogram:
        """Rebuild from :meth:`to_sparse`: counts at some cells, zero elsewhere."""
        where, weights = np.asarray(cells), np.asarray(counts)
        if where.shape != weights.shape or where.ndim != 1:
            raise InvalidArgumentError(
                f"cells and counts must be flat and of equal length; got shapes {where.shape} and {weights.shape}"
            )
        if where.size and not (where.dtype.kind in "iu" and weights.dtype.kind in "iu"):
            raise InvalidArgumentError(f"cells and counts must be integers; got {where.dtype} and {weights.dtype}")
        where = where.astype(np.int64)
        if np.unique(where).size != where.size:
            raise InvalidArgumentError("cells must be distinct; got a cell twice")
        if where.size and (where.min() < 0 or where.max() > levels):
            raise InvalidArgumentError(f"cells must lie in [0, {levels}]; got {where.min()} to {where.max()}")
        dense = np.zeros(levels + 1, dtype=np.int64)
        dense[where] = weights.astype(np.int64)
        return cls(dense, lower, upper)

    def to_sparse(self) -> tuple[IntArray, IntArray]:
        """Cells that hold samples and their counts, both shape ``(cells,)``."""
        cells = np.flatnonzero(self.counts)
        return cells, self.counts[cells]

    @property
    def levels(self) -> int:
        """Number of steps of the grid."""
        return int(self.counts.size - 1)

    @property
    def points(self) -> FloatArray:
        """Grid points, shape ``(levels + 1,)``."""
        return grid_points(float(self.lower), float(self.upper), self.levels)

    @property
    def n(self) -> int:
        """Number of samples."""
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        """Mean of the samples as stored, so at most one step below their mean and never above it.

        Raises:
            InvalidArgumentError: If there is no sample.
        """
        if self.n == 0:
            raise InvalidArgumentError("mean needs at least one sample; the histogram is empty")
        return float(self.counts @ self.points) / self.n

    @property
    def survival_counts(self) -> IntArray:
        """Number of samples at or above each grid point, shape ``(levels + 1,)``; exact."""
        return np.cumsum(self.counts[::-1], dtype=np.int64)[::-1]

    def merge(self, *others: ScoreHistogram) -> ScoreHistogram:
        """Add the counts of histograms of the same input, class and measure.

        Raises:
            InvalidArgumentError: If the ranges or the grids differ.
        """
        for other in others:
            if (other.lower, other.upper, other.levels) != (self.lower, self.upper, self.levels):
                raise InvalidArgumentError(
                    "histograms to merge must share range and levels; got "
                    f"[{self.lower:g}, {self.upper:g}] x {self.levels} and "
                    f"[{other.lower:g}, {other.upper:g}] x {other.levels}"
                )
        counts = np.sum([self.counts, *(other.counts for other in others)], axis=0)
        exact = self.exact and all(other.exact for other in others)
        return ScoreHistogram(counts, self.lower, self.upper, exact)

    def rounded_up(self) -> ScoreHistogram:
        """The same samples, each rounded **up** to a grid point: for upper bounds on a statistic.

        Example:
            >>> ScoreHistogram.from_samples([0.1, 0.5, 1.0], lower=0.0, upper=1.0, levels=4).rounded_up().counts
            array([0, 1, 0, 1, 1])
        """
        if self.exact:
            return self
        counts = np.concatenate(([0], self.counts[:-1]))
        counts[-1] += self.counts[-1]
        return ScoreHistogram(counts, self.lower, self.upper)

    def mirrored(self) -> ScoreHistogram:
        """Histogram of ``lower + upper - x`` with ``x`` first rounded **up**: upper bounds are lower bounds on it.

        If ``L`` is a lower bound for the mirrored score under every shift, ``lower + upper - L`` is an upper bound
        for the score under every shift.

        Example:
            >>> ScoreHistogram.from_samples([0.1, 0.5, 1.0], lower=0.0, upper=1.0, levels=4).mirrored().counts
            array([1, 1, 0, 1, 0])
        """
        return ScoreHistogram(self.rounded_up().counts[::-1], self.lower, self.upper, self.exact)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled without the cells that are empty, which are most: kilobytes between processes."""
        cells, counts = self.to_sparse()
        small = counts.astype(np.int32) if counts.size and counts.max() < 2**31 else counts
        return _unpickled, (cells.astype(np.int32), small, self.levels, self.lower, self.upper, self.exact)

    def __eq__(self, other: object) -> bool:
        """Equal if range, grid and counts are equal, and what they mean."""
        if not isinstance(other, ScoreHistogram):
            return NotImplemented
        own, its = ((one.lower, one.upper, one.exact) for one in (self, other))
        return own == its and np.array_equal(self.counts, other.counts)

    def __hash__(self) -> int:
        """Hash of the contents."""
        return hash((self.lower, self.upper, self.counts.tobytes()))

    def __repr__(self) -> str:
        """Range, grid and number of samples."""
        return f"ScoreHistogram(n={self.n}, range=[{self.lower:g}, {self.upper:g}], levels={self.levels})"


def _unpickled(
    cells: IntArray, counts: IntArray, levels: int, lower: float, upper: float, exact: bool
) -> ScoreHistogram:
    dense = np.zeros(levels + 1, dtype=np.int64)
    dense[cells] = counts
    return ScoreHistogram(dense, lower, upper, exact)
