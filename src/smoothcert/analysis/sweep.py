"""Runs at several noise levels: which sigma certifies most at each radius, and whether the best one grows with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from smoothcert._check import check_radii, check_threshold
from smoothcert.analysis.bounds_table import BoundsTable
from smoothcert.analysis.certified_accuracy import certified_accuracy, class_certified_accuracy
from smoothcert.analysis.compare import CLASS, CLASS_BOUND
from smoothcert.analysis.proportion import Proportion, proportion
from smoothcert.errors import InvalidArgumentError
from smoothcert.typing import FloatArray


@dataclass(frozen=True)
class SweepPoint:
    """All noise levels at one radius.

    Args:
        radius: L2 radius in input units.
        accuracies: Certified accuracy at each sigma of the sweep.
        best: Sigma with the highest one, the smallest of those equal; None where none certifies an input.
    """

    radius: float
    accuracies: tuple[Proportion, ...]
    best: float | None


@dataclass(frozen=True)
class Sweep:
    """Certified accuracy of several noise levels over the radius.

    The best sigma is picked on the inputs it is then reported for, so its accuracy is a little optimistic.

    Args:
        measure: ``"score"``, ``"margin"`` or ``"class"``.
        bound: The bound that certified.
        threshold: The confidence that must be kept; None for ``"class"``.
        sigmas: Noise levels, ascending.
        points: One for each radius, ascending.
    """

    measure: str
    bound: str
    threshold: float | None
    sigmas: tuple[float, ...]
    points: tuple[SweepPoint, ...]

    @property
    def grows(self) -> bool | None:
        """Whether the best sigma never falls as the radius grows; None if it is the same wherever there is one."""
        best = [point.best for point in self.points if point.best is not None]
        if len(set(best)) < 2:
            return None
        return best == sorted(best)

    @property
    def ranges(self) -> list[tuple[float, float, float]]:
        """Stretches of radii with the same best sigma: that sigma, the first radius and the last."""
        found: list[tuple[float, float, float]] = []
        for point in self.points:
            if point.best is None:
                continue
            if found and found[-1][0] == point.best:
                found[-1] = (point.best, found[-1][1], point.radius)
            else:
                found.append((point.best, point.radius, point.radius))
        return found

    @property
    def rule(self) -> str:
        """What the sweep says about the rule of thumb that the best sigma grows with the radius."""
        named = [
            f"sigma {sigma:g} " + (f"at radius {low:g}" if low == high else f"from radius {low:g} to {high:g}")
            for sigma, low, high in self.ranges
        ]
        if not named:
            return "no sigma certifies an input at any of these radii"
        verdict = {
            True: "the best sigma grows with the radius",
            False: "the best sigma does not simply grow with the radius",
            None: "one sigma is the best at every radius that is certified",
        }[self.grows]
        return f"{verdict}: {', '.join(named)}"


def sweep(
    tables: Sequence[BoundsTable],
    *,
    radii: float | Sequence[float] | FloatArray,
    measure: str = "score",
    bound: str | None = None,
    threshold: float = 0.5,
) -> Sweep:
    """Certified accuracy over the radius for runs that differ in sigma.

    Args:
        tables: Bounds of the runs, each at a sigma of its own.
        radii: Radii in input units, shape ``(radii,)`` or one number.
        measure: ``"score"``, ``"margin"`` or ``"class"``.
        bound: One of :data:`smoothcert.bounds.BOUNDS`; None for the first of dual, cdf, hoeffding that all hold.
        threshold: The confidence that must be kept; not used by ``"class"``.

    Raises:
        InvalidArgumentError: If there are fewer than two runs, two have the same sigma, or an argument is outside its
            domain.
        DataError: If a run has no labelled input, or does not hold what is asked.

    References:
        Cohen et al. (2019), Section 4: sigma trades accuracy at small radii for reach at large ones,
        https://arxiv.org/abs/1902.02918.
    """
    sigmas = [table.sigma for table in tables]
    if len(tables) < 2 or len(set(sigmas)) != len(sigmas):
        raise InvalidArgumentError(
            "runs must be at least two, each at another sigma; got sigma "
            + (", ".join(f"{sigma:g}" for sigma in sigmas) or "of no run")
        )
    ordered = sorted(tables, key=lambda table: table.sigma)
    distances = np.unique(check_radii(radii))
    cut = None if measure == CLASS else check_threshold(threshold)
    by = CLASS_BOUND if measure == CLASS else bound or _common_bound(ordered)
    rows = [_accuracies(table, measure, by, cut, distances) for table in ordered]
    points = []
    for position, radius in enumerate(distances):
        accuracies = tuple(row[position] for row in rows)
        values = [accuracy.value for accuracy in accuracies]
        best = ordered[int(np.argmax(values))].sigma if max(values) > 0.0 else None
        points.append(SweepPoint(float(radius), accuracies, best))
    return Sweep(measure, by, cut, tuple(table.sigma for table in ordered), tuple(points))


def _common_bound(tables: Sequence[BoundsTable]) -> str:
    return next((b for b in ("dual", "cdf", "hoeffding") if all(b in table.answers.bounds for table in tables)), "dual")


def _accuracies(
    table: BoundsTable, measure: str, bound: str, threshold: float | None, radii: FloatArray
) -> list[Proportion]:
    if threshold is None:
        return class_certified_accuracy(table, radii=radii)
    rows = certified_accuracy(table, measures=[measure], bounds=[bound], radii=radii, thresholds=threshold)
    return [proportion(round(row.certified_accuracy * row.inputs), inputs=row.inputs) for row in rows]
