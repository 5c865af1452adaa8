"""The application: which commands there are, and what becomes of an error."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import cyclopts
import typer

from smoothcert._allocator import keep_freed_memory
from smoothcert._version import __version__
from smoothcert.analysis import set_workers
from smoothcert.cli.certify import certify, options_of_file
from smoothcert.cli.compare import compare
from smoothcert.cli.demo import demo
from smoothcert.cli.figure import figure
from smoothcert.cli.import_ import import_
from smoothcert.cli.query import query
from smoothcert.cli.report import report
from smoothcert.cli.sweep import sweep
from smoothcert.cli.train import train
from smoothcert.errors import SmoothcertError

_specified = cyclopts.App(
    name="smoothcert",
    result_action="return_value",
    default_parameter=cyclopts.Parameter(allow_repeating=True, negative_iterable=()),
)
app = typer.Typer(
    name="smoothcert",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (demo, query, report, compare, figure, train):
    app.command()(command)
app.command("import")(import_)
_specified.command(certify, config=options_of_file)
_specified.command(sweep)
_OTHERS = {"ignore_unknown_options": True, "allow_extra_args": True}


@app.command("certify", context_settings=_OTHERS, add_help_option=False)
def _certify(context: typer.Context) -> None:
    _specified(["certify", *context.args], exit_on_error=False, print_error=False)


@app.command("sweep", context_settings=_OTHERS, add_help_option=False)
def _sweep(context: typer.Context) -> None:
    _specified(["sweep", *context.args], exit_on_error=False, print_error=False)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"smoothcert {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Certified confidence for any classifier, by randomized smoothing."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end in ``SystemExit``.

    A user's mistake is one line on standard error and code 2.

    Args:
        arguments: Instead of those of the process.
    """
    keep_freed_memory()
    set_workers(_processors())
    try:
        app(args=None if arguments is None else list(arguments), prog_name="smoothcert")
    except SmoothcertError as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        raise SystemExit(2) from None


def _processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
