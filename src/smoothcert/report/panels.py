"""One axes each: what every figure, on paper and on the page, is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from smoothcert.analysis import Calibration, RadiusCorrelation
from smoothcert.report.curves import CLASS, Curve
from smoothcert.report.style import ANSWER_COLORS, BOUND_LABELS, BOUND_LINES, INK, RIGHT, SOFT_INK, SPREAD, WRONG
from smoothcert.scores import MEASURES
from smoothcert.typing import FloatArray, IntArray

_FEW_POINTS = 10
_SAMPLE_BINS = 24
CLASS_LINE: dict[str, object] = {"linestyle": (0, (1, 1)), "linewidth": 1.6}


def draw_curves(ax: Axes, curves: Sequence[Curve], *, xlabel: str, ylabel: str = "certified accuracy") -> None:
    """Draw curves over a common x; the n-th is the group ``curve-n`` of an SVG."""
    for position, curve in enumerate(curves):
        line = BOUND_LINES.get(curve.bound, CLASS_LINE)
        marked = "o" if curve.x.size <= _FEW_POINTS else None  # between the few radii of a log nothing is known
        (drawn,) = ax.plot(curve.x, curve.y, color=curve.color, marker=marked, markersize=3, **line)  # type: ignore[arg-type]
        drawn.set_gid(f"curve-{position}")
    if curves:
        ax.set_xlim(float(curves[0].x[0]), float(curves[0].x[-1]) or 1.0)
    _fraction_axis(ax, xlabel, ylabel)


def curve_legends(curves: Sequence[Curve]) -> tuple[list[Line2D], list[Line2D]]:
    """Legend handles: what the colours mean, and what the lines mean."""
    shades = {curve.group: curve.color for curve in curves}
    by_color = [Line2D([], [], color=color, linewidth=2.0, label=group) for group, color in shades.items()]
    bounds = dict.fromkeys(curve.bound for curve in curves if curve.bound != CLASS)
    by_line = [Line2D([], [], color=INK, label=BOUND_LABELS[b], **BOUND_LINES[b]) for b in bounds]  # type: ignore[arg-type]
    return by_color, by_line


def draw_correlation(ax: Axes, found: RadiusCorrelation) -> None:
    """Scatter of the measure over the class radius; wrong predictions marked with another sign."""
    for right, color, sign, label in ((True, RIGHT, "o", "right"), (False, WRONG, "x", "wrong or no label")):
        kept = found.right == right
        if kept.any():
            ax.scatter(
                found.class_radius[kept],
                found.values[kept],
                s=16,
                marker=sign,
                color=color,
                alpha=0.7,
                linewidths=0.9 if sign == "x" else 0.0,
                label=label,
            )
    if not found.values.size:
        ax.text(0.5, 0.5, "every input was abstained on", transform=ax.transAxes, ha="center", color=SOFT_INK)
    ax.set_xlim(left=0.0)
    ax.set_ylim(min(0.0, float(found.values.min(initial=0.0)) - 0.02), 1.02)
    ax.set_xlabel("class radius")
    ax.set_ylabel(found.named + ("" if found.bound is None else f" ({found.bound})"))


def draw_reliability(ax: Axes, found: Calibration) -> None:
    """Accuracy over smoothed score in bins, with exact intervals, beside the diagonal of a calibrated score."""
    ax.plot([0.0, 1.0], [0.0, 1.0], color=SOFT_INK, linestyle=(0, (2, 2)), linewidth=1.0)
    score = np.array([held.mean_score for held in found.bins])
    right = np.array([held.accuracy.value for held in found.bins])
    low = np.array([held.accuracy.ci_low for held in found.bins])
    high = np.array([held.accuracy.ci_high for held in found.bins])
    ax.errorbar(
        score,
        right,
        yerr=[right - low, high - right],
        fmt="o",
        color=RIGHT,
        markersize=5,
        elinewidth=1.2,
        capsize=2,
    )
    ax.set_xlim(0.0, 1.02)
    _fraction_axis(ax, "mean smoothed score of the bin", "fraction right")


def draw_spread(ax: Axes, lower: FloatArray, radii: FloatArray, *, measure: str, bound: str) -> None:
    """How the certified lower bounds of the inputs spread, and how the spread falls with the radius.

    Args:
        ax: Where to draw.
        lower: Lower bounds, shape ``(inputs, radii)``.
        radii: The radii, shape ``(radii,)``.
        measure: Name for the axis; also sets its range.
        bound: Name for the axis.
    """
    bottom, low, middle, high, top = np.quantile(lower, [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
    ax.fill_between(radii, bottom, top, color=SPREAD, alpha=0.16, linewidth=0.0, label="middle 90% of inputs")
    ax.fill_between(radii, low, high, color=SPREAD, alpha=0.32, linewidth=0.0, label="middle half")
    ax.plot(radii, middle, color=SPREAD, linewidth=2.2, label="median")
    ax.set_xlim(float(radii[0]), max(float(radii[-1]), float(radii[0]) + 1e-9))
    ax.set_ylim(MEASURES[measure].lower, MEASURES[measure].upper * 1.02)
    ax.set_xlabel("radius")
    ax.set_ylabel(f"certified {measure} ({bound})")


def draw_samples(ax: Axes, samples: Mapping[str, IntArray]) -> None:
    """Histogram of the samples inputs took, stacked by answer.

    Args:
        ax: Where to draw.
        samples: For each answer the numbers of samples, each of shape ``(inputs,)``.
    """
    every = np.concatenate(list(samples.values()))
    edges = np.geomspace(every.min() / 1.1, every.max() * 1.1, _SAMPLE_BINS + 1)
    ax.hist(
        list(samples.values()), bins=edges.tolist(), stacked=True, color=[ANSWER_COLORS[answer] for answer in samples]
    )
    ax.set_xscale("log")
    ax.set_xlabel("samples an input took, pilot included")
    ax.set_ylabel("inputs")


def _fraction_axis(ax: Axes, xlabel: str, ylabel: str) -> None:
    ax.set_ylim(0.0, 1.02)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
