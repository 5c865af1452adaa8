"""Options several commands share, and how lists are written on the command line."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from smoothcert.errors import InvalidArgumentError


class Format(str, Enum):
    """How a result is printed."""

    table = "table"
    csv = "csv"
    json = "json"


class Joint(str, Enum):
    """What a failure probability is for."""

    each = "each"
    input = "input"
    dataset = "dataset"


Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No notes and no bar: a line a minute, warnings, errors.")]
BatchSize = Annotated[int | None, typer.Option(help="Noisy copies in a batch; found automatically. Changes no result.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, ...; a GPU is taken if there is one.")]
Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.", show_default=False)]


def names(option: str, text: str) -> list[str]:
    """Comma-separated names given to ``--option``.

    Raises:
        InvalidArgumentError: If there is none.

    Example:
        >>> names("bound", "dual, cdf")
        ['dual', 'cdf']
    """
    values = [name.strip() for name in text.split(",") if name.strip()]
    if not values:
        raise InvalidArgumentError(f"{option} must be names separated by commas; got {text!r}")
    return values


def numbers(option: str, text: str) -> list[float]:
    """Comma-separated numbers given to ``--option``.

    Raises:
        InvalidArgumentError: If one is not a number, or there is none.

    Example:
        >>> numbers("radii", "0,0.25, .5")
        [0.0, 0.25, 0.5]
    """
    try:
        return [float(item) for item in names(option, text)]
    except ValueError as error:
        raise InvalidArgumentError(
            f"{option} must be numbers separated by commas, such as 0,0.25,0.5; got {text!r}"
        ) from error
