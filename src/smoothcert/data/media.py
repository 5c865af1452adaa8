"""Inputs that are encoded images or sounds, wherever they are stored."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from smoothcert.data.paths import confined, read_bytes
from smoothcert.errors import DataError


class Reader(Protocol):
    """What makes an array of an encoded image or sound; its ``repr`` says how."""

    @property
    def what(self) -> str:
        """What an error calls it: ``image`` or ``sound``."""

    @property
    def suffixes(self) -> Collection[str]:
        """How files with it end."""

    @property
    def lattice(self) -> float:
        """The step of all values."""

    @property
    def input_range(self) -> tuple[float, float]:
        """The lowest and the highest value."""

    def begin(self, encoded: bytes | Path, /) -> bool:
        """Look at the first input of the data, before any is decoded; return whether it told what is wanted of it."""

    def __call__(self, encoded: bytes | Path, /, *, name: str) -> npt.NDArray[np.float32]:
        """Decode and prepare an input; a ``DataError`` calls it ``name``."""

    def conversions(self, encoded: bytes | Path, /) -> frozenset[str]:
        """Return what is done to an input, a phrase each."""


class MediaSource(ABC):
    """A source whose inputs a ``Reader`` decodes; where they are stored is for the class that derives from it.

    Args:
        name: What errors and runs call the data.
        reader: Decodes and prepares an input.
        labels: The class of each input; None or -1 where it has none.
        class_names: What the classes are called.
        fingerprint: Identifies the data as far as they are known without reading the inputs.
        notes: What a reader of the results should know.
    """

    def __init__(
        self,
        *,
        name: str,
        reader: Reader,
        labels: Sequence[int | None] | npt.NDArray[np.int64],
        class_names: tuple[str, ...] | None,
        fingerprint: str,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.name, self.class_names, self.fingerprint = name, class_names, fingerprint
        self.indices: Sequence[int] = range(len(labels))
        self.lattice, self.input_range = reader.lattice, reader.input_range
        self._reader, self._labels, self._notes = reader, labels, notes
        self._has_begun = False
        self._done: dict[int, frozenset[str]] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out, and what was done to how many of the inputs whose digest was asked for."""
        counts = Counter(phrase for phrases in self._done.values() for phrase in phrases)
        whole = f"{len(self._done):,} {self._reader.what}{'s' if len(self._done) != 1 else ''}"
        return self._notes + tuple(f"{count:,} of {whole}: {phrase}" for phrase, count in sorted(counts.items()))

    def label(self, index: int) -> int | None:
        """Return the class of an input; None or -1 where it has none."""
        label = self._labels[index]
        return None if label is None else int(label)

    def digest(self, index: int) -> str:
        """Hash of the encoded input and of how it is prepared."""
        encoded, name = self.encoded(index)
        if isinstance(encoded, Path):
            encoded = read_bytes(encoded, name=f"{self._reader.what} {name}")
        self._done[index] = self._reader.conversions(encoded)
        return f"{hashlib.sha256(encoded).hexdigest()}:{self._reader!r}"

    def read(self, index: int) -> npt.NDArray[np.float32]:
        """Decode and prepare an input."""
        if not self._has_begun:
            self._has_begun = True
            any(self._begins(found) for found in self.indices)
        encoded, name = self.encoded(index)
        return self._reader(encoded, name=name)

    def _begins(self, index: int) -> bool:
        try:
            return self._reader.begin(self.encoded(index)[0])
        except DataError:  # reading it says why
            return False

    @abstractmethod
    def encoded(self, index: int) -> tuple[bytes | Path, str]:
        """Return the encoded input, or the file that holds it, and what an error calls it."""


def encoded_cell(
    cell: Any,
    *,
    name: str,
    what: str,
    folders: Sequence[Path],
    beside: Path,
    allow_outside: bool = False,
) -> tuple[bytes | Path, str]:
    """Return what a cell holds, encoded bytes or the file with them, and its full name.

    Args:
        cell: Bytes, a path, or a dict of ``bytes`` and ``path``.
        name: What an error calls the cell; the path is added to it.
        what: What it should hold: an ``image`` or a ``sound``.
        folders: Where a file that it names may lie.
        beside: Where a relative path begins.
        allow_outside: Whether it may lie elsewhere, too.

    Raises:
        DataError: The cell is empty, or names a file elsewhere.
    """
    path = cell.get("path") if isinstance(cell, dict) else cell if isinstance(cell, str) else None
    encoded = cell.get("bytes") if isinstance(cell, dict) else None if isinstance(cell, str) else cell
    full_name = f"{name} ({path})" if path else name
    if encoded is not None:
        return encoded, full_name
    if not path:
        raise DataError(f"{what} {full_name} is absent: the cell is empty")
    return confined(path, folders=folders, beside=beside, name=f"{what} {name}", anywhere=allow_outside), full_name
