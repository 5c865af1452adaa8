"""Bounds of many inputs at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from smoothcert._check import check_choice, check_radii, check_sigma
from smoothcert.bounds.dual import dual_lower_many
from smoothcert.bounds.score_certificate import BOUNDS, LARGEST_SHIFT, ScoreCertificate
from smoothcert.errors import InvalidArgumentError
from smoothcert.histogram import ScoreHistogram
from smoothcert.typing import FloatArray

CHUNK = 16  # inputs at once: enough to spread the overhead of a call, few enough to stay in the cache


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
    if len(pilots) != len(samples):
        raise InvalidArgumentError(f"pilots and samples must pair up; got {len(pilots)} and {len(samples)}")
    shifts = np.minimum(check_radii(radii) / check_sigma(sigma), LARGEST_SHIFT)
    check_choice("bound", bound, BOUNDS)
    if bound == "dual":
        rows = [
            dual_lower_many(pilots[start : start + CHUNK], samples[start : start + CHUNK], r=shifts, alpha=alpha)
            for start in range(0, len(samples), CHUNK)
        ]
    else:
        rows = [
            ScoreCertificate(pilot, sample, sigma, alpha).lower(radii, bound)[None]
            for pilot, sample in zip(pilots, samples, strict=True)
        ]
    return np.concatenate(rows) if rows else np.empty((0, shifts.size))
