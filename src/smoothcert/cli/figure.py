"""``smoothcert figure``: each figure of the study from stored runs, one command each."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smoothcert.cli.options import Runs, names, numbers
from smoothcert.errors import InvalidArgumentError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from smoothcert.cli.drawing import Drawn


class Kind(str, Enum):
    """Which figure."""

    accuracy_over_threshold = "accuracy-over-threshold"
    accuracy_over_radius = "accuracy-over-radius"
    correlation = "correlation"
    calibration = "calibration"
    distribution = "distribution"
    placement = "placement"


def figure(
    kind: Annotated[Kind, typer.Argument(help="Which figure; see above.", show_default=False)],
    runs: Runs,
    out: Annotated[Path, typer.Option(help=".png, .svg or .pdf; several runs get their names added.")],
    measure: Annotated[str | None, typer.Option(help="score, margin or both; default: what the run holds.")] = None,
    bound: Annotated[
        str | None, typer.Option(help="Some of dual, cdf, hoeffding, clopper_pearson; default: what the run holds.")
    ] = None,
    radii: Annotated[
        str | None, typer.Option(help="L2 radii; default: multiples of sigma, or those of an imported log.")
    ] = None,
    thresholds: Annotated[
        str | None, typer.Option(help="Confidences to keep (accuracy-over-radius), or how many (placement).")
    ] = None,
    alpha: Annotated[float | None, typer.Option(help="Instead of the run's own.")] = None,
    class_radii: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="correlation: run the class radii come from, as a log of Cohen et al."),
    ] = None,
) -> None:
    """Draw one figure of stored runs.

    accuracy-over-threshold: certified accuracy over the confidence that must be kept, a colour a radius (Kumar et al.,
    Figure 2).

    accuracy-over-radius: certified accuracy over the radius, a colour a threshold, beside Cohen's class certificate.

    correlation: smoothed confidence against class radius, one mark an input (Kumar et al., Figure 4). A log of scores
    holds no smoothed ones: its bound at radius 0 is drawn, against the class radii of the log named by --class-radii.

    calibration: how often a prediction is right over its smoothed score; a score is not a probability.

    distribution: how the certified lower bounds of the inputs spread, over the radius.

    placement: what the CDF bound loses with 10 to 10,000 thresholds, equal-mass or uniform, against all.
    """
    from smoothcert.cli.comparing import run_names
    from smoothcert.cli.drawing import FIGURES, Drawn
    from smoothcert.report import save_figure
    from smoothcert.runs import Run

    if class_radii is not None and kind is not Kind.correlation:
        raise InvalidArgumentError(f"class-radii is for the figure correlation; got it with {kind.value}")
    opened = [Run.open(path) for path in runs]
    draw: Callable[[Drawn], Figure] = FIGURES[kind.value]
    for run, name in zip(opened, run_names(opened), strict=True):
        asked = Drawn(
            run,
            measures=None if measure is None else names("measure", measure),
            bounds=None if bound is None else names("bound", bound),
            radii=None if radii is None else numbers("radii", radii),
            thresholds=None if thresholds is None else numbers("thresholds", thresholds),
            alpha=alpha,
            class_radii=None if class_radii is None else Run.open(class_radii),
        )
        path = out if len(opened) == 1 else out.with_name(f"{out.stem}-{Path(name).name}{out.suffix}")
        typer.echo(f"figure: {save_figure(draw(asked), path).resolve()}")
