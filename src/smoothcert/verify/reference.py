"""Every bound once more, slowly: what claims are checked against.

Nothing here is shared with ``smoothcert.bounds``; NumPy, SciPy and the definitions below are all there is. One input,
one radius at a time, sums over the samples themselves where the fast code has approximations that can only be lower:

- CDF bounds read the survival function at every score that occurs.
- The dual bound deals the samples anew from the documented seed, chooses tangents and bets by the same documented rule,
  and computes the capital as the product over the samples where they lie. The fast code moves samples to knots and
  replaces logarithms by polynomials, both downward. So whatever that refutes is refuted here, and a claim above what is
  found here is one that the samples do not support.

The rule of the bets need not be right for a bound to hold: bets of a group may depend in any way on the pilot and on
groups before it. What has to be right is :func:`Bets.log_capital`, the tangents, and the deal.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit, ndtr, ndtri
from scipy.stats import beta

Array = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

KNOTS = 224
SHARES = (1 / 24, 2 / 24, 21 / 24)
IMAGINED = (0.3, 0.0, 0.0)
ROUNDS = 3
BLOCKS = tuple(0.75**k for k in range(12))
WORST_SHARE = 0.15
BOLDEST = 0.98
CLAIMS = tuple(-6.0 + 13.0 * k / 124 for k in range(125))
MANY_SAMPLES = 1_000_000
LARGEST_SHIFT = 1e6
LARGEST_TESTED_SHIFT = 8.0


@dataclass(frozen=True)
class Scores:
    """Scores of one input in one stage, each rounded down to a grid of equal steps.

    Args:
        lower: Smallest value a score can take.
        upper: Largest value a score can take.
        levels: Number of steps.
        cells: Grid points that hold samples, ascending, numbered from 0.
        counts: Samples at each.
        exact: Whether nothing was rounded.
    """

    lower: float
    upper: float
    levels: int
    cells: Counts
    counts: Counts
    exact: bool = False

    @cached_property
    def n(self) -> int:
        """Number of samples."""
        return int(self.counts.sum())

    @cached_property
    def values(self) -> Array:
        """The grid points that hold samples."""
        return self.at(self.cells)

    def at(self, cells: Counts) -> Array:
        """Values of grid points."""
        inner = self.lower + (self.upper - self.lower) * (cells / self.levels)
        return np.asarray(np.where(cells == self.levels, self.upper, inner))

    def mirrored(self) -> Scores:
        """``lower + upper - x``, with ``x`` rounded up to the grid first."""
        held: dict[int, int] = {}
        for cell, count in zip(self.cells.tolist(), self.counts.tolist(), strict=True):
            up = cell if self.exact else min(cell + 1, self.levels)
            held[self.levels - up] = held.get(self.levels - up, 0) + count
        cells = sorted(held)
        counts = np.array([held[cell] for cell in cells], dtype=np.int64)
        return Scores(self.lower, self.upper, self.levels, np.array(cells, dtype=np.int64), counts, self.exact)


def deal_seed(seed: int, content_hash: str, measure: str) -> int:
    """Seed of the deal of a measure: the first 128 bits of SHA-256, big-endian."""
    return int(hashlib.sha256(f"{seed}:{content_hash}:deal:{measure}".encode()).hexdigest()[:32], 16)


def mirrored_seed(seed: int) -> int:
    """Seed of the deal of the upper bound."""
    return int(hashlib.sha256(f"{seed}:mirrored".encode()).hexdigest()[:32], 16)


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
    edge = float(logit(n / (n + 1.0)))
    wanted = [round(float(x)) for x in np.rint(n * expit(np.linspace(-edge, edge, knots - 1)))]
    fixed = sorted({count for count in [*wanted, n] if count > 0})
    bounds = [binomial_lower(count, n, alpha / len(fixed)) for count in fixed]
    below = [max((i for i, count in enumerate(fixed) if count <= own), default=-1) for own in np.unique(k).tolist()]
    table = dict(zip(np.unique(k).tolist(), below, strict=True))
    return np.array([bounds[table[own]] if table[own] >= 0 else 0.0 for own in k.tolist()])


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


# --- the dual bound


def knots_of(pilot: Scores) -> Counts:
    """Grid points between which everything is linear, from the pilot alone; ascending, some repeated."""
    even, below, low, high = KNOTS // 5, KNOTS // 8, KNOTS // 5, KNOTS // 10
    body = KNOTS - even - below - low - high
    if pilot.n == 0:
        return np.rint(np.linspace(0, pilot.levels, KNOTS)).astype(np.int64)
    tails = float(pilot.n) ** (np.linspace(0.0, 1.0, low) - 1.0) / 2.0
    tops = 1.0 - float(pilot.n) ** (np.linspace(0.0, 1.0, high) - 1.0) / 2.0
    wanted = [*np.linspace(0, pilot.levels, even), *(pilot.cells[0] * np.linspace(0.0, 1.0, below))]
    running = np.cumsum(pilot.counts)
    for share in [*np.linspace(0.0, 1.0, body), *tails, *tops]:
        rank = max(math.ceil(share * pilot.n), 1)
        entry = min(int(np.searchsorted(running, rank)), running.size - 1)
        heavy = pilot.counts[entry] * body > pilot.n  # an atom gets a knot on either side
        wanted += [pilot.cells[entry], min(pilot.cells[entry] + int(heavy), pilot.levels)]
    found = np.unique(np.rint(np.asarray(wanted, dtype=np.float64))).astype(np.int64)
    if found.size > KNOTS:
        return found[np.rint(np.arange(KNOTS) * ((found.size - 1) / (KNOTS - 1))).astype(np.int64)]
    return np.append(found, np.full(KNOTS - found.size, found[-1]))


def place(knots: Counts, cells: Counts) -> tuple[Counts, Array]:
    """The knot at or below each cell, and how far the cell is on the way to the next; the last knot ends a step."""
    left = np.searchsorted(knots, cells, side="right") - 1
    left = np.minimum(left, int(np.searchsorted(knots, knots[-1])) - 1)
    return left, (cells - knots[left]) / (knots[left + 1] - knots[left])


def on_knots(knots: Counts, cells: Counts, counts: Counts) -> Array:
    """Samples as fractions of samples at the knots around them, with the same number and mean."""
    weights = np.zeros(knots.size)
    left, share = place(knots, cells)
    np.add.at(weights, left, counts * (1.0 - share))
    np.add.at(weights, left + 1, counts * share)
    return weights


def dealt(sample: Scores, seed: int) -> Counts:
    """Samples of each cell in each group: two groups, then the blocks of the third; shape ``(groups, cells)``."""
    shares = np.array([*SHARES[:-1], *(SHARES[-1] * share / sum(BLOCKS) for share in BLOCKS)])
    bits = np.random.PCG64(seed)
    if sample.n > MANY_SAMPLES:
        return np.asarray(np.random.Generator(bits).multinomial(sample.counts, shares).T)
    words = bits.random_raw(-(-sample.n // 8))
    stream = np.array([(words >> np.uint64(8 * byte)) & np.uint64(255) for byte in range(8)]).T.ravel()[: sample.n]
    group = np.searchsorted(np.rint(256 * np.cumsum(shares)), stream, side="right")
    held = np.zeros((shares.size, sample.cells.size), dtype=np.int64)
    np.add.at(held, (group, np.repeat(np.arange(sample.cells.size), sample.counts)), 1)
    return held


@dataclass(frozen=True)
class Line:
    """A tangent of the shift function along the knots: ``Theta - a >= ceiling - scale E[deficit(X)]``.

    The deficit at a score is the part of ``scale``, the integral of the slopes, that lies above it.
    """

    ceiling: float
    scale: float
    deficit: Array  # at the knots; linear between them

    @classmethod
    def at(cls, weights: Array, widths: Array, r: float) -> Line:
        """The tangents at the survival function of these weights, each at a normal quantile near it."""
        below = np.cumsum(weights)
        above = below[-1] - below[:-1]
        with np.errstate(divide="ignore", over="ignore"):
            odds = np.log((above / below[:-1]).astype(np.float32))
        steps = np.rint(np.clip(odds, -34.5, 34.5) * 64 + 64 * 34.5) - 64 * 34.5
        tail = ndtri(expit(-np.abs(steps.astype(np.float64)) / 64))
        z = np.where(steps < 0, tail, -tail)
        slope = np.exp(np.maximum(r * z - 0.5 * r * r, -650.0))
        value_at_one = ndtr(z - r) + slope * ndtr(-z)
        above_each = np.append(np.cumsum((slope * widths)[::-1])[::-1], 0.0)
        scale = float(above_each[0])
        # Less what rounding may have added.
        return cls(float(value_at_one @ widths) * (1.0 - 1e-12) - 1e-250, scale, above_each / scale)


@dataclass(frozen=True)
class Tilt:
    """The distribution with the largest mean deficit within ``delta`` nats of another one."""

    log_s: float
    density: Array
    total: float

    @property
    def bet(self) -> float:
        """The bet that separates the two."""
        return math.exp(self.log_s) * self.total

    @property
    def value(self) -> float:
        """Mean of ``1 - deficit`` in it."""
        return (1.0 - self.total) / self.bet

    @classmethod
    def of(cls, weights: Array, deficit: Array, delta: float, start: Tilt | None) -> Tilt:
        """By Newton steps on the logarithm of the tilt."""
        value = 1.0 - deficit
        if start is None:
            mean = float(value @ weights)
            variance = max(float((value * value) @ weights) - mean * mean, 1e-24)
            log_s = min(max(0.5 * math.log(2.0 * delta / variance), -30.0), 30.0)
        else:
            log_s = start.log_s
        kind = np.float32 if delta > 1e-6 else np.float64
        for _ in range(3 if start is None else 2):
            inverse = 1.0 / (1.0 + math.exp(log_s) * value)
            total = float(inverse @ weights)
            growth = max(math.log(total) - float(np.log(inverse.astype(kind)) @ weights), 1e-300)
            climb = max(float((inverse * inverse) @ weights) / total - total, 1e-300)
            step = math.log(delta / growth) * growth / climb
            log_s = min(max(log_s + min(max(step, -3.0), 3.0), -30.0), 30.0)
        inverse = 1.0 / (1.0 + math.exp(log_s) * value)
        return cls(log_s, inverse, float(inverse @ weights))


@dataclass(frozen=True)
class Response:
    """What to bet on a group, from the samples before it."""

    line: Line
    bet: float
    value: float
    worst: Tilt

    @property
    def expected(self) -> float:
        """The bound to expect, above the lowest value."""
        return self.line.ceiling - self.line.scale * (1.0 - self.worst.value)

    @classmethod
    def to(
        cls, past: Array, widths: Array, r: float, delta: float, *, guess: Tilt | None, rounds: int, imagined: float
    ) -> Response:
        """Tangent at the worst distribution within ``delta`` nats of the past, and the bet that separates the two."""
        total = float(past.sum())
        weights = past / max(total, 1.0) if total > 0 else np.full(past.size, 1.0 / past.size)
        weights = _with_mass_at_lowest(weights, WORST_SHARE * delta)
        for _ in range(rounds - 1):
            tilted = weights if guess is None else weights * guess.density
            guess = Tilt.of(weights, Line.at(tilted, widths, r).deficit, delta, guess)
        line = Line.at(weights if guess is None else weights * guess.density, widths, r)
        worst = Tilt.of(weights, line.deficit, delta, guess)
        bet = worst.bet
        if imagined:
            cautious = _with_mass_at_lowest(weights, imagined / max(total, 1.0))
            bet = Tilt.of(cautious, line.deficit, delta, worst).bet
        return cls(line, bet, float((1.0 - line.deficit) @ weights), worst)


def _with_mass_at_lowest(weights: Array, mass: float) -> Array:
    more = weights.copy()
    more[0] += mass
    return np.asarray(more / more.sum())


class Bets:
    """All bets at one radius, each fixed before the samples it is placed on; claims are above the lowest value.

    Args:
        pilot: Scores that may tune the bets.
        groups: Samples of each cell in each group; see :func:`dealt`.
        sample: The scores that were dealt.
        r: Radius in units of sigma.
        alpha: Failure probability.
    """

    def __init__(self, pilot: Scores, groups: Counts, sample: Scores, r: float, alpha: float) -> None:
        knots = knots_of(pilot)
        positions = sample.at(knots)
        widths = np.diff(positions)
        self.target = -math.log(alpha)
        self.delta = self.target / sample.n
        # What is bet on: the two first groups, and the third in blocks with one tangent for all of them.
        self.parts = [groups[0], groups[1], *groups[2:]]
        self.fractions = [on_knots(knots, sample.cells, part) for part in self.parts]
        wholes = [self.fractions[0], self.fractions[1], np.sum(self.fractions[2:], axis=0)]
        past, worst = on_knots(knots, pilot.cells, pilot.counts), None
        self.lines: list[Line] = []
        self.stakes: list[float] = []
        limits = [math.inf]
        for imagined, whole in zip(IMAGINED, wholes, strict=True):
            response = Response.to(past, widths, r, self.delta, guess=worst, rounds=ROUNDS, imagined=imagined)
            total = float(past.sum())
            highest = min(3.0 * response.value + 20.0 / max(total, 20.0), 1.0)
            self.lines.append(response.line)
            self.stakes.append(min(response.bet, BOLDEST / highest) if total > 0 else 0.0)
            if total > 0:
                limits.append(response.line.ceiling - response.line.scale * (1.0 - highest))
            worst, past = response.worst, past + whole
        self.limit = min(limits)
        self.expected = response.expected
        self.error = response.line.scale * (response.value - response.worst.value) / math.sqrt(2.0 * self.target)
        self.steady = self.stakes[-1] * (1.0 - response.value) > 1.0
        left, share = place(knots, sample.cells)
        self.exact = [line.deficit[left] * (1.0 - share) + line.deficit[left + 1] * share for line in self.lines]

    def log_capital(self, claim: float, *, reacting: bool) -> float:
        """Logarithm of the capital won against "at most ``claim``": the sum over all samples, where they lie.

        Each factor is ``1 + stake (u - deficit)``, with ``u`` the mean deficit that the claim implies at least. Under
        the claim its mean is at most 1, and it is never negative, so the capital is at least ``1 / alpha`` with
        probability at most ``alpha``.
        """
        accounted = won = 0.0
        left = float(sum(part.sum() for part in self.fractions[2:]))
        for number, (part, fractions) in enumerate(zip(self.parts, self.fractions, strict=True)):
            group = min(number, 2)
            line, stake = self.lines[group], self.stakes[group]
            u = (line.ceiling - min(claim, self.limit)) / line.scale
            if reacting:
                u = min(max((line.ceiling - claim) / line.scale, 0.0), 2.0)
                if group == 2:  # what is still needed, by an account of what was won that is never too high
                    needed = max(self.target - accounted, 0.0)
                    stake *= math.sqrt(needed / (max(left, 1.0) * self.delta))
                    stake = min(stake, BOLDEST / max(1.0 - u, 1e-9))
                    left -= float(fractions.sum())
                accounted += _account(stake, u, line.deficit, fractions)
            factors = 1.0 + stake * (u - self.exact[group])
            if not reacting:  # up to the limit no factor is smaller, but by rounding
                factors = np.maximum(factors, 1.0 - BOLDEST)
            won += math.fsum(part[part > 0] * np.log(factors[part > 0]))
        return won

    def refutes(self, claim: float, *, reacting: bool) -> bool:
        """Whether the samples refute "at most ``claim``"."""
        return claim <= self.limit and self.log_capital(claim, reacting=reacting) >= self.target

    def largest_refuted(self, width: float) -> float:
        """The bound above the lowest value: claims are tested in an order fixed before the last group."""
        claims = [self.expected + self.error * step for step in CLAIMS]
        first = min(max(claims[0], 0.0), max(min(self.limit, width), 0.0))
        if self.steady or not self.refutes(first, reacting=False):
            return self._root(width if self.steady else first)
        best = first
        for claim in claims:
            if not self.refutes(claim, reacting=True):
                break
            best = max(best, claim)
        return min(max(best, 0.0), width)

    def _root(self, highest: float) -> float:
        """Largest claim refuted by bets common to all claims: their capital falls as the claim rises."""
        inside, outside = 0.0, max(min(self.limit, highest), 0.0)
        if not self.refutes(0.0, reacting=False):
            return 0.0
        if self.refutes(outside, reacting=False):
            return outside
        while outside - inside > 1e-12 * max(1.0, highest):
            middle = 0.5 * (inside + outside)
            inside, outside = (middle, outside) if self.refutes(middle, reacting=False) else (inside, middle)
        return inside


def _account(stake: float, u: float, deficit: Array, weights: Array) -> float:
    """``log(1 + x) >= x - x^2 / 2 + x^3 / 3 - k x^4`` for ``x >= -y``, summed over samples at the knots."""
    x = stake * (u - deficit)
    y = math.ceil(min(max(stake * (1.0 - u), 0.0), BOLDEST) * (1024 / BOLDEST)) * (BOLDEST / 1024)
    k = 0.25 if y == 0.0 else max(-(math.log1p(-y) + y + y**2 / 2.0 + y**3 / 3.0) / y**4, 0.25)
    return float(weights @ (x - x**2 / 2.0 + x**3 / 3.0 - k * x**4))


def dual_lower(pilot: Scores, sample: Scores, r: float, alpha: float, seed: int) -> float:
    """The dual bound at one radius."""
    bets = Bets(pilot, dealt(sample, seed), sample, min(r, LARGEST_SHIFT), alpha)
    width = sample.upper - sample.lower
    return min(max(sample.lower + bets.largest_refuted(width), sample.lower), sample.upper)


def dual_radius(pilot: Scores, sample: Scores, threshold: float, alpha: float, seed: int) -> float:
    """Largest radius, in units of sigma, in a sequence fixed by the pilot before the first that fails."""
    claim, groups, reached = threshold - sample.lower, dealt(sample, seed), 0.0
    for r in radii_to_test(pilot, claim, sample.n, alpha):
        bets = Bets(pilot, groups, sample, r, alpha)
        if not bets.refutes(claim, reacting=not bets.steady):
            break
        reached = r
    return reached


def radii_to_test(pilot: Scores, claim: float, n: int, alpha: float) -> list[float]:
    """Increasing radii, closer together where the pilot expects the claim to be met."""
    knots = knots_of(pilot)
    past, widths = on_knots(knots, pilot.cells, pilot.counts), np.diff(pilot.at(knots))
    coarse = np.linspace(0.0, LARGEST_TESTED_SHIFT, 33)
    delta = -math.log(alpha) / n
    expected = [Response.to(past, widths, float(r), delta, guess=None, rounds=2, imagined=0.0).expected for r in coarse]
    after = min(sum(value > claim for value in expected), coarse.size - 1)
    end = 0.0
    if after:
        fall = max(expected[after - 1] - expected[after], 1e-12)
        end = float(coarse[after] - (claim - expected[after]) / fall * (coarse[1] - coarse[0]))
    fine = np.linspace(0.85 * end, min(1.15 * end + 0.05, LARGEST_TESTED_SHIFT), 121)
    return [float(r) for r in np.unique(np.concatenate((coarse, fine)))]


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


def least(values: Sequence[float]) -> float:
    """What is said of a lead: the least of what is said of each rival, at no cost."""
    return min(values)
