"""What ``figure`` draws: each kind with its defaults, from what a run holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from matplotlib.figure import Figure

from smoothcert import report
from smoothcert.analysis import BoundsTable, bounds_table
from smoothcert.analysis.certified_accuracy import DEFAULT_BOUNDS, DEFAULT_MEASURES
from smoothcert.analysis.placement import COUNTS
from smoothcert.errors import InvalidArgumentError
from smoothcert.runs import Run
from smoothcert.typing import FloatArray

_STEPS = (0.0, 1.0, 2.0, 3.0)  # of sigma
_POINTS = 41


@dataclass(frozen=True)
class Drawn:
    """A run and what was asked of its figure; None where the run decides.

    Args:
        run: The run.
        measures: Some of ``score`` and ``margin``.
        bounds: Some of ``smoothcert.bounds.BOUNDS``.
        radii: L2 radii in input units.
        thresholds: Confidences to keep, or numbers of thresholds.
        alpha: Instead of the run's own.
        class_radii: The run class radii come from, if not from the run.
    """

    run: Run
    measures: list[str] | None = None
    bounds: list[str] | None = None
    radii: list[float] | None = None
    thresholds: list[float] | None = None
    alpha: float | None = None
    class_radii: Run | None = None

    @cached_property
    def table(self) -> BoundsTable:
        """The run's bounds."""
        return bounds_table(self.run, alpha=self.alpha)

    @property
    def asked_measures(self) -> list[str]:
        """The measures asked for, else those held; all of them where none is, so that the run says what it holds."""
        held = [measure for measure in DEFAULT_MEASURES if measure in self.table.answers.measures]
        return self.measures or held or list(DEFAULT_MEASURES)

    @property
    def asked_bounds(self) -> list[str]:
        """The bounds asked for, else the usual ones that are held."""
        held = [bound for bound in DEFAULT_BOUNDS if bound in self.table.answers.bounds]
        return self.bounds or held or list(DEFAULT_BOUNDS)

    @property
    def few_radii(self) -> list[float]:
        """The radii asked for, else those of the log, else multiples of sigma."""
        return self.radii or list(self.table.answers.radii or ()) or [step * self.table.sigma for step in _STEPS]

    @property
    def axis(self) -> FloatArray:
        """Radii of an axis: those asked for, else those of the log, else a fine grid to 4 sigma."""
        given = self.radii or list(self.table.answers.radii or ())
        return np.array(given) if given else np.linspace(0.0, 4.0 * self.table.sigma, _POINTS)


def _over_threshold(asked: Drawn) -> Figure:
    return report.accuracy_over_threshold_figure(
        asked.table, radii=asked.few_radii, measures=asked.asked_measures, bounds=asked.asked_bounds
    )


def _over_radius(asked: Drawn) -> Figure:
    return report.accuracy_over_radius_figure(
        asked.table,
        thresholds=asked.thresholds or [0.5, 0.7, 0.9],
        radii=asked.axis,
        measures=asked.measures or asked.table.answers.measures,
        bounds=asked.asked_bounds,
    )


def _correlation(asked: Drawn) -> Figure:
    return report.correlation_figure(
        asked.table,
        measures=asked.asked_measures,
        bound=asked.bounds[0] if asked.bounds else None,
        class_radii=None if asked.class_radii is None else bounds_table(asked.class_radii, alpha=asked.alpha),
    )


def _calibration(asked: Drawn) -> Figure:
    return report.calibration_figure(asked.table)


def _distribution(asked: Drawn) -> Figure:
    return report.distribution_figure(
        asked.table, radii=asked.axis, measures=asked.asked_measures, bound=asked.asked_bounds[0]
    )


def _placement(asked: Drawn) -> Figure:
    counts = asked.thresholds or list(COUNTS)
    if any(count != int(count) or count < 1 for count in counts):
        raise InvalidArgumentError(f"thresholds must be how many to place, such as 10,100,1000; got {counts}")
    return report.placement_figure(
        asked.run,
        radii=asked.radii or [step * asked.run.config.sigma for step in _STEPS],
        measures=asked.measures or DEFAULT_MEASURES,
        thresholds=[int(count) for count in counts],
        alpha=asked.alpha,
    )


FIGURES: dict[str, Callable[[Drawn], Figure]] = {
    "accuracy-over-threshold": _over_threshold,
    "accuracy-over-radius": _over_radius,
    "correlation": _correlation,
    "calibration": _calibration,
    "distribution": _distribution,
    "placement": _placement,
}
