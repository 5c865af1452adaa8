"""The page's figures: each panel as SVG, and the numbers behind its curves for the reader's pointer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from smoothcert.analysis import BoundsTable, calibration, radius_correlation
from smoothcert.report.curves import CLASS, UNCHANGED, Curve, class_curve, over_radii, over_thresholds
from smoothcert.report.panels import draw_correlation, draw_curves, draw_reliability, draw_spread
from smoothcert.report.style import BOUND_LABELS, CLASS_COLOR, RIGHT, WRONG, colors
from smoothcert.report.svg import Drawing, inline_svg, themed
from smoothcert.report.wording import estimate_words
from smoothcert.typing import FloatArray

THRESHOLD_GRID = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True)
class Key:
    """One entry of a figure's key: a colour or a kind of line, and what it stands for."""

    name: str
    label: str
    color: str = ""
    sign: str = "line"


@dataclass(frozen=True)
class Panel:
    """One drawing and, where it has curves, their numbers for the pointer."""

    title: str
    drawing: Drawing
    data: dict[str, Any] | None = None


@dataclass(frozen=True)
class Chart:
    """A figure of the page: panels side by side under one key."""

    name: str
    title: str
    caption: str
    panels: tuple[Panel, ...]
    groups: tuple[Key, ...] = ()
    bounds: tuple[Key, ...] = field(default=())


def threshold_chart(
    table: BoundsTable, *, name: str, measures: Sequence[str], bounds: Sequence[str], radii: Sequence[float]
) -> Chart:
    """Certified accuracy over the threshold: the paper's figure."""
    panels = []
    for measure in measures:
        curves = over_thresholds(table, measure=measure, bounds=bounds, radii=radii, thresholds=THRESHOLD_GRID)
        panels.append(_curves_panel(curves, measure, f"{name}-{measure}", f"{measure} kept above", start=0.5))
    return Chart(
        name,
        "Certified accuracy over the confidence that must be kept",
        "Fraction of inputs that are right and whose certified lower bound is above the value on the horizontal axis. "
        "Colour: radius of the change. Line: bound. Each bound is a claim of its own.",
        tuple(panels),
        tuple(Key(f"radius {r:g}", f"radius {r:g}", themed(c)) for r, c in zip(radii, colors(radii), strict=True)),
        _bound_keys(bounds),
    )


def radius_chart(
    table: BoundsTable,
    *,
    name: str,
    thresholds: Mapping[str, Sequence[float]],
    bounds: Sequence[str],
    radii: FloatArray,
) -> Chart:
    """Certified accuracy over the radius, beside Cohen's for the class alone; ``thresholds`` for each measure."""
    panels: list[Panel] = []
    keys: dict[str, str] = {}
    if not thresholds:
        panels.append(_curves_panel([class_curve(table, radii=radii)], CLASS, name, "radius", start=table.sigma))
    for measure, cuts in thresholds.items():
        curves = over_radii(table, measure=measure, bounds=bounds, thresholds=cuts, radii=radii)
        panels.append(_curves_panel(curves, measure, f"{name}-{measure}", "radius", start=table.sigma))
        keys.update({curve.group: curve.color for curve in curves if curve.bound != CLASS})
    if table.answers.class_radius:
        keys[UNCHANGED] = CLASS_COLOR
    return Chart(
        name,
        "Certified accuracy over the size of the change",
        "Fraction of inputs that are right and keep the confidence named by the colour within the radius on the "
        "horizontal axis. Dotted grey: right and the class cannot change (Cohen et al. 2019).",
        tuple(panels),
        tuple(Key(group, group, themed(color)) for group, color in keys.items()),
        _bound_keys(bounds) if thresholds else (),
    )


def distribution_chart(
    table: BoundsTable, *, name: str, measures: Sequence[str], bound: str, radii: FloatArray
) -> Chart:
    """How the certified lower bounds of the inputs spread, over the radius."""
    panels = []
    for measure in measures:
        lower = table.lower(measure=measure, bound=bound, radii=radii)

        def draw(ax: Axes, lower: FloatArray = lower, measure: str = measure) -> None:
            draw_spread(ax, lower, radii, measure=measure, bound=bound)

        title = f"Spread of the certified {measure} over inputs; the horizontal axis is the radius"
        panels.append(Panel(measure, inline_svg(draw, name=f"{name}-{measure}", title=title)))
    return Chart(
        name,
        "How confident inputs stay",
        "Certified lower bounds of all inputs, right or wrong: the line is the median, the dark band holds the middle "
        "half of the inputs, the light band the middle 90%.",
        tuple(panels),
    )


def correlation_chart(table: BoundsTable, *, name: str, measures: Sequence[str]) -> Chart:
    """Smoothed measure against class radius."""
    panels, notes = [], []
    for measure in measures:
        found = radius_correlation(table, measure=measure)
        drawing = inline_svg(
            lambda ax, found=found: draw_correlation(ax, found),  # type: ignore[misc]
            name=f"{name}-{measure}",
            title=f"Smoothed {measure} over class radius",
        )
        panels.append(Panel(measure, drawing))
        notes.append(
            f"{measure.capitalize()}: Pearson {estimate_words(found.pearson)}, "
            f"Spearman {estimate_words(found.spearman)}."
        )
    at_largest = f" {found.at_largest} of {found.values.size} inputs share the largest radius." if measures else ""
    return Chart(
        name,
        "Confidence against class radius",
        "One mark an input that is not abstained on. If the class radius told how confident the classifier stays, "
        f"the marks would lie on a line. {' '.join(notes)}{at_largest} The number of samples limits that radius.",
        tuple(panels),
        (
            Key("right", "right", themed(RIGHT), "dot"),
            Key("wrong", "wrong or no label", themed(WRONG), "cross"),
        ),
    )


def calibration_chart(table: BoundsTable, *, name: str) -> Chart:
    """Reliability diagrams of the smoothed score."""
    panels, notes = [], []
    for binning, label in (("equal_width", "bins of equal width"), ("equal_mass", "bins of equal size")):
        found = calibration(table, binning=binning)
        drawing = inline_svg(
            lambda ax, found=found: draw_reliability(ax, found),  # type: ignore[misc]
            name=f"{name}-{binning}",
            title=f"Fraction right over mean smoothed score, {label}",
        )
        panels.append(Panel(label, drawing))
        notes.append(
            f"{label.capitalize()}: expected calibration error {estimate_words(found.error)}; exact probabilities "
            f"would show {found.calibrated_error:.3f} by chance."
        )
    return Chart(
        name,
        "Is the score a probability?",
        "No: a smoothed score is what the network says on average, not the probability of being right. Marks on the "
        f"dashed line would mean it behaves like one on this data. Bars: 95% intervals. {' '.join(notes)}",
        tuple(panels),
    )


def _curves_panel(curves: Sequence[Curve], measure: str, name: str, xlabel: str, *, start: float) -> Panel:
    drawing = inline_svg(
        lambda ax: draw_curves(ax, curves, xlabel=xlabel),
        name=name,
        title=f"Certified accuracy, {measure}; the horizontal axis is the {xlabel}",
    )
    x = curves[0].x if curves else np.empty(0)
    data = {
        "box": [round(value, 2) for value in drawing.box],
        "xlim": drawing.xlim,
        "x": [round(float(value), 6) for value in x],
        "xlabel": xlabel,
        "start": int(np.argmin(np.abs(x - start))) if x.size else 0,
        "curves": [
            {
                "group": curve.group,
                "bound": curve.bound,
                "y": _permille(curve.y, np.floor),
                "low": _permille(curve.low, np.floor),
                "high": _permille(curve.high, np.ceil),
            }
            for curve in curves
        ],
    }
    return Panel(measure, drawing, data)


def _permille(values: FloatArray, rounded: np.ufunc) -> list[int]:
    # The nudge undoes the float error of fractions such as 29 / 100; it is far below one input in a data set.
    nudge = 1e-9 if rounded is np.floor else -1e-9
    return [int(value) for value in rounded(1000.0 * values + nudge)]


def _bound_keys(bounds: Sequence[str]) -> tuple[Key, ...]:
    return tuple(Key(bound, BOUND_LABELS[bound], "", bound) for bound in bounds)
