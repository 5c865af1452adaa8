"""``smoothcert sweep``: several noise levels, the best of them at each radius."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from smoothcert.cli.options import Format, Numbers, Place, PlaceOrNone, Quiet, Runs
from smoothcert.console import say
from smoothcert.errors import InvalidArgumentError
from smoothcert.scores import DEFAULT_MEASURES
from smoothcert.spec import PANELS, RunSpec, SamplingSpec
from smoothcert.urls import AnyPath

_FOLDER = Path("sweep")
_NO_RUNS: list[AnyPath] = []
_Unasked = Parameter(parse=False, show=False)


@dataclass(frozen=True, kw_only=True)
class _Swept(SamplingSpec):
    """Sampling whose sigma varies; it decides no question, which would leave no best sigma at each radius."""

    sigma: Annotated[float, _Unasked] = 1.0
    decide: Annotated[str | None, _Unasked] = None
    max_n: Annotated[int | None, _Unasked] = None
    alpha: Annotated[float, _Unasked] = 0.001
    measures: Annotated[tuple[str, ...], _Unasked] = DEFAULT_MEASURES


@dataclass(frozen=True, kw_only=True)
class _Sweep(RunSpec):
    """Runs that differ in sigma."""

    sampling: Annotated[_Swept, PANELS["sampling"]] = field(default_factory=_Swept)


def sweep(
    runs: Runs = _NO_RUNS,
    /,
    *,
    sigmas: str | None = None,
    folder: Place = _FOLDER,
    measure: str = "score",
    bound: str | None = None,
    threshold: float = 0.5,
    radii: Numbers | None = None,
    alpha: float | None = None,
    format: Format = "table",
    out: PlaceOrNone = None,
    quiet: Quiet = False,
    spec: Annotated[_Sweep, Parameter(name="*")] = _Sweep(),
) -> None:
    """Find the best noise level at each radius, from runs or by certifying models trained at several sigmas.

    The rule of thumb is that the best sigma grows with the radius; the last line says whether it does here.

    With --sigmas, {sigma} in --model, --weights, --denoiser and --denoiser-weights stands for each sigma as it is
    written there: --weights 'resnet20_sigma{sigma}.safetensors'. Its runs can be interrupted, even killed: the same
    command goes on where it stopped.

    For example:

        smoothcert sweep RUN1 RUN2 --threshold 0.5

    Args:
        runs: Run folders, each at a sigma of its own.
        sigmas: Also certify at each of these first, such as 0.12,0.25,0.5,1.0.
        folder: Where --sigmas puts its runs; they are continued.
        measure: score, margin or class.
        bound: Default: the first of dual, cdf, hoeffding that all hold.
        threshold: Confidence that must be kept; of no use to class.
        radii: L2 radii. Default: to where none certifies, or those of logs.
        alpha: Failure probability. Default: each run's own, or 0.001.
        format: Table for people; csv and json hold exact numbers.
        out: Also a figure: .png, .svg or .pdf.
        spec: With --sigmas, as in certify.
    """
    from smoothcert import analysis
    from smoothcert.cli import printing, sweeping

    if out is not None:
        from smoothcert.report import figure_format, save_figure, sweep_figure

        figure_format(out)  # before any work

    paths: list[AnyPath] = list(runs)
    if sigmas is not None:
        asked = spec if alpha is None else spec.vary(alpha=alpha)
        paths += sweeping.certify_each(sweeping.levels(sigmas), asked, folder=folder, quiet=quiet)
    elif useless := [*(["folder"] if folder != _FOLDER else []), *(o for o in spec.options() if o != "sigma")]:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in useless)
        raise InvalidArgumentError(f"sigmas must be given, as runs to make, for {flags}; got none")
    tables = sweeping.open_tables(paths, alpha=alpha)
    if radii is None:
        radii = tuple(sweeping.default_radii(tables, measure=measure, threshold=threshold))
    found = analysis.sweep(tables, radii=radii, measure=measure, bound=bound, threshold=threshold)
    if format == "json":
        say(printing.as_json(sweeping.rows(found)))
    elif format == "csv":
        say(printing.as_csv(sweeping.rows(found)))
    else:
        say(sweeping.text(found))
    if out is not None:
        place = save_figure(sweep_figure(found), out).resolve()
        say(f"figure: {place}", err=format != "table")
