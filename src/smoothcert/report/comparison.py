"""The figure of a comparison: certified accuracies above, their differences from the first run below."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from smoothcert.analysis import Compared, Comparison, Contender, FractionDifference, Proportion
from smoothcert.errors import InvalidArgumentError
from smoothcert.report.style import RC, SOFT_INK, colors

MOST_PANELS = 4
_SHARE_OF_STEP = 0.3  # of the distance between two places, over which the contenders are spread


def comparison_figure(found: Compared) -> Figure:
    """Draw a comparison with its 95% intervals.

    Over the radius with a panel a threshold, or over the threshold where there is one radius.

    Raises:
        InvalidArgumentError: If there are more thresholds than panels fit, with several radii.
    """
    radii = list(dict.fromkeys(row.radius for row in found.rows))
    thresholds = list(dict.fromkeys(row.threshold for row in found.rows))
    over_threshold = len(radii) == 1 and len(thresholds) > 1
    panels = [None] if over_threshold else thresholds
    if len(panels) > MOST_PANELS:
        raise InvalidArgumentError(
            f"thresholds must be at most {MOST_PANELS} for a figure over several radii; got {len(panels)}"
        )
    shades = dict(zip(found.contenders, colors(found.contenders), strict=True))
    with mpl.rc_context(RC):
        figure = Figure(figsize=(1.2 + 3.2 * len(panels), 4.8), layout="constrained")
        axes = figure.subplots(
            2, len(panels), squeeze=False, sharex="col", sharey="row", gridspec_kw={"height_ratios": [3, 2]}
        )
        for column, cut in enumerate(panels):
            rows = [row for row in found.rows if over_threshold or row.threshold == cut]
            _draw(axes[0, column], rows, shades, over_threshold=over_threshold, differences=False)
            _draw(axes[1, column], rows, shades, over_threshold=over_threshold, differences=True)
            axes[0, column].set_title(_kept(found.measure, cut, radius=radii[0] if over_threshold else None))
            axes[1, column].set_xlabel(f"{found.measure} kept above" if over_threshold else "radius")
        axes[0, 0].set_ylabel("certified accuracy")
        axes[0, 0].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes[0, 0].set_ylim(0.0, 1.02)
        axes[1, 0].set_ylabel("points above the first")
        axes[1, 0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:+.0f}" if value else "0"))
        handles = [
            mpl.lines.Line2D([], [], color=shade, marker="o", markersize=4, label=_label(line, found.contenders))
            for line, shade in shades.items()
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(panels), 2))
    return figure


def _draw(
    ax: Axes,
    rows: Sequence[Comparison],
    shades: dict[Contender, str],
    *,
    over_threshold: bool,
    differences: bool,
) -> None:
    places = sorted({_place(row, over_threshold) for row in rows})
    step = min(np.diff(places), default=1.0)
    offsets = np.linspace(-0.5, 0.5, len(shades)) * _SHARE_OF_STEP * step if len(shades) > 1 else np.zeros(1)
    if differences:
        ax.axhline(0.0, color=SOFT_INK, linewidth=1.0)
    for (line, shade), offset in zip(shades.items(), offsets, strict=True):
        held = [
            (_place(row, over_threshold), row.difference if differences else row.accuracy)
            for row in rows
            if row.contender == line
        ]
        points = [(place, share) for place, share in held if share is not None]
        if points:
            _draw_intervals(ax, points, offset=float(offset), color=shade)


def _draw_intervals(
    ax: Axes, points: Sequence[tuple[float, Proportion | FractionDifference]], *, offset: float, color: str
) -> None:
    x = np.array([place for place, _ in points]) + offset
    y, low, high = (np.array([getattr(share, name) for _, share in points]) for name in ("value", "ci_low", "ci_high"))
    ax.plot(x, y, color=color, linewidth=0.8, alpha=0.5)
    reach = [np.maximum(y - low, 0.0), np.maximum(high - y, 0.0)]
    ax.errorbar(x, y, yerr=reach, fmt="o", color=color, markersize=3.5, elinewidth=1.1, capsize=0)


def _place(row: Comparison, over_threshold: bool) -> float:
    return row.threshold if over_threshold and row.threshold is not None else row.radius


def _kept(measure: str, threshold: float | None, *, radius: float | None) -> str:
    if radius is not None:
        return f"{measure}, radius {radius:g}"
    return "class unchanged" if threshold is None else f"{measure} > {threshold:g}"


def _label(line: Contender, lines: Sequence[Contender]) -> str:
    return f"{line}, the first" if line == lines[0] and len(lines) > 1 else str(line)
