"""Fractions of a data set that are certified: over thresholds of the confidence, and over radii.

Which inputs a fraction is of, and which count, is one rule for everything that compares or draws runs: all certified
inputs with a label; one counts if its prediction is right, it is not abstained on, and it keeps what is asked. Where no
input of a run has a label the fraction is of all its inputs, and one counts if it is not abstained on and keeps what is
asked, right or wrong: the fraction certified. Inputs that could not be read are in no fraction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from smoothcert._check import check_alpha, check_count, check_radii, check_threshold
from smoothcert.analysis.inputs import BoolArray
from smoothcert.analysis.proportion import CONFIDENCE, Proportion, proportion, proportion_interval
from smoothcert.analysis.source import Source, bounds_table
from smoothcert.analysis.table import CLASS as CLASS
from smoothcert.analysis.table import CLASS_BOUND as CLASS_BOUND
from smoothcert.analysis.table import DEFAULT_BOUNDS as DEFAULT_BOUNDS
from smoothcert.analysis.table import BoundsTable
from smoothcert.bounds import clopper_pearson_lower
from smoothcert.errors import InvalidArgumentError
from smoothcert.typing import FloatArray, IntArray


@dataclass(frozen=True)
class CertifiedAccuracy:
    """Certified accuracy at one threshold and one radius, with its 95% Clopper-Pearson interval over the inputs.

    Args:
        measure: ``"score"``, ``"margin"``, ``"lead"`` or another measure of the run.
        bound: The bound that certified.
        threshold: The confidence that must be kept: the lower bound is above it.
        radius: The L2 norm of the change of the input it must be kept under, in input units.
        certified_accuracy: Fraction of the inputs that are classified right and keep it; where no input has a label,
            the fraction certified to keep it, right or wrong.
        ci_low: Lower end of the interval.
        ci_high: Upper end of the interval.
        inputs: Inputs the fraction is of, abstentions included.
        alpha: Probability that the certificate of one input is wrong, over the sampling noise.
        labelled: Whether the inputs have labels.
        population_lower: At least this fraction of all inputs of the kind deserves it, wrong certificates included;
            see :func:`population_lower`.
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
    labelled: bool
    population_lower: float


def population_lower(
    successes: npt.ArrayLike, inputs: int, alpha: float, *, confidence: float = CONFIDENCE
) -> FloatArray:
    """At least this fraction of all such inputs deserves its certificate, wrong certificates included.

    Let ``A`` be the fraction of the population whose prediction is right and truly stays above the threshold within
    the radius. With probability at least ``confidence``, over the draw of the inputs and the noise of all of them at
    once, ``A`` is at least the returned value: a certificate that is not deserved is given with probability at most
    ``alpha``, so the expected fraction certified is at most ``A + alpha (1 - A)``.

    One statement for each entry, not all of them at once.

    Args:
        successes: Inputs that are right and certified, any shape, in ``[0, inputs]``.
        inputs: Inputs drawn independently from the population, at least 1.
        alpha: Probability that the certificate of one input is wrong, in ``(0, 1/2]``.
        confidence: Probability that the statement is true, in ``(0, 1)``.

    Returns:
        Shape of ``successes``, in ``[0, 1]``.

    Raises:
        InvalidArgumentError: If an argument is outside its domain.

    References:
        Clopper and Pearson (1934), Biometrika 26(4), https://doi.org/10.1093/biomet/26.4.404, for the mean of what was
        certified.

    Example:
        >>> float(population_lower(337, 600, 0.001).round(3))
        0.527
    """
    if not 0.0 < confidence < 1.0:
        raise InvalidArgumentError(f"confidence must lie in (0, 1), for example 0.95; got {confidence!r}")
    wrong = check_alpha(alpha)
    mean = clopper_pearson_lower(successes, n=check_count("inputs", inputs), alpha=1.0 - confidence)
    return np.asarray(np.maximum((mean - wrong) / (1.0 - wrong), 0.0), dtype=np.float64)


def certified_accuracy(
    run: Source,
    *,
    measures: Sequence[str] | None = None,
    bounds: Sequence[str] = DEFAULT_BOUNDS,
    radii: float | Sequence[float] | FloatArray,
    thresholds: float | Sequence[float] | FloatArray,
    alpha: float | None = None,
) -> list[CertifiedAccuracy]:
    """Fraction of all labelled inputs that are right and certified to keep their confidence.

    An input counts if its prediction is its label, the smoothed classifier does not abstain, and its lower bound at
    the radius is above the threshold. Abstentions count as wrong. Inputs without a label, and inputs that could not
    be read, are left out of numerator and denominator; :func:`~smoothcert.analysis.summary` counts them. Where no input
    has a label, the fraction is of all inputs, and an input counts whatever its prediction.

    Args:
        run: A run, or a :class:`~smoothcert.analysis.BoundsTable` made from one.
        measures: Some of those the run holds, such as ``"score"``, ``"margin"`` and ``"lead"``; None for all.
        bounds: Some of :data:`smoothcert.bounds.BOUNDS`; each is its own claim, their best is not one.
        radii: Radii in input units, shape ``(radii,)`` or one number.
        thresholds: Thresholds of the confidence, shape ``(thresholds,)`` or one number.
        alpha: Instead of the run's own. To claim several statements together, divide by their number.

    Returns:
        One row for each measure, bound, threshold and radius, the radius changing fastest.

    Raises:
        InvalidArgumentError: If an argument is outside its domain.
        DataError: If the run holds no certified input, or not what is asked.

    References:
        Kumar et al. (2020), Section 4, https://arxiv.org/abs/2009.08061.
    """
    table = bounds_table(run, alpha=alpha)
    table.require_inputs()
    distances, cuts = check_radii(radii), check_thresholds(thresholds)
    total = int(table.inputs.counted.sum())
    rows = []
    for measure in table.answers.measures if measures is None else measures:
        lowers = table.lowers(measure=measure, bounds=bounds, radii=distances)
        for bound, lower in zip(bounds, lowers, strict=True):
            counts = _counts_above(lower[table.inputs.countable], cuts)
            low, high = proportion_interval(counts, inputs=total)
            alpha = table.alpha_of(measure, bound)
            least = population_lower(counts, total, alpha)
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
                    alpha=alpha,
                    labelled=table.inputs.has_labels,
                    population_lower=float(least[i, j]),
                )
                for i in range(cuts.size)
                for j in range(distances.size)
            ]
    return rows


def class_certified_accuracy(
    run: Source, *, radii: float | Sequence[float] | FloatArray, alpha: float | None = None
) -> list[Proportion]:
    """Fraction of all labelled inputs that are right and whose class cannot change within each radius.

    Cohen's certified accuracy: the class radius is at least the radius, and the smoothed classifier does not abstain.
    Where no input has a label, the fraction of all inputs whose class cannot change.

    Args:
        run: A run, or a :class:`~smoothcert.analysis.BoundsTable` made from one.
        radii: Radii in input units, shape ``(radii,)`` or one number.
        alpha: Instead of the run's own.

    Returns:
        One fraction per radius.

    Raises:
        InvalidArgumentError: If a radius is not finite and >= 0.
        DataError: If the run holds no certified input, or no class radii.

    References:
        Cohen, Rosenfeld and Kolter (2019), Section 4, https://arxiv.org/abs/1902.02918.
    """
    table = bounds_table(run, alpha=alpha)
    table.require_inputs()
    total = int(table.inputs.counted.sum())
    kept = table.class_radius()[table.inputs.countable]
    return [proportion(int(np.sum(kept >= radius)), inputs=total) for radius in check_radii(radii)]


def kept_inputs(
    table: BoundsTable, *, measure: str, bound: str, threshold: float | None, radii: FloatArray, labelled: bool = True
) -> BoolArray:
    """Which inputs count and keep what is asked, shape ``(inputs, radii)``; the class where the threshold is None.

    Args:
        table: Bounds of the run.
        measure: The measure; of no use where the threshold is None.
        bound: The bound; likewise.
        threshold: The confidence that must be kept; None for the class.
        radii: Radii in input units, shape ``(radii,)``.
        labelled: Whether only right predictions count; if not, all that are not abstained on.
    """
    counts = (table.inputs.right if labelled else ~table.inputs.abstained)[:, None]
    if threshold is None:
        return np.asarray(counts & (table.class_radius()[:, None] >= radii), dtype=np.bool_)
    return np.asarray(counts & (table.lower(measure=measure, bound=bound, radii=radii) > threshold), dtype=np.bool_)


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
