"""``smoothcert sweep``: several noise levels, the best of them at each radius."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from smoothcert.cli.options import Device, Format, Quiet, numbers


def sweep(
    runs: Annotated[
        list[Path] | None, typer.Argument(metavar="[RUN...]", help="Run folders, each at a sigma of its own.")
    ] = None,
    sigmas: Annotated[
        str | None, typer.Option(help="Instead of runs: certify models trained at these sigmas first.")
    ] = None,
    model_template: Annotated[
        str | None, typer.Option(help="Model at each sigma; {sigma} stands for it, as written in --sigmas.")
    ] = None,
    weights_template: Annotated[str | None, typer.Option(help="Weights file at each sigma, with {sigma}.")] = None,
    data: Annotated[str | None, typer.Option(help="Data to certify, with --sigmas.")] = None,
    folder: Annotated[Path, typer.Option(help="Where --sigmas puts its runs; they are continued.")] = Path("sweep"),
    split: Annotated[str | None, typer.Option(help="Split of the data, such as test.")] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many inputs.")] = None,
    stride: Annotated[int, typer.Option(help="Every so many-th input.")] = 1,
    n: Annotated[int, typer.Option(help="Estimation samples an input.")] = 95_000,
    n0: Annotated[int, typer.Option(help="Pilot samples an input.")] = 5_000,
    seed: Annotated[int, typer.Option(help="Seed of the noise.")] = 0,
    alpha: Annotated[float | None, typer.Option(help="Failure probability; default: each run's own, or 0.001.")] = None,
    measure: Annotated[str, typer.Option(help="score, margin or class.")] = "score",
    bound: Annotated[str | None, typer.Option(help="Default: the first of dual, cdf, hoeffding that all hold.")] = None,
    threshold: Annotated[float, typer.Option(help="Confidence that must be kept; of no use to class.")] = 0.5,
    radii: Annotated[str | None, typer.Option(help="L2 radii; default: to 4 sigma, or those of imported logs.")] = None,
    format: Annotated[Format, typer.Option(help="Table for people; csv and json hold exact numbers.")] = Format.table,
    out: Annotated[Path | None, typer.Option(help="Also a figure: .png, .svg or .pdf.")] = None,
    device: Device = None,
    quiet: Quiet = False,
) -> None:
    """Find the best noise level at each radius, from runs or by certifying models trained at several sigmas.

    The rule of thumb is that the best sigma grows with the radius; the last line says whether it does here.
    """
    from smoothcert import analysis
    from smoothcert.cli import printing, sweeping

    paths = list(runs or [])
    if sigmas is not None:
        paths += sweeping.certify_each(
            sweeping.levels(sigmas),
            model_template=model_template,
            weights_template=weights_template,
            data=data,
            folder=folder,
            quiet=quiet,
            options={
                "split": split,
                "limit": limit,
                "stride": stride,
                "n": n,
                "n0": n0,
                "seed": seed,
                "alpha": 0.001 if alpha is None else alpha,
                "device": device,
            },
        )
    tables = sweeping.open_tables(paths, alpha=alpha)
    asked = numbers("radii", radii) if radii is not None else sweeping.default_radii(tables)
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
