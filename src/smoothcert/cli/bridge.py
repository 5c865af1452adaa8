"""The two commands that are still Typer's."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any

import typer
from cyclopts import App, Group, Parameter


class Format(str, Enum):
    """How a result is printed."""

    table = "table"
    csv = "csv"
    json = "json"


Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No notes and no bar: a line a minute, warnings, errors.")]
BatchSize = Annotated[int | None, typer.Option(help="Noisy copies in a batch; found automatically. Changes no result.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, ...; a GPU is taken if there is one.")]


def bridged(name: str, group: Group) -> App:
    """A command that hands everything on its line to Typer."""
    bridge = App(name=name, group=group, help_flags=(), version_flags=(), end_of_options_delimiter="")

    @bridge.default
    def run(*words: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> None:
        from smoothcert.cli import certify, sweep

        command: Any = {"certify": certify.certify, "sweep": sweep.sweep}[name]
        application = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        application.command(name)(command)
        application.callback()(lambda: None)
        application(args=[name, *words], prog_name="smoothcert")

    return bridge
