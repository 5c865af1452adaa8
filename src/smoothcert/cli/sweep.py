"""``smoothcert sweep``: several noise levels, the best of them at each radius."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from smoothcert.cli.borrowing import borrow
from smoothcert.cli.bridge import Format, Quiet
from smoothcert.cli.certify import certify
from smoothcert.cli.given import given
from smoothcert.cli.options import numbers
from smoothcert.errors import InvalidArgumentError

_EACH_ITS_OWN = ("sigma", "out")
_ONE_QUESTION = ("decide", "max_n")  # a run that answers one question has no best sigma at each radius
_OF_RUNS_TOO = ("alpha", "quiet")


@borrow(certify, without=(*_EACH_ITS_OWN, *_ONE_QUESTION, *_OF_RUNS_TOO), panel="With --sigmas, as in certify")
def sweep(
    context: typer.Context,
    runs: Annotated[
        list[Path] | None, typer.Argument(metavar="[RUN...]", help="Run folders, each at a sigma of its own.")
    ] = None,
    sigmas: Annotated[
        str | None, typer.Option(help="Also certify at each of these first, such as 0.12,0.25,0.5,1.0.")
    ] = None,
    folder: Annotated[Path, typer.Option(help="Where --sigmas puts its runs; they are continued.")] = Path("sweep"),
    measure: Annotated[str, typer.Option(help="score, margin or class.")] = "score",
    bound: Annotated[str | None, typer.Option(help="Default: the first of dual, cdf, hoeffding that all hold.")] = None,
    threshold: Annotated[float, typer.Option(help="Confidence that must be kept; of no use to class.")] = 0.5,
    radii: Annotated[
        str | None, typer.Option(help="L2 radii; default: to where none certifies, or those of logs.")
    ] = None,
    alpha: Annotated[float | None, typer.Option(help="Failure probability; default: each run's own, or 0.001.")] = None,
    format: Annotated[Format, typer.Option(help="Table for people; csv and json hold exact numbers.")] = Format.table,
    out: Annotated[Path | None, typer.Option(help="Also a figure: .png, .svg or .pdf.")] = None,
    quiet: Quiet = False,
    **sampling: Any,
) -> None:
    """Find the best noise level at each radius, from runs or by certifying models trained at several sigmas.

    The rule of thumb is that the best sigma grows with the radius; the last line says whether it does here.

    With --sigmas, {sigma} in --model, --weights, --denoiser and --denoiser-weights stands for each sigma as it is
    written there: --weights 'resnet20_sigma{sigma}.safetensors'. Its runs can be interrupted, even killed: the same
    command goes on where it stopped.
    """
    from smoothcert import analysis
    from smoothcert.cli import printing, sweeping

    paths = list(runs or [])
    if sigmas is not None:
        sampling["alpha"] = 0.001 if alpha is None else alpha
        paths += sweeping.certify_each(sweeping.levels(sigmas), folder=folder, quiet=quiet, options=sampling)
    elif useless := given(context, ["folder", *sampling]):
        raise InvalidArgumentError(f"sigmas must be given, as runs to make, for {', '.join(useless)}; got none")
    tables = sweeping.open_tables(paths, alpha=alpha)
    if radii is None:
        asked = sweeping.default_radii(tables, measure=measure, threshold=threshold)
    else:
        asked = numbers("radii", radii)
    found = analysis.sweep(tables, radii=asked, measure=measure, bound=bound, threshold=threshold)
    if format is Format.json:
        typer.echo(printing.as_json(sweeping.rows(found)))
    elif format is Format.csv:
        typer.echo(printing.as_csv(sweeping.rows(found)))
    else:
        typer.echo(sweeping.text(found))
    if out is not None:
        from smoothcert.report import save_figure, sweep_figure

        typer.echo(f"figure: {save_figure(sweep_figure(found), out).resolve()}", err=format is not Format.table)
