"""How much the smoothed score says about the class radius: the paper finds little, so both are worth certifying."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from smoothcert.analysis.bootstrap import Estimate, bootstrap_estimate
from smoothcert.analysis.bounds_table import BoolArray
from smoothcert.analysis.sampled_bounds import Source, bounds_table
from smoothcert.typing import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class RadiusCorrelation:
    """Smoothed measure against class radius, over the inputs the classifier does not abstain on.

    Args:
        measure: ``"score"`` or ``"margin"``.
        values: Smoothed measure, shape ``(inputs,)``.
        class_radius: Cohen's radius, shape ``(inputs,)``.
        right: Whether the prediction is right, shape ``(inputs,)``; False without a label.
        pearson: Linear correlation; ``None`` with fewer than two distinct values of either.
        spearman: Rank correlation; ``None`` likewise.
        at_largest: Inputs at the largest radius found. If all their votes went to one class, the number of samples
            and not the classifier set their radius, and the correlation is weakened by it.
    """

    measure: str
    values: FloatArray
    class_radius: FloatArray
    right: BoolArray
    pearson: Estimate | None
    spearman: Estimate | None
    at_largest: int


def radius_correlation(run: Source, *, measure: str = "score", alpha: float | None = None) -> RadiusCorrelation:
    """Correlate the smoothed measure with the class radius.

    Args:
        run: A run, or a :class:`~smoothcert.analysis.BoundsTable` made from one.
        measure: ``"score"`` or ``"margin"``.
        alpha: Instead of the run's own; it enters through the class radius.

    Returns:
        The points and both correlations, with bootstrap intervals over the inputs.

    Raises:
        InvalidArgumentError: If an argument is outside its domain.
        DataError: If the run holds no certified input or no class radii.

    References:
        Kumar et al. (2020), Figure 4, https://arxiv.org/abs/2009.08061.
    """
    table = bounds_table(run, alpha=alpha)
    table.require_inputs()
    kept = ~table.inputs.abstained
    values, radius = table.smoothed(measure)[kept], table.class_radius()[kept]

    def pearson(chosen: IntArray) -> float:
        return _pearson(values[chosen], radius[chosen])

    def spearman(chosen: IntArray) -> float:
        return _pearson(rankdata(values[chosen]), rankdata(radius[chosen]))

    return RadiusCorrelation(
        measure=measure,
        values=values,
        class_radius=radius,
        right=table.inputs.right[kept],
        pearson=bootstrap_estimate(pearson, inputs=values.size) if values.size else None,
        spearman=bootstrap_estimate(spearman, inputs=values.size) if values.size else None,
        at_largest=int(np.sum(radius == radius.max())) if values.size else 0,
    )


def _pearson(x: FloatArray, y: FloatArray) -> float:
    """Correlation coefficient; NaN where one side is constant, without the warning NumPy and SciPy give."""
    if np.ptp(x) == 0.0 or np.ptp(y) == 0.0:
        return float("nan")
    dx, dy = x - x.mean(), y - y.mean()
    return float(np.clip(dx @ dy / np.sqrt((dx @ dx) * (dy @ dy)), -1.0, 1.0))
