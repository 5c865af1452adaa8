"""What the reference computes from: scores counted on a grid, and the seeds that deal them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Scores:
    """Scores of one input in one stage, each rounded down to a grid of equal steps.

    Args:
        lower: Smallest value a score can take.
        upper: Largest value a score can take.
        levels: Number of steps.
        cells: Grid points that hold samples, ascending, numbered from 0.
        counts: Samples at each.
        exact: Whether nothing was rounded.
    """

    lower: float
    upper: float
    levels: int
    cells: Counts
    counts: Counts
    exact: bool = False

    @cached_property
    def n(self) -> int:
        """Number of samples."""
        return int(self.counts.sum())

    @cached_property
    def values(self) -> Array:
        """The grid points that hold samples."""
        return self.at(self.cells)

    def at(self, cells: Counts) -> Array:
        """Values of grid points."""
        inner = self.lower + (self.upper - self.lower) * (cells / self.levels)
        return np.asarray(np.where(cells == self.levels, self.upper, inner))

    def mirrored(self) -> Scores:
        """``lower + upper - x``, with ``x`` rounded up to the grid first."""
        held: dict[int, int] = {}
        for cell, count in zip(self.cells.tolist(), self.counts.tolist(), strict=True):
            up = cell if self.exact else min(cell + 1, self.levels)
            held[self.levels - up] = held.get(self.levels - up, 0) + count
        cells = sorted(held)
        counts = np.array([held[cell] for cell in cells], dtype=np.int64)
        return Scores(self.lower, self.upper, self.levels, np.array(cells, dtype=np.int64), counts, self.exact)


def deal_seed(seed: int, content_hash: str, measure: str) -> int:
    """Seed of the deal of a measure: the first 128 bits of SHA-256, big-endian."""
    return int(hashlib.sha256(f"{seed}:{content_hash}:deal:{measure}".encode()).hexdigest()[:32], 16)


def mirrored_seed(seed: int) -> int:
    """Seed of the deal of the upper bound."""
    return int(hashlib.sha256(f"{seed}:mirrored".encode()).hexdigest()[:32], 16)
