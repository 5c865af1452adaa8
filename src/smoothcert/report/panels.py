"""One axes each: what every figure, on paper and on the page, is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, PercentFormatter

from smoothcert.analysis import (
    Calibration,
    Comparison,
    Contender,
    FractionDifference,
    Placement,
    Proportion,
    RadiusCorrelation,
    Sweep,
)
from smoothcert.analysis.placement import PLACEMENTS
from smoothcert.report.curves import Curve
from smoothcert.report.style import ANSWER_COLORS, CLASS_LINE, INK, PAPER, PLACEMENT_LINES, RIGHT, SOFT_INK, WRONG
from smoothcert.typing import FloatArray, IntArray

_FEW_POINTS = 10
_SAMPLE_BINS = 24
_SHARE_OF_STEP = 0.3  # of the distance between two places, over which the contenders are spread


def draw_curves(ax: Axes, *, curves: Sequence[Curve], xlabel: str, ylabel: str) -> None:
    """Draw curves over a common x; the n-th is the group ``curve-n`` of an SVG."""
    for position, curve in enumerate(curves):
        marked = "o" if curve.x.size <= _FEW_POINTS else None  # between the few radii of a log nothing is known
        (drawn,) = ax.plot(curve.x, curve.y, color=curve.color, marker=marked, markersize=3, **curve.style)  # type: ignore[arg-type]
        drawn.set_gid(f"curve-{position}")
    if curves:
        first, last = float(curves[0].x[0]), float(curves[0].x[-1]) or 1.0
        if first != last:
            ax.set_xlim(first, last)
    _fraction_axis(ax, xlabel, ylabel)


def draw_correlation(
    ax: Axes, *, found: RadiusCorrelation, ends: tuple[float, float], marks: int | None = None
) -> None:
    """Scatter of the measure over the class radius; wrong predictions marked with another sign."""
    drawn = np.arange(found.values.size) % max(1, -(-found.values.size // (marks or found.values.size or 1))) == 0
    for right, color, sign, label in ((True, RIGHT, "o", "right"), (False, WRONG, "x", "wrong or no label")):
        kept = drawn & (found.right == right)
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
    low, high = min(ends[0], 0.0), ends[1]
    ax.set_ylim(max(low, min(0.0, float(found.values.min(initial=0.0)) - 0.02)), high + 0.02 * (high - low))
    ax.set_xlabel("class radius")
    ax.set_ylabel(found.named + ("" if found.bound is None else f" ({found.bound})"))


def draw_reliability(ax: Axes, *, found: Calibration) -> None:
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


def draw_spread(
    ax: Axes,
    *,
    lower: Mapping[str, FloatArray],
    shades: Mapping[str, str],
    radii: FloatArray,
    ends: tuple[float, float],
    ylabel: str,
) -> None:
    """How the certified lower bounds of the inputs spread, and how the spread falls with the radius.

    Args:
        ax: Where to draw.
        lower: Lower bounds of each run, shape ``(inputs, radii)``; with several runs the widest band is left out.
        shades: Colour of each run.
        radii: The radii, shape ``(radii,)``.
        ends: Range of the measure.
        ylabel: Name of the vertical axis.
    """
    for name, values in lower.items():
        bottom, low, middle, high, top = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
        if len(lower) == 1:
            ax.fill_between(radii, bottom, top, color=shades[name], alpha=0.16, linewidth=0.0)
        ax.fill_between(radii, low, high, color=shades[name], alpha=0.32 if len(lower) == 1 else 0.16, linewidth=0.0)
        ax.plot(radii, middle, color=shades[name], linewidth=2.2)
    ax.set_xlim(float(radii[0]), max(float(radii[-1]), float(radii[0]) + 1e-9))
    ax.set_ylim(ends[0], ends[1] + 0.02 * (ends[1] - ends[0]))
    ax.set_xlabel("radius")
    ax.set_ylabel(ylabel)


def draw_band(
    ax: Axes,
    *,
    bands: Mapping[str, tuple[FloatArray, FloatArray]],
    shades: Mapping[str, str],
    radii: FloatArray,
    class_radius: float,
    ylabel: str,
) -> None:
    """Lower and upper bounds of one input by each bound over the radius, and where its class can no longer be sure.

    Args:
        ax: Where to draw.
        bands: Lower and upper bounds, each of shape ``(radii,)``.
        shades: Colour of each bound.
        radii: The radii, shape ``(radii,)``.
        class_radius: Within it the class cannot change.
        ylabel: Name of the vertical axis.
    """
    for name, (lower, upper) in bands.items():
        ax.fill_between(radii, lower, upper, color=shades[name], alpha=0.14, linewidth=0.0)
        ax.plot(radii, lower, color=shades[name], linewidth=1.8)
        ax.plot(radii, upper, color=shades[name], linewidth=0.8)
    ax.axvline(class_radius, color=INK, **CLASS_LINE)  # type: ignore[arg-type]
    ax.set_xlim(float(radii[0]), max(float(radii[-1]), float(radii[0]) + 1e-9))
    ax.set_xlabel("radius")
    ax.set_ylabel(ylabel)


def draw_samples(ax: Axes, *, samples: Mapping[str, IntArray]) -> None:
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


def draw_placement(ax: Axes, *, rows: Sequence[Placement], shades: Mapping[float, str], ylabel: str) -> None:
    """Mean CDF bound over the number of thresholds; a horizontal line where all are taken."""
    for radius, shade in shades.items():
        own = [row for row in rows if row.radius == radius]
        ax.axhline(own[0].mean_lower, color=shade, **PLACEMENT_LINES["all"])
        for placed in PLACEMENTS:
            kept = [row for row in own if row.placement == placed]
            x, y = [row.thresholds or 0 for row in kept], [row.mean_lower for row in kept]
            ax.plot(x, y, color=shade, marker="o", markersize=3, **PLACEMENT_LINES[placed])
    ax.set_xscale("log")
    ax.set_xlabel("thresholds")
    ax.set_ylabel(ylabel)


def draw_sigmas(ax: Axes, *, found: Sweep, shades: Mapping[float, str], ylabel: str) -> None:
    """Certified accuracy over the radius with its 95% band, one curve for each sigma."""
    radii = np.array([point.radius for point in found.points])
    for position, shade in enumerate(shades.values()):
        shares = [point.accuracies[position] for point in found.points]
        low, value, high = (np.array([getattr(s, end) for s in shares]) for end in ("ci_low", "value", "ci_high"))
        ax.fill_between(radii, low, high, color=shade, alpha=0.15, linewidth=0.0)
        ax.plot(radii, value, color=shade, linewidth=1.8)
    ax.set_xlim(radii[0], radii[-1] if radii[-1] > radii[0] else radii[0] + 1.0)
    _fraction_axis(ax, "radius", ylabel)


def draw_best_sigma(ax: Axes, *, found: Sweep, shades: Mapping[float, str]) -> None:
    """The best sigma over the radius, filled; open those that the inputs do not tell from it."""
    held = [point for point in found.points if point.best is not None]
    ax.plot([p.radius for p in held], [p.best or 0.0 for p in held], color=INK, linewidth=0.6, alpha=0.5)
    for sigma, shade in shades.items():
        for own, face in (
            ([point.radius for point in held if point.best == sigma], shade),
            ([point.radius for point in held if sigma in point.tied], PAPER),
        ):
            ax.plot(own, [sigma] * len(own), "o", color=shade, markerfacecolor=face, markersize=3.5, clip_on=False)
    ax.set_yscale("log")
    ax.set_yticks(found.sigmas, [f"{sigma:g}" for sigma in found.sigmas])
    ax.minorticks_off()
    ax.set_ylim(found.sigmas[0] / 1.4, found.sigmas[-1] * 1.4)
    ax.set_ylabel("best sigma")
    ax.set_xlabel("radius")


def draw_accuracies(
    ax: Axes,
    *,
    rows: Sequence[Comparison],
    shades: Mapping[Contender, str],
    over_threshold: bool,
    xlabel: str,
    ylabel: str,
) -> None:
    """Certified accuracies with their intervals, the contenders beside one another."""
    _draw_contenders(ax, rows, shades, over_threshold=over_threshold, differences=False)
    _fraction_axis(ax, xlabel, ylabel)


def draw_differences(
    ax: Axes,
    *,
    rows: Sequence[Comparison],
    shades: Mapping[Contender, str],
    over_threshold: bool,
    xlabel: str,
    ylabel: str,
) -> None:
    """Differences from the first contender with their intervals, in percentage points."""
    ax.axhline(0.0, color=SOFT_INK, linewidth=1.0)
    _draw_contenders(ax, rows, shades, over_threshold=over_threshold, differences=True)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:+.0f}" if value else "0"))
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)


def _draw_contenders(
    ax: Axes,
    rows: Sequence[Comparison],
    shades: Mapping[Contender, str],
    *,
    over_threshold: bool,
    differences: bool,
) -> None:
    places = sorted({_place(row, over_threshold) for row in rows})
    step = min(np.diff(places), default=1.0)
    if len(places) <= _FEW_POINTS:  # the points beside a place are at it
        ax.set_xticks(places, [f"{place:g}" for place in places])
    offsets = np.linspace(-0.5, 0.5, len(shades)) * _SHARE_OF_STEP * step if len(shades) > 1 else np.zeros(1)
    for (contender, shade), offset in zip(shades.items(), offsets, strict=True):
        held = [
            (_place(row, over_threshold), row.difference if differences else row.accuracy)
            for row in rows
            if row.contender == contender
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


def _fraction_axis(ax: Axes, xlabel: str, ylabel: str) -> None:
    ax.set_ylim(0.0, 1.02)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
