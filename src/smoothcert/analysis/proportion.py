"""A fraction of a data set's inputs with its exact binomial confidence interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from smoothcert._check import check_count
from smoothcert.bounds import clopper_pearson_lower, clopper_pearson_upper
from smoothcert.typing import FloatArray

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Proportion:
    """A fraction of inputs and its two-sided 95% Clopper-Pearson interval.

    The interval is over the draw of the inputs: it covers the fraction one would find on all inputs of the same kind,
    if these are an independent sample of them. It says nothing about the noise; ``alpha`` does that.

    Args:
        count: Inputs that have the property.
        inputs: Inputs looked at, at least 1.
        value: ``count / inputs``.
        ci_low: Lower end of the interval.
        ci_high: Upper end of the interval.
    """

    count: int
    inputs: int
    value: float
    ci_low: float
    ci_high: float


def proportion_interval(counts: npt.ArrayLike, *, inputs: int) -> tuple[FloatArray, FloatArray]:
    """Two-sided 95% Clopper-Pearson interval, entry by entry.

    Each interval covers its fraction with probability at least 0.95 over the draw of the inputs; one statement for
    each entry, not all of them at once.

    Args:
        counts: Inputs that have the property, any shape, in ``[0, inputs]``.
        inputs: Inputs looked at, at least 1.

    Returns:
        Lower and upper ends, each of the shape of ``counts``, in ``[0, 1]``.

    Raises:
        InvalidArgumentError: If a count is outside ``[0, inputs]`` or ``inputs`` is below 1.

    References:
        Clopper and Pearson (1934), Biometrika 26(4), https://doi.org/10.1093/biomet/26.4.404.

    Example:
        >>> low, high = proportion_interval([0, 5, 10], inputs=10)
        >>> low.round(4), high.round(4)
        (array([0.    , 0.1871, 0.6915]), array([0.3085, 0.8129, 1.    ]))
    """
    total = check_count("inputs", inputs)
    each_side = (1.0 - CONFIDENCE) / 2.0
    successes = np.asarray(counts, dtype=np.int64)
    return (
        clopper_pearson_lower(successes, n=total, alpha=each_side),
        clopper_pearson_upper(successes, n=total, alpha=each_side),
    )


def proportion(count: int, *, inputs: int) -> Proportion:
    """The fraction ``count / inputs`` with its interval.

    Raises:
        InvalidArgumentError: If the count is outside ``[0, inputs]`` or ``inputs`` is below 1.

    Example:
        >>> proportion(5, inputs=10).value
        0.5
    """
    low, high = proportion_interval(count, inputs=inputs)
    return Proportion(int(count), int(inputs), int(count) / int(inputs), float(low), float(high))
