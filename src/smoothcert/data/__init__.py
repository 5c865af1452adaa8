"""Inputs by name: indexed images in ``[0, 1]`` with labels. NumPy only; importing this needs no torch."""

from smoothcert.data.classes import ClassList
from smoothcert.data.dataset import Dataset, Example, Source
from smoothcert.data.names import DATA_NAMES, load_data
from smoothcert.data.objects import as_dataset

__all__ = ["DATA_NAMES", "ClassList", "Dataset", "Example", "Source", "as_dataset", "load_data"]
