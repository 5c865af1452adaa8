"""Inputs as a run meets them: some cannot be read, and an error about one says which."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from smoothcert.errors import DataError, SmoothcertError

if TYPE_CHECKING:
    from smoothcert.data import Dataset, Example


@contextmanager
def naming(example: Example) -> Iterator[None]:
    """Put the name of an input before the message of an error."""
    try:
        yield
    except SmoothcertError as error:
        raise type(error)(f"input {example.index} ({example.id}): {error}") from error


def _read(data: Dataset, position: int) -> Example | DataError:
    """The input at a position, or why it cannot be read."""
    try:
        return data.load(position)
    except DataError as error:
        return error


def readable(data: Dataset, positions: Iterable[int] | None = None) -> Iterator[Example]:
    """The inputs at these positions, or at all, without those that cannot be read: that is for the run to say."""
    for position in range(len(data)) if positions is None else positions:
        example = _read(data, position)
        if not isinstance(example, DataError):
            yield example


def first_readable(data: Dataset) -> Example:
    """The first input that can be read.

    Raises:
        DataError: If none can.
    """
    example = next(readable(data), None)
    if example is None:
        raise DataError(f"no input of {data.name} can be read; of the first: {_read(data, 0)}")
    return example
