"""The curves of a report, as numbers: drawn by :mod:`smoothcert.report.panels`, read out by the page's pointer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from smoothcert.analysis import BoundsTable, certified_accuracy, class_certified_accuracy
from smoothcert.report.style import CLASS_COLOR, RADIUS_COLORS, THRESHOLD_COLORS, colors
from smoothcert.typing import AnyArray, FloatArray

CLASS = "class"
UNCHANGED = "class unchanged"


@dataclass(frozen=True, eq=False)
class Curve:
    """One line of a figure with its 95% band.

    Args:
        group: What the colour stands for: ``"radius 0.25"``, ``"score > 0.5"``.
        bound: What the line stands for: a bound, or ``"class"`` for Cohen's class certificate.
        color: Colour as ``#rrggbb``.
        x: Shape ``(points,)``.
        y: Shape ``(points,)``.
        low: Lower end of the 95% interval, shape ``(points,)``.
        high: Upper end, shape ``(points,)``.
    """

    group: str
    bound: str
    color: str
    x: FloatArray
    y: FloatArray
    low: FloatArray
    high: FloatArray


def over_thresholds(
    table: BoundsTable,
    *,
    measure: str,
    bounds: Sequence[str],
    radii: Sequence[float],
    thresholds: FloatArray,
) -> list[Curve]:
    """Certified accuracy over the threshold, one curve for each radius and bound."""
    rows = _rows(table, measure, bounds, radii, thresholds)
    shades = zip(radii, colors(radii, RADIUS_COLORS), strict=True)
    return [
        _curve(rows[bound][:, j], f"radius {radius:g}", bound, color, thresholds)
        for j, (radius, color) in enumerate(shades)
        for bound in bounds
    ]


def over_radii(
    table: BoundsTable,
    *,
    measure: str,
    bounds: Sequence[str],
    thresholds: Sequence[float],
    radii: FloatArray,
) -> list[Curve]:
    """Certified accuracy over the radius, one curve for each threshold and bound, and Cohen's where it is held."""
    rows = _rows(table, measure, bounds, radii, thresholds)
    shades = zip(thresholds, colors(thresholds, THRESHOLD_COLORS), strict=True)
    curves = [
        _curve(rows[bound][i], f"{measure} > {cut:g}", bound, color, radii)
        for i, (cut, color) in enumerate(shades)
        for bound in bounds
    ]
    return [*curves, class_curve(table, radii=radii)] if table.answers.class_radius else curves


def class_curve(table: BoundsTable, *, radii: FloatArray) -> Curve:
    """Cohen's certified accuracy: right, and the class cannot change."""
    kept = class_certified_accuracy(table, radii=radii)
    ends = [np.array([getattr(p, name) for p in kept]) for name in ("value", "ci_low", "ci_high")]
    return Curve(UNCHANGED, CLASS, CLASS_COLOR, radii, *ends)


def _rows(
    table: BoundsTable,
    measure: str,
    bounds: Sequence[str],
    radii: Sequence[float] | FloatArray,
    thresholds: Sequence[float] | FloatArray,
) -> dict[str, AnyArray]:
    """Certified accuracies of each bound, shape ``(thresholds, radii)``; all radii at once, so that it is kept."""
    found = {}
    for bound in bounds:
        rows = np.empty(len(thresholds) * len(radii), dtype=object)
        rows[:] = certified_accuracy(table, measures=[measure], bounds=[bound], radii=radii, thresholds=thresholds)
        found[bound] = rows.reshape(len(thresholds), len(radii))
    return found


def _curve(rows: AnyArray, group: str, bound: str, color: str, x: FloatArray) -> Curve:
    return Curve(
        group,
        bound,
        color,
        x,
        np.array([row.certified_accuracy for row in rows]),
        np.array([row.ci_low for row in rows]),
        np.array([row.ci_high for row in rows]),
    )
