"""Which record of an input counts where there are several: samples before none, and more samples before fewer.

There are several while parts are merged, when a run has grown or an input that failed was tried again, and where
folders are put together. Two with equally many samples must be the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from smoothcert.runs.config import RunConfig
from smoothcert.runs.records import list_rows, validity
from smoothcert.typing import AnyArray, IntArray


class Held(NamedTuple):
    """Inputs that are stored, with the size and the checksum of each record; all of one length.

    Args:
        inputs: Input index.
        sizes: Number of estimation samples; 0 where there are none.
        checksums: Checksum of the record; None where it has none.
    """

    inputs: IntArray
    sizes: IntArray
    checksums: AnyArray

    @classmethod
    def together(cls, several: list[Held]) -> Held:
        """All of them, one after the other."""
        empty = cls(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0, dtype=object))
        return cls(*(np.concatenate(columns) for columns in zip(*several, empty, strict=True)))

    def take(self, rows: IntArray) -> Held:
        """Some of the rows, in that order."""
        return Held(*(column[rows] for column in self))

    def counting(self) -> IntArray:
        """The row that counts of each input, by ascending input; of equal ones the first."""
        order = np.lexsort((-self.sizes, self.inputs))
        first = np.ones(len(order), dtype=np.bool_)
        first[1:] = np.diff(self.inputs[order]) != 0
        return order[first]

    def rivals(self) -> Iterator[tuple[int, int]]:
        """Pairs of rows of one input with equally many samples, more than none, whose checksums differ."""
        order = np.lexsort((-self.sizes, self.inputs))
        inputs, sizes, checksums = self.take(order)
        again = (np.diff(inputs) == 0) & (np.diff(sizes) == 0) & (sizes[1:] > 0)
        for at in np.flatnonzero(again & (checksums[1:] != checksums[:-1])):
            yield int(order[at]), int(order[at + 1])


def columns_of_size(config: RunConfig) -> list[str]:
    """Columns that :func:`sizes_of` needs: the error alone, where all records of a run hold as many samples."""
    return ["error"] if len(config.sizes) == 1 else ["error", "votes_counts"]


def sizes_of(table: pa.Table, config: RunConfig) -> IntArray:
    """Number of estimation samples of every row; 0 where there are none. In a decided run the most it may hold."""
    if len(config.sizes) == 1:
        found = np.full(table.num_rows, config.n, dtype=np.int64)
    else:
        found = np.array([int(counts.sum()) for counts in list_rows(table["votes_counts"])], dtype=np.int64)
    found[validity(table["error"])] = 0
    return found
