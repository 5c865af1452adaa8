"""``imagefolder:PATH`` and ``audiofolder:PATH``: a folder for each class, or all files in one folder."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from smoothcert.data.columns import choose_label, read_labels
from smoothcert.data.media import MediaSource, Reader
from smoothcert.data.paths import SPLITS, Tree, confined, is_left_out, read_bytes, user_path, walk
from smoothcert.errors import DataError, InvalidArgumentError

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
"""Tables with a column ``file_name``, by which Hugging Face folders tell what each file is."""

_MAX_METADATA = 2**30


class FolderSource(MediaSource):
    """Files below a folder, in the order of their paths.

    Each sub-folder is a class, numbered in the order of the names, even if it is empty; without sub-folders the inputs
    have no labels. A table ``metadata.csv`` in the folder names the files and their labels instead. Symbolic links are
    followed. Hidden files and folders, those of the operating system, those whose names begin with an underscore, and
    files of other kinds are left out; the notes count them.

    Args:
        path: The folder.
        kind: ``imagefolder`` or ``audiofolder``.
        reader: Decodes and prepares a file.
        split: Use this sub-folder of ``path`` instead.
        label_column: Column of the labels in the metadata.
        allow_outside: Whether the metadata may name files that lie outside the folder.

    Raises:
        DataError: The folder does not exist, holds parts of a data set rather than classes, or has files both beside
            and inside its class folders.
        InvalidArgumentError: ``split`` is no name of a folder.
    """

    def __init__(
        self,
        path: Path,
        *,
        kind: str,
        reader: Reader,
        split: str | None = None,
        label_column: str | None = None,
        allow_outside: bool = False,
    ) -> None:
        if split is not None and (not split or Path(split).name != split or is_left_out(split)):
            raise InvalidArgumentError(f"split must be the name of a folder in {path}; got {split!r}")
        root = user_path(path / split if split else path)
        if not root.is_dir():
            there = sorted(child.name for child in path.iterdir() if child.is_dir()) if split and path.is_dir() else []
            what = "is no folder" if root.exists() else "does not exist"
            raise DataError(f"folder {root} {what}" + (f"; {path} has {', '.join(there[:8])}" if there else ""))
        name = f"{kind}:{root}"
        tree = walk(root, suffixes=reader.suffixes)
        _check_splits(tree)
        classes: tuple[str, ...] | None
        table = _metadata(root)
        labels: list[int | None] | npt.NDArray[np.int64]
        notes: tuple[str, ...] = ()
        if table is not None:
            files = _named_files(table, root, allow_outside=allow_outside)
            unnamed = len(set(tree.files) - set(files))
            if unnamed:
                notes = (f"{unnamed:,} files in {root} left out, which its metadata do not name",)
            column = choose_label(table.schema, name=f"the metadata of {root}", label=label_column)
            if column is not None:
                labels, classes = read_labels([table.column(column)], name=f"{column!r} in the metadata of {root}")
            else:
                labels, classes = _by_folder(files, tree)
        else:
            if label_column is not None:
                raise DataError(f"label_column {label_column!r} is not in {name}, which has no metadata.csv")
            files, notes = tree.files, tree.notes
            labels, classes = _by_folder(files, tree)
        if not files:
            kinds = ", ".join(sorted(reader.suffixes))
            raise DataError(
                f"data set {name} is empty: no file there ends in {kinds}" + "".join(f"; {n}" for n in notes)
            )
        self._root, self._files = root, files
        listing = [(self.id(index), _size(file)) for index, file in enumerate(files)]
        super().__init__(
            name=name,
            reader=reader,
            labels=labels,
            class_names=classes,
            fingerprint=hashlib.sha256(repr((classes, listing)).encode()).hexdigest(),
            notes=notes,
        )

    def id(self, index: int) -> str:
        """Return the file's path inside the folder, with forward slashes."""
        file = self._files[index]
        return file.relative_to(self._root).as_posix() if file.is_relative_to(self._root) else str(file)

    def encoded(self, index: int) -> tuple[Path, str]:
        """Return the file."""
        return self._files[index], str(self._files[index])


def _check_splits(tree: Tree) -> None:
    """Refuse to take the parts of a data set for its classes."""
    parts = [folder for folder in tree.folders if folder.casefold() in SPLITS]
    if parts and (len(parts) > 1 or len(tree.folders) == 1):
        raise DataError(
            f"folder {tree.root} holds parts of a data set ({', '.join(parts)}) rather than classes; choose one with "
            f"split (--split {parts[0]})"
        )


def _by_folder(files: list[Path], tree: Tree) -> tuple[list[int | None], tuple[str, ...] | None]:
    numbers = {name: number for number, name in enumerate(tree.folders)}
    labels = [numbers.get(file.relative_to(tree.root).parts[0]) for file in files]
    if numbers and None in labels:
        raise DataError(
            f"folder {tree.root} must hold files or class folders, not both; "
            f"{files[labels.index(None)].name} lies beside {tree.folders[0]}/"
        )
    return labels, tuple(tree.folders) or None


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except OSError:  # reading it says why
        return None


def _metadata(root: Path) -> pa.Table | None:
    there = [root / name for name in METADATA if (root / name).exists()]
    if len(there) > 1:
        raise DataError(f"{root} has both {there[0].name} and {there[1].name}; keep one")
    if not there:
        return None
    import pyarrow.csv
    import pyarrow.json
    import pyarrow.parquet

    read: dict[str, Any] = {
        ".csv": pyarrow.csv.read_csv,
        ".jsonl": pyarrow.json.read_json,
        ".parquet": pyarrow.parquet.read_table,
    }
    content = read_bytes(there[0], name=str(there[0]), most=_MAX_METADATA)
    try:
        table = read[there[0].suffix](pa.BufferReader(content))
    except Exception as error:  # Arrow raises many kinds on broken files
        raise DataError(f"{there[0]} cannot be read: {error}") from error
    if "file_name" not in table.column_names:
        raise DataError(f"{there[0]} must have a column 'file_name'; it has {', '.join(table.column_names)}")
    return table


def _named_files(table: pa.Table, root: Path, *, allow_outside: bool) -> list[Path]:
    files = []
    for row, path in enumerate(table.column("file_name").to_pylist()):
        if not isinstance(path, str) or not path:
            raise DataError(f"row {row} of the metadata of {root} names no file")
        inside = confined(path, folders=[root], beside=root, name=f"row {row} of its metadata", anywhere=allow_outside)
        files.append(root / path if (root / path).resolve() == inside else inside)
    return files
