"""A statistic of a data set with a bootstrap confidence interval over its inputs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from smoothcert._check import check_count
from smoothcert.analysis.proportion import CONFIDENCE
from smoothcert.typing import IntArray

RESAMPLES = 1_000


@dataclass(frozen=True)
class Estimate:
    """A statistic of the inputs and its 95% interval over the draw of the inputs.

    Args:
        value: The statistic over all inputs.
        ci_low: Lower end of the interval; ``None`` where fewer than two inputs leave nothing to resample.
        ci_high: Upper end of the interval; ``None`` likewise.
    """

    value: float
    ci_low: float | None
    ci_high: float | None


def bootstrap_estimate(
    statistic: Callable[[IntArray], float],
    *,
    inputs: int,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate | None:
    """A statistic and its 95% bootstrap interval, resampling inputs with replacement.

    Approximate, unlike everything that carries ``alpha``: the interval covers as often as it says only for many
    inputs. SciPy's ``bootstrap`` does the same, but gives up where one resample leaves the statistic undefined.

    Args:
        statistic: From the indices of the inputs, shape ``(inputs,)`` with repeats, to the statistic; NaN where it is
            not defined, for example a correlation of constants.
        inputs: Number of inputs, at least 1.
        resamples: Number of resamples, at least 1.
        seed: Seed of the resampling, so that a report is the same twice.

    Returns:
        The estimate, or ``None`` where the statistic over all inputs is not defined.

    Raises:
        InvalidArgumentError: If ``inputs`` or ``resamples`` is below 1.

    References:
        Efron and Tibshirani (1993), An Introduction to the Bootstrap, Section 13.3.

    Example:
        >>> values = np.arange(100.0)
        >>> estimate = bootstrap_estimate(lambda i: float(values[i].mean()), inputs=100)
        >>> estimate.ci_low < estimate.value < estimate.ci_high
        True
    """
    total = check_count("inputs", inputs)
    rounds = check_count("resamples", resamples)
    value = statistic(np.arange(total))
    if math.isnan(value):
        return None
    if total < 2:
        return Estimate(value, None, None)
    generator = np.random.default_rng(seed)
    draws = np.array([statistic(generator.integers(total, size=total)) for _ in range(rounds)])
    defined = draws[~np.isnan(draws)]
    if defined.size == 0:
        return Estimate(value, None, None)
    low, high = np.quantile(defined, [(1.0 - CONFIDENCE) / 2.0, (1.0 + CONFIDENCE) / 2.0])
    return Estimate(value, float(low), float(high))
