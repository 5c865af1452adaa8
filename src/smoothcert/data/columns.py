"""Which columns of a table hold the images and the labels, and what the classes are called."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from smoothcert.errors import DataError


@dataclass(frozen=True)
class Columns:
    """The chosen columns of a table.

    Args:
        image: Column of the images: encoded bytes, or a struct of ``bytes`` and ``path``.
        label: Column of integer labels; None where the table has none.
        class_names: Names in the label column's Hugging Face metadata.
    """

    image: str
    label: str | None
    class_names: tuple[str, ...] | None


def choose_columns(schema: pa.Schema, *, name: str, image: str | None = None, label: str | None = None) -> Columns:
    """Choose the image and label columns of a table.

    Without a name, the image column is the only one that can hold images; the label column is ``label``, or
    the only one that Hugging Face metadata calls a class label. A table without either has no labels.

    Args:
        schema: The table's Arrow schema, with Hugging Face feature metadata or without.
        name: What an error calls the table.
        image: The image column, if it was named.
        label: The label column, if it was named.

    Raises:
        DataError: A named column is absent or of the wrong type, or several fit and none was named.
    """
    features = _hugging_face_features(schema)
    for option, column in (("image_column", image), ("label_column", label)):
        if column is not None and column not in schema.names:
            raise DataError(f"{option} {column!r} is not in {name}; its columns are {', '.join(schema.names)}")
    image = image or _only([field.name for field in schema if _holds_images(field.type)], "image", name, schema)
    if image is None:
        raise DataError(f"{name} has no image column (bytes, or a struct of bytes and path): {', '.join(schema.names)}")
    if not _holds_images(schema.field(image).type):
        raise DataError(
            f"column {image!r} of {name} must hold encoded images (bytes, or a struct of bytes and path); "
            f"it is {schema.field(image).type}"
        )
    if label is None:
        named = [key for key, feature in features.items() if _class_names(feature) is not None]
        label = "label" if "label" in schema.names else _only(named, "label", name, schema)
    if label is None:
        return Columns(image, None, None)
    if not pa.types.is_integer(schema.field(label).type):
        raise DataError(f"column {label!r} of {name} must hold integer labels; it is {schema.field(label).type}")
    return Columns(image, label, _class_names(features.get(label)))


def encoded_image(cell: Any, *, name: str, folder: Path | None = None) -> tuple[bytes | Path, str]:
    """Return what a cell of an image column holds, encoded bytes or the file with them, and its full name.

    Args:
        cell: Bytes, or a dict of ``bytes`` and ``path``.
        name: What an error calls the cell; the path is added to it.
        folder: Where a relative path begins.

    Raises:
        DataError: The cell is empty.
    """
    path = cell.get("path") if isinstance(cell, dict) else None
    encoded = cell.get("bytes") if isinstance(cell, dict) else cell
    full_name = f"{name} ({path})" if path else name
    if encoded is not None:
        return encoded, full_name
    if path is None:
        raise DataError(f"image {full_name} is absent: the cell is empty")
    return (folder or Path()) / path, full_name


def _only(candidates: list[str], what: str, name: str, schema: pa.Schema) -> str | None:
    if len(candidates) > 1:
        raise DataError(f"{name} has several {what} columns ({', '.join(candidates)}); name one with {what}_column")
    return candidates[0] if candidates else None


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _is_bytes(field.type) for field in kind)
    return _is_bytes(kind)


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _hugging_face_features(schema: pa.Schema) -> dict[str, Any]:
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (
        KeyError,
        TypeError,
        ValueError,
    ):  # no such metadata, or of a form that says nothing about features
        return {}
    return features if isinstance(features, dict) else {}


def _class_names(feature: object) -> tuple[str, ...] | None:
    if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and feature.get("names"):
        return tuple(str(name) for name in feature["names"])
    return None
