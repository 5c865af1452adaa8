"""The paper's baseline: a bound on the mean score, shifted as if the score were a single event."""

from __future__ import annotations

import math

import numpy as np

from smoothcert._check import check_alpha, check_radii
from smoothcert.bounds.shift import shifted_probability
from smoothcert.bounds.stack import HistogramStack
from smoothcert.histogram import ScoreHistogram
from smoothcert.typing import FloatArray


def hoeffding_lower(sample: ScoreHistogram, *, r: FloatArray, alpha: float) -> FloatArray:
    r"""Lower bound on the smoothed score under every shift, from the mean alone.

    With probability at least ``1 - alpha`` over the i.i.d. samples, ``E[h(x + delta + eps)]`` is at least the returned
    value for every shift ``|delta|_2 <= r sigma``, for all ``r`` at once.

    Args:
        sample: Scores of the estimation samples, at least one.
        r: Radii in units of sigma, shape ``(radii,)``.
        alpha: Failure probability in ``(0, 1/2]``.

    Returns:
        Shape ``(radii,)``, in ``[sample.lower, sample.upper]``.

    Raises:
        InvalidArgumentError: If there is no sample or ``alpha`` is outside its domain.

    References:
        Kumar et al. (2020), Theorem 1, https://arxiv.org/abs/2009.08061; Hoeffding (1963).

    Example:
        >>> h = ScoreHistogram.from_samples([0.9] * 1000, lower=0.0, upper=1.0)
        >>> hoeffding_lower(h, r=np.array([0.0, 1.0]), alpha=0.001).round(3)
        array([0.841, 0.5  ])
    """
    return np.asarray(hoeffding_lower_many(HistogramStack.of([sample]), r=r, alpha=alpha)[0])


def hoeffding_lower_many(samples: HistogramStack, *, r: FloatArray, alpha: float) -> FloatArray:
    """:func:`hoeffding_lower` of many inputs, shape ``(inputs, radii)``."""
    width = samples.upper - samples.lower
    epsilon = np.sqrt(-math.log(check_alpha(alpha)) / (2 * np.maximum(samples.n, 1)))
    means = np.maximum((samples.means - samples.lower) / width - epsilon, 0.0)
    return samples.lower + width * shifted_probability(means[:, None], check_radii(r, name="r"))
