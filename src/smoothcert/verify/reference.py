"""Every bound once more, slowly: what claims are checked against.

Nothing in the reference is shared with ``smoothcert.bounds``; NumPy, SciPy and definitions are all there is. One input,
one radius at a time, sums over the samples themselves where the fast code has approximations that can only be lower:
bounds by a band read the survival function at every score that occurs; for the dual bound see ``reference_dual``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit, ndtr, ndtri
from scipy.stats import beta

from smoothcert.verify.counted import Array, Counts, Scores, mirrored_seed
from smoothcert.verify.reference_dual import dual_lower, dual_radius

# --- probabilities of events


def shifted(p: npt.ArrayLike, r: float) -> Array:
    """Least probability that an event of probability ``p`` keeps under a shift of ``r`` standard deviations."""
    return np.asarray(ndtr(ndtri(np.asarray(p, dtype=np.float64)) - r))


def binomial_lower(k: int, n: int, alpha: float) -> float:
    """Clopper-Pearson lower bound."""
    return 0.0 if k == 0 else float(beta.ppf(alpha, k, n - k + 1))


def binomial_upper(k: int, n: int, alpha: float) -> float:
    """Clopper-Pearson upper bound."""
    return 1.0 if k == n else float(beta.isf(alpha, k + 1, n - k))


def cohen_radius(k: int, n: int, alpha: float) -> float:
    """Class radius in units of sigma from the votes for the class."""
    return max(float(ndtri(binomial_lower(k, n, alpha))), 0.0)


def pairwise_radius(k: int, rival: int, n: int, alpha: float) -> float:
    """Class radius in units of sigma from the votes for the class and for its strongest rival, alpha / 2 for each."""
    p, q = binomial_lower(k, n, alpha / 2), binomial_upper(rival, n, alpha / 2)
    return max(float(ndtri(p) - ndtri(q)) / 2.0, 0.0) if p > q else 0.0


def class_radius(pilot_votes: Counts, votes: Counts, prediction: int, alpha: float) -> float:
    """Class radius in units of sigma, by the way that the pilot's votes promise more of."""
    n0, n = int(pilot_votes.sum()), int(votes.sum())
    own, rival = int(votes[prediction]), int(np.delete(votes, prediction).max())
    if n0 > 0:
        expected = math.floor(int(pilot_votes[prediction]) * (n / n0))
        expected_rival = math.ceil(int(np.delete(pilot_votes, prediction).max()) * (n / n0))
        pairs = pairwise_radius(expected, min(expected_rival, n - expected), n, alpha)
        if pairs > cohen_radius(expected, n, alpha):
            return pairwise_radius(own, rival, n, alpha)
    return cohen_radius(own, n, alpha)


# --- bounds that read the survival function, or the mean


def dkw_band(k: Counts, n: int, alpha: float) -> Array:
    """Massart's band: what ``k`` of ``n`` samples say about the probability of a score at or above a threshold."""
    return np.maximum(k / n - math.sqrt(math.log(1.0 / alpha) / (2.0 * n)), 0.0)


def clopper_pearson_band(k: Counts, n: int, alpha: float, knots: int = 64) -> Array:
    """Exact binomial bounds at fixed counts, alpha divided by their number; between two of them that of the lower."""
    fixed, bounds = _fixed_counts(n, alpha, knots)
    below = np.searchsorted(fixed, k, side="right") - 1
    return np.where(below >= 0, bounds[below], 0.0)


@lru_cache(maxsize=16)
def _fixed_counts(n: int, alpha: float, knots: int) -> tuple[Counts, Array]:
    edge = float(logit(n / (n + 1.0)))
    wanted = [round(float(x)) for x in np.rint(n * expit(np.linspace(-edge, edge, knots - 1)))]
    fixed = sorted({count for count in [*wanted, n] if count > 0})
    return np.array(fixed), np.array([binomial_lower(count, n, alpha / len(fixed)) for count in fixed])


def binomial_band(k: Counts, n: int, alpha: float) -> Array:
    """Exact binomial bounds where there is one threshold only."""
    return np.array([binomial_lower(own, n, alpha) for own in k.tolist()])


def survival_lower(sample: Scores, r: float, alpha: float, band: Callable[[Counts, int, float], Array]) -> float:
    """The paper's sum: ``a + sum (s_i - s_{i-1}) g_r(p_i)`` over every score ``s_i`` that occurs."""
    at_or_above = sample.n - np.cumsum(sample.counts) + sample.counts
    heights = np.diff(sample.values, prepend=sample.lower)
    return sample.lower + math.fsum(heights * shifted(band(at_or_above, sample.n, alpha), r))


def hoeffding_lower(sample: Scores, r: float, alpha: float) -> float:
    """The paper's baseline: the mean less Hoeffding's margin, shifted as one event."""
    width = sample.upper - sample.lower
    mean = math.fsum((sample.values - sample.lower) / width * sample.counts) / sample.n
    p = max(mean - math.sqrt(math.log(1.0 / alpha) / (2.0 * sample.n)), 0.0)
    return sample.lower + width * float(shifted(p, r))


# --- any bound by its name


def lower(bound: str, pilot: Scores, sample: Scores, r: float, alpha: float, seed: int) -> float:
    """Lower bound by the name of the bound."""
    if bound == "dual":
        return dual_lower(pilot, sample, r, alpha, seed)
    if bound == "hoeffding":
        return hoeffding_lower(sample, r, alpha)
    if bound == "clopper_pearson":
        return survival_lower(sample, r, alpha, binomial_band if sample.levels == 1 else clopper_pearson_band)
    if bound == "cdf":
        return survival_lower(sample, r, alpha, dkw_band)
    raise KeyError(bound)


def upper(bound: str, pilot: Scores, sample: Scores, r: float, alpha: float, seed: int) -> float:
    """Upper bound: a lower bound on the mirrored scores."""
    mirrored = lower(bound, pilot.mirrored(), sample.mirrored(), r, alpha, mirrored_seed(seed))
    return sample.lower + sample.upper - mirrored


def radius(bound: str, pilot: Scores, sample: Scores, threshold: float, alpha: float, seed: int) -> float:
    """Certified radius of a threshold in units of sigma."""
    if threshold < sample.lower:
        return math.inf
    if bound == "dual":
        return dual_radius(pilot, sample, threshold, alpha, seed)
    inside, outside = 0.0, 64.0
    if not lower(bound, pilot, sample, 0.0, alpha, seed) > threshold:
        return 0.0
    if lower(bound, pilot, sample, outside, alpha, seed) > threshold:
        return math.inf
    while outside - inside > 1e-12:
        middle = 0.5 * (inside + outside)
        above = lower(bound, pilot, sample, middle, alpha, seed) > threshold
        inside, outside = (middle, outside) if above else (inside, middle)
    return outside
