"""Which columns of a table hold the inputs and the labels, and what the classes are called."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from smoothcert.errors import DataError

Kind = Literal["image", "sound", "features"]

LABEL_COLUMNS = ("label", "labels", "target", "targets", "class", "y")
"""Names of columns that hold the labels, without further evidence."""

_SOUND_COLUMNS = ("audio", "sound", "speech", "wav")  # of encoded sounds, in tables that do not say
_INDEX = re.compile(r"__index_level_\d+__|Unnamed: \d+|")  # a column in which pandas keeps its row names


@dataclass(frozen=True)
class Columns:
    """The chosen columns of a table.

    Args:
        kind: What the inputs are: encoded images, encoded sounds, or the numbers in the columns themselves.
        inputs: Their columns: one of images or sounds, or all features in the table's order.
        label: Column of labels; None where the table has none.
        class_names: Names in the label column's Hugging Face metadata.
    """

    kind: Kind
    inputs: tuple[str, ...]
    label: str | None
    class_names: tuple[str, ...] | None


def choose_columns(
    schema: pa.Schema, *, name: str, image: str | None = None, label: str | None = None, only_features: bool = False
) -> Columns:
    """Choose the columns of the inputs and of the labels.

    Without a name, the inputs are in the only column that can hold encoded images or sounds. Where there is none, all
    columns but that of the labels are features, and must be numbers.

    Args:
        schema: The table's Arrow schema, with Hugging Face feature metadata or without.
        name: What an error calls the table.
        image: The column of images, sounds or feature vectors, if it was named.
        label: The column of labels, if it was named.
        only_features: Whether the table is of a kind that cannot hold encoded images or sounds.

    Raises:
        DataError: A named column is absent or of the wrong type, or several fit and none was named.
    """
    features = _hugging_face_features(schema)
    if image is not None and image not in schema.names:
        raise DataError(f"image_column {image!r} is not in {name}; its columns are {', '.join(schema.names)}")
    label = choose_label(schema, name=name, label=label)
    class_names = None if label is None else _class_names(features.get(label))
    if image is not None and image == label:
        raise DataError(f"column {image!r} of {name} must hold encoded images, sounds or features; it holds the labels")
    if image is None:
        fitting = [field.name for field in schema if field.name != label and _holds_files(field.type)]
        if len(fitting) > 1:
            raise DataError(
                f"{name} has several image columns ({', '.join(fitting)}); name one with image_column (--image-column)"
            )
        image = fitting[0] if fitting else None
    if image is not None and not _is_number(schema.field(image).type) and not _is_list(schema.field(image).type):
        if not (_holds_files(schema.field(image).type) or _is_text(schema.field(image).type)):
            raise DataError(
                f"column {image!r} of {name} must hold encoded images or sounds (bytes, or a struct of bytes and "
                f"path), paths or numbers; it is {schema.field(image).type}"
            )
        kind = features.get(image, {}).get("_type") if isinstance(features.get(image), dict) else None
        sound = kind == "Audio" or (kind is None and image.casefold() in _SOUND_COLUMNS)
        return Columns("sound" if sound else "image", (image,), label, class_names)
    inputs = (
        [image] if image is not None else [key for key in schema.names if key != label and not _INDEX.fullmatch(key)]
    )
    return Columns("features", _features(schema, inputs, name, only_features=only_features), label, class_names)


def choose_label(schema: pa.Schema, *, name: str, label: str | None = None) -> str | None:
    """Choose the column of the labels: the one named, or ``label``, or the only one that must be it.

    That is one called by one of ``LABEL_COLUMNS``, or a class label by Hugging Face metadata.

    Raises:
        DataError: A named column is absent, or several could be it and none was named.
    """
    if label is not None:
        if label not in schema.names:
            raise DataError(f"label_column {label!r} is not in {name}; its columns are {', '.join(schema.names)}")
        return label
    features = _hugging_face_features(schema)
    fitting = [
        key for key in schema.names if key.casefold() in LABEL_COLUMNS or _class_names(features.get(key)) is not None
    ]
    if "label" in fitting:
        return "label"
    if len(fitting) > 1:
        raise DataError(
            f"{name} has several label columns ({', '.join(fitting)}); name one with label_column (--label-column)"
        )
    return fitting[0] if fitting else None


def read_labels(
    parts: Sequence[pa.ChunkedArray], *, name: str, class_names: tuple[str, ...] | None = None
) -> tuple[npt.NDArray[np.int64], tuple[str, ...] | None]:
    """Return the label of each row as a number, -1 where it has none, and the names of the classes.

    Whole numbers are themselves, and so are texts that are whole numbers. Other texts are classes, numbered in the
    order of their names unless ``class_names`` has another.

    Args:
        parts: The column in each of the files.
        name: What an error calls the column.
        class_names: What the numbers stand for, if that is known.

    Raises:
        DataError: A label is neither a whole number nor a text; the message says which.
    """
    column = pa.chunked_array([chunk for part in parts for chunk in _plain(part).chunks] or [pa.array([], pa.int64())])
    if pa.types.is_null(column.type):
        return np.full(len(column), -1, dtype=np.int64), class_names
    if _is_text(column.type):
        return _text_labels(column, class_names)
    if not (_is_number(column.type)):
        raise DataError(f"column {name} must hold labels: whole numbers, or names of classes; it is {column.type}")
    numbers = np.asarray(pc.cast(column, pa.float64(), safe=False).fill_null(-1).to_numpy())
    numbers = np.where(np.isnan(numbers), -1.0, numbers)
    odd = np.flatnonzero((numbers != np.rint(numbers)) | (np.abs(numbers) > 2**31))
    if odd.size:
        raise DataError(
            f"column {name} must hold whole numbers or names of classes; row {odd[0]} is {numbers[odd[0]]:g}"
        )
    return numbers.astype(np.int64), class_names


def read_features(table: pa.Table, columns: Sequence[str], *, name: str) -> npt.NDArray[np.float32] | list[Any]:
    """Return the features of each row, shape ``(rows, features)``, float32; a missing one is NaN.

    A single column of lists gives the list of its rows, which may differ in length.
    """
    if len(columns) == 1 and _is_list(table.schema.field(columns[0]).type):
        shape = getattr(table.schema.field(columns[0]).type, "shape", None)  # of a tensor, whose lists are flat
        rows = (np.asarray(row, dtype=np.float32) for row in table.column(columns[0]).to_pylist())
        return [row if shape is None else row.reshape(shape) for row in rows]
    found = np.empty((table.num_rows, len(columns)), dtype=np.float32)
    for place, column in enumerate(columns):
        values = pc.cast(_plain(table.column(column)), pa.float64(), safe=False).fill_null(float("nan"))
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which reading the row refuses
            found[:, place] = values.to_numpy()
    return found


def no_label(names: Sequence[str], inputs: str) -> str:
    """Return what a run should say of a table without labels."""
    others = [name for name in names if name != inputs]
    there = f" ({', '.join(others[:6])}{', ...' if len(others) > 6 else ''})" if others else ""
    return f"unlabelled: no column{there} is known to hold labels; --label-column names one"


def _text_labels(
    column: pa.ChunkedArray, class_names: tuple[str, ...] | None
) -> tuple[npt.NDArray[np.int64], tuple[str, ...] | None]:
    stripped = pc.utf8_trim_whitespace(pc.cast(column, pa.string()))
    column = pc.if_else(pc.equal(stripped, ""), None, stripped)
    names = [name for name in pc.unique(column).to_pylist() if name is not None]
    if class_names is None and names and all(re.fullmatch(r"-?\d{1,9}", name) for name in names):
        return np.asarray(pc.cast(column, pa.int64()).fill_null(-1).to_numpy()), None
    order = class_names or tuple(sorted(names))
    if unknown := sorted(set(names) - set(order)):
        raise DataError(f"label {unknown[0]!r} is none of the classes {', '.join(order[:8])}")
    numbers = pc.index_in(column, value_set=pa.array(order, pa.string()), skip_nulls=True).fill_null(-1)
    return np.asarray(pc.cast(numbers, pa.int64()).to_numpy()), order or None


def _features(schema: pa.Schema, inputs: Sequence[str], name: str, *, only_features: bool) -> tuple[str, ...]:
    types = {key: schema.field(key).type for key in inputs}
    if not types:
        raise DataError(
            f"{name} has no column of images, sounds or features: {', '.join(schema.names) or 'none at all'}"
        )
    lists = [key for key, kind in types.items() if _is_list(kind)]
    if lists and len(types) > 1:
        others = ", ".join(key for key in types if key != lists[0])
        raise DataError(
            f"{name} has lists in column {lists[0]!r} beside other columns ({others}); "
            "name the column of the inputs with image_column (--image-column)"
        )
    odd = [key for key, kind in types.items() if not (_is_number(kind) or key in lists)]
    if odd:
        raise DataError(
            f"{name} "
            + ("" if only_features else "has no image column (bytes, or a struct of bytes and path), and ")
            + "must have numbers in all columns of features; "
            + ", ".join(f"{key!r} is {types[key]}" for key in odd[:4])
            + (f" and {len(odd) - 4} more are none" if len(odd) > 4 else "")
            + ": encode or leave out what is text, and name the label with label_column (--label-column)"
        )
    return tuple(types)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column without the dictionary of a categorical one."""
    kind = column.type
    return column.cast(kind.value_type) if pa.types.is_dictionary(kind) else column


def _holds_files(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _is_bytes(field.type) for field in kind)
    return _is_bytes(kind)


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_number(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
    )


def _is_list(kind: pa.DataType) -> bool:
    kind = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(is_list and (_is_number(kind.value_type) or _is_list(kind.value_type)))


def _hugging_face_features(schema: pa.Schema) -> dict[str, Any]:
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (
        KeyError,
        TypeError,
        ValueError,
        RecursionError,
    ):  # none, or none that says anything
        return {}
    return features if isinstance(features, dict) else {}


def _class_names(feature: object) -> tuple[str, ...] | None:
    if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list):
        return tuple(str(name) for name in feature["names"]) or None
    return None
