"""Capital won against the claim "the certificate is at most c", and which claims it refutes.

Bets of one size common to all claims come first. A bet of one size on n samples ends, at the answer, with a capital
that is sometimes far above ``1 / alpha`` and sometimes far below; Markov's inequality pays for both. Betting on the
remaining samples just what is still needed makes the end near ``1 / alpha`` or near 0, as trading replicates an option,
and brings the bound to the normal limit. What is needed depends on the claim, so with bets that react each claim has
bets of its own and their capital need not decrease in the claim. Claims are therefore tested upward in a sequence fixed
beforehand, until the first that is not refuted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from smoothcert.bounds.shift import Tangent
from smoothcert.typing import FloatArray

BoolArray = npt.NDArray[np.bool_]
BOLDEST = 0.98  # largest share of the capital that one sample can lose
_Y = np.linspace(0.0, BOLDEST, 1025)[1:]
# The k of ``Moments.log_capital`` at equal steps of y, to be read one step up: it increases.
FOURTH = np.append(0.25, np.maximum(-(np.log1p(-_Y) + _Y + _Y**2 / 2.0 + _Y**3 / 3.0) / _Y**4, 0.25))


@dataclass(frozen=True)
class Wager:
    """Bets of fixed size on groups of samples, group after group.

    Claims are measured from the lowest value ``a`` of the score. Under the claim ``Theta_r(S) - a <= c`` the mean
    deficit of every group is at least ``u = (ceiling - c) / scale``; the product of ``1 + bet (u - deficit)`` over the
    samples has expectation at most 1 as long as tangents and bets depend on earlier samples only, and no factor can be
    negative. By Markov it reaches ``1 / alpha`` with probability at most ``alpha``. It decreases in ``c``, so what it
    refutes is an interval.

    Args:
        tangents: One a group.
        bets: One a group, non-negative, shape ``(inputs, radii)``.
        samples: Samples at the knots, one array a group, shape ``(inputs, 1, knots)``.
        limit: Largest claim to test, shape ``(inputs, radii)``: up to it no sample loses more than ``BOLDEST``.
    """

    tangents: Sequence[Tangent]
    bets: Sequence[FloatArray]
    samples: Sequence[FloatArray]
    limit: FloatArray

    def log_capital(self, claim: FloatArray) -> FloatArray:
        """Logarithm of the capital against each claim, shape ``(inputs, radii)``.

        Args:
            claim: Values ``c``, shape ``(inputs, radii)``. Beyond ``limit`` the capital is that at the limit, and
                refutes nothing.
        """
        return np.asarray(sum(_sum(samples, np.log(factor)) for _, samples, factor in self._factors(claim)))

    def _with_slope(self, claim: FloatArray) -> tuple[FloatArray, FloatArray]:
        """:meth:`log_capital` and its derivative, which only guides a search."""
        value, slope = np.zeros(claim.shape), np.zeros(claim.shape)
        for rate, samples, factor in self._factors(claim):
            value += _sum(samples, np.log(factor))
            with np.errstate(over="ignore", invalid="ignore"):
                slope -= _sum(samples, 1.0 / factor) * rate
        return value, slope

    def _factors(self, claim: FloatArray) -> Iterator[tuple[FloatArray, FloatArray, FloatArray]]:
        """Of each group: how fast the factors fall as the claim rises, the samples, and the factors at the knots."""
        for tangent, bet, samples in zip(self.tangents, self.bets, self.samples, strict=True):
            u = (tangent.ceiling - np.minimum(claim, self.limit)) / tangent.scale
            # Up to the limit no factor is below 1 - BOLDEST, but by rounding, where the scale is minute.
            factor = np.maximum(1.0 + bet[..., None] * (u[..., None] - tangent.deficit), 1.0 - BOLDEST)
            with np.errstate(over="ignore"):
                rate = bet / tangent.scale
            yield rate, samples, factor

    def of(self, inputs: BoolArray) -> Wager:
        """The same bets on some of the inputs."""
        return Wager(
            [Tangent(t.ceiling[inputs], t.scale[inputs], t.deficit[inputs]) for t in self.tangents],
            [bet[inputs] for bet in self.bets],
            [samples[inputs] for samples in self.samples],
            self.limit[inputs],
        )

    def largest_refuted(self, log_target: float, *, upper: float, start: FloatArray) -> FloatArray:
        """Largest claim whose capital reaches the target, approached from below.

        Args:
            log_target: Logarithm of the capital that refutes a claim: ``log(1 / alpha)``.
            upper: Largest value to return; 0 where no claim above it is refuted.
            start: Where to start searching, shape ``(inputs, radii)``.
        """
        margin = 1e-10 * upper
        last = np.maximum(np.minimum(self.limit, upper) - margin, 0.0)
        inside, outside = np.zeros(start.shape), last
        claim = np.clip(start, 0.0, last)
        # The logarithm of the capital is concave in the claim, so a tangent meets the target at or above the answer:
        # Newton steps close in from above, and the answer is the last claim seen to be refuted a little below them.
        for step in range(80):
            value, slope = self._with_slope(claim)
            refuted = value >= log_target
            inside = np.where(refuted, np.maximum(inside, claim), inside)
            outside = np.where(refuted, outside, np.minimum(outside, claim))
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                root = claim - (value - log_target) / slope
            outside = np.where(root < outside, np.maximum(root, inside), outside)
            if np.all(outside - inside <= 2.0 * margin):
                break
            claim = np.maximum(outside - margin, inside) if step < 20 else 0.5 * (inside + outside)
        return inside


def _sum(samples: FloatArray, values: FloatArray) -> FloatArray:
    """Sum of values at the knots over the samples there, shape ``(inputs, radii)``."""
    return np.asarray(np.matmul(values, np.swapaxes(samples, -1, -2))[..., 0])


@dataclass(frozen=True)
class Moments:
    """Sums of powers of the deficit over the samples of a group: enough to bound its capital for any claim.

    Args:
        sums: Sums of the powers 0 to 4 of ``deficit - centre``, shape ``(5, inputs, radii, 1)``.
        centre: Any number near the deficits, against cancellation, shape ``(inputs, radii, 1)``.
    """

    sums: FloatArray
    centre: FloatArray

    @classmethod
    def of(cls, groups: list[FloatArray], tangent: Tangent) -> list[Moments]:
        """Moments of groups of samples at the knots, each ``(inputs, 1, knots)``, under one tangent."""
        columns = np.moveaxis(np.concatenate(groups, axis=1), 1, 2)  # (inputs, knots, groups)
        everything = columns.sum(axis=-1, keepdims=True)
        centre = np.matmul(tangent.deficit, everything) / np.maximum(everything.sum(axis=1, keepdims=True), 1.0)
        away = tangent.deficit - centre
        power, sums = np.ones_like(away), []
        for _ in range(5):
            sums.append(np.matmul(power, columns))
            power = power * away
        return [cls(np.stack(sums)[..., [group]], centre) for group in range(len(groups))]

    def log_capital(self, u: FloatArray, bet: FloatArray) -> FloatArray:
        """Lower bound on the sum of ``log(1 + bet (u - deficit))``, shape ``(inputs, radii, claims)``.

        ``log(1 + x) >= x - x^2 / 2 + x^3 / 3 - k x^4`` for all ``x >= -y``, with ``k >= 1/4`` at least such that both
        sides agree at ``-y``.

        Args:
            u: Mean deficit claimed, in ``[0, 2]``, shape ``(inputs, radii, claims)``.
            bet: Non-negative, broadcast to that shape, with ``bet (1 - u) <= BOLDEST``.
        """
        s0, s1, s2, s3, s4 = self.sums
        v = u - self.centre
        scaled = v * s0
        first = scaled - s1
        second = v * (scaled - 2.0 * s1)
        second += s2
        third = v * (scaled - 3.0 * s1)
        third += 3.0 * s2
        third *= v
        third -= s3
        fourth = v * (scaled - 4.0 * s1)
        fourth += 6.0 * s2
        fourth *= v
        fourth -= 4.0 * s3
        fourth *= v
        fourth += s4
        losing = bet * (1.0 - u)
        np.clip(losing, 0.0, BOLDEST, out=losing)
        losing *= (FOURTH.size - 1) / BOLDEST
        k = FOURTH.take(np.ceil(losing, out=losing).astype(np.int64))
        return np.asarray(bet * (first - bet * (second / 2.0 - bet * (third / 3.0 - k * bet * fourth))))


def claimed_deficit(tangent: Tangent, claims: FloatArray) -> FloatArray:
    """Mean deficit that each claim implies, shape ``(inputs, radii, claims)``, at most 2: less than said is safe."""
    u = (tangent.ceiling[..., None] - claims) / tangent.scale[..., None]
    return np.clip(u, 0.0, 2.0)


def reactive_log_capital(
    capital: FloatArray,
    tangent: Tangent,
    blocks: list[FloatArray],
    claims: FloatArray,
    *,
    bet: FloatArray,
    delta: FloatArray,
    log_target: float,
) -> FloatArray:
    """Go on from a capital through blocks of samples, betting for each claim what it still needs.

    A bet that grows ``delta`` nats a sample grows in proportion to the root of what is needed a sample, near enough.

    Args:
        capital: Logarithm of the capital so far, shape ``(inputs, radii, claims)``.
        tangent: Tangent of all the blocks, chosen before them.
        blocks: Samples at the knots, each ``(inputs, 1, knots)``.
        claims: Values ``c``, shape ``(inputs, radii, claims)``.
        bet: Bet that suits ``delta`` nats a sample, chosen before the blocks, shape ``(inputs, radii)``.
        delta: Nats a sample, shape ``(inputs, 1)``.
        log_target: Logarithm of the capital to reach; where it is reached, nothing more is bet.

    Returns:
        A lower bound on the logarithm of the capital, the shape of ``claims``.
    """
    u = claimed_deficit(tangent, claims)
    boldest = BOLDEST / np.maximum(1.0 - u, 1e-9)
    left = sum(block.sum(axis=-1, keepdims=True) for block in blocks)
    for block, moments in zip(blocks, Moments.of(blocks, tangent), strict=True):
        needed = np.maximum(log_target - capital, 0.0)
        stake = bet[..., None] * np.sqrt(needed / (np.maximum(left, 1.0) * delta[..., None]))
        capital = capital + moments.log_capital(u, np.minimum(stake, boldest))
        left = left - block.sum(axis=-1, keepdims=True)
    return capital
