"""Fractions of a data set that are certified: over thresholds of the confidence, and over radii."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from smoothcert._check import check_radii, check_threshold
from smoothcert.analysis.proportion import Proportion, proportion, proportion_interval
from smoothcert.analysis.sampled_bounds import Source, bounds_table
from smoothcert.errors import InvalidArgumentError
from smoothcert.typing import FloatArray, IntArray

DEFAULT_BOUNDS = ("dual", "cdf", "hoeffding")
DEFAULT_MEASURES = ("score", "margin")


@dataclass(frozen=True)
class CertifiedAccuracy:
    """Certified accuracy at one threshold and one radius, with its 95% Clopper-Pearson interval over the inputs.

    Args:
        measure: ``"score"`` or ``"margin"``.
        bound: The bound that certified.
        threshold: The confidence that must be kept: the lower bound is above it.
        radius: The L2 norm of the change of the input it must be kept under, in input units.
        certified_accuracy: Fraction of the inputs that are classified right and keep it.
        ci_low: Lower end of the interval.
        ci_high: Upper end of the interval.
        inputs: Labelled inputs the fraction is of, abstentions included.
        alpha: Probability that the certificate of one input is wrong, over the sampling noise.
    """

    measure: str
    bound: str
    threshold: float
    radius: float
    certified_accuracy: float
    ci_low: float
    ci_high: float
    inputs: int
    alpha: float


def certified_accuracy(
    run: Source,
    *,
    measures: Sequence[str] = DEFAULT_MEASURES,
    bounds: Sequence[str] = DEFAULT_BOUNDS,
    radii: float | Sequence[float] | FloatArray,
    thresholds: float | Sequence[float] | FloatArray,
    alpha: float | None = None,
) -> list[CertifiedAccuracy]:
    """Fraction of all labelled inputs that are right and certified to keep their confidence.

    An input counts if its prediction is its label, the smoothed classifier does not abstain, and its lower bound at
    the radius is above the threshold. Abstentions count as wrong. Inputs without a label, and inputs that could not
    be read, are left out of numerator and denominator; :func:`~smoothcert.analysis.summary` counts them.

    Args:
        run: A run, or a :class:`~smoothcert.analysis.BoundsTable` made from one.
        measures: ``"score"``, ``"margin"`` or both.
        bounds: Some of :data:`smoothcert.bounds.BOUNDS`; each is its own claim, their best is not one.
        radii: Radii in input units, shape ``(radii,)`` or one number.
        thresholds: Thresholds of the confidence, shape ``(thresholds,)`` or one number.
        alpha: Instead of the run's own. To claim several statements together, divide by their number.

    Returns:
        One row for each measure, bound, threshold and radius, the radius changing fastest.

    Raises:
        InvalidArgumentError: If an argument is outside its domain.
        DataError: If no input has a label, or the run does not hold what is asked.

    References:
        Kumar et al. (2020), Section 4, https://arxiv.org/abs/2009.08061.
    """
    table = bounds_table(run, alpha=alpha)
    table.require_labels("certified accuracy")
    distances, cuts = check_radii(radii), check_thresholds(thresholds)
    total = int(table.inputs.labelled.sum())
    rows = []
    for measure in measures:
        lowers = table.lowers(measure=measure, bounds=bounds, radii=distances)
        for bound, lower in zip(bounds, lowers, strict=True):
            counts = _counts_above(lower[table.inputs.right], cuts)
            low, high = proportion_interval(counts, inputs=total)
            rows += [
                CertifiedAccuracy(
                    measure=measure,
                    bound=bound,
                    threshold=float(cuts[i]),
                    radius=float(distances[j]),
                    certified_accuracy=int(counts[i, j]) / total,
                    ci_low=float(low[i, j]),
                    ci_high=float(high[i, j]),
                    inputs=total,
                    alpha=table.alpha,
                )
                for i in range(cuts.size)
                for j in range(distances.size)
            ]
    return rows


def certified_fraction(
    run: Source,
    *,
    measure: str,
    bound: str,
    radii: float | Sequence[float] | FloatArray,
    thresholds: float | Sequence[float] | FloatArray,
    alpha: float | None = None,
) -> list[Proportion]:
    """Fraction of all inputs certified to keep their confidence, right or wrong; needs no labels.

    Abstentions count as not certified. Arguments and errors as for :func:`certified_accuracy`.

    Returns:
        One fraction for each threshold and radius, the radius changing fastest.
    """
    table = bounds_table(run, alpha=alpha)
    table.require_inputs()
    lower = table.lower(measure=measure, bound=bound, radii=radii)
    counts = _counts_above(lower[~table.inputs.abstained], check_thresholds(thresholds))
    return [proportion(int(count), inputs=len(table.inputs)) for count in counts.ravel()]


def class_certified_accuracy(
    run: Source, *, radii: float | Sequence[float] | FloatArray, alpha: float | None = None
) -> list[Proportion]:
    """Fraction of all labelled inputs that are right and whose class cannot change within each radius.

    Cohen's certified accuracy: the class radius is at least the radius, and the smoothed classifier does not abstain.

    Args:
        run: A run, or a :class:`~smoothcert.analysis.BoundsTable` made from one.
        radii: Radii in input units, shape ``(radii,)`` or one number.
        alpha: Instead of the run's own.

    Returns:
        One fraction a radius.

    Raises:
        InvalidArgumentError: If a radius is not finite and >= 0.
        DataError: If no input has a label, or the run holds no class radii.

    References:
        Cohen, Rosenfeld and Kolter (2019), Section 4, https://arxiv.org/abs/1902.02918.
    """
    table = bounds_table(run, alpha=alpha)
    table.require_labels("class-certified accuracy")
    total = int(table.inputs.labelled.sum())
    kept = table.class_radius()[table.inputs.right]
    return [proportion(int(np.sum(kept >= radius)), inputs=total) for radius in check_radii(radii)]


def check_thresholds(thresholds: float | Sequence[float] | FloatArray) -> FloatArray:
    """Return finite thresholds as a 1-D float64 array, or raise ``InvalidArgumentError``."""
    values = np.atleast_1d(np.asarray(thresholds))
    if values.ndim != 1 or values.size == 0:
        raise InvalidArgumentError(f"thresholds must be one number or a flat, non-empty list; got shape {values.shape}")
    return np.array([check_threshold(value) for value in values], dtype=np.float64)


def _counts_above(lower: FloatArray, thresholds: FloatArray) -> IntArray:
    """How many inputs have a lower bound, ``(inputs, radii)``, above each threshold; ``(thresholds, radii)``."""
    ordered = np.sort(lower, axis=0)
    at_most = [np.searchsorted(column, thresholds, side="right") for column in ordered.T]
    return np.asarray(lower.shape[0] - np.stack(at_most, axis=1), dtype=np.int64)
