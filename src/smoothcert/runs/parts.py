"""The Parquet parts of a run: which there are, and their rows in order of the inputs, each input once.

An input's record is first a part of its own, ``part-00000012.parquet``. Later many are written together as
``part-00000000-00000255.parquet`` and the single ones are deleted, so between the two an input can be in
both, with the same content. Reading therefore keeps one row per input, and starts over when a part vanishes
under it. The row that counts is the one with the most samples: a run that grows, or in which an input that failed is
tried again, stores the better record before the other one is deleted.

There is one way from a file to rows, :func:`read_part`: it checks the seal over all bytes, the columns, the name, and
the rows, whichever columns are wanted. Bytes are read once, so what was checked is what is used.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from smoothcert.errors import RunError
from smoothcert.files import read_file
from smoothcert.runs.checks import check_columns, check_rows, check_size
from smoothcert.runs.config import RunConfig
from smoothcert.runs.counting import Held, columns_of_size, sizes_of
from smoothcert.runs.records import CHECKSUM, select_columns, to_parquet
from smoothcert.runs.seals import add_checksums, check_checksums, check_seal, is_sealed, prepare_seal, seal
from smoothcert.typing import IntArray

UNSEALED = 1
"""Schema of the runs that were made before there were seals and checksums."""
REMEDY = "smoothcert check RUN --repair sets it aside, and the command that made the run then redoes its inputs"
_NAME = re.compile(r"part-(\d{8,18})(?:-(\d{8,18}))?\.parquet")
_ATTEMPTS = 100
_AT_ONCE = 4_096  # rows
_FEW = 16  # rows that are not worth waking threads
_T = TypeVar("_T")


class DamagedPartError(RunError):
    """Parts that cannot be used.

    Args:
        reason: What is wrong; it follows the name of the file.
        paths: The files: one, or two that contradict each other.
    """

    def __init__(self, reason: str, *paths: Path) -> None:
        super().__init__(f"{' and '.join(map(str, paths))} {reason}: {REMEDY}")
        self.reason = reason
        self.paths = paths


@dataclass(frozen=True, eq=False)
class Contents:
    """What a part holds, kept from one reading to the next while the file has not changed.

    Args:
        signature: What tells this version of the file from another.
        held: Its rows.
        schema: Columns of the part.
    """

    signature: tuple[int, ...]
    held: Held
    schema: pa.Schema


@dataclass(frozen=True, eq=False)
class Part:
    """A part file and the rows of it that count.

    Args:
        path: The file.
        contents: All its rows.
        rows: Rows that no other part has, or has with more samples, by ascending input index, shape ``(kept,)``.
    """

    path: Path
    contents: Contents
    rows: IntArray

    @property
    def kept(self) -> IntArray:
        """Input index of the rows that count, ascending, shape ``(kept,)``."""
        return self.contents.held.inputs[self.rows]

    @property
    def sizes(self) -> IntArray:
        """Number of estimation samples of the rows that count, 0 where there are none, shape ``(kept,)``."""
        return self.contents.held.sizes[self.rows]

    def after(self, index: int) -> Part:
        """Only the rows of inputs beyond ``index``."""
        return replace(self, rows=self.rows[self.kept > index])

    def only(self, index: int) -> Part:
        """Only the row of one input."""
        return replace(self, rows=self.rows[self.kept == index])


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts in a folder, as parts of one run.

    Args:
        folder: Where they are.
        config: What defines the run; a part that does not fit it is an error.
    """

    folder: Path
    config: RunConfig
    _known: dict[Path, Contents] = field(default_factory=dict, init=False, repr=False)

    def paths(self) -> list[Path]:
        """Complete parts, merged ones first; no input is missed while a writer merges parts.

        A listing is not a snapshot: it can miss a merged part that appears and the single parts that vanish
        meanwhile. If nothing of one listing is gone from the next, then whatever vanished did so before the
        second began, and what replaced it is in the second.

        Raises:
            RunError: If the folder cannot be read.
        """
        earlier = None
        while True:
            names = set(_listed(self.folder))
            if earlier is not None and earlier <= names:
                return sorted((self.folder / name for name in names), key=lambda path: (is_single(path), path.name))
            earlier = names

    def open(self) -> list[Part]:
        """Parts with the input index of their rows, each input kept once.

        Raises:
            RunError: If a part is damaged, or two hold different records of one input; the message names them.
        """
        return self._persistently(self._open)

    def read(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Tables whose rows, one table after the other, are in ascending order of the input index.

        Parts that interleave are read together, others one at a time, so memory is bounded by the largest group.
        A part that vanishes meanwhile was merged into another: reading goes on there, after the last input it
        gave.

        Args:
            columns: Names of the columns to read, null where an older part lacks them; None for all.

        Raises:
            RunError: If a part is damaged; the message names it.
        """
        done = -1
        for _ in range(_ATTEMPTS):
            try:
                for group in _groups(self._open(), after=done):
                    yield self._read_group(group, columns)
                    done = max(int(part.kept[-1]) for part in group)
            except FileNotFoundError:
                continue
            except DamagedPartError:
                self.require_current()
                raise
            return
        raise self._unsettled()

    def row(self, index: int) -> pa.Table | None:
        """The row of one input, or None if no part holds it.

        Raises:
            RunError: If a part is damaged; the message names it.
        """

        def attempt() -> pa.Table | None:
            for part in self._open():
                if index in part.kept:
                    return _load(part.path, self.config, None, part.only(index))[0]
            return None

        return self._persistently(attempt)

    def require_current(self) -> None:
        """Raise ``RunError`` if the run has grown since its configuration was read, so that its parts seem damaged."""
        from smoothcert.runs.store import read_config  # which builds on this

        if read_config(self.folder.parent).extents != self.config.extents:
            raise RunError(f"{self.folder.parent} has grown since it was opened: open it again")

    def held(self) -> Held:
        """Every input that is stored, by ascending index.

        Raises:
            RunError: If a part is damaged, or two hold different records of one input; the message names them.
        """
        found = Held.together([part.contents.held.take(part.rows) for part in self.open()])
        return found.take(np.argsort(found.inputs))

    def schemas(self) -> list[pa.Schema]:
        """Columns of every part."""
        return self._persistently(lambda: [self.contents(part.path).schema for part in self._open()])

    def contents(self, path: Path) -> Contents:
        """What a part holds.

        Raises:
            FileNotFoundError: If it has been merged into another.
            RunError: If it is damaged.
        """
        status = os.stat(path)
        signature = (status.st_ino, status.st_size, status.st_mtime_ns)
        known = self._known.get(path)
        if known is None or known.signature != signature:
            table, schema = _load(path, self.config, ["index", CHECKSUM, *columns_of_size(self.config)])
            checksums = np.array(table[CHECKSUM].to_pylist(), dtype=object)
            held = Held(table["index"].to_numpy(), sizes_of(table, self.config), checksums)
            known = Contents(signature, held, schema)
            self._known[path] = known
        return known

    def _open(self) -> list[Part]:
        paths = self.paths()
        found = [self.contents(path) for path in paths]
        for path in self._known.keys() - set(paths):
            del self._known[path]
        rows = rows_that_count(paths, found)
        return [Part(path, contents, kept) for path, contents, kept in zip(paths, found, rows, strict=True)]

    def _read_group(self, group: Sequence[Part], columns: Sequence[str] | None) -> pa.Table:
        tables = [_load(part.path, self.config, columns, part)[0] for part in group]
        if len(tables) == 1:
            return tables[0]
        return _rows(concat_parts(tables), np.argsort(np.concatenate([part.kept for part in group]), kind="stable"))

    def _persistently(self, attempt: Callable[[], _T]) -> _T:
        try:
            for _ in range(_ATTEMPTS):
                with suppress(FileNotFoundError):
                    return attempt()
        except DamagedPartError:
            self.require_current()
            raise
        raise self._unsettled()

    def _unsettled(self) -> RunError:
        for path in self.paths():
            if path.is_symlink() and not path.exists():
                return RunError(f"{path} cannot be read (it is a link to nothing): {REMEDY}")
        return RunError(f"the parts in {self.folder} keep changing while they are read: try again")


def part_name(first: int, last: int | None = None) -> str:
    """File name of the part of one input, or of the inputs from ``first`` to ``last``.

    Example:
        >>> part_name(12), part_name(0, 255)
        ('part-00000012.parquet', 'part-00000000-00000255.parquet')
    """
    return f"part-{first:08d}.parquet" if last is None else f"part-{first:08d}-{last:08d}.parquet"


def named_range(path: Path) -> tuple[int, int] | None:
    """First and last input that a part holds by its name; None for a name that is not a part's.

    Example:
        >>> named_range(Path("part-00000000-00000255.parquet")), named_range(Path("part-7.parquet"))
        ((0, 255), None)
    """
    found = _NAME.fullmatch(path.name)
    if found is None or int(found[2] or found[1]) < int(found[1]):
        return None
    return int(found[1]), int(found[2] or found[1])


def is_single(path: Path) -> bool:
    """Whether the part was written for one input alone."""
    return path.stem.count("-") == 1


def encode_part(table: pa.Table, config: RunConfig, *, compact: bool = True) -> bytes:
    """The rows as the sealed file of a part; their checksums are made unless they carry them already.

    Args:
        table: Rows by ascending index.
        config: Of their run.
        compact: Whether to spend time: on making the file small, and on decoding it again, so that no fault of an
            encoder or of memory is sealed and the parts it replaces are deleted.

    Raises:
        RunError: If a row makes no sense for this run.
    """
    check_rows(table, config)
    signed = table if CHECKSUM in table.column_names else add_checksums(table, config.fingerprint)
    content = seal(to_parquet(prepare_seal(signed, config.fingerprint), compact=compact), config.fingerprint)
    if compact:
        _decode(content, config)
    return content


def read_part(path: Path, config: RunConfig, columns: Sequence[str] | None = None) -> pa.Table:
    """One part as a table.

    Args:
        path: The file.
        config: Of its run.
        columns: Names of the columns to read, null where the part lacks them; None for all, checksum included.

    Raises:
        FileNotFoundError: If it has been merged into another.
        DamagedPartError: If it is damaged or does not belong to the run; the message names it and what to do.
    """
    return _load(path, config, columns)[0]


def read_sealed(path: Path, config: RunConfig) -> pa.Table:
    """One part as :func:`read_part` gives it, but only its seal is checked: for rows that are checked together later.

    Raises:
        DamagedPartError: If it is damaged or does not belong to the run.
    """
    return _load(path, config, None, only_seal=True)[0]


def concat_parts(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables one after the other; a column that one of them lacks is null there."""
    return pa.concat_tables(tables, promote_options="default")


def _load(
    path: Path, config: RunConfig, columns: Sequence[str] | None, part: Part | None = None, *, only_seal: bool = False
) -> tuple[pa.Table, pa.Schema]:
    """As :func:`read_part`, with the schema of all columns; ``part`` has the rows to keep."""
    named = named_range(path)
    try:
        if named is None:
            raise RunError("is not named as a part of a run is")
        return _decode(read_file(path), config, columns, named=named, part=part, only_seal=only_seal)
    except FileNotFoundError:
        raise
    except RunError as error:
        raise DamagedPartError(str(error), path) from error
    except OSError as error:
        raise DamagedPartError(f"cannot be read ({error.strerror or error})", path) from error


def _decode(
    content: bytes,
    config: RunConfig,
    columns: Sequence[str] | None = None,
    *,
    named: tuple[int, int] | None = None,
    part: Part | None = None,
    only_seal: bool = False,
) -> tuple[pa.Table, pa.Schema]:
    """Rows from the bytes of a part, checked, and the schema of all its columns; errors are what follows its name."""
    if config.schema != UNSEALED or is_sealed(content):
        check_seal(content, config.fingerprint)
    wanted = None if columns is None else list(dict.fromkeys(["index", "error", *columns]))
    table, schema = _parse(content, config, wanted, most=None if named is None else named[1] - named[0] + 1)
    if only_seal:
        return table, schema
    _within(table, config, named)
    if part is not None and not np.array_equal(table["index"].to_numpy(), part.contents.held.inputs):
        raise FileNotFoundError  # another has taken its name since the folder was listed
    kept = table if part is None else _rows(table, part.rows)
    if columns is None:
        if CHECKSUM in table.column_names:
            check_checksums(kept, config.fingerprint)
        return kept, schema
    return select_columns(kept, columns), schema


def _parse(
    content: bytes, config: RunConfig, wanted: list[str] | None, *, most: int | None
) -> tuple[pa.Table, pa.Schema]:
    """The wanted columns, and the schema of all; what the file says of itself is checked before memory is asked for."""
    try:
        with pq.ParquetFile(pa.BufferReader(content)) as file:
            schema = file.schema_arrow
            check_columns(schema, config)
            check_size(file.metadata.num_rows, most)
            there = None if wanted is None else [name for name in wanted if name in schema.names]
            batches, held = [], 0
            threads = file.metadata.num_rows > _FEW
            for batch in file.iter_batches(batch_size=_AT_ONCE, columns=there, use_threads=threads):
                held += batch.nbytes
                check_size(0, None, held=held)
                batches.append(batch)
        if not batches:
            raise RunError("is damaged (it holds no input)")
        table = pa.Table.from_batches(batches)
        table.validate(full=True)  # offsets within their values, strings that are UTF-8
    except RunError:
        raise
    except Exception as error:  # Arrow raises many kinds for bytes that are not Parquet, MemoryError among them
        raise RunError(f"is damaged ({_first_line(error)})") from error
    return table, schema


def _within(table: pa.Table, config: RunConfig, named: tuple[int, int] | None) -> None:
    """The rows make sense, and are those of the name."""
    try:
        check_rows(table, config)
    except RunError as error:
        raise RunError(f"is damaged ({error})") from error
    inputs = table["index"].to_numpy()
    if named is not None and named != (int(inputs[0]), int(inputs[-1])):
        raise RunError(f"holds the inputs {inputs[0]} to {inputs[-1]}, not those of its name")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200] or type(error).__name__


def _listed(folder: Path) -> list[str]:
    """Names of the Parquet files; one that is not named as a part is, an error when it is read, is among them."""
    try:
        return [name for name in os.listdir(folder) if name.endswith(".parquet") and not name.startswith(".")]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunError(f"cannot read {folder}: {error.strerror or error}") from error


def rows_that_count(paths: Sequence[Path], found: Sequence[Contents]) -> list[IntArray]:
    """Rows of each part that are the record of their input, sorted by input: of several the one with the most samples.

    Raises:
        DamagedPartError: If two parts hold different records of one input with equally many samples.
    """
    every = Held.together([contents.held for contents in found])
    starts = np.concatenate(([0], np.cumsum([len(contents.held.inputs) for contents in found]))).astype(np.int64)
    for pair in every.rivals():
        both = [paths[int(np.searchsorted(starts, row, side="right")) - 1] for row in pair]
        raise DamagedPartError(f"hold different records of input {every.inputs[pair[0]]}", *both)
    counting = every.counting()
    owner = np.searchsorted(starts, counting, side="right") - 1
    return [counting[owner == part] - starts[part] for part in range(len(found))]


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
