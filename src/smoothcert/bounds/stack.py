"""Histograms of many inputs in three arrays: what bounds are computed from in bulk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np

from smoothcert.errors import InvalidArgumentError
from smoothcert.histogram import ScoreHistogram, grid_points
from smoothcert.typing import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class HistogramStack:
    """Histograms on one grid, one per input, without their empty cells.

    The entries of input ``i`` are those from ``starts[i]`` to ``starts[i + 1]``.

    Args:
        starts: Where each input's entries begin and the last's end, shape ``(inputs + 1,)``.
        cells: Grid indices, ascending within each input, shape ``(entries,)``.
        counts: Samples in each cell, positive, shape ``(entries,)``.
        lower: Smallest value a score can take.
        upper: Largest value a score can take.
        levels: Number of equal steps of the range.
        exact: Whether every sample lies on a grid point, so that rounding up changes nothing.

    Example:
        >>> h = ScoreHistogram.from_samples([0.1, 0.5, 0.5, 1.0], lower=0.0, upper=1.0, levels=4)
        >>> stack = HistogramStack.of([h, h])
        >>> stack.starts, stack.cells, stack.counts, stack.n
        (array([0, 3, 6]), array([0, 2, 4, 0, 2, 4]), array([1, 2, 1, 1, 2, 1]), array([4, 4]))
    """

    starts: IntArray
    cells: IntArray
    counts: IntArray
    lower: float
    upper: float
    levels: int
    exact: bool = False

    @classmethod
    def checked(
        cls,
        starts: IntArray,
        cells: IntArray,
        counts: IntArray,
        *,
        lower: float,
        upper: float,
        levels: int,
        exact: bool = False,
    ) -> HistogramStack:
        """A stack of arrays that came from elsewhere.

        Raises:
            InvalidArgumentError: If the arrays do not fit together.
        """
        if not (
            starts.size
            and starts[0] == 0
            and starts[-1] == cells.size == counts.size
            and (starts[1:] >= starts[:-1]).all()
        ):
            raise InvalidArgumentError("starts must ascend from 0 to the number of cells, which is that of counts")
        if cells.size:
            ascends = np.append(True, cells[1:] > cells[:-1])
            ascends[starts[:-1][starts[:-1] < cells.size]] = True  # another input begins
            if not (ascends.all() and cells.min() >= 0 and cells.max() <= levels and counts.min() > 0):
                raise InvalidArgumentError(
                    f"cells must ascend within each input and lie in [0, {levels}], each with at least one sample"
                )
        return cls(starts, cells, counts, lower, upper, levels, exact)

    @classmethod
    def of(cls, histograms: Histograms) -> HistogramStack:
        """Stack histograms, at least one; a stack is returned as it is.

        Raises:
            InvalidArgumentError: If there is none, or they differ in range or levels.
        """
        if isinstance(histograms, HistogramStack):
            return histograms
        if not histograms:
            raise InvalidArgumentError("histograms must be at least one; got none")
        first = histograms[0]
        for histogram in histograms:
            check_same_grid(first, histogram)
        pairs = [histogram.to_sparse() for histogram in histograms]
        cells, counts = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
        starts = np.cumsum([0, *(pair[0].size for pair in pairs)])
        exact = all(histogram.exact for histogram in histograms)
        return cls(starts, cells, counts, first.lower, first.upper, first.levels, exact)

    def __len__(self) -> int:
        """Number of inputs."""
        return int(self.starts.size - 1)

    def __getitem__(self, inputs: slice) -> HistogramStack:
        """Some consecutive inputs; nothing is copied."""
        first, last, step = inputs.indices(len(self))
        if step != 1:
            raise InvalidArgumentError(f"inputs must be consecutive; got a step of {step}")
        starts = self.starts[first : max(last, first) + 1]
        entries = slice(int(starts[0]), int(starts[-1]))
        return replace(self, starts=starts - starts[0], cells=self.cells[entries], counts=self.counts[entries])

    @cached_property
    def n(self) -> IntArray:
        """Number of samples of each input, shape ``(inputs,)``."""
        return self.sums(self.counts)

    @property
    def points(self) -> FloatArray:
        """Grid points, shape ``(levels + 1,)``."""
        return grid_points(float(self.lower), float(self.upper), self.levels)

    @property
    def means(self) -> FloatArray:
        """Mean of the samples of each input as stored, shape ``(inputs,)``: at most one step below their mean.

        Raises:
            InvalidArgumentError: If an input has no sample.
        """
        self.require_samples()
        heights = self.sums(self.cells * self.counts) / (self.levels * self.n)
        return np.asarray(self.lower + (self.upper - self.lower) * heights)

    def sums(self, values: IntArray) -> IntArray:
        """Sum of one integer an entry over the entries of each input, shape ``(inputs,)``; exact."""
        running = np.concatenate(([0], np.cumsum(values)))
        return np.asarray(running[self.starts[1:]] - running[self.starts[:-1]])

    def require_samples(self) -> None:
        """Raise ``InvalidArgumentError`` unless every input has a sample."""
        if np.any(np.diff(self.starts) == 0):
            raise InvalidArgumentError("sample must hold at least one sample; it is empty")

    @cached_property
    def mirrored(self) -> HistogramStack:
        """Every input as :meth:`~smoothcert.histogram.ScoreHistogram.mirrored`: lower bounds on it are upper bounds."""
        sizes = np.diff(self.starts)
        backwards = np.repeat(self.starts[:-1] + self.starts[1:] - 1, sizes) - np.arange(self.cells.size)
        cells, counts = self.levels - self.cells[backwards], self.counts[backwards]
        if self.exact:
            return replace(self, cells=cells, counts=counts)
        np.maximum(cells - 1, 0, out=cells)
        first = self.starts[:-1][sizes > 1]
        first = first[cells[first + 1] == 0]  # the two highest cells become one
        counts[first] += counts[first + 1]
        merged = np.zeros(cells.size, dtype=np.bool_)
        merged[first + 1] = True
        starts = self.starts - np.searchsorted(first, self.starts)
        return replace(self, starts=starts, cells=cells[~merged], counts=counts[~merged])

    def split(self) -> Iterator[HistogramStack]:
        """Each input as a stack of one."""
        return (self[row : row + 1] for row in range(len(self)))

    def each(self) -> Iterator[ScoreHistogram]:
        """The histograms one by one, in full."""
        for row in range(len(self)):
            entries = slice(int(self.starts[row]), int(self.starts[row + 1]))
            counts = np.zeros(self.levels + 1, dtype=np.int64)
            counts[self.cells[entries]] = self.counts[entries]
            yield ScoreHistogram(counts, self.lower, self.upper, self.exact)


Histograms: TypeAlias = Sequence[ScoreHistogram] | HistogramStack


def check_same_grid(one: ScoreHistogram | HistogramStack, other: ScoreHistogram | HistogramStack) -> None:
    """Raise ``InvalidArgumentError`` unless both have the same range and levels."""
    if (one.lower, one.upper, one.levels) != (other.lower, other.upper, other.levels):
        raise InvalidArgumentError(
            f"histograms must share range and levels; got [{one.lower:g}, {one.upper:g}] x {one.levels} and "
            f"[{other.lower:g}, {other.upper:g}] x {other.levels}"
        )
