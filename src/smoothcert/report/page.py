"""One self-contained HTML page from one or more runs: answers first, then figures, then every input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from smoothcert._check import check_count, check_radii
from smoothcert._version import __version__
from smoothcert.analysis import BoundsTable, RunSummary, bounds_table, summary
from smoothcert.analysis.certified_accuracy import CLASS, check_thresholds
from smoothcert.analysis.stored_histograms import RunLike
from smoothcert.analysis.table import DEFAULT_BOUNDS
from smoothcert.bounds import TABLE, ceil_decimals
from smoothcert.errors import DataError, InvalidArgumentError
from smoothcert.files import write_file
from smoothcert.report import gallery, tables
from smoothcert.report.deciding import DecidedView, decided_view
from smoothcert.report.svg import Chart, chart, themed
from smoothcert.report.wording import count_words, held_words
from smoothcert.runs.config import DECIDED, IMPORTED, RunConfig
from smoothcert.typing import FloatArray
from smoothcert.urls import AnyPath, to_path

if TYPE_CHECKING:
    from smoothcert.runs import Run

PARTS_OF_RANGE = (0.5, 0.7, 0.9)
"""Default thresholds: of a score as they are; of a margin 0, 0.4 and 0.8, the same between two classes."""
ASKED = 20
"""Thresholds the first screen's fields offer."""
MOST_OVERLAID = 4
RADIUS_POINTS = 21
THRESHOLD_POINTS = 101
CLASS_THRESHOLD = 0.5  # of the votes: more than half keep the class


@dataclass(frozen=True)
class RunView:
    """Everything the page shows about one run."""

    decided: ClassVar[bool] = False

    key: str
    name: str
    table: BoundsTable
    step: float | None
    config: RunConfig
    facts: list[tuple[str, str]]
    notes: tuple[str, ...]
    thresholds: dict[str, list[float]]
    found: RunSummary
    inputs: int
    labelled: bool
    headline: tables.Share
    asked: dict[str, Any]
    expected_wrong: str
    key_tables: dict[str, list[tables.Share]]
    all_shares: list[tables.Share]
    charts: list[Chart]
    summary: list[tuple[str, str, str]]
    columns: list[tables.Column]
    rows: list[tables.InputRow]
    provenance: list[tuple[str, str]]


def write_report(
    runs: RunLike | Sequence[RunLike],
    out: AnyPath | str,
    *,
    radii: Sequence[float] | None = None,
    thresholds: Sequence[float] | None = None,
    measures: Sequence[str] | None = None,
    bounds: Sequence[str] = DEFAULT_BOUNDS,
    alpha: float | None = None,
    max_inputs: int = 1_000,
    title: str = "Certified confidence",
) -> AnyPath:
    """Write one HTML page about one or more runs.

    The page loads nothing: style, script, drawings and data are inside it. The first bound and the first measure
    named are the ones its first sentence and its per-input table use.

    Args:
        runs: A run or several, each with at least one certified input. One that decided a question has a section about
            that only.
        out: File to write; replaced in one step if it exists.
        radii: Radii in input units; by default 0 to 4 sigma in steps of sigma.
        thresholds: Thresholds for all measures; by default 0.5, 0.7, 0.9 for scores, 0, 0.4, 0.8 for margins and leads,
            and the same parts of its range for any other.
        measures: Measures of the runs; None for all they hold.
        bounds: Some of :data:`smoothcert.bounds.BOUNDS`.
        alpha: Instead of each run's own. To claim several statements together, divide by their number.
        max_inputs: Rows of the per-input table at most; the page says what it leaves out.
        title: Title of the page.

    Returns:
        ``out`` as a path.

    Raises:
        InvalidArgumentError: If an argument is outside its domain.
        RunError: If the page cannot be written.
        DataError: If a run holds no certified input, or one that decided a question is asked at another alpha.
    """
    runs = runs if isinstance(runs, Sequence) else [runs]
    target = to_path(out)
    if target.is_dir():
        raise InvalidArgumentError(f"out must be a file, for example report.html; got the folder {str(out)!r}")
    for name, given in (("runs", runs), ("measures", measures), ("bounds", bounds)):
        if given is not None and not given:
            raise InvalidArgumentError(f"{name} must name at least one; got none")
    distances = sorted({float(r) for r in (check_radii(radii) if radii is not None else _default_radii(runs))})
    cuts = None if thresholds is None else sorted({float(t) for t in check_thresholds(thresholds)})
    rows = check_count("max_inputs", max_inputs, at_least=0)
    views = [
        decided_view(_decided(run, alpha), key=f"run{i}", name=_name(run, i))
        if run.config.kind == DECIDED
        else _view(run, f"run{i}", _name(run, i), distances, cuts, measures, tuple(bounds), alpha, rows)
        for i, run in enumerate(runs)
    ]
    comparable = [view for view in views if isinstance(view, RunView)]
    write_file(
        target,
        _render(
            views,
            title=title,
            radii=distances,
            overlay=_overlay(comparable),
            floating=any(view.step is None for view in views),
            price=max((view.table.price for view in comparable), default=0.0),
        ),
    )
    return target


def _default_radii(runs: Sequence[RunLike]) -> list[float]:
    """Multiples of the noise levels; with imported logs, the radii all of these hold."""
    held = [bounds_table(run).answers.radii for run in runs if run.config.kind == IMPORTED]
    grids = [set(radii) for radii in held if radii]
    if grids and (common := set.intersection(*grids)):
        return sorted(common)
    sigmas = sorted({float(run.config.sigma) for run in runs})
    steps = (0.0, 1.0, 2.0, 3.0, 4.0) if len(sigmas) == 1 else (0.0, 1.0, 2.0)
    return [step * sigma for sigma in sigmas for step in steps]


def _decided(run: RunLike, alpha: float | None) -> Run:
    if alpha not in (None, run.config.alpha):
        raise DataError(f"a run that decided a question answers at its own alpha {run.config.alpha:g}; got {alpha}")
    return cast("Run", run)


def _name(run: RunLike, position: int) -> str:
    path, more = getattr(run, "path", None), len(getattr(run, "members", ())) - 1
    if path is None:
        return f"run {position + 1}"
    return to_path(path).name + (f" and {count_words(more, 'more folder')}" if more > 0 else "")


def _view(
    run: RunLike,
    key: str,
    name: str,
    radii: list[float],
    cuts: list[float] | None,
    asked: Sequence[str] | None,
    bounds: tuple[str, ...],
    alpha: float | None,
    max_inputs: int,
) -> RunView:
    table = bounds_table(run, alpha=alpha)
    found = summary(run, table=table)
    answers = table.answers
    measures = tuple(m for m in (answers.measures if asked is None else asked) if m in answers.measures)
    thresholds = {measure: cuts or _parts(table.ends(measure), PARTS_OF_RANGE) for measure in measures}
    bounds = tuple(bound for bound in bounds if bound in answers.bounds) or (() if measures else ("clopper_pearson",))
    if not bounds or not (measures or answers.class_radius):
        raise DataError(f"{name} holds none of the measures and bounds asked for; it holds {held_words(answers)}")
    bound, first = bounds[0], (*measures, CLASS)[0]
    shown = thresholds or {CLASS: [CLASS_THRESHOLD]}
    radius = next((r for r in radii if r > 0.0), radii[0])
    threshold = 0.5 if 0.5 in shown[first] else shown[first][0]
    labelled = table.inputs.has_labels
    every = {
        measure: {
            b: tables.shares(table, measure=measure, bound=b, radii=radii, thresholds=shown[measure]) for b in bounds
        }
        for measure in shown
    }
    headline = next(s for s in every[first][bound] if (s.radius, s.threshold) == (radius, threshold))
    grid = np.array(answers.radii) if answers.radii else _grid(radii, table.sigma)
    own = {name: table}
    drawn = []
    if measures:
        drawn.append(
            gallery.accuracy_over_threshold(own, measures=measures, bounds=bounds, radii=radii, points=THRESHOLD_POINTS)
        )
    drawn.append(gallery.accuracy_over_radius(own, thresholds=thresholds, bounds=bounds, radii=grid))
    if measures:
        drawn.append(gallery.distribution(own, measures=measures, bound=bound, radii=grid))
    if answers.smoothed and answers.class_radius:
        drawn.append(gallery.correlation(own, measures=measures))
    if labelled and answers.smoothed:
        drawn.append(gallery.reliability(own))
    return RunView(
        key=key,
        table=table,
        step=table.step,
        facts=tables.facts(run.config, found.inputs, step=table.step, sizes=table.sizes),
        notes=tuple(getattr(run, "notes", run.config.notes)),
        thresholds=shown,
        name=name,
        config=run.config,
        found=found,
        inputs=found.inputs - found.unlabelled if labelled else found.inputs,
        labelled=labelled,
        headline=headline,
        asked=_asked(table, tuple(shown), bounds, radii, headline),
        expected_wrong=ceil_decimals(table.alpha * found.inputs, 2),
        key_tables={measure: every[measure][bound] for measure in shown},
        all_shares=[share for measure in shown for b in bounds for share in every[measure][b]],
        charts=[chart(plot, prefix=key) for plot in drawn],
        summary=tables.summary_rows(found, expected=run.config.expected),
        columns=tables.input_columns(answers, measures=measures, radii=radii, radius=radius, threshold=threshold),
        rows=tables.input_rows(
            table,
            measures=measures,
            bound=bound,
            radii=radii,
            radius=radius,
            threshold=threshold,
            class_names=run.config.class_names,
            at_most=max_inputs,
        ),
        provenance=tables.provenance_rows(run.config, alpha=table.alpha, sizes=table.sizes),
    )


def _grid(radii: list[float], sigma: float) -> FloatArray:
    return np.linspace(0.0, max(radii) if max(radii) > 0.0 else 4.0 * sigma, RADIUS_POINTS)


def _parts(ends: tuple[float, float], parts: Sequence[float]) -> list[float]:
    """Values at some parts of a range."""
    return [round(ends[0] + (ends[1] - ends[0]) * part, 10) for part in parts]


def _overlay(views: Sequence[RunView]) -> Chart | None:
    """The runs over one another, where they can be compared: by the first bound and measure of the first."""
    if not 2 <= len(views) <= MOST_OVERLAID:
        return None
    asked = views[0].headline
    own = {view.name: view.table for view in views}
    grids = [view.table.answers.radii for view in views]
    if len(own) < len(views) or any(grids) or any(asked.measure not in view.thresholds for view in views):
        return None
    if not all(asked.bound in table.answers.bounds for table in own.values()):
        return None
    thresholds = {} if asked.measure == CLASS else {asked.measure: [asked.threshold]}
    radii = _grid([radius for view in views for radius in view.asked["radii"]], views[0].table.sigma)
    plot = gallery.accuracy_over_radius(own, thresholds=thresholds, bounds=[asked.bound], radii=radii)
    return chart(plot, prefix="all")


def _asked(
    table: BoundsTable, measures: Sequence[str], bounds: Sequence[str], radii: list[float], headline: tables.Share
) -> dict[str, Any]:
    """Answers to every question the first screen's fields can ask."""
    cuts = {}
    for measure in measures:
        low, high = (0.0, 1.0) if measure == CLASS else table.ends(measure)
        low = 0.0 if (low, high) == (-1.0, 1.0) else low  # a difference: below 0 another class is ahead
        grid = _parts((low, high), [step / ASKED for step in range(ASKED)])
        first = {headline.threshold} if measure == headline.measure else set()
        cuts[measure] = sorted(first) if measure == CLASS else sorted({*grid, *first})
    answers = {
        f"{measure}|{bound}": [
            [share.value, share.interval, share.least]
            for share in tables.shares(table, measure=measure, bound=bound, radii=radii, thresholds=cuts[measure])
        ]
        for measure in measures
        for bound in bounds
    }
    return {
        "radii": radii,
        "thresholds": cuts,
        "answers": answers,
        "scopes": {bound: TABLE[bound].holds for bound in bounds},
        "start": [headline.measure, headline.bound, headline.radius, headline.threshold],
    }


def _render(views: Sequence[RunView | DecidedView], **shared: Any) -> str:
    folder = files("smoothcert.report") / "templates"
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["themed"] = themed
    template = environment.from_string((folder / "report.html.j2").read_text(encoding="utf-8"))
    return template.render(
        runs=views,
        version=__version__,
        known_bounds=TABLE,
        count_words=count_words,
        style=Markup((folder / "report.css").read_text(encoding="utf-8")),
        script=Markup((folder / "report.js").read_text(encoding="utf-8")),
        **shared,
    )
