"""Bounds of many inputs at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from smoothcert._check import check_alpha, check_choice, check_radii, check_sigma
from smoothcert.bounds.cdf import cdf_lower_many
from smoothcert.bounds.dual import dual_lower_many
from smoothcert.bounds.hoeffding import hoeffding_lower_many
from smoothcert.bounds.score_certificate import BOUNDS, LARGEST_SHIFT
from smoothcert.bounds.stack import Histograms, HistogramStack
from smoothcert.errors import InvalidArgumentError
from smoothcert.typing import FloatArray

CHUNK = 32  # inputs at once: enough to spread the overhead of a call, few enough to stay in the cache
LARGE_CHUNK = 128  # the same for bounds that share a table
WITHOUT_PILOT: dict[str, Callable[..., FloatArray]] = {
    "cdf": cdf_lower_many,
    "hoeffding": hoeffding_lower_many,
    "clopper_pearson": partial(cdf_lower_many, band="clopper_pearson", placement="all"),
}


def lower_bounds(
    pilots: Histograms,
    samples: Histograms,
    *,
    radii: Sequence[float] | FloatArray,
    sigma: float,
    alpha: float,
    bound: str = "dual",
) -> FloatArray:
    """Certified lower bounds of many inputs; each row as :meth:`ScoreCertificate.lower` gives it.

    Works in chunks, so that memory beyond the histograms and the result is bounded.

    Args:
        pilots: Pilot histograms on one grid, one an input.
        samples: Estimation histograms on the same grid, one an input.
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
    level = check_alpha(alpha)
    if len(samples) == 0:
        return np.empty((0, shifts.size))
    bet_on, drawn = HistogramStack.of(pilots), HistogramStack.of(samples)

    size = CHUNK if bound == "dual" else LARGE_CHUNK
    rows = []
    for chunk in (slice(start, start + size) for start in range(0, len(drawn), size)):
        if bound == "dual":
            rows.append(dual_lower_many(bet_on[chunk], drawn[chunk], r=shifts, alpha=level))
        else:
            rows.append(WITHOUT_PILOT[bound](drawn[chunk], r=shifts, alpha=level))
    return np.concatenate(rows)
