"""``smoothcert compare``: certified accuracies of several runs and logs, with differences."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from smoothcert.cli.options import Format, Runs, names, numbers


def compare(
    runs: Runs,
    measure: Annotated[str, typer.Option(help="score, margin or class.")] = "score",
    bound: Annotated[
        str | None, typer.Option(help="Some of dual, cdf, hoeffding, clopper_pearson; default: the first three.")
    ] = None,
    radii: Annotated[str, typer.Option(help="L2 radii in input units.")] = "0,0.25,0.5",
    thresholds: Annotated[str, typer.Option(help="Confidences that must be kept; of no use to class.")] = "0.5,0.7,0.9",
    alpha: Annotated[float | None, typer.Option(help="Instead of each run's own.")] = None,
    format: Annotated[Format, typer.Option(help="Table for people; csv and json hold exact numbers.")] = Format.table,
    out: Annotated[Path | None, typer.Option(help="Also a figure: .png, .svg or .pdf.")] = None,
) -> None:
    """Compare runs and imported logs; the first one by its first bound is what the others are compared with.

    Differences carry 95% intervals over the inputs: paired (Tango 1998) over the inputs two runs share, where index and
    label agree; unpaired (Newcombe 1998) where the data differ, which is said.
    """
    from smoothcert import analysis
    from smoothcert.cli import comparing, printing
    from smoothcert.runs import Run

    opened = [Run.open(path) for path in runs]
    found = analysis.compare(
        [analysis.bounds_table(run, alpha=alpha) for run in opened],
        comparing.run_names(opened),
        measure=measure,
        bounds=None if bound is None else names("bound", bound),
        radii=numbers("radii", radii),
        thresholds=numbers("thresholds", thresholds),
    )
    rows = comparing.rows(found)
    if format is Format.json:
        typer.echo(printing.as_json(rows))
    elif format is Format.csv:
        typer.echo(printing.as_csv(rows))
    else:
        typer.echo(comparing.text(found))
    if format is not Format.table:
        for note in found.notes:
            typer.echo(f"note: {note}", err=True)
    if out is not None:
        from smoothcert.report import comparison_figure, save_figure

        typer.echo(f"figure: {save_figure(comparison_figure(found), out).resolve()}", err=format is not Format.table)
