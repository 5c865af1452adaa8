"""The bets of the dual bound: tangents and stakes for each group of samples, from the samples before it.

Nothing here needs to be right for the dual bound to hold, only to make it large. For every function ``p0(t)`` in
(0, 1), convexity gives ``Theta_r(S) >= ceiling - E[deficit(X)]``; the best ``p0`` is the survival function of the
distribution that minimizes ``Theta_r`` among those within ``delta`` nats per sample of the past, and the best bet is
the one that separates the two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from smoothcert._check import check_alpha
from smoothcert.bounds.capital import BOLDEST, Moments, Wager, claimed_deficit, reactive_log_capital
from smoothcert.bounds.deal import Groups, in_groups
from smoothcert.bounds.shift import Tangent, deficit_at, tangent_at
from smoothcert.bounds.stack import HistogramStack
from smoothcert.typing import FloatArray

# Each group of samples is bet on with what the pilot and the groups before it showed: its share of the samples, and
# samples at the lowest value imagined when the bet is chosen. Only the first group is bet on with little in hand, and a
# surprise there would cost most. Fewer groups were tried on the distributions of ``make bench-bounds``, 40 draws and
# deals each: two of 1/8 and 7/8 lose up to .007, three of 1/24, 1/12 and 7/8 up to .004, and neither gains.
SHARES = (1 / 16, 2 / 16, 4 / 16, 9 / 16)
IMAGINED = (0.3, 0.0, 0.0, 0.0)
# How often a tangent is moved to the worst distribution. Once for the last groups costs .028 at 4,000 samples where one
# in a thousand is low; three times gains nothing.
ROUNDS = 2
BLOCKS = 0.75 ** np.arange(12)  # the last group again, in blocks for bets that react: shares in proportion
COLD_STEPS, WARM_STEPS = 3, 2  # of Newton's method, from a rough guess and from the solution of a like problem
WORST_SHARE = 0.15  # mass always added at the lowest value, in units of the nats per sample: nobody has seen everything


@dataclass(frozen=True)
class Plan:
    """Everything decided before the last group is looked at, and the samples it is decided for."""

    wager: Wager  # all groups, bets common to all claims
    blocks: list[FloatArray]  # the last group again, in blocks
    delta: FloatArray  # nats a sample that refute a claim, (inputs, 1)
    expected: FloatArray  # the bound to expect, above the lowest value, (inputs, radii)
    standard_error: FloatArray  # of the certificate, (inputs, radii)
    steady: npt.NDArray[np.bool_]  # whether to keep to the common bets, (inputs, radii)
    log_target: float

    def reactive_log_capital(self, claims: FloatArray) -> FloatArray:
        """Lower bound on the logarithm of the capital with bets that suit each claim, the shape of ``claims``."""
        *earlier, (tangent, bet, _) = zip(self.wager.tangents, self.wager.bets, self.wager.samples, strict=True)
        capital = np.zeros(claims.shape)
        for before, stake, samples in earlier:
            u = claimed_deficit(before, claims)
            capital += Moments.of([samples], before)[0].log_capital(u, stake[..., None])
        return reactive_log_capital(
            capital, tangent, self.blocks, claims, bet=bet, delta=self.delta, log_target=self.log_target
        )


def deal(pilots: HistogramStack, samples: HistogramStack, *, seeds: Sequence[int]) -> Groups:
    """Deal the samples to the groups, the last in blocks.

    Raises:
        InvalidArgumentError: If an input has no sample or the grids differ.
    """
    shares = (*SHARES[:-1], *(SHARES[-1] * BLOCKS / BLOCKS.sum()))
    return in_groups(pilots, samples, shares=shares, seeds=seeds)


def place_bets(dealt: Groups, *, r: FloatArray, alpha: float) -> Plan:
    """Tangents and bets of every group, each from the samples before it."""
    blocks = dealt.samples[len(SHARES) - 1 :]
    groups = [*dealt.samples[: len(SHARES) - 1], np.sum(blocks, axis=0)]
    log_target = -math.log(check_alpha(alpha))
    delta = log_target / sum(group.sum(axis=-1) for group in groups)
    past, worst = dealt.pilot, None
    tangents, bets, limits = [], [], []
    for imagined, group in zip(IMAGINED, groups, strict=True):
        response = best_response(
            past, dealt.positions, r[:, None], delta, guess=worst, rounds=ROUNDS, imagined=imagined
        )
        tangents.append(response.tangent)
        # Stakes are limited for claims up to three times the mean seen, and those above are not tested. Where nothing
        # has been seen, nothing is bet and nothing limited.
        total = past.sum(axis=-1)
        highest = np.minimum(3.0 * response.value + 20.0 / np.maximum(total, 20.0), 1.0)
        bets.append(np.where(total > 0, np.minimum(response.bet, BOLDEST / highest), 0.0))
        reach = response.tangent.ceiling - response.tangent.scale * (1.0 - highest)
        limits.append(np.where(total > 0, reach, np.inf))
        worst = response.worst
        past = past + group
    # Where a lucky sample can more than double the capital, a few moments do not describe what a bet may do.
    steady = bets[-1] * (1.0 - response.value) > 1.0
    standard_error = response.tangent.scale * (response.value - response.worst.value) / math.sqrt(2.0 * log_target)
    wager = Wager(tangents, bets, groups, np.min(limits, axis=0))
    return Plan(wager, blocks, delta, response.expected, standard_error, steady, log_target)


@dataclass(frozen=True)
class Response:
    """What to do about the next group, and what the past lets one expect of it."""

    tangent: Tangent
    bet: FloatArray  # (inputs, radii)
    value: FloatArray  # mean of 1 - deficit in the past, (inputs, radii)
    worst: Tilt

    @property
    def expected(self) -> FloatArray:
        """The bound to expect, above the lowest value, shape ``(inputs, radii)``."""
        return self.tangent.ceiling - self.tangent.scale * (1.0 - self.worst.value)


def best_response(
    past: FloatArray,
    positions: FloatArray,
    shift: FloatArray,
    delta: FloatArray,
    *,
    guess: Tilt | None,
    rounds: int,
    imagined: float,
) -> Response:
    """Tangent at the worst distribution within ``delta`` nats of the past, and the bet that separates the two.

    ``guess`` is the worst distribution for less of the past.
    """
    total = past.sum(axis=-1, keepdims=True)
    weights = np.where(total > 0, past / np.maximum(total, 1.0), 1.0 / past.shape[-1])
    weights = _with_mass_at_lowest(weights, WORST_SHARE * delta)
    widths = np.diff(positions, axis=-1)[:, None, :]
    for _ in range(rounds - 1):
        tilted = weights if guess is None else weights * guess.density
        guess = tilt(weights, deficit_at(tilted, widths, shift), delta, start=None if guess is None else guess.log_s)
    tangent = tangent_at(weights if guess is None else weights * guess.density, widths, shift)
    worst = tilt(weights, tangent.deficit, delta, start=None if guess is None else guess.log_s)
    bet = worst.bet
    if imagined:
        cautious = _with_mass_at_lowest(weights, imagined / np.maximum(total[..., 0], 1.0))
        bet = tilt(cautious, tangent.deficit, delta, start=worst.log_s).bet
    value = np.matmul(1.0 - tangent.deficit, np.swapaxes(weights, -1, -2))[..., 0]
    return Response(tangent, bet, value, worst)


def _with_mass_at_lowest(weights: FloatArray, mass: FloatArray) -> FloatArray:
    more = weights.copy()
    more[..., 0] += mass
    return np.asarray(more / more.sum(axis=-1, keepdims=True))


@dataclass(frozen=True)
class Tilt:
    """The distribution with the largest mean deficit within ``delta`` nats of the past, and the bet that separates it.

    Args:
        log_s: Logarithm of the tilt ``s``, shape ``(inputs, radii)``.
        density: Of it over the past's, up to a constant: ``1 / (1 + s (1 - deficit))``, shape
            ``(inputs, radii, knots)``.
        total: Its mean ``A`` over the past, shape ``(inputs, radii)``.
    """

    log_s: FloatArray
    density: FloatArray
    total: FloatArray

    @property
    def bet(self) -> FloatArray:
        """The bet ``s A``, shape ``(inputs, radii)``."""
        return np.asarray(np.exp(self.log_s) * self.total)

    @property
    def value(self) -> FloatArray:
        """Mean of ``1 - deficit`` in the worst distribution, positive, shape ``(inputs, radii)``."""
        return np.asarray((1.0 - self.total) / self.bet)


def tilt(weights: FloatArray, deficit: FloatArray, delta: FloatArray, *, start: FloatArray | None = None) -> Tilt:
    """Solve ``growth(s) = delta`` for the tilt ``Q = P / (A (1 + s value))`` with ``value = 1 - deficit``.

    ``A = E_P[1 / (1 + s value)]`` and ``growth = log A + E_P log(1 + s value)``; by Newton steps on the logarithms.

    Args:
        weights: Probabilities ``P``, shape ``(inputs, 1, knots)``.
        deficit: Values in ``[0, 1]``, shape ``(inputs, radii, knots)``.
        delta: Relative entropy per sample, positive, shape ``(inputs, 1)``.
        start: A guess of ``log s`` that is near enough for one step, shape ``(inputs, radii)``.
    """
    value = 1.0 - deficit
    column = np.swapaxes(weights, -1, -2)
    inverse, scratch = np.empty_like(value), np.empty_like(value)

    def mean(array: FloatArray) -> FloatArray:
        return np.asarray(np.matmul(array, column)[..., 0])

    def invert(log_s: FloatArray) -> None:
        np.multiply(np.exp(log_s)[..., None], value, out=inverse)
        np.add(1.0, inverse, out=inverse)
        np.divide(1.0, inverse, out=inverse)

    if start is None:
        average = mean(value)
        variance = np.maximum(mean(np.multiply(value, value, out=scratch)) - average * average, 1e-24)
        log_s = np.clip(0.5 * np.log(2.0 * delta / variance), -30.0, 30.0)
    else:
        log_s = start
    # The bet needs no precision, but what is certified should not depend on a processor's single-precision logarithm.
    for _ in range(COLD_STEPS if start is None else WARM_STEPS):
        invert(log_s)
        total = mean(inverse)
        growth = np.maximum(np.log(total) - mean(np.log(inverse, out=scratch)), 1e-300)
        climb = np.maximum(
            mean(np.multiply(inverse, inverse, out=scratch)) / total - total, 1e-300
        )  # of growth in log s
        step = np.log(delta / growth) * growth / climb
        log_s = np.clip(log_s + np.clip(step, -3.0, 3.0), -30.0, 30.0)
    invert(log_s)
    return Tilt(log_s, inverse, mean(inverse))
