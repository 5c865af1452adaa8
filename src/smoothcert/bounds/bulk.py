"""Bounds of many inputs at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from smoothcert.bounds.score_certificate import ScoreCertificate
from smoothcert.histogram import ScoreHistogram
from smoothcert.typing import FloatArray


def lower_bounds(
    pilots: Sequence[ScoreHistogram],
    samples: Sequence[ScoreHistogram],
    *,
    radii: Sequence[float] | FloatArray,
    sigma: float,
    alpha: float,
    bound: str = "dual",
) -> FloatArray:
    """Certified lower bounds of many inputs; each row as :meth:`ScoreCertificate.lower` gives it.

    Args:
        pilots: Pilot histograms, one an input.
        samples: Estimation histograms, one an input.
        radii: L2 radii in input units, shape ``(radii,)``.
        sigma: Standard deviation of the noise, in input units.
        alpha: Failure probability of each statement.
        bound: One of ``BOUNDS``.

    Returns:
        Shape ``(inputs, radii)``.

    Raises:
        InvalidArgumentError: If an argument is outside its domain.
    """
    rows = [
        ScoreCertificate(pilot, sample, sigma, alpha).lower(radii, bound)
        for pilot, sample in zip(pilots, samples, strict=True)
    ]
    return np.stack(rows) if rows else np.empty((0, len(radii)))
