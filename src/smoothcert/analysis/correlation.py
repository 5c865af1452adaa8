"""How much the smoothed measure says about the class radius: where that is little, both are worth certifying."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from smoothcert.analysis.bootstrap import Estimate, bootstrap_estimate
from smoothcert.analysis.inputs import BoolArray
from smoothcert.analysis.source import Source, bounds_table
from smoothcert.analysis.table import BoundsTable, common_bound
from smoothcert.errors import DataError
from smoothcert.typing import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class RadiusCorrelation:
    """A measure against the class radius, over the inputs that have both and are not abstained on.

    Args:
        measure: A measure of the run.
        bound: None where the values are the smoothed measure itself; else the bound whose certified value at radius 0
            they are, as a published log holds nothing else.
        values: The measure, shape ``(inputs,)``.
        class_radius: Cohen's radius, shape ``(inputs,)``.
        right: Whether the prediction is right, shape ``(inputs,)``; False without a label.
        pearson: Linear correlation; ``None`` with fewer than two distinct values of either.
        spearman: Rank correlation; ``None`` likewise.
        at_largest: Inputs at the largest radius found. If all their votes went to one class, the number of samples
            and not the classifier set their radius, and the correlation is weakened by it.
        abstained: Inputs left out as one of the two is an abstention.
        other_class: Inputs left out as the two are about different classes.
        unshared: Inputs left out as there is no class radius for them.
    """

    measure: str
    bound: str | None
    values: FloatArray
    class_radius: FloatArray
    right: BoolArray
    pearson: Estimate | None
    spearman: Estimate | None
    at_largest: int
    abstained: int
    other_class: int = 0
    unshared: int = 0

    @property
    def named(self) -> str:
        """What the values are."""
        return f"smoothed {self.measure}" if self.bound is None else f"certified {self.measure} at radius 0"


def radius_correlation(
    run: Source,
    *,
    measure: str = "score",
    bound: str | None = None,
    class_radii: Source | None = None,
    alpha: float | None = None,
) -> RadiusCorrelation:
    """Correlate the smoothed measure with the class radius.

    Where the run holds no smoothed measure, as a log of Kumar et al., its certified lower bound at radius 0 stands for
    it: at 100,000 samples some 0.006 below it.

    Args:
        run: A run, or a :class:`~smoothcert.analysis.BoundsTable` made from one.
        measure: A measure of the run.
        bound: Take this bound at radius 0; None for the smoothed measure itself, or where it is not held for the first
            of dual, cdf, hoeffding that is.
        class_radii: Where the class radii come from, if not from the run: a run of the same classifier on the same
            inputs, such as a log of Cohen et al. Inputs are matched by index.
        alpha: Instead of each run's own; it enters through the class radius.

    Returns:
        The points and both correlations, with bootstrap intervals over the inputs.

    Raises:
        InvalidArgumentError: If an argument is outside its domain.
        DataError: If a run does not hold what is asked, or the two differ in sigma, in labels, or in all inputs.

    References:
        Kumar et al. (2020), Figure 4, https://arxiv.org/abs/2009.08061.
    """
    table = bounds_table(run, alpha=alpha)
    table.require_inputs()
    by = bound if bound is not None or table.answers.smoothed else common_bound([table])
    values = table.smoothed(measure) if by is None else table.lower(measure=measure, bound=by, radii=0.0)[:, 0]
    other = table if class_radii is None else bounds_table(class_radii, alpha=alpha)
    if not other.answers.class_radius:
        raise DataError(
            f"the run holds no class radius to correlate the {measure} with; name a run of the same classifier and "
            "inputs that does, such as a log of Cohen et al., as class_radii"
        )
    mine, theirs = _pairs(table, other)
    abstained = table.inputs.abstained[mine] | other.inputs.abstained[theirs]
    same = table.inputs.predictions[mine] == other.inputs.predictions[theirs]
    mine, theirs = mine[~abstained & same], theirs[~abstained & same]
    values, radius = values[mine], other.class_radius()[theirs]

    places = [np.unique(side, return_inverse=True)[1] for side in (values, radius)]

    def pearson(chosen: IntArray) -> float:
        return _pearson(values[chosen], radius[chosen])

    def spearman(chosen: IntArray) -> float:
        of_values, of_radius = (_ranks(place[chosen]) for place in places)
        return _pearson(of_values, of_radius)

    return RadiusCorrelation(
        measure=measure,
        bound=by,
        values=values,
        class_radius=radius,
        right=table.inputs.right[mine],
        pearson=bootstrap_estimate(pearson, inputs=values.size) if values.size else None,
        spearman=bootstrap_estimate(spearman, inputs=values.size) if values.size else None,
        at_largest=int(np.sum(radius == radius.max())) if values.size else 0,
        abstained=int(np.sum(abstained)),
        other_class=int(np.sum(~abstained & ~same)),
        unshared=len(table.inputs) - abstained.size,
    )


def _pairs(table: BoundsTable, other: BoundsTable) -> tuple[IntArray, IntArray]:
    """Rows of the inputs that both hold, after checking that they are the same inputs at the same sigma."""
    if other is table:
        every = np.arange(len(table.inputs))
        return every, every
    if table.sigma != other.sigma:
        raise DataError(f"class_radii must be at the run's sigma, {table.sigma:g}; got a run at {other.sigma:g}")
    shared, mine, theirs = np.intersect1d(table.inputs.indices, other.inputs.indices, return_indices=True)
    different = shared[table.inputs.labels[mine] != other.inputs.labels[theirs]]
    if different.size or not shared.size:
        what = f"input {different[0]} has another label" if different.size else "no index is in both"
        raise DataError(f"class_radii must be about the run's inputs; {what}")
    return mine, theirs


def _ranks(places: IntArray) -> FloatArray:
    """Ranks from 1, equal ones sharing their mean, of values given by their place among all distinct ones."""
    counts = np.bincount(places)
    return np.asarray((np.cumsum(counts) - 0.5 * (counts - 1))[places])


def _pearson(x: FloatArray, y: FloatArray) -> float:
    """Correlation coefficient; NaN where one side is constant, without the warning NumPy and SciPy give."""
    if np.ptp(x) == 0.0 or np.ptp(y) == 0.0:
        return float("nan")
    dx, dy = x - x.mean(), y - y.mean()
    return float(np.clip(dx @ dy / np.sqrt((dx @ dx) * (dy @ dy)), -1.0, 1.0))
