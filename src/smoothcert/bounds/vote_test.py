"""Whether a class keeps its votes, with as few of them as it takes: a proportion against a number, decided early."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy.special import log_ndtr, ndtri

from smoothcert._check import check_alpha, check_radii, check_threshold
from smoothcert.bounds.sequential import CERTIFIED, REFUTED, UNDECIDED
from smoothcert.errors import InvalidArgumentError
from smoothcert.histogram import ScoreHistogram
from smoothcert.typing import FloatArray

ALTERNATIVES = 128
BROAD = 0.25
"""Share of the bets that does not listen to the pilot."""
_FARTHEST = 37.0
"""Beyond so many sigma a normal probability differs from 0 or 1 by less than any sample can show."""


class VoteTest:
    r"""Decide ``Phi(Phi^-1(p) - r) > threshold``, with ``p`` the probability of a vote, from votes as they come.

    What :class:`smoothcert.bounds.sequential.SequentialTest` does for scores of any distribution, for the one that is
    settled by a single number: the question is whether ``p`` is above ``p0 = Phi(Phi^-1(threshold) + r)``. Whatever
    rule stops the sampling, the probability over the votes that the answer is wrong is at most ``alpha``.

    For every alternative ``q > p0`` the likelihood ratio of ``q`` to ``p0`` is a non-negative supermartingale while
    ``p <= p0``, so a mixture of them is one, too, and by Ville's inequality rarely ever large. The weights of the
    mixture are a quarter the arcsine law between ``p0`` and 1 and three quarters what that law becomes after the votes
    of the pilot. Refuting is the same with the two sides of the vote changed over.

    Args:
        threshold: The value in question.
        r: Radius in units of sigma.
        alpha: Failure probability in ``(0, 1/2]``.
        pilot: Votes that may shape the bets, on a grid of one step: independent of the votes to come, possibly none.

    Raises:
        InvalidArgumentError: If an argument is outside its domain, or the grid is another.

    References:
        Robbins (1970), Annals of Mathematical Statistics 41(5); Voracek (2024), https://arxiv.org/abs/2406.17830, bets
        on votes without a pilot.

    Example:
        >>> def votes(against, for_):
        ...     return ScoreHistogram(np.array([against, for_]), 0.0, 1.0, exact=True)
        >>> test = VoteTest(threshold=0.5, r=1.0, alpha=0.001, pilot=votes(0, 100))
        >>> while test.answer == "undecided":
        ...     test.update(votes(0, 8))
        >>> test.answer, test.n
        ('certified', 48)
    """

    def __init__(self, *, threshold: float, r: float, alpha: float, pilot: ScoreHistogram) -> None:
        """Prepare the bets."""
        if np.ndim(r) != 0:
            raise InvalidArgumentError(f"r must be one number; got {r!r}")
        against, votes = _counted(pilot)
        claim = check_threshold(threshold)
        z = float(ndtri(min(max(claim, 0.0), 1.0)) + check_radii(r, name="r")[0])
        z = min(max(z, -_FARTHEST), _FARTHEST)
        self._target = -math.log(check_alpha(alpha))
        self._certify = _Bets(float(log_ndtr(z)), float(log_ndtr(-z)), votes, against)
        self._refute = _Bets(float(log_ndtr(-z)), float(log_ndtr(z)), against, votes)
        self._against = self._votes = 0
        self.answer = UNDECIDED

    @property
    def n(self) -> int:
        """Number of votes seen, without the pilot."""
        return self._against + self._votes

    def update(self, batch: ScoreHistogram) -> None:
        """Count votes not seen before; afterwards ``answer`` tells where the question stands.

        Args:
            batch: The new votes, on the pilot's grid.

        Raises:
            InvalidArgumentError: If the question is already answered or the grid is another.
        """
        if self.answer != UNDECIDED:
            raise InvalidArgumentError(f"the question is answered ({self.answer}); it takes no more samples")
        against, votes = _counted(batch)
        self._against += against
        self._votes += votes
        if self._certify.log_capital(self._votes, self._against) >= self._target:
            self.answer = CERTIFIED
        elif self._refute.log_capital(self._against, self._votes) >= self._target:
            self.answer = REFUTED


class _Bets:
    """A mixture of likelihood ratios against the claim that something happens with probability ``p0`` at most.

    Args:
        log_p0: Logarithm of ``p0``.
        log_rest: Logarithm of ``1 - p0``, which floating point would lose.
        happened: How often it happened in the pilot.
        failed: How often it did not.
    """

    def __init__(self, log_p0: float, log_rest: float, happened: int, failed: int) -> None:
        rest = _shares()  # alternatives: 1 - q is so much of 1 - p0
        self._gain = np.log1p(-math.exp(log_rest) * rest) - log_p0
        self._loss = np.log(rest)
        after_pilot = happened * self._gain + failed * self._loss
        after_pilot = np.exp(after_pilot - after_pilot.max())
        self._log_weights = np.log(BROAD / rest.size + (1.0 - BROAD) * after_pilot / after_pilot.sum())

    def log_capital(self, happened: int, failed: int) -> float:
        """Logarithm of what the bets have become after so many votes."""
        parts = self._log_weights + happened * self._gain + failed * self._loss
        largest = float(parts.max())
        return largest + math.log(float(np.exp(parts - largest).sum()))


@lru_cache(maxsize=1)
def _shares() -> FloatArray:
    """Quantiles of the arcsine law, dense towards 0 and 1, shape ``(ALTERNATIVES,)``."""
    shares: FloatArray = np.sin(0.5 * np.pi * (np.arange(ALTERNATIVES) + 0.5) / ALTERNATIVES) ** 2
    shares.setflags(write=False)
    return shares


def _counted(votes: ScoreHistogram) -> tuple[int, int]:
    """Votes against and for, of a histogram that says no more."""
    if votes.levels != 1 or not votes.exact:
        raise InvalidArgumentError(f"votes must be counted exactly, on a grid of one step; got {votes!r}")
    against, for_ = votes.counts.tolist()
    return against, for_
