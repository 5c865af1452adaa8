"""``parquet:PATH``: a Parquet file or a folder of them; encoded inputs are read by row group as they are asked for."""

from __future__ import annotations

import bisect
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from smoothcert.data.arrays import ArraySource, feature_source
from smoothcert.data.columns import Columns, choose_columns, no_label, read_labels
from smoothcert.data.files import SPLITS, check_regular, walk
from smoothcert.data.media import MediaSource, Reader, encoded_cell
from smoothcert.errors import DataError, InvalidArgumentError

_MAX_ROWS = 2**25
_MAX_GROUP = 2**32  # bytes that one column of a row group, or all features of a table, may take in memory
_MAX_FILE = 2**50


class ParquetSource(MediaSource):
    """Images or sounds in the rows of Parquet files, in the order of their paths.

    Only the labels are read on opening. Pyarrow is used directly, rather than through Hugging Face datasets, because it
    reads in place: no converted copy of the data is written, whatever its size.

    Args:
        name: What errors and runs call the data.
        files: The files, opened.
        columns: Those that hold the inputs and the labels, the same in all files.
        reader: Decodes and prepares an input.
        root: The folder that files named by the data must lie in.
        notes: What was left out.
        allow_outside: Whether they may lie elsewhere, too.

    Raises:
        DataError: The labels cannot be read.
    """

    def __init__(
        self,
        *,
        name: str,
        files: Sequence[_File],
        columns: Columns,
        reader: Reader,
        root: Path,
        notes: tuple[str, ...] = (),
        allow_outside: bool = False,
    ) -> None:
        self._files, self._column = files, columns.inputs[0]
        self._root, self._allow_outside = root, allow_outside
        rows = [file.starts[-1] for file in files]
        self._first_rows = [0, *accumulate(rows)]
        class_names = columns.class_names
        labels: Any = [None] * self._first_rows[-1]
        if columns.label is not None:
            parts = [file.read([columns.label]).column(0) for file in files]
            labels, class_names = read_labels(parts, name=f"{columns.label!r} of {name}", class_names=class_names)
        else:
            notes = (*notes, no_label(files[0].reader.schema_arrow.names, self._column))
        digest = hashlib.sha256(repr(columns).encode())
        for file, first, count in zip(files, self._first_rows, rows, strict=False):
            own = [None if label is None else int(label) for label in labels[first : first + count]]
            digest.update(repr((file.path.stat().st_size, file.reader.metadata.to_dict(), own)).encode())
        super().__init__(
            name=name,
            reader=reader,
            labels=labels,
            class_names=class_names,
            fingerprint=digest.hexdigest(),
            notes=notes,
        )
        self._group: tuple[_File, int, pa.ChunkedArray] | None = None

    def id(self, index: int) -> str:
        """Return ``FILE:ROW``, the file relative to the folder that was opened."""
        file, row = self._locate(index)
        return f"{file.id}:{row}"

    def encoded(self, index: int) -> tuple[bytes | Path, str]:
        """Return what the row holds; its row group stays in memory until another one is asked for."""
        file, row = self._locate(index)
        group = bisect.bisect_right(file.starts, row) - 1
        if self._group is None or self._group[0] is not file or self._group[1] != group:
            self._group = None  # two groups need not fit into memory
            table = file.read([self._column], group=group, name=f"{self._reader.what} {file.path}:{row}")
            self._group = (file, group, table.column(0))
        cell = self._group[2][row - file.starts[group]].as_py()
        return encoded_cell(
            cell,
            name=f"{file.path}:{row}",
            what=self._reader.what,
            folders=[self._root],
            beside=file.path.parent,
            allow_outside=self._allow_outside,
        )

    def _locate(self, index: int) -> tuple[_File, int]:
        number = bisect.bisect_right(self._first_rows, index) - 1
        return self._files[number], index - self._first_rows[number]


def open_parquet(
    path: Path,
    *,
    readers: dict[str, Any],
    split: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    allow_outside: bool = False,
) -> ParquetSource | ArraySource:
    """Open a Parquet file, or a folder searched for them: images or sounds, or else columns of features.

    Args:
        path: The file or folder.
        readers: What makes a reader of ``image`` and ``sound``.
        split: Of a folder, only the files called so (``SPLIT.parquet``, ``SPLIT-*.parquet``) or in a sub-folder
            ``SPLIT``.
        image_column: Column of the inputs, where there are several.
        label_column: Column of the labels, where it is called neither ``label`` nor by another usual name.
        allow_outside: Whether paths in the data may lead out of the folder.

    Raises:
        DataError: There is nothing to read, or the columns do not hold inputs and labels.
        InvalidArgumentError: ``split`` is given for a single file.
    """
    name = f"parquet:{path}"
    found, notes = _parquet_files(path, split)
    files = [_open(file, path) for file in found]
    chosen = [
        choose_columns(file.reader.schema_arrow, name=str(file.path), image=image_column, label=label_column)
        for file in files
    ]
    for file, columns in zip(files, chosen, strict=True):
        if columns != chosen[0]:
            raise DataError(f"columns of {file.path} are not those of {files[0].path}")
    if (rows := sum(file.starts[-1] for file in files)) > _MAX_ROWS:
        raise DataError(f"{name} must have at most {_MAX_ROWS:,} rows; it has {rows:,}")
    if chosen[0].kind != "features":
        return ParquetSource(
            name=name,
            files=files,
            columns=chosen[0],
            reader=readers[chosen[0].kind](),
            root=path if path.is_dir() else path.parent,
            notes=notes,
            allow_outside=allow_outside,
        )
    wanted = [*chosen[0].inputs, *([] if chosen[0].label is None else [chosen[0].label])]
    if (size := rows * len(wanted) * 8) > _MAX_GROUP:
        raise DataError(f"{name} must have features of at most {_MAX_GROUP:,} bytes; it has {size:,}")
    tables = [file.read(wanted) for file in files]
    ids = [f"{file.id}:{row}" for file in files for row in range(file.starts[-1])]
    return feature_source(tables, chosen[0], name=name, ids=ids, notes=notes)


@dataclass(frozen=True, eq=False)
class _File:
    path: Path
    id: str
    reader: pq.ParquetFile
    starts: list[int]  # first row of each row group, and the number of rows

    def read(self, columns: list[str], *, group: int | None = None, name: str | None = None) -> pa.Table:
        """Read columns of one row group or of all."""
        what = name or f"column {' and '.join(map(repr, columns[:4]))} of {self.path}"
        metadata = self.reader.metadata
        groups = range(metadata.num_row_groups) if group is None else [group]
        size = 0
        for number in groups:
            row_group = metadata.row_group(number)
            for place in range(row_group.num_columns):
                chunk = row_group.column(place)
                if chunk.path_in_schema.split(".")[0] in columns:
                    size += max(int(chunk.total_uncompressed_size), 0)
        if size > _MAX_GROUP:
            raise DataError(f"{what} cannot be read: it says to need {size:,} bytes, more than {_MAX_GROUP:,}")
        try:
            table = self.reader.read_row_groups(list(groups), columns=columns)
        except Exception as error:  # Arrow raises many kinds on broken files
            raise DataError(f"{what} cannot be read: {error}") from error
        rows = self.starts[-1] if group is None else self.starts[group + 1] - self.starts[group]
        if table.num_rows != rows:
            raise DataError(f"{what} cannot be read: {table.num_rows:,} of its {rows:,} rows are there")
        return table


def _parquet_files(path: Path, split: str | None) -> tuple[list[Path], tuple[str, ...]]:
    """The files to read, and what was left out."""
    if not path.exists():
        raise DataError(f"parquet:{path} does not exist")
    if not path.is_dir():
        check_regular(path, name=str(path), most=_MAX_FILE)
        if split is not None:
            raise InvalidArgumentError(f"split means nothing for the single file {path}; got {split!r}")
        return [path], ()
    tree = walk(path, suffixes={".parquet"})
    parts = {file: _part_of(tree.relative(file)) for file in tree.files}
    if split is not None:
        files = [file for file in tree.files if parts[file] == split or _is_called(tree.relative(file), split)]
    else:
        files = tree.files
        if len(found := sorted({part or "others" for part in parts.values()})) > 1:
            raise DataError(
                f"parquet:{path} holds several splits ({', '.join(found)}); choose one with split (--split)"
            )
    if not files:
        there = sorted({part for part in parts.values() if part})
        hint = "; it looks like save_to_disk of Hugging Face: open it as hf:PATH" if _is_saved(path) else ""
        raise DataError(
            f"data set parquet:{path} is empty: no .parquet file"
            + (f" of split {split!r}" + (f", only of {', '.join(there)}" if there else "") if split else hint)
        )
    configurations = sorted({where for file in files if (where := _configuration(tree.relative(file))) is not None})
    if len(configurations) > 1:
        raise DataError(
            f"parquet:{path} holds several configurations ({', '.join(configurations)}); choose one by its folder"
        )
    return files, tree.notes


def _part_of(relative: str) -> str | None:
    """Part of a data set that a file belongs to by its name or by that of a folder above it; None if by neither."""
    *folders, file = relative.split("/")
    for folder in reversed(folders):
        if folder.casefold() in SPLITS:
            return folder
    stem = re.split(r"[-_.\d]", file.removesuffix(".parquet"), maxsplit=1)[0]
    return stem if stem.casefold() in SPLITS else None


def _is_called(relative: str, split: str) -> bool:
    *folders, file = relative.split("/")
    stem = file.removesuffix(".parquet")
    return split in folders or stem == split or stem.startswith(f"{split}-")


def _configuration(relative: str) -> str | None:
    """Folder above that of the split, as in ``CONFIGURATION/SPLIT/0000.parquet``; None in other layouts."""
    *folders, _ = relative.split("/")
    if len(folders) > 1 and folders[-1].casefold() in SPLITS:
        return "/".join(folders[:-1])
    return None


def _is_saved(path: Path) -> bool:
    return (path / "state.json").exists() or (path / "dataset_dict.json").exists()


def _open(file: Path, root: Path) -> _File:
    check_regular(file, name=str(file), most=_MAX_FILE)
    try:
        reader = pq.ParquetFile(file)
        metadata = reader.metadata
        rows = [int(metadata.row_group(group).num_rows) for group in range(metadata.num_row_groups)]
        reader.schema_arrow  # noqa: B018 - raises where the schema is broken
    except Exception as error:  # Arrow raises many kinds on broken files
        raise DataError(f"{file} is not a readable Parquet file: {error}") from error
    if min(rows, default=0) < 0 or sum(rows) != metadata.num_rows:
        raise DataError(f"{file} is not a readable Parquet file: its row groups do not add up to its rows")
    if sum(rows) > _MAX_ROWS:
        raise DataError(f"{file} must have at most {_MAX_ROWS:,} rows; it says {sum(rows):,}")
    return _File(
        file, file.relative_to(root).as_posix() if root.is_dir() else file.name, reader, [0, *accumulate(rows)]
    )
