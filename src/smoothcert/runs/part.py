"""One part of a run: its name, and the way from its file to rows and back.

There is one way from a file to rows, :func:`read_part`: it checks the seal over all bytes, the columns, the name, and
the rows, whichever columns are wanted. Bytes are read once, so what was checked is what is used.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from smoothcert.errors import RunError
from smoothcert.files import LARGEST, read_file
from smoothcert.remote import Signature, read_many, reason
from smoothcert.runs.checks import check_columns, check_rows, check_size
from smoothcert.runs.config import RunConfig
from smoothcert.runs.counting import Held
from smoothcert.runs.records import CHECKSUM, select_columns, to_parquet
from smoothcert.runs.seals import add_checksums, check_checksums, check_seal, is_sealed, prepare_seal, seal
from smoothcert.typing import IntArray
from smoothcert.urls import AnyPath

UNSEALED = 1
"""Schema of the runs that were made before there were seals and checksums."""
REMEDY = "smoothcert check RUN --repair sets it aside, and the command that made the run then redoes its inputs"
_NAME = re.compile(r"part-(\d{8,18})(?:-(\d{8,18}))?(?:\.[0-9a-f]{16})?\.parquet")
_AT_ONCE = 4_096  # rows
_FEW = 16  # rows that are not worth waking threads
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
class Contents:
    """What a part holds, kept from one reading to the next while the file has not changed.

    Args:
        signature: What tells this version of the file from another.
        held: Its rows.
        schema: Columns of the part.
    """

    signature: Signature | None
    held: Held
    schema: pa.Schema

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return int(str(self.signature[0])) if self.signature else 0


@dataclass(frozen=True, eq=False)
class Part:
    """A part file and the rows of it that count.

    Args:
        path: The file.
        contents: All its rows.
        rows: Rows that no other part has, or has with more samples, by ascending input index, shape ``(kept,)``.
    """

    path: AnyPath
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
    return load_part(path, config, columns, content=content)[0]


def read_sealed(path: AnyPath, config: RunConfig, content: Content = None) -> pa.Table:
    """One part as :func:`read_part` gives it, but only its seal is checked: for rows that are checked together later.

    Raises:
        DamagedPartError: If it is damaged or does not belong to the run.
    """
    return load_part(path, config, None, content=content, only_seal=True)[0]


def fetch(paths: Sequence[AnyPath], sizes: Mapping[AnyPath, int] | None = None) -> Iterator[Content]:
    """The bytes of parts in order: several at a time from an object store, none of files here, which are read in turn.

    Args:
        paths: Of one folder.
        sizes: Bytes of each, as far as they are known.
    """
    stored = [path for path in paths if not isinstance(path, Path)]
    return read_many(stored, sizes or {}, at_most=LARGEST) if stored else repeat(None, len(paths))


def raised(content: Content) -> bytes | None:
    """What was fetched, unless that failed.

    Raises:
        OSError: If it did.
    """
    if isinstance(content, OSError):
        raise content
    return content


def concat_parts(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables one after the other; a column that one of them lacks is null there."""
    return pa.concat_tables(tables, promote_options="default")


def load_part(
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
        found = raised(content)
        if found is None:
            found = read_file(path)
        return _decode(found, config, columns, named=named, part=part, only_seal=only_seal)
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
    if part is not None and not np.array_equal(table["index"].to_numpy(), part.contents.held.inputs):
        raise FileNotFoundError  # another has taken its name since the folder was listed
    kept = table if part is None else pick_rows(table, part.rows)
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


def pick_rows(table: pa.Table, rows: IntArray) -> pa.Table:
    """The rows in that order; the table itself where that is all of them, which spares a copy."""
    return table if np.array_equal(rows, np.arange(table.num_rows)) else table.take(rows)
