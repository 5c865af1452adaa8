"""Does a smoothed score of 0.8 mean right four times in five? A score is not a probability; this measures how far."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from smoothcert._check import check_choice, check_count
from smoothcert.analysis.bootstrap import Estimate, bootstrap_estimate
from smoothcert.analysis.inputs import BoolArray
from smoothcert.analysis.proportion import Proportion, proportion
from smoothcert.analysis.source import Source, bounds_table
from smoothcert.errors import DataError
from smoothcert.typing import FloatArray, IntArray

DRAWS = 200
BINNINGS = ("equal_width", "equal_mass")


@dataclass(frozen=True)
class ReliabilityBin:
    """Inputs with similar smoothed scores, and how often their prediction is right.

    Args:
        low: Lower edge of the bin.
        high: Upper edge of the bin.
        mean_score: Mean smoothed score in it.
        accuracy: Fraction predicted right in it, with its exact interval.
    """

    low: float
    high: float
    mean_score: float
    accuracy: Proportion


@dataclass(frozen=True)
class Calibration:
    """Reliability diagram and expected calibration error of the smoothed score.

    Args:
        binning: ``"equal_width"`` or ``"equal_mass"``.
        bins: The bins that hold inputs, by increasing score.
        error: Expected calibration error: mean over inputs of the distance between their bin's mean score and its
            accuracy. Chance alone makes it positive; compare it with ``calibrated_error``.
        calibrated_error: Mean of the same number over draws of labels for which the scores were exact probabilities.
        inputs: Labelled inputs.
    """

    binning: str
    bins: tuple[ReliabilityBin, ...]
    error: Estimate
    calibrated_error: float
    inputs: int


def calibration(
    run: Source, *, binning: str = "equal_width", bins: int = 10, alpha: float | None = None
) -> Calibration:
    """Compare the smoothed score of the prediction with how often the prediction is right.

    All labelled inputs count, abstentions included: their smoothed score is as well defined as any other.

    Args:
        run: A run, or a :class:`~smoothcert.analysis.BoundsTable` made from one.
        binning: ``"equal_width"``: equal steps of ``[0, 1]``; ``"equal_mass"``: equally many inputs in each.
        bins: Number of bins, at least 1.
        alpha: Instead of the run's own; the smoothed score does not depend on it.

    Raises:
        InvalidArgumentError: If an argument is outside its domain.
        DataError: If no input has a label.

    References:
        Guo et al. (2017), Section 2, https://arxiv.org/abs/1706.04599; Broecker and Smith (2007), Weather and
        Forecasting 22(3), for the comparison with exact probabilities.
    """
    check_choice("binning", binning, BINNINGS)
    count = check_count("bins", bins)
    table = bounds_table(run, alpha=alpha)
    table.require_labels("calibration")
    kept = table.inputs.labelled
    scores, right = table.smoothed("score")[kept], table.inputs.predicted_right[kept]
    cells, edges = _cells(scores, binning, count)
    held = []
    for cell in np.unique(cells):
        inside = cells == cell
        accuracy = proportion(int(right[inside].sum()), inputs=int(inside.sum()))
        low, high = float(edges[cell]), float(edges[cell + 1])
        held.append(ReliabilityBin(low, high, float(scores[inside].mean()), accuracy))

    def error(chosen: IntArray) -> float:
        return _error(scores[chosen], right[chosen], binning, count)

    found = bootstrap_estimate(error, inputs=scores.size, interval="standard")
    if found is None:
        raise DataError("the smoothed scores are not numbers, so their calibration is not defined")
    generator = np.random.default_rng(0)
    ideal = [_error(scores, generator.uniform(size=scores.size) < scores, binning, count) for _ in range(DRAWS)]
    return Calibration(binning, tuple(held), _within_unit(found), float(np.mean(ideal)), int(scores.size))


def _within_unit(found: Estimate) -> Estimate:
    """The interval cut to ``[0, 1]``, where every calibration error lies."""
    if found.ci_low is None or found.ci_high is None:
        return found
    return Estimate(found.value, max(found.ci_low, 0.0), min(found.ci_high, 1.0))


def _cells(scores: FloatArray, binning: str, bins: int) -> tuple[IntArray, FloatArray]:
    """Bin of each score, shape ``(inputs,)``, and the edges, shape ``(bins + 1,)``."""
    if binning == "equal_width":
        edges = np.linspace(0.0, 1.0, bins + 1)
    else:
        edges = np.quantile(scores, np.linspace(0.0, 1.0, bins + 1))
    cells = np.searchsorted(edges, scores, side="right") - 1
    return np.clip(cells, 0, bins - 1), edges


def _error(scores: FloatArray, right: BoolArray, binning: str, bins: int) -> float:
    cells, _ = _cells(scores, binning, bins)
    gaps = np.bincount(cells, weights=scores - right, minlength=bins)
    return float(np.abs(gaps).sum() / scores.size)
