"""The Parquet parts of a run: which there are, and their rows in order of the inputs, each input once.

An input's record is first a part of its own, ``part-00000012.parquet``. Later many are written together as
``part-00000000-00000255.parquet`` and the single ones are deleted, so between the two an input can be in
both, with the same content. Reading therefore keeps one row an input, and starts over when a part vanishes
under it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from smoothcert.errors import RunError
from smoothcert.typing import IntArray

_ATTEMPTS = 100


@dataclass(frozen=True, eq=False)
class Part:
    """A part file and the rows of it that count.

    Args:
        path: The file.
        inputs: Input index of every row, shape ``(rows,)``.
        rows: Rows that are not already in another part, by ascending input index, shape ``(kept,)``.
    """

    path: Path
    inputs: IntArray
    rows: IntArray

    @property
    def kept(self) -> IntArray:
        """Input index of the rows that count, ascending, shape ``(kept,)``."""
        return self.inputs[self.rows]

    def after(self, index: int) -> Part:
        """Only the rows of inputs beyond ``index``."""
        return Part(self.path, self.inputs, self.rows[self.kept > index])


def part_name(first: int, last: int | None = None) -> str:
    """File name of the part of one input, or of the inputs from ``first`` to ``last``.

    Example:
        >>> part_name(12), part_name(0, 255)
        ('part-00000012.parquet', 'part-00000000-00000255.parquet')
    """
    return f"part-{first:08d}.parquet" if last is None else f"part-{first:08d}-{last:08d}.parquet"


def is_single(path: Path) -> bool:
    """Whether the part was written for one input alone."""
    return path.stem.count("-") == 1


def list_parts(folder: Path) -> list[Path]:
    """Complete parts in a folder, merged ones first; no input is missed while a writer merges parts.

    A listing is not a snapshot: it can miss a merged part that appears and the single parts that vanish
    meanwhile. If nothing of one listing is gone from the next, then whatever vanished did so before the
    second began, and what replaced it is in the second.
    """
    earlier = None
    while True:
        names = {path.name for path in folder.glob("part-*.parquet")}
        if earlier is not None and earlier <= names:
            return sorted((folder / name for name in names), key=lambda path: (is_single(path), path.name))
        earlier = names


def open_parts(folder: Path) -> list[Part]:
    """Parts with the input index of their rows, each input kept once.

    Raises:
        RunError: If a part is damaged.
    """
    for _ in range(_ATTEMPTS):
        try:
            paths = list_parts(folder)
            indices = [read_part(path, ["index"])["index"].to_numpy() for path in paths]
        except FileNotFoundError:
            continue
        rows = _first_occurrences(indices)
        return [Part(*one) for one in zip(paths, indices, rows, strict=True)]
    raise RunError(f"the parts in {folder} keep changing while they are read: try again")


def read_parts(folder: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Tables whose rows, one table after the other, are in ascending order of the input index.

    Parts that interleave are read together, others one at a time, so memory is bounded by the largest group.
    A part that vanishes meanwhile was merged into another: reading goes on there, after the last input it
    gave.

    Args:
        folder: Where the parts are.
        columns: Names of the columns to read, or None for all.

    Raises:
        RunError: If a part is damaged.
    """
    done = -1
    for _ in range(_ATTEMPTS):
        try:
            for group in _groups(open_parts(folder), after=done):
                yield _read_group(group, columns)
                done = max(int(part.kept[-1]) for part in group)
        except FileNotFoundError:
            continue
        return
    raise RunError(f"the parts in {folder} keep changing while they are read: try again")


def read_row(folder: Path, index: int) -> pa.Table | None:
    """The row of one input, or None if no part holds it.

    Raises:
        RunError: If a part is damaged.
    """
    for _ in range(_ATTEMPTS):
        try:
            for part in open_parts(folder):
                for row in part.rows[part.kept == index]:
                    return read_part(part.path).slice(int(row), 1)
        except FileNotFoundError:
            continue
        return None
    raise RunError(f"the parts in {folder} keep changing while they are read: try again")


def read_part(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """One part as a table.

    Raises:
        FileNotFoundError: If it has been merged into another.
        RunError: If it is damaged.
    """
    try:
        with pq.ParquetFile(path) as file:
            return file.read(columns=None if columns is None else list(columns))
    except FileNotFoundError:
        raise
    except (pa.ArrowInvalid, OSError) as error:
        raise RunError(
            f"{path} is damaged ({error}): delete it and run the same command again to redo its inputs"
        ) from error


def concat_parts(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables one after the other; a column that one of them lacks, because it is older, is null there."""
    return pa.concat_tables(tables, promote_options="default")


def _first_occurrences(indices: Sequence[IntArray]) -> list[IntArray]:
    """Rows of each part that hold an input not in an earlier part, sorted by input."""
    sizes = [len(index) for index in indices]
    everything = np.concatenate([*indices, np.empty(0, dtype=np.int64)])
    first = np.unique(everything, return_index=True)[1]  # sorted by input index
    starts = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    owner = np.searchsorted(starts, first, side="right") - 1
    return [first[owner == part] - starts[part] for part in range(len(indices))]


def _read_group(group: Sequence[Part], columns: Sequence[str] | None) -> pa.Table:
    table = concat_parts([_rows(read_part(part.path, columns), part.rows) for part in group])
    return _rows(table, np.argsort(np.concatenate([part.kept for part in group]), kind="stable"))


def _rows(table: pa.Table, rows: IntArray) -> pa.Table:
    """The rows in that order; the table itself where that is all of them, which spares a copy."""
    return table if np.array_equal(rows, np.arange(table.num_rows)) else table.take(rows)


def _groups(parts: Sequence[Part], *, after: int) -> Iterator[list[Part]]:
    """Parts in order of their inputs beyond ``after``, those that interleave together."""
    rest = [part for part in (part.after(after) for part in parts) if part.rows.size]
    group: list[Part] = []
    end = -1
    for part in sorted(rest, key=lambda part: int(part.kept[0])):
        if group and part.kept[0] > end:
            yield group
            group = []
        group.append(part)
        end = max(end, int(part.kept[-1]))
    if group:
        yield group
