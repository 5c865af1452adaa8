"""The options of one command on another one that runs it, so that each is declared and described once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from copy import copy
from typing import Annotated, Any, get_args, get_origin

import typer


def borrow(
    lender: Callable[..., None], *, without: Collection[str], panel: str
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of another one, all of them optional, in place of its ``**options``.

    Args:
        lender: The command whose options are taken.
        without: Names of those that are not.
        panel: Heading under which ``--help`` shows them.

    Returns:
        A decorator for a command that ends in ``**options``.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(command, eval_str=True).parameters.values())[:-1]
        lent = [
            parameter.replace(
                annotation=_under(panel, parameter.annotation),
                default=None if parameter.default is parameter.empty else parameter.default,
            )
            for parameter in inspect.signature(lender, eval_str=True).parameters.values()
            if parameter.name not in without
        ]
        command.__signature__ = inspect.Signature([*own, *lent])  # type: ignore[attr-defined]
        return command

    return decorate


def _under(panel: str, annotation: Any) -> Any:
    """The same option below a heading of the help."""
    if get_origin(annotation) is not Annotated:
        return annotation
    kind, *notes = get_args(annotation)
    (option,) = (copy(note) for note in notes if isinstance(note, typer.models.OptionInfo))
    option.rich_help_panel = panel
    return Annotated[kind, option]
