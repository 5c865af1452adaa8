"""Options several commands share, how lists are written on the command line, and how a command opens its runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from cyclopts import Parameter, Token

from smoothcert.errors import InvalidArgumentError
from smoothcert.urls import AnyPath, to_path

if TYPE_CHECKING:
    from smoothcert.runs import Run


def names(option: str, text: str) -> list[str]:
    """Comma-separated names given to ``option``.

    Raises:
        InvalidArgumentError: If there is none.

    Example:
        >>> names("--bound", "dual, cdf")
        ['dual', 'cdf']
    """
    values = [name.strip() for name in text.split(",") if name.strip()]
    if not values:
        raise InvalidArgumentError(f"{option} must be names separated by commas; got {text!r}")
    return values


def numbers(option: str, text: str) -> list[float]:
    """Comma-separated numbers given to ``option``.

    Raises:
        InvalidArgumentError: If one is not a number, or there is none.

    Example:
        >>> numbers("--radii", "0,0.25, .5")
        [0.0, 0.25, 0.5]
    """
    try:
        values = [float(item) for item in names(option, text)]
    except ValueError as error:
        raise InvalidArgumentError(
            f"{option} must be numbers separated by commas, such as 0,0.25,0.5; got {text!r}"
        ) from error
    if not all(map(math.isfinite, values)):
        raise InvalidArgumentError(f"{option} must be finite numbers; got {text!r}")
    return values


def _names(_: Any, tokens: Sequence[Token]) -> tuple[str, ...]:
    return tuple(name for token in tokens for name in names(token.keyword or "", token.value))


def _numbers(_: Any, tokens: Sequence[Token]) -> tuple[float, ...]:
    return tuple(number for token in tokens for number in numbers(token.keyword or "", token.value))


def _bounds(kind: Any, tokens: Sequence[Token]) -> tuple[str, ...]:
    from smoothcert.bounds import BOUNDS

    found = _names(kind, tokens)
    for name in found:
        if name not in BOUNDS:
            raise InvalidArgumentError(f"{tokens[0].keyword} must be some of {', '.join(BOUNDS)}; got {name!r}")
    return found


def _device(_: Any, device: str | None) -> None:
    from smoothcert._check import check_device

    if device is not None:
        check_device(device)


Names: TypeAlias = Annotated[tuple[str, ...], Parameter(converter=_names, n_tokens=1)]
"""Names separated by commas."""
Numbers: TypeAlias = Annotated[tuple[float, ...], Parameter(converter=_numbers, n_tokens=1, allow_leading_hyphen=True)]
"""Numbers separated by commas."""
Bounds: TypeAlias = Annotated[tuple[str, ...], Parameter(converter=_bounds, n_tokens=1)]
"""Some of ``dual``, ``cdf``, ``hoeffding`` and ``clopper_pearson``, separated by commas."""


def _place(_: Any, tokens: Sequence[Token]) -> Any:
    return to_path(tokens[0].value)


def _places(_: Any, tokens: Sequence[Token]) -> Any:
    return [to_path(token.value) for token in tokens]


# A path here, or in an object store where a URL is given. Pydantic knows no type for both, so it is not asked.
if TYPE_CHECKING:
    Place: TypeAlias = AnyPath
    PlaceOrNone: TypeAlias = AnyPath | None
    Runs: TypeAlias = list[AnyPath]
else:
    Place = PlaceOrNone = Annotated[Any, Parameter(converter=_place, n_tokens=1)]
    Runs = Annotated[
        list[Any],
        Parameter(name="RUN", help="Run folders, or URLs such as s3://bucket/run.", converter=_places, n_tokens=-1),
    ]
Format: TypeAlias = Literal["table", "csv", "json"]
Quiet: TypeAlias = Annotated[
    bool,
    Parameter(name=["--quiet", "-q"], help="No notes and no bar: a line a minute, warnings, errors."),
]
Device: TypeAlias = Annotated[
    str | None,
    Parameter(
        validator=_device,
        help="Where the classifier runs: cpu, cuda, cuda:1, mps or xpu. Default: a GPU if there is one.",
    ),
]


def open_runs(paths: Iterable[AnyPath]) -> list[Run]:
    """The runs in these folders, for analyses that may use every processor of this process.

    Folders with shares of one run are one run, in the place of the first of them; one that is named twice is two.

    Raises:
        RunError: If one of the folders holds no run, or two hold different samples of one input of their run.
    """
    from smoothcert.analysis import set_workers
    from smoothcert.cpus import usable_cpus
    from smoothcert.runs import Run

    set_workers(usable_cpus())
    found: list[tuple[str, list[AnyPath]]] = []
    for path in paths:
        fingerprint = Run.open(path).config.fingerprint
        shares = next((own for known, own in found if known == fingerprint and path not in own), None)
        if shares is None:
            found.append((fingerprint, [path]))
        else:
            shares.append(path)
    return [Run.open(folders) for _, folders in found]


def run_names(runs: Sequence[Run]) -> list[str]:
    """The last part of each path, or all of it where several runs share that; a run named twice gets a number."""
    short = [run.path.resolve().name or str(run.path) for run in runs]
    found = [name if short.count(name) == 1 else str(run.path) for name, run in zip(short, runs, strict=True)]
    return [
        name if found.count(name) == 1 else f"{name} #{found[:position].count(name) + 1}"
        for position, name in enumerate(found)
    ]
