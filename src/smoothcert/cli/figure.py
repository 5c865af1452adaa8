"""``smoothcert report`` and ``smoothcert figure``: runs to one HTML page, or to a figure of the study."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from smoothcert.cli.options import Bounds, Names, Numbers, Place, PlaceOrNone, Runs, open_runs, run_names
from smoothcert.console import say
from smoothcert.errors import InvalidArgumentError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from smoothcert.analysis import BoundsTable
    from smoothcert.runs import Run
    from smoothcert.typing import FloatArray
    from smoothcert.urls import AnyPath

_STEPS = (0.0, 1.0, 2.0, 3.0)  # of sigma
_POINTS = 41
_QUESTION = Parameter(group=Group("The question", sort_key=1))
_INPUTS = Parameter(group=Group("The inputs", sort_key=2))
Kind = Literal[
    "accuracy-over-threshold", "accuracy-over-radius", "correlation", "calibration", "distribution", "placement"
]


def report(
    runs: Runs,
    /,
    *,
    out: Place = Path("report.html"),
    title: str | None = None,
    measure: Annotated[Names | None, _QUESTION] = None,
    bound: Annotated[Bounds | None, _QUESTION] = None,
    radii: Annotated[Numbers | None, _QUESTION] = None,
    thresholds: Annotated[Numbers | None, _QUESTION] = None,
    alpha: Annotated[float | None, _QUESTION] = None,
    joint: Annotated[Literal["each", "input", "dataset"], _QUESTION] = "each",
    inputs: Annotated[int | None, _INPUTS] = None,
    pictures: Annotated[int | None, _INPUTS] = None,
    thumbnails: Annotated[bool, _INPUTS] = False,
) -> None:
    """Write one self-contained HTML page with the figures, tables and inputs of one or more runs.

    The page loads nothing and can be sent as it is. Its first sentence asks: another measure, bound, radius or
    threshold changes the tables and figures below. Every table downloads as CSV or JSON, every figure as SVG or PNG,
    and an input opens with all that is certified of it.

    For example:

        smoothcert report RUN --out report.html
        smoothcert report RUN --radii 0,0.25,0.5 --thresholds 0.5,0.9 --joint dataset
        smoothcert report RUN --pictures 200 --thumbnails

    Args:
        runs: Run folders.
        out: The page to write.
        title: Title of the page. Default: the model and the data.
        measure: Some of score, margin and the other measures of the run; the page begins with the first. Default: what
            the run holds.
        bound: Some of dual, cdf, hoeffding, clopper_pearson; likewise. Default: the first three the run holds.
        radii: L2 radii, in input units. Default: 0 to 4 sigma, or those of an imported log.
        thresholds: Values the measure must stay above. Default: parts of the range of each measure.
        alpha: Probability that a certificate is wrong. Default: each run's own.
        joint: What alpha is the probability for: each statement by itself, all that the page says of one input by a
            bound, or all that it says of the data set by a bound.
        inputs: Inputs that the page holds at most; of a larger run it shows every k-th. Default: 10,000, and 2,500 of a
            run of more.
        pictures: Put pictures of so many inputs into the page. They are read from the run's data, named as they were
            from where it was made, and shown only if they are what was sampled. Default: none; 100 with --thumbnails.
        thumbnails: Show them in the table of inputs, too.
    """
    from smoothcert.analysis import bounds_table
    from smoothcert.analysis.certified_accuracy import DEFAULT_BOUNDS
    from smoothcert.cli.asking import fitting_radii, fitting_thresholds, ranges_of
    from smoothcert.report import write_report
    from smoothcert.runs.config import DECIDED

    opened = open_runs(runs)
    if radii is not None:
        radii = tuple(fitting_radii(radii, sigma=max(run.config.sigma for run in opened)))
    for run in opened if measure or thresholds else ():
        if run.config.kind != DECIDED:
            table = bounds_table(run)
            ranges = ranges_of(run, table, measure or table.answers.measures)
            fitting_thresholds(thresholds, ranges)
    written = write_report(
        opened,
        out,
        title=title,
        measures=measure,
        bounds=bound or DEFAULT_BOUNDS,
        radii=radii,
        thresholds=thresholds,
        alpha=alpha,
        joint=joint,
        max_inputs=inputs,
        pictures=(100 if thumbnails else 0) if pictures is None else pictures,
        thumbnails=thumbnails,
    )
    say(f"report: {written.resolve()}")


def figure(
    kind: Annotated[Kind, Parameter(name="KIND")],
    runs: Runs,
    /,
    *,
    out: Place,
    measure: Names | None = None,
    bound: Bounds | None = None,
    radii: Numbers | None = None,
    thresholds: Numbers | None = None,
    alpha: float | None = None,
    class_radii: PlaceOrNone = None,
    overlay: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Draw one figure of stored runs.

    accuracy-over-threshold: certified accuracy over the confidence that must be kept, one color per radius (Kumar et
    al., Figure 2).

    accuracy-over-radius: certified accuracy over the radius, one color per threshold, beside Cohen's class certificate.

    correlation: smoothed confidence against class radius, one mark per input (Kumar et al., Figure 4). A log of scores
    holds no smoothed ones: its bound at radius 0 is drawn, against the class radii of the log named by --class-radii.

    calibration: how often a prediction is right over its smoothed score; a score is not a probability.

    distribution: how the certified lower bounds of the inputs spread, over the radius.

    placement: what the CDF bound loses with 10 to 10,000 thresholds, equal-mass or uniform, against all.

    For example:

        smoothcert figure accuracy-over-radius RUN --thresholds 0.5,0.9 --out figure.svg
        smoothcert figure accuracy-over-radius RUN OTHER --overlay --out both.png

    Args:
        kind: Which figure; see above.
        runs: Run folders, each drawn on its own unless --overlay is given.
        out: File to write, .png, .svg or .pdf; for several runs their names are added to it.
        measure: Some of score, margin and the other measures of the run. Default: what the run holds.
        bound: Some of dual, cdf, hoeffding, clopper_pearson. Default: what the run holds.
        radii: L2 radii, in input units. Default: multiples of sigma, or those of an imported log.
        thresholds: Values to stay above (accuracy-over-radius), or how many thresholds (placement).
        alpha: Probability that one certificate is wrong. Default: the run's own.
        overlay: Draw up to four runs in one figure, by the first bound; a kind of line for each.
        class_radii: For the correlation: run the class radii come from, such as an imported log of Cohen et al.
    """
    from smoothcert.cli.asking import fitting_radii
    from smoothcert.report import figure_format, save_figure

    figure_format(out)  # before any work
    if class_radii is not None and kind != "correlation":
        raise InvalidArgumentError(f"--class-radii is for the figure correlation; got it with {kind}")
    opened = open_runs(runs)
    if radii is not None:
        radii = tuple(fitting_radii(radii, sigma=max(run.config.sigma for run in opened)))
    (other,) = [None] if class_radii is None else open_runs([class_radii])
    if overlay:
        if kind == "placement":
            raise InvalidArgumentError("--overlay is for the other figures: placement shows one run")
        names = run_names(opened)
        asked = _Drawn(opened[0], measure, bound, radii, thresholds, alpha, other, tuple(opened[1:]), names)
        say(f"figure: {save_figure(_FIGURES[kind](asked), out).resolve()}")
        return
    for run, path in zip(opened, _paths(out, run_names(opened)), strict=True):
        asked = _Drawn(run, measure, bound, radii, thresholds, alpha, other)
        say(f"figure: {save_figure(_FIGURES[kind](asked), path).resolve()}")


def _paths(out: AnyPath, names: Sequence[str]) -> list[AnyPath]:
    """A file for each run, no two the same: their names, which may be whole paths, are added."""
    if len(names) == 1:
        return [out]
    added = [re.sub(r"[^\w.-]+", "-", name).strip("-.") for name in names]
    return [
        out.with_name(f"{out.stem}-{name if added.count(name) == 1 else f'{name}-{number}'}{out.suffix}")
        for number, name in enumerate(added, start=1)
    ]


def _steps(sigma: float) -> list[float]:
    from smoothcert.bounds import plain_number

    return [plain_number(step * sigma) for step in _STEPS]


@dataclass(frozen=True)
class _Drawn:
    """A run and what was asked of its figure; None where the run decides."""

    run: Run
    measures: Sequence[str] | None
    bounds: Sequence[str] | None
    radii: Sequence[float] | None
    thresholds: Sequence[float] | None
    alpha: float | None
    class_radii: Run | None
    others: tuple[Run, ...] = ()
    names: Sequence[str] | None = None

    @cached_property
    def tables(self) -> list[BoundsTable]:
        """The bounds of the run, and of those drawn over it."""
        from smoothcert.analysis import bounds_table

        return [self.table, *(bounds_table(run, alpha=self.alpha) for run in self.others)]

    @cached_property
    def table(self) -> BoundsTable:
        """The run's bounds."""
        from smoothcert.analysis import bounds_table

        return bounds_table(self.run, alpha=self.alpha)

    @property
    def asked_measures(self) -> list[str]:
        """The measures asked for, else those held; all of them where none is, so that the run says what it holds."""
        from smoothcert.scores import DEFAULT_MEASURES

        held = [m for m in self.table.answers.measures if all(m in table.answers.measures for table in self.tables)]
        return list(self.measures or held or DEFAULT_MEASURES)

    @property
    def asked_bounds(self) -> list[str]:
        """The bounds asked for, else the usual ones that are held."""
        from smoothcert.analysis.certified_accuracy import DEFAULT_BOUNDS

        held = [bound for bound in DEFAULT_BOUNDS if all(bound in table.answers.bounds for table in self.tables)]
        return list(self.bounds or held or DEFAULT_BOUNDS)

    @property
    def few_radii(self) -> list[float]:
        """The radii asked for, else those of the log, else multiples of sigma."""
        return list(self.radii or self.table.answers.radii or _steps(self.table.sigma))

    @property
    def axis(self) -> FloatArray:
        """Radii of an axis: those asked for, else those of the log, else a fine grid to 4 sigma."""
        import numpy as np

        given = self.radii or self.table.answers.radii
        return np.array(given) if given else np.linspace(0.0, 4.0 * self.table.sigma, _POINTS)


def _over_threshold(asked: _Drawn) -> Figure:
    from smoothcert.report import accuracy_over_threshold_figure

    return accuracy_over_threshold_figure(
        asked.tables, names=asked.names, radii=asked.few_radii, measures=asked.asked_measures, bounds=asked.asked_bounds
    )


def _over_radius(asked: _Drawn) -> Figure:
    from smoothcert.cli.asking import fitting_thresholds, ranges_of
    from smoothcert.report import accuracy_over_radius_figure

    measures = asked.measures or (asked.asked_measures if asked.table.answers.measures else [])
    ranges = ranges_of(asked.run, asked.table, measures)

    return accuracy_over_radius_figure(
        asked.tables,
        names=asked.names,
        thresholds=fitting_thresholds(asked.thresholds, ranges),
        radii=asked.axis,
        measures=measures,
        bounds=asked.asked_bounds,
    )


def _correlation(asked: _Drawn) -> Figure:
    from smoothcert.analysis import bounds_table
    from smoothcert.report import correlation_figure

    return correlation_figure(
        asked.tables,
        names=asked.names,
        measures=asked.asked_measures,
        bound=asked.bounds[0] if asked.bounds else None,
        class_radii=None if asked.class_radii is None else bounds_table(asked.class_radii, alpha=asked.alpha),
    )


def _calibration(asked: _Drawn) -> Figure:
    from smoothcert.report import calibration_figure

    return calibration_figure(asked.tables, names=asked.names)


def _distribution(asked: _Drawn) -> Figure:
    from smoothcert.report import distribution_figure

    return distribution_figure(
        asked.tables, names=asked.names, radii=asked.axis, measures=asked.asked_measures, bound=asked.asked_bounds[0]
    )


def _placement(asked: _Drawn) -> Figure:
    from smoothcert.analysis.placement import COUNTS
    from smoothcert.report import placement_figure

    counts = list(asked.thresholds or COUNTS)
    if any(count != int(count) or count < 1 for count in counts):
        raise InvalidArgumentError(f"--thresholds must be how many to place, such as 10,100,1000; got {counts}")
    return placement_figure(
        asked.run,
        radii=asked.radii or _steps(asked.run.config.sigma),
        measures=asked.measures,
        thresholds=[int(count) for count in counts],
        alpha=asked.alpha,
    )


_FIGURES: dict[str, Callable[[_Drawn], Figure]] = {
    "accuracy-over-threshold": _over_threshold,
    "accuracy-over-radius": _over_radius,
    "correlation": _correlation,
    "calibration": _calibration,
    "distribution": _distribution,
    "placement": _placement,
}
