"""``smoothcert report``: runs to one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from smoothcert.cli.options import Runs


def report(
    runs: Runs,
    out: Annotated[Path, typer.Option(help="The page.")] = Path("report.html"),
) -> None:
    """Write one self-contained HTML page with the figures and tables of one or more runs."""
    from smoothcert.report import write_report
    from smoothcert.runs import Run

    typer.echo(f"report: {write_report([Run.open(path) for path in runs], out).resolve()}")
