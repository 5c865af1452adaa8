"""A data set: a source of inputs, and which of them were chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from smoothcert._check import check_count
from smoothcert.errors import DataError


@dataclass(frozen=True, eq=False)
class Example:
    """One input.

    Args:
        index: Its position in the source, which no selection changes.
        id: Its stable name: a path inside the source, or ``source:index``.
        label: Its class; None where the source has no label for it.
        x: The image, shape ``(C, H, W)``, float32 in ``[0, 1]``.
    """

    index: int
    id: str
    label: int | None
    x: npt.NDArray[np.float32]


class Source(Protocol):
    """Where inputs come from: each has an ``index``, one of ``indices``, and images are read lazily."""

    name: str
    class_names: tuple[str, ...] | None
    indices: list[int]
    fingerprint: str

    def id(self, index: int) -> str:
        """Stable name of an input, known without reading its image."""

    def label(self, index: int) -> int | None:
        """Class of an input, known without reading its image."""

    def image(self, index: int) -> npt.NDArray[np.float32]:
        """Read an image: ``(C, H, W)``, float32 in ``[0, 1]``; a ``DataError`` names one that fails."""


class Dataset:
    """Inputs of a source, every ``stride``-th and at most ``limit`` of them.

    Args:
        source: Where the inputs come from.
        limit: The most inputs to keep, after the stride; None keeps all.
        stride: Keep every ``stride``-th input, beginning with the first, as the papers do.

    Raises:
        InvalidArgumentError: ``limit`` or ``stride`` is not a positive integer.
        DataError: There is no input in the source, or a label is outside the source's classes.
    """

    def __init__(self, source: Source, *, limit: int | None = None, stride: int = 1) -> None:
        check_count("stride", stride)
        if limit is not None:
            check_count("limit", limit)
        if not source.indices:
            raise DataError(f"data set {source.name} is empty")
        self._source = source
        self.name = source.name
        self.class_names = source.class_names
        self.num_classes = None if source.class_names is None else len(source.class_names)
        self.fingerprint = source.fingerprint
        self.indices: list[int] = source.indices[::stride][:limit]
        if self.num_classes is not None:
            self.check_labels(self.num_classes)

    def __len__(self) -> int:
        return len(self.indices)

    def id(self, position: int) -> str:
        """Return the stable name of the input at ``position``, without reading its image."""
        return self._source.id(self.indices[position])

    def label(self, position: int) -> int | None:
        """Return the class of the input at ``position``, without reading its image; None if unlabelled."""
        return self._source.label(self.indices[position])

    def load(self, position: int) -> Example:
        """Read the input at ``position`` of ``indices``.

        Raises:
            DataError: The image cannot be read; the message names it.
        """
        index = self.indices[position]
        return Example(index, self.id(position), self.label(position), self._source.image(index))

    def check_labels(self, num_classes: int) -> None:
        """Check every chosen label against a classifier of ``num_classes`` classes; no image is read.

        Raises:
            DataError: A label is outside ``0 .. num_classes - 1``; the message names its input.
        """
        for position in range(len(self)):
            label = self.label(position)
            if label is not None and not 0 <= label < num_classes:
                raise DataError(
                    f"label of {self.id(position)} in {self.name} must be in 0 to {num_classes - 1}, "
                    f"the classes; got {label}"
                )
