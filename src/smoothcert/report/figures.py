"""Figures for papers: each function takes a run and returns a Matplotlib figure; ``save_figure`` writes it.

No ``pyplot``: nothing is shown, no global state is touched, and no display is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from smoothcert.analysis import Source, bounds_table, calibration, radius_correlation
from smoothcert.analysis.certified_accuracy import DEFAULT_BOUNDS, DEFAULT_MEASURES
from smoothcert.errors import InvalidArgumentError
from smoothcert.report.curves import Curve, class_curve, over_radii, over_thresholds
from smoothcert.report.panels import (
    curve_legends,
    draw_correlation,
    draw_curves,
    draw_reliability,
    draw_spread,
)
from smoothcert.report.style import RC, SOFT_INK
from smoothcert.report.wording import pairs_words
from smoothcert.typing import FloatArray

FORMATS = (".png", ".svg", ".pdf")
THRESHOLD_GRID = np.linspace(0.0, 1.0, 201)
_P = ParamSpec("_P")


def _styled(draw: Callable[_P, Figure]) -> Callable[_P, Figure]:
    """Draw in the house style without changing Matplotlib's settings for anybody else."""

    def styled(*args: _P.args, **kwargs: _P.kwargs) -> Figure:
        with mpl.rc_context(RC):
            return draw(*args, **kwargs)

    styled.__doc__, styled.__name__ = draw.__doc__, draw.__name__
    return styled


@_styled
def accuracy_over_threshold_figure(
    run: Source,
    *,
    radii: Sequence[float],
    measures: Sequence[str] = DEFAULT_MEASURES,
    bounds: Sequence[str] = DEFAULT_BOUNDS,
    thresholds: FloatArray = THRESHOLD_GRID,
) -> Figure:
    """Certified accuracy over the threshold at several radii, the measures side by side.

    References:
        Kumar et al. (2020), Figure 2, https://arxiv.org/abs/2009.08061.
    """
    table = bounds_table(run)
    panels = [
        (measure, over_thresholds(table, measure=measure, bounds=bounds, radii=radii, thresholds=thresholds))
        for measure in measures
    ]
    return _side_by_side(panels, xlabel="{measure} kept above")


@_styled
def accuracy_over_radius_figure(
    run: Source,
    *,
    thresholds: Sequence[float],
    radii: FloatArray,
    measures: Sequence[str] = DEFAULT_MEASURES,
    bounds: Sequence[str] = DEFAULT_BOUNDS,
) -> Figure:
    """Certified accuracy over the radius at several thresholds, beside Cohen's for the class alone.

    Without measures, as for a log that holds none, Cohen's only.
    """
    table = bounds_table(run)
    if not measures:
        return _side_by_side([("class", [class_curve(table, radii=np.asarray(radii))])], xlabel="radius")
    panels = [
        (measure, over_radii(table, measure=measure, bounds=bounds, thresholds=thresholds, radii=radii))
        for measure in measures
    ]
    return _side_by_side(panels, xlabel="radius")


@_styled
def correlation_figure(
    run: Source,
    *,
    measures: Sequence[str] = DEFAULT_MEASURES,
    bound: str | None = None,
    class_radii: Source | None = None,
) -> Figure:
    """Measure over class radius with both correlations in the title; arguments as for ``radius_correlation``."""
    table = bounds_table(run)
    figure, axes = _axes(len(measures))
    for ax, measure in zip(axes, measures, strict=True):
        found = radius_correlation(table, measure=measure, bound=bound, class_radii=class_radii)
        draw_correlation(ax, found)
        if found.pearson and found.spearman:
            ax.set_title(f"Pearson {found.pearson.value:.2f}, Spearman {found.spearman.value:.2f}", pad=17.0)
        ax.annotate(pairs_words(found), (0.5, 1.02), xycoords="axes fraction", ha="center", fontsize=8, color=SOFT_INK)
        if found.values.size:
            ax.legend(loc="best")
    return figure


@_styled
def calibration_figure(run: Source, *, bins: int = 10) -> Figure:
    """Reliability diagrams of the smoothed score, equal-width and equal-mass bins side by side.

    A score is not a probability: the figure shows how far from one it is.
    """
    table = bounds_table(run)
    figure, axes = _axes(2)
    for ax, binning in zip(axes, ("equal_width", "equal_mass"), strict=True):
        found = calibration(table, binning=binning, bins=bins)
        draw_reliability(ax, found)
        ax.set_title(f"{binning.replace('_', '-')} bins: calibration error {found.error.value:.3f}")
    return figure


@_styled
def distribution_figure(
    run: Source, *, radii: FloatArray, measures: Sequence[str] = DEFAULT_MEASURES, bound: str = "dual"
) -> Figure:
    """Spread over inputs of the certified lower bound, over the radius."""
    table = bounds_table(run)
    table.require_inputs()
    figure, axes = _axes(len(measures))
    for ax, measure in zip(axes, measures, strict=True):
        lower = table.lower(measure=measure, bound=bound, radii=radii)
        draw_spread(ax, lower, np.asarray(radii), measure=measure, bound=bound)
    axes[0].legend()
    return figure


def save_figure(figure: Figure, path: Path | str) -> Path:
    """Write a figure as PNG, SVG or PDF, by the ending of the name.

    Raises:
        InvalidArgumentError: If the ending is none of these.
    """
    target = Path(path)
    if target.suffix.lower() not in FORMATS:
        raise InvalidArgumentError(f"path must end in {', '.join(FORMATS)}; got {str(path)!r}")
    target.parent.mkdir(parents=True, exist_ok=True)
    # No date in the file: the same figure twice is the same file.
    undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(target.suffix.lower())
    with mpl.rc_context(RC):
        figure.savefig(target, metadata=undated)
    return target


def _axes(panels: int) -> tuple[Figure, list[mpl.axes.Axes]]:
    if panels < 1:
        raise InvalidArgumentError("measures must name at least one measure; got none")
    figure = Figure(figsize=(3.6 * panels + 0.2, 3.2), layout="constrained")
    return figure, list(figure.subplots(1, panels, squeeze=False)[0])


def _side_by_side(panels: Sequence[tuple[str, Sequence[Curve]]], *, xlabel: str) -> Figure:
    figure, axes = _axes(len(panels))
    for ax, (measure, curves) in zip(axes, panels, strict=True):
        draw_curves(ax, curves, xlabel=xlabel.format(measure=measure))
        ax.set_title(measure)
    keys = [curve_legends(curves) for _, curves in panels]
    shared = keys[0][1]
    if len({tuple(line.get_label() for line in by_color) for by_color, _ in keys}) == 1:
        shared = [*keys[0][0], *shared]
    else:  # the colours of one panel mean nothing in the other
        for ax, (by_color, _) in zip(axes, keys, strict=True):
            ax.legend(handles=by_color, loc="upper right")
    figure.legend(handles=shared, loc="outside lower center", ncols=min(2 * len(panels), 4, len(shared)))
    return figure
