"""Inputs by name or as Python objects: indexed arrays with labels. NumPy only; importing this needs no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smoothcert.data.classes import ClassList
from smoothcert.data.dataset import Dataset, Example, Source
from smoothcert.data.names import DATA_NAMES, load_data

if TYPE_CHECKING:
    from smoothcert.data.objects import as_dataset

__all__ = ["DATA_NAMES", "ClassList", "Dataset", "Example", "Source", "as_dataset", "load_data"]


def __getattr__(name: str) -> Any:
    """Import what needs Pillow and Arrow when it is first used."""
    if name == "as_dataset":
        from smoothcert.data.objects import as_dataset

        return as_dataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
