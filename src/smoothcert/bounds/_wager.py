"""Capital won against the claim "the certificate is at most c", and the largest claim it refutes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from smoothcert.bounds._tangent import Tangent
from smoothcert.typing import FloatArray

BoolArray = npt.NDArray[np.bool_]
BOLDEST = 0.98  # largest share of the capital that one sample can lose


@dataclass(frozen=True)
class Wager:
    """Bets of fixed size on groups of samples, group after group.

    Under the claim ``Theta_r(S) <= c`` the mean deficit of every group is at least ``u = (ceiling - c) / scale``; the
    product of ``1 + bet (u - deficit)`` over the samples has expectation at most 1 as long as tangents and bets depend
    on earlier samples only, and no factor can be negative. By Markov it reaches ``1 / alpha`` with probability at most
    ``alpha``. It decreases in ``c``, so the claims it refutes are an interval.

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

    def largest_refuted(self, log_target: float, *, lower: float, upper: float, start: FloatArray) -> FloatArray:
        """Largest claim whose capital reaches the target, approached from below.

        Args:
            log_target: Logarithm of the capital that refutes a claim: ``log(1 / alpha)``.
            lower: Returned where no claim above it is refuted.
            upper: Largest value to return.
            start: Where to start searching, shape ``(inputs, radii)``.
        """
        margin = 1e-10 * (upper - lower)
        last = np.maximum(np.minimum(self.limit, upper) - margin, lower)
        inside, outside = np.full(start.shape, lower), last
        claim = np.clip(start, lower, last)
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
