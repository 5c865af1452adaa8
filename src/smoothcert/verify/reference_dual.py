"""The dual bound once more: the deal, the tangents, the bets and the capital, one radius at a time.

Samples are dealt anew from the documented seed, tangents and bets are chosen by the same documented rule, and the
capital is the product over the samples where they lie. The fast code moves samples to knots and replaces logarithms by
polynomials, both downward. So whatever that refutes is refuted here, and a claim above what is found here is one that
the samples do not support.

The rule of the bets need not be right for a bound to hold: bets on a group may depend in any way on the pilot and on
groups before it. What has to be right is :meth:`Bets.log_capital`, the tangents, and the deal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, ndtr, ndtri

from smoothcert.verify.counted import Array, Counts, Scores

KNOTS = 224
SHARES = (1 / 16, 2 / 16, 4 / 16, 9 / 16)
LAST = len(SHARES) - 1
IMAGINED = (0.3, 0.0, 0.0, 0.0)
ROUNDS = 2
BLOCKS = tuple(0.75**k for k in range(12))
WORST_SHARE = 0.15
BOLDEST = 0.98
CLAIMS = tuple(-2.25 + 5.0 * k / 47 for k in range(48))
MANY_SAMPLES = 1_000_000
LARGEST_SHIFT = 1e6
LARGEST_TESTED_SHIFT = 8.0


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
    found: Counts = np.unique(np.rint(np.asarray(wanted, dtype=np.float64))).astype(np.int64)
    if found.size > KNOTS:
        return np.asarray(found[np.rint(np.arange(KNOTS) * ((found.size - 1) / (KNOTS - 1))).astype(np.int64)])
    return np.append(found, np.full(KNOTS - found.size, found[-1]))


def place(knots: Counts, cells: Counts) -> tuple[Counts, Array]:
    """The knot at or below each cell, and how far the cell is on the way to the next; the last knot ends a step."""
    left = np.searchsorted(knots, cells, side="right") - 1
    left = np.minimum(left, int(np.searchsorted(knots, knots[-1])) - 1)
    return np.asarray(left), (cells - knots[left]) / (knots[left + 1] - knots[left])


def on_knots(knots: Counts, cells: Counts, counts: Counts) -> Array:
    """Samples as fractions of samples at the knots around them, with the same number and mean."""
    weights = np.zeros(knots.size)
    left, share = place(knots, cells)
    np.add.at(weights, left, counts * (1.0 - share))
    np.add.at(weights, left + 1, counts * share)
    return weights


def dealt(sample: Scores, seed: int) -> Counts:
    """Samples of each cell in each group, the last group in blocks; shape ``(groups, cells)``."""
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
            odds = np.log(above / below[:-1])
        steps = np.rint(np.clip(odds, -34.5, 34.5) * 64 + 64 * 34.5) - 64 * 34.5
        tail = ndtri(expit(-np.abs(steps) / 64))
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
        for _ in range(3 if start is None else 2):
            inverse = 1.0 / (1.0 + math.exp(log_s) * value)
            total = float(inverse @ weights)
            growth = max(math.log(total) - float(np.log(inverse) @ weights), 1e-300)
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


class Dealt:
    """The samples of one input in their groups, and where they lie between the knots.

    Args:
        pilot: Scores that may tune the bets.
        sample: Scores the bound is computed from.
        seed: Of the deal.
    """

    def __init__(self, pilot: Scores, sample: Scores, seed: int) -> None:
        knots = knots_of(pilot)
        self.n = sample.n
        self.width = sample.upper - sample.lower
        self.widths = np.diff(sample.at(knots))
        self.pilot = on_knots(knots, pilot.cells, pilot.counts)
        # What is bet on: the first groups, and the last in blocks with one tangent for all of them.
        self.parts = list(dealt(sample, seed))
        self.fractions = [on_knots(knots, sample.cells, part) for part in self.parts]
        self.left, self.share = place(knots, sample.cells)

    def at_samples(self, deficit: Array) -> Array:
        """The deficit at each score that occurs: it is linear between knots."""
        return np.asarray(deficit[self.left] * (1.0 - self.share) + deficit[self.left + 1] * self.share)


class Bets:
    """All bets at one radius, each fixed before the samples it is placed on; claims are above the lowest value.

    Args:
        on: The samples.
        r: Radius in units of sigma.
        alpha: Failure probability.
    """

    def __init__(self, on: Dealt, r: float, alpha: float) -> None:
        self.on = on
        self.target = -math.log(alpha)
        self.delta = self.target / on.n
        wholes = [*on.fractions[:LAST], np.sum(on.fractions[LAST:], axis=0)]
        past, worst = on.pilot, None
        self.lines: list[Line] = []
        self.stakes: list[float] = []
        limits = [math.inf]
        for imagined, whole in zip(IMAGINED, wholes, strict=True):
            response = Response.to(past, on.widths, r, self.delta, guess=worst, rounds=ROUNDS, imagined=imagined)
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
        self.exact = [on.at_samples(line.deficit) for line in self.lines]

    def log_capital(self, claim: float, *, reacting: bool) -> float:
        """Logarithm of the capital won against "at most ``claim``": the sum over all samples, where they lie.

        Each factor is ``1 + stake (u - deficit)``, with ``u`` the mean deficit that the claim implies at least. Under
        the claim its mean is at most 1, and it is never negative, so the capital is at least ``1 / alpha`` with
        probability at most ``alpha``.
        """
        accounted = won = 0.0
        left = float(sum(part.sum() for part in self.on.fractions[LAST:]))
        for number, (part, fractions) in enumerate(zip(self.on.parts, self.on.fractions, strict=True)):
            group = min(number, LAST)
            line, stake = self.lines[group], self.stakes[group]
            u = (line.ceiling - min(claim, self.limit)) / line.scale
            if reacting:
                u = min(max((line.ceiling - claim) / line.scale, 0.0), 2.0)
                if group == LAST:  # what is still needed, by an account of what was won that is never too high
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

    def largest_refuted(self) -> float:
        """The bound above the lowest value: claims are tested in an order fixed before the last group."""
        width = self.on.width
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
    square = x * x
    return float(weights @ (x - square / 2.0 + square * x / 3.0 - k * square * square))


def dual_lower(pilot: Scores, sample: Scores, r: float, alpha: float, seed: int) -> float:
    """The dual bound at one radius."""
    bets = Bets(Dealt(pilot, sample, seed), min(r, LARGEST_SHIFT), alpha)
    return min(max(sample.lower + bets.largest_refuted(), sample.lower), sample.upper)


def dual_radius(pilot: Scores, sample: Scores, threshold: float, alpha: float, seed: int) -> float:
    """Largest radius, in units of sigma, in a sequence fixed by the pilot before the first that fails."""
    claim, samples, reached = threshold - sample.lower, Dealt(pilot, sample, seed), 0.0
    for r in radii_to_test(pilot, claim, sample.n, alpha):
        bets = Bets(samples, r, alpha)
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
    first, last = 0.85 * end, min(1.15 * end + 0.05, LARGEST_TESTED_SHIFT)
    step = 2.0 ** round(math.log2((last - first) / 120))
    fine = [step * k for k in range(math.floor(first / step), math.ceil(last / step) + 1)]
    fine = [r for r in fine if 0.0 <= r <= LARGEST_TESTED_SHIFT]
    return [float(r) for r in np.unique(np.concatenate((coarse, fine)))]
