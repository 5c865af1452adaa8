"""``smoothcert import``: a published log as a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def import_(
    log: Annotated[Path, typer.Argument(metavar="LOG.tsv", help="A log of Cohen et al. or Kumar et al.")],
    out: Annotated[Path, typer.Option(help="Run folder.")],
    measure: Annotated[str | None, typer.Option(help="score or margin; default: from the name of the log.")] = None,
    sigma: Annotated[float | None, typer.Option(help="Noise level; default: from the name of the log.")] = None,
    data: Annotated[str | None, typer.Option(help="Data set; default: from the name of the log.")] = None,
    model: Annotated[str | None, typer.Option(help="Base classifier; default: from the name of the log.")] = None,
    alpha: Annotated[float, typer.Option(help="Failure probability the log was made at.")] = 0.001,
    n: Annotated[int, typer.Option(help="Estimation samples an input.")] = 100_000,
    n0: Annotated[int, typer.Option(help="Samples an input that selected the class.")] = 100,
    rows: Annotated[int | None, typer.Option(help="Rows of the complete log; default: from the data set.")] = None,
) -> None:
    """Read a published log into a run that query, report and compare treat like any other.

    It answers what it holds: class radii (Cohen et al.), or the cdf and hoeffding lower bounds on one measure at its
    own radii (Kumar et al.), at its own alpha. The rest is refused.
    """
    from smoothcert.runs import import_log

    run = import_log(
        log, out=out, measure=measure, sigma=sigma, data=data, model=model, alpha=alpha, n=n, n0=n0, rows=rows
    )
    typer.echo(f"{len(run)} inputs in {out}, sigma {run.config.sigma:g}, alpha {run.config.alpha:g}")
    for note in run.config.notes:
        typer.echo(f"note: {note}")
