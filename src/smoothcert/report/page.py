"""One self-contained HTML page from one or more runs: answers first, then figures, then every input."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from smoothcert._check import check_choice, check_count, check_radii
from smoothcert._version import __version__
from smoothcert.analysis import bounds_table
from smoothcert.analysis.certified_accuracy import CLASS, check_thresholds
from smoothcert.analysis.joint import DATASET, EACH, INPUT, About
from smoothcert.analysis.stored_histograms import RunLike
from smoothcert.analysis.table import DEFAULT_BOUNDS
from smoothcert.bounds import TABLE, ceil_digits, exact_text, plain_number
from smoothcert.console import printable
from smoothcert.errors import DataError, InvalidArgumentError
from smoothcert.files import write_file
from smoothcert.report import gallery, tables
from smoothcert.report.deciding import DecidedView, decided_view
from smoothcert.report.svg import Chart, chart, themed
from smoothcert.report.view import COARSE, RunView, Wanted, run_view
from smoothcert.report.wording import count_words
from smoothcert.runs.config import DECIDED, IMPORTED
from smoothcert.urls import AnyPath, to_path

if TYPE_CHECKING:
    from smoothcert.runs import Run

MOST_OVERLAID = 4
SCRIPTS = ("drawing.js", "figures.js", "inputs.js", "opened.js", "page.js")


def write_report(
    runs: RunLike | Sequence[RunLike],
    out: AnyPath | str,
    *,
    radii: Sequence[float] | None = None,
    thresholds: Sequence[float] | None = None,
    measures: Sequence[str] | None = None,
    bounds: Sequence[str] = DEFAULT_BOUNDS,
    alpha: float | None = None,
    joint: About = "each",
    max_inputs: int | None = None,
    pictures: int = 0,
    thumbnails: bool = False,
    title: str | None = None,
) -> AnyPath:
    """Write one HTML page about one or more runs.

    The page loads nothing: style, script, drawings and data are inside it. The first bound and the first measure
    named are the ones it begins with; its first sentence asks for others.

    Args:
        runs: A run or several, each with at least one certified input. One that decided a question has a section about
            that only.
        out: File to write; replaced in one step if it exists.
        radii: Radii in input units; by default 0 to 4 sigma in steps of sigma.
        thresholds: Thresholds for all measures; by default 0.5, 0.7, 0.9 for scores, 0, 0.4, 0.8 for margins and leads,
            and the same parts of its range for any other.
        measures: Measures of the runs; None for all they hold.
        bounds: Some of :data:`smoothcert.bounds.BOUNDS`.
        alpha: Instead of each run's own. To claim several statements together, divide by their number, or see
            ``joint``.
        joint: What alpha is the probability for: ``"each"`` statement by itself, all that the page says of one
            ``"input"`` by one bound, or all that it says of the ``"dataset"`` by one.
        max_inputs: Inputs the page holds at most; of a larger run every k-th, and all but the fractions of the first
            measure is of these. None for 10,000, and 2,500 of a run of more.
        pictures: Inputs whose pictures are put into the page at most, taken from the run's data where they can be
            loaded and are what was sampled. Data named ``python:`` are loaded by running that code.
        thumbnails: Whether the table of the inputs shows the pictures, too.
        title: Title of the page; None for what was certified.

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
    check_choice("joint", joint, (EACH, INPUT, DATASET))
    distances = check_radii(radii) if radii is not None else _default_radii(runs)
    wanted = Wanted(
        radii=tuple(sorted({float(r) for r in distances})),
        thresholds=None if thresholds is None else tuple(sorted({float(t) for t in check_thresholds(thresholds)})),
        measures=None if measures is None else tuple(measures),
        bounds=tuple(dict.fromkeys(bounds)),
        alpha=alpha,
        joint=joint,
        max_inputs=None if max_inputs is None else check_count("max_inputs", max_inputs),
        pictures=check_count("pictures", pictures, at_least=0),
        thumbnails=thumbnails,
    )
    views = [
        decided_view(_decided(run, alpha, joint), key=f"run{i}", name=name)
        if run.config.kind == DECIDED
        else run_view(run, f"run{i}", name, wanted)
        for i, (run, name) in enumerate(zip(runs, _names(runs), strict=True))
    ]
    comparable = [view for view in views if isinstance(view, RunView)]
    if title is None:
        first = views[0].config
        title = f"{first.model} on {first.data}" if len(views) == 1 else f"{len(views)} runs side by side"
    write_file(
        target,
        _render(
            views,
            title=title,
            radii=wanted.radii,
            comparison=_comparison(comparable, wanted.radii) if len(comparable) > 1 else None,
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
    return [plain_number(step * sigma) for sigma in sigmas for step in steps]


def _decided(run: RunLike, alpha: float | None, joint: str) -> Run:
    if joint != EACH:
        raise DataError(f"a run that decided a question makes one statement of each input; got joint={joint}")
    if alpha not in (None, run.config.alpha):
        raise DataError(
            f"a run that decided a question answers at its own alpha {exact_text(run.config.alpha)}; got {alpha}"
        )
    return cast("Run", run)


def _names(runs: Sequence[RunLike]) -> list[str]:
    """What the sections are called, each once: the last part of the run's path, and how many folders it joins."""
    found = []
    for position, run in enumerate(runs):
        path, more = getattr(run, "path", None), len(getattr(run, "members", ())) - 1
        joined = f" and {count_words(more, 'more folder')}" if more > 0 else ""
        found.append(f"run {position + 1}" if path is None else to_path(path).name + joined)
    return [name if found.count(name) == 1 else f"{name} #{i + 1}" for i, name in enumerate(found)]


def _comparison(views: Sequence[RunView], radii: Sequence[float]) -> tables.Table:
    """The first question, answered by each run, at each radius."""
    columns = (
        *tables.words_columns("run", "kept", "model"),
        *(tables.Column(word, word) for word in ("sigma", "n", "inputs")),
        *(tables.Column(f"radius_{exact_text(radius)}", f"radius {exact_text(radius)}") for radius in radii),
    )
    rows, values = [], []
    for view in views:
        asked, config = view.headline, view.config
        kept = "class" if asked.measure == CLASS else f"{asked.measure} > {exact_text(asked.threshold)} ({asked.bound})"
        found = [share for share in view.key_tables[asked.measure] if share.threshold == asked.threshold]
        inputs = found[0].exact[4]
        at = (view.name, kept, config.model)
        shown = (f"{config.sigma:g}", f"{config.n:,}", f"{inputs:,}")
        rows.append((*at, *shown, *(f"{share.value} ({share.interval})" for share in found)))
        values.append((*at, config.sigma, config.n, inputs, *(share.exact[0] for share in found)))
    what = "Right and certified" if views[0].labelled else "Certified"
    caption = f"{what} to keep what the second column says, at each radius, with exact 95% intervals over the inputs"
    return tables.Table("runs", caption, columns, tuple(rows), tuple(values))


def _overlay(views: Sequence[RunView]) -> Chart | None:
    """The runs over one another, where they can be compared: by the first bound and measure of the first."""
    if not 2 <= len(views) <= MOST_OVERLAID:
        return None
    asked = views[0].headline
    own = {view.name: view.few for view in views}
    grids = [view.table.answers.radii for view in views]
    if len(own) < len(views) or any(grids) or any(asked.measure not in view.thresholds for view in views):
        return None
    if not all(asked.bound in table.answers.bounds for table in own.values()):
        return None
    thresholds = {} if asked.measure == CLASS else {asked.measure: [asked.threshold]}
    largest = max(radius for view in views for radius in view.asked["radii"]) or 4.0 * views[0].table.sigma
    radii = np.linspace(0.0, largest, 2 * COARSE - 1)
    plot = gallery.accuracy_over_radius(own, thresholds=thresholds, bounds=[asked.bound], radii=radii)
    return chart(plot, prefix="all")


def _without_steering(value: Any) -> Any:
    """Names of files and classes cannot turn the direction of the text around them."""
    return printable(value) if type(value) is str else value  # and not Markup


def _render(views: Sequence[RunView | DecidedView], **shared: Any) -> str:
    folder = files("smoothcert.report") / "templates"
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_without_steering
    )
    environment.filters |= {"themed": themed, "exact": exact_text, "ceil_digits": ceil_digits}
    template = environment.from_string((folder / "report.html.j2").read_text(encoding="utf-8"))
    parts = [(folder / name).read_text(encoding="utf-8") for name in SCRIPTS]
    script = "\n" + '"use strict";\n(() => {\n' + "\n".join(parts) + "})();\n"
    return template.render(
        runs=views,
        version=__version__,
        known_bounds=TABLE,
        count_words=count_words,
        style=Markup((folder / "report.css").read_text(encoding="utf-8")),
        script=Markup(script),
        # The only script that a browser runs on this page, whatever names of classes and inputs hold.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        **shared,
    )
