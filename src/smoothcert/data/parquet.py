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
from smoothcert.data.media import MediaSource, Reader, encoded_cell
from smoothcert.data.paths import SPLITS, Tree, check_regular, walk
from smoothcert.errors import DataError, InvalidArgumentError

_MAX_ROWS = 2**25
_MAX_FEATURES = 2**32  # bytes that all features of a table may take in memory
_BATCH = 16  # rows read at a time
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
            identity = (file.path.stat().st_size, file.starts, str(file.reader.schema_arrow), own)
            digest.update(repr(identity).encode())
        super().__init__(
            name=name,
            reader=reader,
            labels=labels,
            class_names=class_names,
            fingerprint=digest.hexdigest(),
            notes=notes,
        )
        self._stream: _Stream | None = None

    def id(self, index: int) -> str:
        """Return ``FILE:ROW``, the file relative to the folder that was opened."""
        file, row = self._locate(index)
        return f"{file.id}:{row}"

    def encoded(self, index: int) -> tuple[bytes | Path, str]:
        """Return what the row holds; rows that follow one another are read in one go, some at a time."""
        file, row = self._locate(index)
        if self._stream is None or self._stream.file is not file or not self._stream.leads_to(row):
            self._stream = _Stream(file, self._column, row)
        try:
            cell = self._stream.cell(row)
        except Exception as error:  # Arrow raises many kinds on broken files
            self._stream = None
            raise DataError(f"{self._reader.what} {file.path}:{row} cannot be read: {error}") from error
        return encoded_cell(
            cell,
            name=f"{file.path}:{row}",
            what=self._reader.what,
            folders=[self._root],
            beside=file.path.parent,
            allow_outside=self._allow_outside,
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_stream": None}

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
    if (size := rows * len(wanted) * 8) > _MAX_FEATURES:
        raise DataError(f"{name} must have features of at most {_MAX_FEATURES:,} bytes; it has {size:,}")
    tables = [file.read(wanted) for file in files]
    ids = [f"{file.id}:{row}" for file in files for row in range(file.starts[-1])]
    return feature_source(tables, chosen[0], name=name, ids=ids, notes=notes)


@dataclass(frozen=True, eq=False)
class _File:
    path: Path
    id: str
    root: Path
    reader: pq.ParquetFile
    starts: list[int]  # first row of each row group, and the number of rows

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy in another process opens the file again."""
        return _open, (self.path, self.root)

    def read(self, columns: list[str]) -> pa.Table:
        """Read columns of all rows."""
        what = f"column {' and '.join(map(repr, columns[:4]))} of {self.path}"
        try:
            table = self.reader.read(columns=columns)
        except Exception as error:  # Arrow raises many kinds on broken files
            raise DataError(f"{what} cannot be read: {error}") from error
        wanted = [self.reader.schema_arrow.field(column).type for column in columns]
        if table.num_rows != self.starts[-1] or [field.type for field in table.schema] != wanted:
            raise DataError(f"{what} cannot be read: it is not what the file says it is")
        return table


class _Stream:
    """One column of a row group from its first row on, some rows at a time, so that a group need not fit into memory.

    Args:
        file: The file.
        column: The column.
        row: A row of the group.
    """

    def __init__(self, file: _File, column: str, row: int) -> None:
        group = bisect.bisect_right(file.starts, row) - 1
        self.file = file
        self._start, self._end = file.starts[group], file.starts[group + 1]
        self._batches = file.reader.iter_batches(_BATCH, row_groups=[group], columns=[column])
        self._rows: Any = ()

    def leads_to(self, row: int) -> bool:
        """Whether a row is in what is at hand or comes after it in the group."""
        return self._start <= row < self._end

    def cell(self, row: int) -> Any:
        """Return what a row holds."""
        while row >= self._start + len(self._rows):
            self._start += len(self._rows)
            self._rows = next(self._batches, None)
            if not self._rows:
                raise DataError("the file ends before it")
            self._rows = self._rows.column(0)
        return self._rows[row - self._start].as_py()


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
    parts = _parts(tree)
    if split is not None:
        files = [file for file in tree.files if parts[file] == split]
        files = files or [file for file in tree.files if _is_called(tree.relative(file), split)]
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


def _parts(tree: Tree) -> dict[Path, str | None]:
    """Part of a data set that each file belongs to, by its name or by that of a folder above it; None if by neither.

    ``test.parquet`` and ``test-00000-of-00001.parquet`` are of ``test``. Beside those, ``test-small.parquet`` is a part
    of its own, as it may hold the same rows; alone it is of ``test``, too.
    """
    found: dict[Path, str | None] = {}
    own_names: dict[Path, str] = {}
    for file in tree.files:
        *folders, name = tree.relative(file).split("/")
        stem = name.removesuffix(".parquet")
        above = next((folder for folder in reversed(folders) if folder.casefold() in SPLITS), None)
        first = re.split(r"[-_.\d]", stem, maxsplit=1)[0]
        found[file] = above or (first if first.casefold() in SPLITS else None)
        if above is None and found[file] is not None and not re.fullmatch(r"[-_.]?(\d.*)?", stem[len(first) :]):
            own_names[file] = stem
    plain = {part for file, part in found.items() if file not in own_names}
    return found | {file: name for file, name in own_names.items() if found[file] in plain}


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
        rows = int(reader.metadata.num_rows)
    except Exception as error:  # Arrow raises many kinds on broken files
        raise DataError(f"{file} is not a readable Parquet file: {error}") from error
    if not 0 <= rows <= _MAX_ROWS:
        raise DataError(f"{file} must have at most {_MAX_ROWS:,} rows; it says {rows:,}")
    try:
        # Asking for the metadata of a row group of a broken file can end the process; reading no column of it does not.
        groups = [reader.read_row_group(group, columns=[]).num_rows for group in range(reader.num_row_groups)]
    except Exception as error:
        raise DataError(f"{file} is not a readable Parquet file: {error}") from error
    if min(groups, default=0) < 0 or sum(groups) != rows:
        raise DataError(f"{file} is not a readable Parquet file: its row groups do not add up to its rows")
    name = file.relative_to(root).as_posix() if root.is_dir() else file.name
    return _File(file, name, root, reader, [0, *accumulate(groups)])
