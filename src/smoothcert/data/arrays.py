"""Inputs that are arrays in memory: ``npz:FILE``, ``csv:FILE``, columns of features, and arrays given in Python."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from smoothcert.data.columns import Columns, choose_columns, no_label, read_features, read_labels
from smoothcert.data.paths import check_regular
from smoothcert.errors import DataError

_LAST = (1, 3)  # numbers of channels that tell images with channels last from images with channels first
_MAX_FILE = 2**50


class ArraySource:
    """Arrays and their labels.

    Whole numbers from 0 to 255 in 8 bits are images: they are divided by 255, and channels that come last go first.
    All else is taken as it is.

    Args:
        x: The inputs, shape ``(count, ...)``, or a list of arrays.
        y: A label for each: whole numbers, or names of classes; None, NaN or -1 where there is none.
        name: What errors and runs call the data.
        class_names: What the numbers stand for.
        ids: Their stable names; None for ``NAME:INDEX``.
        lattice: The step of all values, if it is known; images of 8 bits know theirs.
        notes: What a reader of the results should know.

    Raises:
        DataError: The inputs are no arrays of numbers, or the labels are not one for each.
    """

    def __init__(
        self,
        x: npt.NDArray[Any] | Sequence[npt.NDArray[Any]],
        y: Any = None,
        *,
        name: str,
        class_names: Sequence[str] | None = None,
        ids: Sequence[str] | None = None,
        lattice: float | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.name, self._x, self._ids, self.notes = name, x, ids, notes
        if isinstance(x, np.ndarray):
            kinds = {x.dtype}
            if x.ndim == 0:
                raise DataError(
                    f"{name} must hold arrays of inputs, the first axis being that of the inputs; got {x!r}"
                )
        else:
            kinds = {np.asarray(x[0]).dtype} if len(x) else set()
        for kind in kinds:
            if kind.kind not in "fiub":
                raise DataError(f"{name} must hold arrays of real numbers; it holds {kind}")
        self._images = kinds == {np.dtype(np.uint8)}
        self._channels_last = self._images and isinstance(x, np.ndarray) and _has_channels_last(x.shape)
        if self._images:
            self.notes += ("8-bit numbers divided by 255" + (", channels moved first" * self._channels_last),)
        self.lattice = 1 / 255 if self._images else lattice
        self.input_range: tuple[float, float] | None = (0.0, 1.0) if self._images else None
        self.indices: Sequence[int] = range(len(x))
        self._labels, found = _labels(y, len(x), name=name, class_names=class_names)
        self.class_names = None if found is None else tuple(found)

    def id(self, index: int) -> str:
        """Return its name, ``NAME:INDEX`` where it was given none."""
        return f"{self.name}:{index}" if self._ids is None else self._ids[index]

    def label(self, index: int) -> int | None:
        """Return the class of an input; None or -1 where it has none."""
        return None if self._labels is None else int(self._labels[index])

    def read(self, index: int) -> npt.NDArray[np.float32]:
        """Return the input as float32."""
        found = np.asarray(self._x[index])
        if self._channels_last:
            found = np.moveaxis(found, -1, 0)
        if self._images and found.ndim == 2:
            found = found[None]  # a grey image has one channel
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which a Dataset refuses
            x = np.array(found, dtype=np.float32, order="C")
        return x / np.float32(255) if self._images else x


def feature_source(
    tables: Sequence[pa.Table],
    columns: Columns,
    *,
    name: str,
    ids: Sequence[str] | None = None,
    notes: tuple[str, ...] = (),
) -> ArraySource:
    """Return the rows of tables as inputs: the chosen features of each, and its label."""
    try:
        parts = [read_features(table, columns.inputs, name=name) for table in tables]
    except (pa.ArrowException, ValueError) as error:
        raise DataError(f"features of {name} cannot be read: {error}") from error
    x = [row for part in parts for row in part] if isinstance(parts[0], list) else np.concatenate(parts)
    labels, class_names = None, columns.class_names
    if columns.label is not None:
        column = [table.column(columns.label) for table in tables]
        labels, class_names = read_labels(column, name=f"{columns.label!r} of {name}", class_names=class_names)
    else:
        notes = (*notes, no_label([], ""))
    unused = [key for key in tables[0].column_names if key not in (*columns.inputs, columns.label)]
    if unused:
        notes = (*notes, f"column {', '.join(map(repr, unused))} left out, which numbers the rows")
    few = ", ".join(columns.inputs[:6]) + (", ..." if len(columns.inputs) > 6 else "")
    notes = (*notes, f"{len(columns.inputs):,} feature column{'s' if len(columns.inputs) > 1 else ''}: {few}")
    return ArraySource(x, labels, name=name, class_names=class_names, ids=ids, notes=notes)


def open_npz(path: Path, *, name: str, split: str | None = None, size: tuple[int, int] | None = None) -> ArraySource:
    """Open arrays ``x`` and ``y`` in a file of NumPy: ``.npz``, or ``.npy`` with the inputs alone.

    Of a file with several parts, ``split`` chooses the arrays ``x_SPLIT`` and ``y_SPLIT``.

    Raises:
        DataError: The file cannot be read, has no such arrays, or they do not fit into memory.
    """
    check_regular(path, name=str(path), most=_MAX_FILE)
    labels, names = None, None
    notes: tuple[str, ...] = ()
    try:
        with path.open("rb") as opened:
            is_zip = opened.read(2) == b"PK"
        if not is_zip:
            if split is not None:
                raise DataError(f"{path} holds one array and no part {split!r}")
            x = np.load(path, mmap_mode="r", allow_pickle=False)
        else:
            # Opened here, as NumPy leaves open what it cannot read.
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
                x_key, y_key = (f"{key}_{split}" if split else key for key in ("x", "y"))
                if x_key not in arrays.files:
                    raise DataError(_no_array(path, list(arrays.files), x_key, y_key, split))
                _check_free(sum(member.file_size for member in arrays.zip.infolist()), str(path))
                x = arrays[x_key]
                if y_key in arrays.files:
                    labels = arrays[y_key]
                if not (isinstance(x, np.ndarray) and isinstance(labels, (np.ndarray, type(None)))):
                    raise DataError(
                        f"{path} is no file of NumPy arrays: {x_key!r} or {y_key!r} in it is something else"
                    )
                if "class_names" in arrays.files:
                    names = [str(key) for key in arrays["class_names"]]
    except DataError:
        raise
    except Exception as error:  # NumPy and zipfile raise many kinds on broken files
        raise DataError(f"{path} is no file of NumPy arrays (.npz or .npy) that can be read: {error}") from error
    if labels is None:
        notes = (f"unlabelled: {path.name} has no array {'y_' + split if split else 'y'!r}",)
    source = ArraySource(x, labels, name=name, class_names=names, notes=notes)
    if size is not None and len(x) and source.read(0).shape[-2:] != size:
        raise DataError(
            f"arrays are taken as they are, and image_size is {size}; those of {path} have shape {x.shape[1:]}"
        )
    return source


def open_csv(path: Path, *, name: str, label_column: str | None = None) -> ArraySource:
    """Open a table of numbers: a header of column names, then a line for each input; commas, semicolons or tabs.

    Raises:
        DataError: The file cannot be read, has no header, or a column other than that of the labels is no numbers.
    """
    import pyarrow.csv

    size = check_regular(path, name=str(path), most=_MAX_FILE).st_size
    _check_free(size, str(path))
    try:
        with path.open("rb") as opened:
            header = opened.readline(2**20).decode("utf-8-sig")
        delimiter = max(",;\t", key=header.count)
        cells = [cell.strip().strip('"') for cell in header.strip().split(delimiter)]
        if header.strip() and all(_is_number(cell) for cell in cells):
            raise DataError(f"{path} must begin with a line of column names; it begins with {header.strip()[:60]!r}")
        table = pyarrow.csv.read_csv(path, parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter))
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise DataError(f"{path} is not a table that can be read: {error}") from error
    if twice := sorted({key for key in table.column_names if table.column_names.count(key) > 1}):
        raise DataError(f"{path} must name each column once; {twice[0]!r} comes more than once")
    if not table.num_rows:
        raise DataError(f"data set {name} is empty")
    columns = choose_columns(table.schema, name=str(path), label=label_column, only_features=True)
    return feature_source([table], columns, name=name)


def _labels(
    y: Any, count: int, *, name: str, class_names: Sequence[str] | None
) -> tuple[npt.NDArray[np.int64] | None, tuple[str, ...] | None]:
    names = None if class_names is None else tuple(str(key) for key in class_names)
    if y is None:
        return None, names
    given = np.asarray(y)
    if given.dtype.kind == "S":
        given = np.char.decode(given, "utf-8", "replace")
    if given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    if given.shape != (count,):
        raise DataError(
            f"{name} must have one label for each of its {count:,} inputs; the labels have shape {given.shape}"
        )
    try:
        column = pa.chunked_array([pa.array(given.tolist(), from_pandas=True)])
    except (pa.ArrowException, OverflowError) as error:
        raise DataError(f"labels of {name} must be whole numbers or names of classes: {error}") from error
    return read_labels([column], name=f"'y' of {name}", class_names=names)


def _has_channels_last(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4 and shape[-1] in _LAST and shape[1] not in _LAST


def _no_array(path: Path, there: Sequence[str], x: str, y: str, split: str | None) -> str:
    parts = sorted(key[2:] for key in there if key.startswith("x_"))
    hint = f"; choose a part with split (--split {parts[0]})" if parts and not split else ""
    return (
        f"{path} must have an array {x!r}, of inputs, and if they are labelled {y!r}; it has "
        f"{', '.join(there[:8]) or 'none'}{hint}"
    )


def _check_free(size: int, what: str) -> None:
    """Refuse what does not fit into the memory of this machine, before it is asked for."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not known on this system
        return
    if size > memory:
        raise DataError(f"{what} must fit into memory ({memory:,} bytes); it needs {size:,}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
