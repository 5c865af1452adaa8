"""Fields of dataclasses that check themselves: a type, a domain, and one sentence where a value is outside of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
from cyclopts import Parameter
from pydantic import TypeAdapter, ValidationError

from smoothcert.errors import InvalidArgumentError


class Domain:
    """Which values of its type a field takes, and how an error says so.

    Args:
        expected: The end of "must be".
        accepts: Whether a value of the type, other than None, is one of them.
        read: Brings other spellings of a value into the type first.
    """

    def __init__(
        self,
        expected: str,
        *,
        accepts: Callable[[Any], bool] = lambda value: True,
        read: Callable[[Any], Any] = lambda value: value,
    ) -> None:
        self.expected, self.accepts, self.read = expected, accepts, read


def integer(value: object) -> object:
    """NumPy's integers as Python's."""
    return int(value) if isinstance(value, np.integer) else value


def _path(value: object) -> object:
    return Path(os.fspath(value)) if isinstance(value, (str, os.PathLike)) and value else value


@dataclass(frozen=True, kw_only=True)
class Checked:
    """Fields that are checked against their types and domains when an instance is made, whoever makes it."""

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            InvalidArgumentError: Naming the field, what was expected and what came.
        """
        for one in fields(self):
            object.__setattr__(self, one.name, _checked(type(self), one.name, getattr(self, one.name)))


def whole(least: int = 1, most: int = 2**53) -> Domain:
    """The domain of an integer."""
    top = "" if most == 2**53 else f" and at most {most:,}"
    return Domain(
        f"an integer, at least {least:,}{top}", read=integer, accepts=lambda value: bool(least <= value <= most)
    )


File = Annotated[Path, Domain("the path of a file", read=_path)]
Count = Annotated[int, whole()]


def option_name(cls: type, name: str) -> str:
    """Name of a field among options: that of its flag, with underscores."""
    for note in get_args(get_type_hints(cls, include_extras=True)[name])[1:]:
        names = list(note.name or ()) if isinstance(note, Parameter) else []
        if names and names != ["*"]:
            return names[0].removeprefix("--").replace("-", "_")
    return name


@cache
def _check(cls: type, name: str) -> tuple[TypeAdapter[Any], Domain]:
    """What checks the type of a field, and its domain."""
    hint = get_type_hints(cls, include_extras=True)[name]
    return TypeAdapter(hint), _domain(hint)


def _checked(cls: type, name: str, value: object) -> object:
    adapter, domain = _check(cls, name)
    try:
        found = adapter.validate_python(domain.read(value), strict=True)
        if found is None or domain.accepts(found):
            return found
    except ValidationError:
        pass
    raise InvalidArgumentError(f"{option_name(cls, name)} must be {domain.expected}; got {value!r}")


def _domain(hint: Any) -> Domain:
    """The outermost domain of a type, or one that says what it is."""
    if get_origin(hint) is Literal:
        return Domain(f"one of {', '.join(map(str, get_args(hint)))}")
    for note in get_args(hint):
        if isinstance(note, Domain):
            return note
    if inner := [argument for argument in get_args(hint) if argument is not type(None)]:
        return _domain(inner[0])
    return Domain({bool: "true or false", str: "text"}.get(hint, f"a {getattr(hint, '__name__', hint)}"))
