"""``parquet:PATH``: images in a Parquet file or a folder of them, read by row group as they are asked for."""

from __future__ import annotations

import bisect
import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from smoothcert.data.columns import Columns, choose_columns, encoded_image
from smoothcert.data.preprocess import STEP, Preprocess, content_hash
from smoothcert.errors import DataError, InvalidArgumentError

_SPLITS = ("train", "test", "validation", "valid", "val", "dev")


class ParquetSource:
    """Rows of one or more Parquet files, in the order of their paths.

    Only the labels are read on opening. Pyarrow is used directly, rather than through Hugging Face
    datasets, because it reads in place: no converted copy of the data is written, whatever its size.

    The fingerprint hashes each file's size, schema, row groups and labels, not every image; a run records
    the hash of each input it certifies.

    Args:
        path: A Parquet file, or a folder searched for them.
        preprocess: Applied to every image.
        split: Of a folder, only the files called so (``SPLIT.parquet``, ``SPLIT-*.parquet``) or in a
            sub-folder ``SPLIT``.
        image_column: Column of encoded images, where there are several.
        label_column: Column of integer labels, where it is not called ``label``.

    Raises:
        DataError: There is nothing to read, or the columns do not hold images and integer labels.
        InvalidArgumentError: ``split`` is given for a single file.
    """

    lattice = STEP
    input_range = (0.0, 1.0)

    def __init__(
        self,
        path: Path,
        *,
        preprocess: Preprocess,
        split: str | None = None,
        image_column: str | None = None,
        label_column: str | None = None,
    ) -> None:
        self.name = f"parquet:{path}"
        self._preprocess = preprocess
        self._files = [_open(file, path) for file in _parquet_files(path, split)]
        chosen = [
            choose_columns(file.reader.schema_arrow, name=str(file.path), image=image_column, label=label_column)
            for file in self._files
        ]
        self._columns = chosen[0]
        for file, columns in zip(self._files, chosen, strict=True):
            if columns != self._columns:
                raise DataError(f"columns of {file.path} are not those of {self._files[0].path}")
        self.class_names = self._columns.class_names
        self._labels: list[int | None] = []
        self._first_rows: list[int] = []
        digest = hashlib.sha256(repr(self._columns).encode())
        for file in self._files:
            labels = _read_labels(file, self._columns)
            self._first_rows.append(len(self._labels))
            self._labels += labels
            digest.update(repr((file.path.stat().st_size, file.reader.metadata.to_dict(), labels)).encode())
        self.indices = list(range(len(self._labels)))
        self.fingerprint = digest.hexdigest()
        self._group: tuple[_File, int, pa.ChunkedArray] | None = None

    def id(self, index: int) -> str:
        """Return ``FILE:ROW``, the file relative to the folder that was opened."""
        file, row = self._locate(index)
        return f"{file.id}:{row}"

    def label(self, index: int) -> int | None:
        """Return the row's label."""
        return self._labels[index]

    def digest(self, index: int) -> str:
        """Hash of the row's encoded image and of how it is prepared."""
        return f"{content_hash(self._encoded(index)[0])}:{self._preprocess}"

    def read(self, index: int) -> npt.NDArray[np.float32]:
        """Decode the row's image; its row group stays in memory until another one is asked for."""
        image, name = self._encoded(index)
        return self._preprocess(image, name=name)

    def _encoded(self, index: int) -> tuple[bytes | Path, str]:
        file, row = self._locate(index)
        group = bisect.bisect_right(file.group_starts, row) - 1
        if self._group is None or self._group[0] is not file or self._group[1] != group:
            try:
                table = file.reader.read_row_group(group, columns=[self._columns.image])
            except (pa.ArrowException, OSError) as error:
                raise DataError(f"image {file.path}:{row} cannot be read: {error}") from error
            self._group = (file, group, table.column(0))
        cell = self._group[2][row - file.group_starts[group]].as_py()
        return encoded_image(cell, name=f"{file.path}:{row}", folder=file.path.parent)

    def _locate(self, index: int) -> tuple[_File, int]:
        number = bisect.bisect_right(self._first_rows, index) - 1
        return self._files[number], index - self._first_rows[number]


@dataclass(frozen=True, eq=False)
class _File:
    path: Path
    id: str
    reader: pq.ParquetFile

    @cached_property
    def group_starts(self) -> list[int]:
        """First row of each row group."""
        metadata = self.reader.metadata
        sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        return [sum(sizes[:group]) for group in range(len(sizes))]


def _parquet_files(path: Path, split: str | None) -> list[Path]:
    if path.is_file():
        if split is not None:
            raise InvalidArgumentError(f"split means nothing for the single file {path}; got {split!r}")
        return [path]
    if not path.is_dir():
        raise DataError(f"parquet:{path} does not exist")
    files = sorted(path.rglob("*.parquet"))
    splits = {file: _split_of(file, path) for file in files}
    if split is not None:
        files = [file for file in files if splits[file] == split]
    elif len(found := sorted({name for name in splits.values() if name in _SPLITS})) > 1:
        raise DataError(f"parquet:{path} holds several splits ({', '.join(found)}); choose one with split")
    if not files:
        raise DataError(
            f"data set parquet:{path} is empty: no .parquet file" + (f" of split {split!r}" if split else "")
        )
    return files


def _split_of(file: Path, folder: Path) -> str:
    inner = file.relative_to(folder)
    return inner.parts[0] if len(inner.parts) > 1 and inner.parts[0] in _SPLITS else inner.stem.partition("-")[0]


def _open(file: Path, root: Path) -> _File:
    try:
        reader = pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file} is not a readable Parquet file: {error}") from error
    return _File(file, file.relative_to(root).as_posix() if root.is_dir() else file.name, reader)


def _read_labels(file: _File, columns: Columns) -> list[int | None]:
    if columns.label is None:
        return [None] * int(file.reader.metadata.num_rows)
    try:
        labels: list[Any] = file.reader.read(columns=[columns.label]).column(0).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"labels in column {columns.label!r} of {file.path} cannot be read: {error}") from error
    return labels
