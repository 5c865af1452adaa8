"""Does a smoothed score of 0.8 mean right four times in five? A score is not a probability; this measures how far."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import ndtr, ndtri

from smoothcert._check import check_choice, check_count
from smoothcert.analysis.bootstrap import Estimate
from smoothcert.analysis.inputs import BoolArray
from smoothcert.analysis.proportion import CONFIDENCE, Proportion, proportion
from smoothcert.analysis.source import Source, bounds_table
from smoothcert.errors import DataError
from smoothcert.scores import SCORE
from smoothcert.typing import FloatArray, IntArray

DRAWS = 20_000
BINNINGS = ("equal_width", "equal_mass")
_EXTRA = 2.0  # inputs added to a bin, half of them right: few inputs that are all right do not prove certainty


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
        error: Expected calibration error: mean over all such inputs of the distance between their bin's mean score and
            how often it is right. The estimate is corrected for what chance alone adds; the interval covers the true
            one in at least 95% of samples of inputs.
        observed: The same number of these inputs as it is usually reported, without the correction: chance alone makes
            it positive.
        inputs: Labelled inputs.
    """

    binning: str
    bins: tuple[ReliabilityBin, ...]
    error: Estimate
    observed: float
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
        DataError: If no input has a label, or the run holds no score.

    References:
        Guo et al. (2017), Section 2, https://arxiv.org/abs/1706.04599; Kumar, Liang and Ma (2019), Section 5,
        https://arxiv.org/abs/1909.10155, for the correction.
    """
    check_choice("binning", binning, BINNINGS)
    count = check_count("bins", bins)
    table = bounds_table(run, alpha=alpha)
    table.require_labels("calibration")
    if SCORE.name not in table.answers.measures:
        raise DataError(f"calibration is of the score, which is not held; held are {', '.join(table.answers.measures)}")
    kept = table.inputs.labelled
    scores, right = table.smoothed(SCORE.name)[kept], table.inputs.predicted_right[kept]
    if np.isnan(scores).any():
        raise DataError("the smoothed scores are not numbers, so their calibration is not defined")
    cells, edges = _cells(scores, binning, count)
    held = []
    for cell in np.unique(cells):
        inside = cells == cell
        accuracy = proportion(int(right[inside].sum()), inputs=int(inside.sum()))
        low, high = float(edges[cell]), float(edges[cell + 1])
        held.append(ReliabilityBin(low, high, float(scores[inside].mean()), accuracy))
    gaps, deviations = _gaps(scores, right, cells, count)
    return Calibration(
        binning, tuple(held), calibration_error(gaps, deviations), float(np.abs(gaps).sum()), int(scores.size)
    )


def calibration_error(gaps: FloatArray, deviations: FloatArray) -> Estimate:
    """Sum of the absolute true gaps of the bins, from gaps observed with normal errors, and its 95% interval.

    The sum of the absolute observed gaps is above the true sum by at most the sum of the absolute errors, and it is
    below it by at most the error of one signed sum. So the interval, from the first's 97.5% quantile below to 1.96
    deviations of the second above, covers at least 95%, whatever the true gaps are: also where they are all 0, where a
    bootstrap of the observed sum covers next to nothing.

    Args:
        gaps: Mean of score minus right in each bin times its share of the inputs, shape ``(bins,)``.
        deviations: Standard deviation of each, shape ``(bins,)``.

    Example:
        >>> found = calibration_error(np.array([0.02, -0.03]), np.array([0.01, 0.01]))
        >>> round(found.value, 3), round(found.ci_low, 3), round(found.ci_high, 3)
        (0.05, 0.015, 0.078)
    """
    observed = float(np.abs(gaps).sum())
    noise = _folded_draws(gaps.size) @ deviations
    tail = (1.0 - CONFIDENCE) / 2.0
    low = observed - float(np.quantile(noise, 1.0 - tail))
    high = observed + float(ndtri(1.0 - tail)) * float(np.sqrt(np.sum(deviations**2)))
    value = observed - (float(_folded_means(gaps, deviations).sum()) - observed)
    return Estimate(max(value, low, 0.0), max(low, 0.0), min(high, 1.0))


@lru_cache(maxsize=1)
def _folded_draws(bins: int) -> FloatArray:
    """Absolute values of standard normal variables, the same every time, shape ``(draws, bins)``."""
    return np.abs(np.random.default_rng(0).standard_normal((DRAWS, bins)))


def _folded_means(gaps: FloatArray, deviations: FloatArray) -> FloatArray:
    """Mean of the absolute value of a normal variable with each mean and deviation."""
    scale = np.where(deviations > 0.0, deviations, 1.0)
    z = gaps / scale
    means = scale * np.sqrt(2.0 / np.pi) * np.exp(-0.5 * z**2) + gaps * (1.0 - 2.0 * ndtr(-z))
    return np.asarray(np.where(deviations > 0.0, means, np.abs(gaps)))


def _gaps(scores: FloatArray, right: BoolArray, cells: IntArray, bins: int) -> tuple[FloatArray, FloatArray]:
    """Gap of each bin times its share, and the standard deviation of that over the draw of the inputs."""
    total = scores.size
    inputs = np.bincount(cells, minlength=bins)
    sums = np.bincount(cells, weights=scores - right, minlength=bins)
    squares = np.bincount(cells, weights=(scores - right) ** 2, minlength=bins)
    hits = np.bincount(cells, weights=right, minlength=bins)
    rate = (hits + _EXTRA / 2.0) / (inputs + _EXTRA)
    # As many as are in the bin: of the sample, or of a coin with the smoothed rate where that says more.
    within = np.maximum(squares, inputs * rate * (1.0 - rate))
    variance = np.maximum(within - sums**2 / total, 0.0) / total**2
    return sums / total, np.sqrt(variance)


def _cells(scores: FloatArray, binning: str, bins: int) -> tuple[IntArray, FloatArray]:
    """Bin of each score, shape ``(inputs,)``, and the edges, shape ``(bins + 1,)``."""
    if binning == "equal_width":
        edges = np.linspace(0.0, 1.0, bins + 1)
    else:
        edges = np.quantile(scores, np.linspace(0.0, 1.0, bins + 1))
    cells = np.searchsorted(edges, scores, side="right") - 1
    return np.clip(cells, 0, bins - 1), edges
