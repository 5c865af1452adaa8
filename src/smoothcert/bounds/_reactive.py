"""Bets that react to the capital: what a bet of fixed size leaves on the table when the number of samples is known.

A bet of one size on n samples ends, at the answer, with a capital that is sometimes far above ``1 / alpha`` and
sometimes far below; Markov's inequality pays for both. Betting on the remaining samples just what is still needed
makes the end near ``1 / alpha`` or near 0, as trading replicates an option, and brings the bound to the normal limit.

What is needed depends on the claim, so each claim has bets of its own and their capital need not decrease in the claim.
Claims are therefore tested upward in a sequence fixed beforehand, until the first that is not refuted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from smoothcert.bounds._tangent import Tangent
from smoothcert.bounds._wager import BOLDEST
from smoothcert.typing import FloatArray

_Y = np.linspace(0.0, BOLDEST, 1025)[1:]
# The k of ``Moments.log_capital`` at equal steps of y, to be read one step up: it increases.
FOURTH = np.append(0.25, np.maximum(-(np.log1p(-_Y) + _Y + _Y**2 / 2.0 + _Y**3 / 3.0) / _Y**4, 0.25))


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
        first = v * s0 - s1
        second = v * (v * s0 - 2.0 * s1) + s2
        third = v * (v * (v * s0 - 3.0 * s1) + 3.0 * s2) - s3
        fourth = v * (v * (v * (v * s0 - 4.0 * s1) + 6.0 * s2) - 4.0 * s3) + s4
        at = np.ceil(np.clip(bet * (1.0 - u), 0.0, BOLDEST) * ((FOURTH.size - 1) / BOLDEST)).astype(np.int64)
        k = FOURTH[at]
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
