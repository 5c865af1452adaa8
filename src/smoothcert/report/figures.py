"""Figures for papers and notebooks: each function takes one run or several and returns a Matplotlib figure.

No ``pyplot``: nothing is shown, no global state is touched, and no display is needed. With ``ax`` a figure is drawn on
axes of yours, one for each of its panels; without, on a new figure, which a notebook shows as the value of a cell.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from smoothcert.analysis import BoundsTable, Compared, Source, Sweep, bounds_table
from smoothcert.analysis.placement import COUNTS, Streamed
from smoothcert.analysis.table import DEFAULT_BOUNDS
from smoothcert.certificate import Certificate
from smoothcert.errors import InvalidArgumentError
from smoothcert.files import write_file
from smoothcert.report import gallery
from smoothcert.report.plot import Key, Panel, Plot
from smoothcert.report.style import RC, SOFT_INK
from smoothcert.typing import FloatArray
from smoothcert.urls import AnyPath, to_path

FORMATS = (".png", ".svg", ".pdf")
OneOrMore: TypeAlias = "Source | Sequence[Source]"
GivenAxes: TypeAlias = "Axes | Sequence[Axes] | None"


class NotebookFigure(Figure):
    """A figure that a notebook shows as it is, whether or not ``pyplot`` was imported."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        with mpl.rc_context(RC):
            self.savefig(buffer, format="png")
        return buffer.getvalue()


def accuracy_over_threshold_figure(
    run: OneOrMore,
    *,
    radii: Sequence[float],
    measures: Sequence[str] | None = None,
    bounds: Sequence[str] = DEFAULT_BOUNDS,
    thresholds: FloatArray | None = None,
    names: Sequence[str] | None = None,
    ax: GivenAxes = None,
) -> Figure:
    """Certified accuracy over the threshold at several radii, the measures side by side.

    Args:
        run: A run or a table of its bounds, or up to four of them to be drawn over one another by the first bound.
        radii: Radii in input units, a colour for each.
        measures: Measures, a panel for each; None for all the runs hold.
        bounds: Bounds, a kind of line for each.
        thresholds: Where the curves are computed; None for 201 points of each measure's range, from 0 for differences.
        names: Names of the runs; by default those of their folders.
        ax: Axes to draw on, one for each panel; None for a new figure.

    References:
        Kumar et al. (2020), Figure 2, https://arxiv.org/abs/2009.08061.
    """
    tables = _tables(run, names)
    shown = _measures(tables, measures)
    plot = gallery.accuracy_over_threshold(tables, measures=shown, bounds=bounds, radii=radii, thresholds=thresholds)
    return render(plot, ax)


def accuracy_over_radius_figure(
    run: OneOrMore,
    *,
    thresholds: Sequence[float],
    radii: FloatArray,
    measures: Sequence[str] | None = None,
    bounds: Sequence[str] = DEFAULT_BOUNDS,
    names: Sequence[str] | None = None,
    ax: GivenAxes = None,
) -> Figure:
    """Certified accuracy over the radius at several thresholds, beside Cohen's for the class alone.

    Without measures, as for a log that holds none, Cohen's only.

    Args:
        run: A run or a table of its bounds, or up to four of them to be drawn over one another by the first bound.
        thresholds: Confidences that must be kept, a colour for each.
        radii: Radii in input units where the curves are computed.
        measures: Measures, a panel for each; None for all the runs hold.
        bounds: Bounds, a kind of line for each.
        names: Names of the runs; by default those of their folders.
        ax: Axes to draw on, one for each panel; None for a new figure.
    """
    tables = _tables(run, names)
    cuts = dict.fromkeys(_measures(tables, measures), thresholds)
    return render(gallery.accuracy_over_radius(tables, thresholds=cuts, bounds=bounds, radii=np.asarray(radii)), ax)


def correlation_figure(
    run: OneOrMore,
    *,
    measures: Sequence[str] | None = None,
    bound: str | None = None,
    class_radii: Source | None = None,
    names: Sequence[str] | None = None,
    ax: GivenAxes = None,
) -> Figure:
    """Measure over class radius with both correlations above; arguments as for ``radius_correlation``.

    Args:
        run: A run or a table of its bounds, or several, a panel for each and measure.
        measures: Measures, a panel for each; None for all the runs hold.
        bound: Take this bound at radius 0; None for the smoothed measure itself where it is held.
        class_radii: Where the class radii come from, if not from the run.
        names: Names of the runs; by default those of their folders.
        ax: Axes to draw on, one for each panel; None for a new figure.
    """
    radii = None if class_radii is None else bounds_table(class_radii)
    tables = _tables(run, names)
    shown = _measures(tables, measures)
    return render(gallery.correlation(tables, measures=shown, bound=bound, class_radii=radii), ax)


def calibration_figure(
    run: OneOrMore, *, bins: int = 10, names: Sequence[str] | None = None, ax: GivenAxes = None
) -> Figure:
    """Reliability diagrams of the smoothed score, equal-width and equal-mass bins side by side.

    A score is not a probability: the figure shows how far from one it is.

    Args:
        run: A run or a table of its bounds, or several, two panels for each.
        bins: Number of bins.
        names: Names of the runs; by default those of their folders.
        ax: Axes to draw on, one for each panel; None for a new figure.
    """
    return render(gallery.reliability(_tables(run, names), bins=bins), ax)


def distribution_figure(
    run: OneOrMore,
    *,
    radii: FloatArray,
    measures: Sequence[str] | None = None,
    bound: str = "dual",
    names: Sequence[str] | None = None,
    ax: GivenAxes = None,
) -> Figure:
    """Spread over inputs of the certified lower bound, over the radius.

    Args:
        run: A run or a table of its bounds, or several to be drawn over one another, a colour for each.
        radii: Radii in input units where the bounds are computed.
        measures: Measures, a panel for each; None for all the runs hold.
        bound: The bound.
        names: Names of the runs; by default those of their folders.
        ax: Axes to draw on, one for each panel; None for a new figure.
    """
    tables = _tables(run, names)
    shown = _measures(tables, measures)
    return render(gallery.distribution(tables, measures=shown, bound=bound, radii=np.asarray(radii)), ax)


def certificate_figure(
    certificate: Certificate,
    *,
    measures: Sequence[str] | None = None,
    bounds: Sequence[str] = ("dual",),
    radii: FloatArray | None = None,
    ax: GivenAxes = None,
) -> Figure:
    """What is certified about one input over the radius: between the lower and the upper bound.

    Args:
        certificate: As ``SmoothedClassifier.certify`` gives it.
        measures: Measures, a panel for each; None for all it holds.
        bounds: Bounds, a colour for each.
        radii: Radii in input units; None for 0 to 4 sigma.
        ax: Axes to draw on, one for each panel; None for a new figure.
    """
    shown = [*certificate.measures, *(["lead"] if certificate.lead is not None else [])]
    grid = np.linspace(0.0, 4.0 * certificate.sigma, 81) if radii is None else np.asarray(radii)
    return render(gallery.one_input(certificate, measures=measures or shown, bounds=bounds, radii=grid), ax)


def placement_figure(
    run: Streamed,
    *,
    radii: Sequence[float] | FloatArray,
    measures: Sequence[str] | None = None,
    thresholds: Sequence[int] = COUNTS,
    alpha: float | None = None,
    ax: GivenAxes = None,
) -> Figure:
    """Mean CDF bound over the number of thresholds; the thin line is the bound with all of them.

    References:
        Kumar et al. (2020), Section 4.1, https://arxiv.org/abs/2009.08061.
    """
    shown = ("score", "margin") if measures is None else measures
    return render(gallery.placement(run, measures=shown, radii=radii, thresholds=thresholds, alpha=alpha), ax)


def sweep_figure(found: Sweep, *, ax: GivenAxes = None) -> Figure:
    """Certified accuracy over the radius with its 95% band for each sigma, the best sigma below (two panels)."""
    return render(gallery.best_sigma(found), ax)


def comparison_figure(found: Compared, *, ax: GivenAxes = None) -> Figure:
    """A comparison with its 95% intervals; see :func:`smoothcert.report.gallery.comparison` for its panels."""
    return render(gallery.comparison(found), ax)


def figure_format(path: AnyPath | str) -> str:
    """The ending of a figure's file, which says how it is written.

    Raises:
        InvalidArgumentError: If it is none of those known.
    """
    ending = to_path(path).suffix.lower()
    if ending not in FORMATS:
        raise InvalidArgumentError(f"the path of a figure must end in {', '.join(FORMATS)}; got {str(path)!r}")
    return ending


def save_figure(figure: Figure, path: AnyPath | str) -> AnyPath:
    """Write a figure as PNG, SVG or PDF, by the ending of the name; whole or not at all.

    Raises:
        InvalidArgumentError: If the ending is none of these.
        RunError: If the file cannot be written.
    """
    target, ending = to_path(path), figure_format(path)
    # No date in the file: the same figure twice is the same file.
    undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(ending)
    buffer = io.BytesIO()
    with mpl.rc_context(RC):
        figure.savefig(buffer, format=ending[1:], metadata=undated)
    write_file(target, buffer.getvalue())
    return target


def render(plot: Plot, ax: GivenAxes = None) -> Figure:
    """Draw a plot with Matplotlib.

    Args:
        plot: The plot.
        ax: Axes to draw on, one for each panel in their order; None for a new figure.

    Returns:
        The figure, or that of the axes.

    Raises:
        InvalidArgumentError: If there are more or fewer axes than panels, or no panel at all.
    """
    if not plot.panels:
        raise InvalidArgumentError("measures must name at least one measure; got none")
    with mpl.rc_context(RC):
        if ax is not None:
            return _on_given_axes(plot, [ax] if isinstance(ax, Axes) else list(np.ravel(np.asarray(ax))))
        rows = len(plot.heights)
        columns = len(plot.panels) // rows
        height = 3.2 if rows == 1 else 4.8
        figure = NotebookFigure(figsize=(plot.width * columns + 0.2, height), layout="constrained")
        grid = figure.subplots(
            rows,
            columns,
            squeeze=False,
            sharex="col" if rows > 1 else False,
            sharey="row" if rows > 1 else False,
            gridspec_kw={"height_ratios": plot.heights},
        )
        for position, (axes, panel) in enumerate(zip(grid.flat, plot.panels, strict=True)):
            _draw(axes, panel)
            if position < (rows - 1) * columns:
                axes.set_xlabel("")
            if rows > 1 and position % columns:
                axes.set_ylabel("")
        shared = [*plot.keys, *plot.lines]
        own = [panel.keys for panel in plot.panels]
        if any(own) and all(keys == own[0] for keys in own):
            shared = [*own[0], *shared]
        else:  # the colours of one panel mean nothing in the other
            for axes, keys in zip(grid.flat, own, strict=True):
                if keys:
                    axes.legend(handles=[_handle(key) for key in keys], loc="upper right")
        if shared:
            figure.legend(
                handles=[_handle(key) for key in shared],
                loc="outside lower center",
                ncols=min(2 * columns, 4, len(shared)),
            )
    return figure


def _on_given_axes(plot: Plot, given: Sequence[Axes]) -> Figure:
    """Every panel on axes of the caller's, the whole key in the first of them."""
    if len(given) != len(plot.panels):
        raise InvalidArgumentError(
            f"ax must be as many axes as the figure has panels, {len(plot.panels)}; got {len(given)}"
        )
    for position, (axes, panel) in enumerate(zip(given, plot.panels, strict=True)):
        _draw(axes, panel)
        keys = [*panel.keys, *(() if position else (*plot.keys, *plot.lines))]
        if keys:
            axes.legend(handles=[_handle(key) for key in keys], loc="best")
    figure = given[0].get_figure(root=True)
    if figure is None:
        raise InvalidArgumentError("ax must belong to a figure; these axes were removed from theirs")
    return figure


def _draw(axes: Axes, panel: Panel) -> None:
    panel.draw(axes)
    if panel.title:
        axes.set_title(_plain(panel.title), pad=17.0 if panel.note else None)
    if panel.note:
        axes.annotate(
            _plain(panel.note), (0.5, 1.02), xycoords="axes fraction", ha="center", fontsize=7.5, color=SOFT_INK
        )


def _plain(text: str) -> str:
    """Text that Matplotlib does not take for a formula, whatever a run is called."""
    return text.replace("$", r"\$")


def _handle(key: Key) -> Artist:
    """What a key shows in a legend of Matplotlib."""
    if key.sign == "band":
        return Patch(color=key.color, label=_plain(key.label), linewidth=0.0, **key.style)
    if key.sign in ("dot", "cross"):
        marker = "o" if key.sign == "dot" else "x"
        return Line2D([], [], color=key.color, marker=marker, linestyle="none", markersize=5, label=_plain(key.label))
    style = {"linewidth": 2.0, **key.style}
    return Line2D([], [], color=key.color, label=_plain(key.label), **style)


def _tables(run: OneOrMore, names: Sequence[str] | None) -> dict[str, BoundsTable]:
    """The tables of the runs by name, each with inputs."""
    sources: list[Source] = list(run) if isinstance(run, Sequence) else [run]
    given = list(names) if names is not None else [_name(source, i) for i, source in enumerate(sources)]
    if len(given) != len(sources) or len(set(given)) != len(given) or not sources:
        raise InvalidArgumentError(f"names must be one for each run, each once; got {len(sources)} runs and {given}")
    tables = {name: bounds_table(source) for name, source in zip(given, sources, strict=True)}
    for table in tables.values():
        table.require_inputs()
    return tables


def _measures(tables: dict[str, BoundsTable], measures: Sequence[str] | None) -> list[str]:
    """The measures asked for, or those that all tables hold."""
    if measures is not None:
        return list(measures)
    first, *others = (table.answers.measures for table in tables.values())
    return [measure for measure in first if all(measure in held for held in others)]


def _name(source: Source, position: int) -> str:
    path = getattr(source, "path", None)
    return f"run {position + 1}" if path is None else to_path(path).name
