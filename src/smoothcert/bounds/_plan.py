"""The bets of the dual bound: tangents and stakes for each group of samples, from the samples before it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from smoothcert._check import check_alpha
from smoothcert.bounds._deal import Groups, in_groups
from smoothcert.bounds._reactive import Moments, claimed_deficit, reactive_log_capital
from smoothcert.bounds._tangent import Tangent, Tilt, deficit_at, tangent_at, tilt
from smoothcert.bounds._wager import BOLDEST, Wager
from smoothcert.bounds.stack import HistogramStack
from smoothcert.typing import FloatArray

# Each group of samples is bet on with what the pilot and the groups before it showed: its share of the samples, how
# often its tangent is moved to the worst distribution, and samples at the lowest value imagined when the bet is
# chosen. Only the first group is bet on with little in hand, and a surprise there would cost most.
SHARES = (1 / 16, 2 / 16, 4 / 16, 9 / 16)
ROUNDS = (3, 2, 1, 1)
IMAGINED = (0.3, 0.0, 0.0, 0.0)
BLOCKS = 0.75 ** np.arange(12)  # the last group again, in blocks for bets that react: shares in proportion
WORST_SHARE = 0.15  # mass always added at the lowest value, in units of the nats per sample: nobody has seen everything


@dataclass(frozen=True)
class Plan:
    """Everything decided before the last group is looked at, and the samples it is decided for."""

    wager: Wager  # all groups, bets common to all claims
    blocks: list[FloatArray]  # the last group again, in blocks
    delta: FloatArray  # nats a sample that refute a claim, (inputs, 1)
    expected: FloatArray  # the bound to expect, (inputs, radii)
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


def deal(pilots: HistogramStack, samples: HistogramStack) -> Groups:
    """Deal the samples to the groups, the last in blocks.

    Raises:
        InvalidArgumentError: If an input has no sample or the grids differ.
    """
    return in_groups(pilots, samples, shares=(*SHARES[:-1], *(SHARES[-1] * BLOCKS / BLOCKS.sum())))


def place_bets(dealt: Groups, *, r: FloatArray, alpha: float) -> Plan:
    """Tangents and bets of every group, each from the samples before it."""
    blocks = dealt.samples[len(SHARES) - 1 :]
    groups = [*dealt.samples[: len(SHARES) - 1], np.sum(blocks, axis=0)]
    log_target = -math.log(check_alpha(alpha))
    delta = log_target / sum(group.sum(axis=-1) for group in groups)
    past, worst = dealt.pilot, None
    tangents, bets, limits = [], [], []
    for rounds, imagined, group in zip(ROUNDS, IMAGINED, groups, strict=True):
        response = best_response(
            past, dealt.positions, r[:, None], delta, guess=worst, rounds=rounds, imagined=imagined
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
        """The bound to expect, shape ``(inputs, radii)``."""
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
    base, widths = float(positions[0, 0]), np.diff(positions, axis=-1)[:, None, :]
    for _ in range(rounds - 1):
        tilted = weights if guess is None else weights * guess.density
        guess = tilt(weights, deficit_at(tilted, widths, shift), delta, start=None if guess is None else guess.log_s)
    tangent = tangent_at(weights if guess is None else weights * guess.density, widths, shift, base)
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
