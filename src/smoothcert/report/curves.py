"""The curves of a figure, as numbers: drawn by :mod:`smoothcert.report.panels`, read out by the page's pointer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from smoothcert.analysis import BoundsTable, certified_accuracy, class_certified_accuracy
from smoothcert.analysis.certified_accuracy import CLASS
from smoothcert.bounds import exact_text
from smoothcert.report.style import CLASS_COLOR, CLASS_LINE, RADIUS_COLORS, THRESHOLD_COLORS, colors
from smoothcert.typing import AnyArray, FloatArray

UNCHANGED = "class unchanged"


class LineKind(Protocol):
    """What a kind of line stands for and looks like."""

    @property
    def name(self) -> str:
        """A bound or a run."""

    @property
    def style(self) -> Mapping[str, object]:
        """Line properties for Matplotlib."""


@dataclass(frozen=True, eq=False)
class Curve:
    """One line of a figure with its 95% band.

    Args:
        group: What the colour stands for: ``"radius 0.25"``, ``"score > 0.5"``.
        line: What the kind of line stands for: a bound, a run, or ``"class"`` for Cohen's class certificate.
        color: Colour as ``#rrggbb``.
        style: Line properties for Matplotlib.
        x: Shape ``(points,)``.
        y: Shape ``(points,)``.
        low: Lower end of the 95% interval, shape ``(points,)``.
        high: Upper end, shape ``(points,)``.
    """

    group: str
    line: str
    color: str
    style: Mapping[str, object]
    x: FloatArray
    y: FloatArray
    low: FloatArray
    high: FloatArray


def over_thresholds(
    table: BoundsTable, *, measure: str, bound: str, radii: Sequence[float], thresholds: FloatArray, line: LineKind
) -> list[Curve]:
    """Certified accuracy over the threshold, one curve for each radius."""
    rows = _rows(table, measure, bound, radii, thresholds)
    shades = zip(radii, colors(radii, RADIUS_COLORS), strict=True)
    return [
        _curve(rows[:, j], f"radius {exact_text(radius)}", line, color, thresholds)
        for j, (radius, color) in enumerate(shades)
    ]


def over_radii(
    table: BoundsTable, *, measure: str, bound: str, thresholds: Sequence[float], radii: FloatArray, line: LineKind
) -> list[Curve]:
    """Certified accuracy over the radius, one curve for each threshold."""
    rows = _rows(table, measure, bound, radii, thresholds)
    shades = zip(thresholds, colors(thresholds, THRESHOLD_COLORS), strict=True)
    return [
        _curve(rows[i], f"{measure} > {exact_text(cut)}", line, color, radii) for i, (cut, color) in enumerate(shades)
    ]


def class_curve(table: BoundsTable, *, radii: FloatArray, line: LineKind | None = None) -> Curve:
    """Cohen's certified accuracy: right, and the class cannot change."""
    kept = class_certified_accuracy(table, radii=radii)
    value, low, high = (np.array([getattr(p, name) for p in kept]) for name in ("value", "ci_low", "ci_high"))
    name, style = (CLASS, CLASS_LINE) if line is None else (line.name, line.style)
    return Curve(UNCHANGED, name, CLASS_COLOR, style, radii, value, low, high)


def _rows(
    table: BoundsTable,
    measure: str,
    bound: str,
    radii: Sequence[float] | FloatArray,
    thresholds: Sequence[float] | FloatArray,
) -> AnyArray:
    """Certified accuracies, shape ``(thresholds, radii)``; all radii at once, so that the bounds are kept."""
    rows = np.empty(len(thresholds) * len(radii), dtype=object)
    rows[:] = certified_accuracy(table, measures=[measure], bounds=[bound], radii=radii, thresholds=thresholds)
    return rows.reshape(len(thresholds), len(radii))


def _curve(rows: AnyArray, group: str, line: LineKind, color: str, x: FloatArray) -> Curve:
    y, low, high = (
        np.array([getattr(row, name) for row in rows]) for name in ("certified_accuracy", "ci_low", "ci_high")
    )
    return Curve(group, line.name, color, line.style, x, y, low, high)
