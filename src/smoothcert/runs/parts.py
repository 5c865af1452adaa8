"""The Parquet parts of a run: which there are, and their rows in order of the inputs, each input once.

An input's record is first a part of its own, ``part-00000012.parquet``. Later many are written together as
``part-00000000-00000255.parquet`` and the single ones are deleted, so between the two an input can be in
both, with the same content. Reading therefore keeps one row per input, and starts over when a part vanishes
under it.

There is one way from a file to rows, :func:`read_part`: it checks the seal over all bytes, the columns, the name, and
the rows, whichever columns are wanted. Bytes are read once, so what was checked is what is used.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from smoothcert.errors import RunError
from smoothcert.files import LARGEST, read_file, signatures
from smoothcert.remote import Signature, read_many, reason
from smoothcert.runs.checks import check_columns, check_rows, check_size
from smoothcert.runs.config import RunConfig
from smoothcert.runs.records import CHECKSUM, select_columns, to_parquet
from smoothcert.runs.seals import add_checksums, check_checksums, check_seal, is_sealed, prepare_seal, seal
from smoothcert.typing import AnyArray, IntArray
from smoothcert.urls import AnyPath

UNSEALED = 1
"""Schema of the runs that were made before there were seals and checksums."""
REMEDY = "smoothcert check RUN --repair sets it aside, and the command that made the run then redoes its inputs"
_NAME = re.compile(r"part-(\d{8,18})(?:-(\d{8,18}))?(?:\.[0-9a-f]{16})?\.parquet")
_ATTEMPTS = 100
_AT_ONCE = 4_096  # rows
_FEW = 16  # rows that are not worth waking threads
_T = TypeVar("_T")
Content: TypeAlias = bytes | OSError | None
"""The bytes of a part, why they could not be read, or None where they have still to be read."""


class DamagedPartError(RunError):
    """Parts that cannot be used.

    Args:
        reason: What is wrong; it follows the name of the file.
        paths: The files: one, or two that contradict each other.
    """

    def __init__(self, reason: str, *paths: AnyPath) -> None:
        super().__init__(f"{' and '.join(map(str, paths))} {reason}: {REMEDY}")
        self.reason = reason
        self.paths = paths


@dataclass(frozen=True, eq=False)
class Part:
    """A part file and the rows of it that count.

    Args:
        path: The file.
        inputs: Input index of every row, shape ``(rows,)``.
        rows: Rows that are not already in another part, by ascending input index, shape ``(kept,)``.
    """

    path: AnyPath
    inputs: IntArray
    rows: IntArray

    @property
    def kept(self) -> IntArray:
        """Input index of the rows that count, ascending, shape ``(kept,)``."""
        return self.inputs[self.rows]

    def after(self, index: int) -> Part:
        """Only the rows of inputs beyond ``index``."""
        return Part(self.path, self.inputs, self.rows[self.kept > index])

    def only(self, index: int) -> Part:
        """Only the row of one input."""
        return Part(self.path, self.inputs, self.rows[self.kept == index])


@dataclass(frozen=True, eq=False)
class Contents:
    """What a part holds, kept from one reading to the next while the file has not changed.

    Args:
        signature: What tells this version of the file from another.
        inputs: Input index of every row.
        checksums: Checksum of every row; None where it has none.
        schema: Columns of the part.
    """

    signature: Signature | None
    inputs: IntArray
    checksums: AnyArray
    schema: pa.Schema


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts in a folder, as parts of one run.

    Args:
        folder: Where they are.
        config: What defines the run; a part that does not fit it is an error.
    """

    folder: AnyPath
    config: RunConfig
    _known: dict[AnyPath, Contents] = field(default_factory=dict, init=False, repr=False)
    _listed: dict[AnyPath, Signature | None] = field(default_factory=dict, init=False, repr=False)

    def paths(self) -> list[AnyPath]:
        """Complete parts, merged ones first; no input is missed while a writer merges parts.

        A listing is not a snapshot: it can miss a merged part that appears and the single parts that vanish
        meanwhile. If nothing of one listing is gone from the next, then whatever vanished did so before the
        second began, and what replaced it is in the second.

        Raises:
            RunError: If the folder cannot be read.
        """
        earlier: Set[str] | None = None
        while True:
            found = _listed(self.folder)
            if earlier is not None and earlier <= found.keys():
                self._listed.clear()
                self._listed.update({self.folder / name: signature for name, signature in found.items()})
                return sorted(self._listed, key=lambda path: (is_single(path), path.name))
            earlier = found.keys()

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
                groups = list(_groups(self._open(), after=done))
                contents = self.fetch([part.path for group in groups for part in group])
                for group in groups:
                    yield self._read_group(group, columns, [next(contents) for _ in group])
                    done = max(int(part.kept[-1]) for part in group)
            except FileNotFoundError:
                continue
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

    def schemas(self) -> list[pa.Schema]:
        """Columns of every part."""
        return self._persistently(lambda: [self.contents(part.path).schema for part in self._open()])

    def fetch(self, paths: Sequence[AnyPath]) -> Iterator[Content]:
        """As :func:`fetch`, of parts that were listed."""
        sizes = {path: int(str(signature[0])) for path in paths if (signature := self._listed.get(path)) is not None}
        return fetch(paths, sizes)

    def contents(self, path: AnyPath, content: Content = None) -> Contents:
        """What a part holds.

        Args:
            path: The file.
            content: Its bytes, if they were read already, or why they could not be.

        Raises:
            FileNotFoundError: If it has been merged into another.
            RunError: If it is damaged.
        """
        signature = self._signature(path)
        known = self._known.get(path)
        if known is None or known.signature != signature:
            table, schema = _load(path, self.config, ["index", CHECKSUM], content=content)
            checksums = np.array(table[CHECKSUM].to_pylist(), dtype=object)
            known = Contents(signature, table["index"].to_numpy(), checksums, schema)
            self._known[path] = known
        return known

    def _open(self) -> list[Part]:
        paths = self.paths()
        if self._in_store:
            known = {path: held.signature for path, held in self._known.items()}
            new = [path for path in paths if path not in known or known[path] != self._listed[path]]
            for path, content in zip(new, self.fetch(new), strict=True):
                self.contents(path, content)
        found = [self.contents(path) for path in paths]
        for path in self._known.keys() - set(paths):
            del self._known[path]
        rows = first_occurrences(paths, found)
        return [Part(path, held.inputs, kept) for path, held, kept in zip(paths, found, rows, strict=True)]

    @property
    def _in_store(self) -> bool:
        """Whether the folder is in an object store."""
        return not isinstance(self.folder, Path)

    def _signature(self, path: AnyPath) -> Signature | None:
        """What tells this version of a part: of a file as it is now, of an object as it was listed."""
        if self._in_store:
            return self._listed.get(path)
        status = os.stat(str(path))
        return (status.st_ino, status.st_size, status.st_mtime_ns)

    def _read_group(
        self, group: Sequence[Part], columns: Sequence[str] | None, contents: Sequence[Content]
    ) -> pa.Table:
        tables = [
            _load(part.path, self.config, columns, part, content=content)[0]
            for part, content in zip(group, contents, strict=True)
        ]
        if len(tables) == 1:
            return tables[0]
        return _rows(concat_parts(tables), np.argsort(np.concatenate([part.kept for part in group]), kind="stable"))

    def _persistently(self, attempt: Callable[[], _T]) -> _T:
        for _ in range(_ATTEMPTS):
            with suppress(FileNotFoundError):
                return attempt()
        raise self._unsettled()

    def _unsettled(self) -> RunError:
        for path in self.paths():
            if isinstance(path, Path) and path.is_symlink() and not path.exists():
                return RunError(f"{path} cannot be read (it is a link to nothing): {REMEDY}")
        return RunError(f"the parts in {self.folder} keep changing while they are read: try again")


def part_name(first: int, last: int | None = None, *, mark: str = "") -> str:
    """File name of the part of one input, or of the inputs from ``first`` to ``last``.

    Args:
        first: Index of the first input.
        last: Index of the last one.
        mark: In an object store, 16 random hexadecimal digits: no part takes the name of another there.

    Example:
        >>> part_name(12), part_name(0, 255)
        ('part-00000012.parquet', 'part-00000000-00000255.parquet')
    """
    ending = f".{mark}.parquet" if mark else ".parquet"
    return f"part-{first:08d}{ending}" if last is None else f"part-{first:08d}-{last:08d}{ending}"


def named_range(path: AnyPath) -> tuple[int, int] | None:
    """First and last input that a part holds by its name; None for a name that is not a part's.

    Example:
        >>> named_range(Path("part-00000000-00000255.parquet")), named_range(Path("part-7.parquet"))
        ((0, 255), None)
    """
    found = _NAME.fullmatch(path.name)
    if found is None or int(found[2] or found[1]) < int(found[1]):
        return None
    return int(found[1]), int(found[2] or found[1])


def is_single(path: AnyPath) -> bool:
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


def read_part(
    path: AnyPath,
    config: RunConfig,
    columns: Sequence[str] | None = None,
    *,
    content: Content = None,
) -> pa.Table:
    """One part as a table.

    Args:
        path: The file.
        config: Of its run.
        columns: Names of the columns to read, null where the part lacks them; None for all, checksum included.
        content: Its bytes, if they were read already, or why they could not be.

    Raises:
        FileNotFoundError: If it has been merged into another.
        DamagedPartError: If it is damaged or does not belong to the run; the message names it and what to do.
    """
    return _load(path, config, columns, content=content)[0]


def read_sealed(path: AnyPath, config: RunConfig, content: Content = None) -> pa.Table:
    """One part as :func:`read_part` gives it, but only its seal is checked: for rows that are checked together later.

    Raises:
        DamagedPartError: If it is damaged or does not belong to the run.
    """
    return _load(path, config, None, content=content, only_seal=True)[0]


def fetch(paths: Sequence[AnyPath], sizes: Mapping[AnyPath, int] | None = None) -> Iterator[Content]:
    """The bytes of parts in order: several at a time from an object store, none of files here, which are read in turn.

    Args:
        paths: Of one folder.
        sizes: Bytes of each, as far as they are known.
    """
    stored = [path for path in paths if not isinstance(path, Path)]
    return read_many(stored, sizes or {}, at_most=LARGEST) if stored else repeat(None, len(paths))


def concat_parts(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables one after the other; a column that one of them lacks is null there."""
    return pa.concat_tables(tables, promote_options="default")


def _load(
    path: AnyPath,
    config: RunConfig,
    columns: Sequence[str] | None,
    part: Part | None = None,
    *,
    content: Content = None,
    only_seal: bool = False,
) -> tuple[pa.Table, pa.Schema]:
    """As :func:`read_part`, with the schema of all columns; ``part`` has the rows to keep."""
    named = named_range(path)
    try:
        if named is None:
            raise RunError("is not named as a part of a run is")
        if isinstance(content, OSError):
            raise content
        content = read_file(path) if content is None else content
        return _decode(content, config, columns, named=named, part=part, only_seal=only_seal)
    except FileNotFoundError:
        raise
    except RunError as error:
        raise DamagedPartError(str(error), path) from error
    except OSError as error:
        if not isinstance(path, Path) and not isinstance(error, PermissionError) and error.errno != errno.EFBIG:
            raise RunError(f"cannot read {path}: {reason(error)}") from error  # of the store, not of the part
        raise DamagedPartError(f"cannot be read ({reason(error)})", path) from error


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
    if part is not None and not np.array_equal(table["index"].to_numpy(), part.inputs):
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


def _listed(folder: AnyPath) -> Mapping[str, Signature | None]:
    """Names of the Parquet files; one that is not named as a part is, an error when it is read, is among them."""
    try:
        found = signatures(folder)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise RunError(f"cannot read {folder}: {reason(error)}") from error
    return {name: found[name] for name in found if name.endswith(".parquet") and not name.startswith(".")}


def first_occurrences(paths: Sequence[AnyPath], found: Sequence[Contents]) -> list[IntArray]:
    """Rows of each part that hold an input not in an earlier part, sorted by input.

    Raises:
        DamagedPartError: If two parts hold different records of one input.
    """
    everything = np.concatenate([*(held.inputs for held in found), np.empty(0, dtype=np.int64)])
    _, first, inverse = np.unique(everything, return_index=True, return_inverse=True)  # sorted by input index
    starts = np.concatenate(([0], np.cumsum([len(held.inputs) for held in found]))).astype(np.int64)
    if len(first) < len(everything):
        checksums = np.concatenate([held.checksums for held in found])
        for row in np.flatnonzero(checksums != checksums[first[inverse]])[:1]:
            both = [paths[np.searchsorted(starts, at, side="right") - 1] for at in (first[inverse[row]], row)]
            raise DamagedPartError(f"hold different records of input {everything[row]}", *both)
    owner = np.searchsorted(starts, first, side="right") - 1
    return [first[owner == part] - starts[part] for part in range(len(found))]


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
