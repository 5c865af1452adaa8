"""One question with as few samples as it needs: is the certificate at a radius above a threshold?"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from smoothcert._check import check_alpha, check_radii, check_threshold
from smoothcert.bounds.cdf import clopper_pearson_survival_lower
from smoothcert.bounds.deal import choose_knots, project
from smoothcert.bounds.shift import LARGEST_SHIFT, Tangent, chord_over, tangent_at
from smoothcert.bounds.stack import HistogramStack
from smoothcert.errors import InvalidArgumentError
from smoothcert.histogram import ScoreHistogram
from smoothcert.typing import FloatArray

CERTIFIED, REFUTED, UNDECIDED = "certified", "refuted", "undecided"
BAND_SHARE = 0.25  # of alpha, spent on the bands that a refutation needs
REFRESH = 1.5  # bets are reconsidered each time the number of samples has grown by this factor
IMAGINED = 0.3  # samples at the worst value imagined when a bet is chosen


class SequentialTest:
    r"""Decide ``Theta_r(S) > threshold`` from samples that arrive in batches, stopping at any time.

    ``Theta_r(S)`` is the certificate with the distribution ``S`` of the score known. Whatever rule stops the sampling,
    the probability over the samples that the answer is wrong is at most ``alpha``: ``"certified"`` where the
    certificate is not above the threshold, or ``"refuted"`` where it is. Only one of the two can be wrong for a given
    input, so they do not share ``alpha``.

    Certifying bets against "at most the threshold" with a tangent of the convex shift function, as the dual bound does.
    Refuting bets against "above the threshold" with its chord over a confidence band; the bands spend a quarter of
    ``alpha``. Tangents, chords and bets for a batch depend on earlier samples only, so each capital is a non-negative
    supermartingale while its claim is true, and by Ville's inequality rarely ever large.

    Args:
        threshold: The value in question.
        r: Radius in units of sigma.
        alpha: Failure probability in ``(0, 1/2]``.
        pilot: Scores that may shape the bets: independent of the samples to come, possibly none.

    Raises:
        InvalidArgumentError: If an argument is outside its domain.

    References:
        docs/explanation/dual-bound.md; Ville (1939); Waudby-Smith and Ramdas (2024), https://arxiv.org/abs/2010.09686.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> def draw(n):
        ...     return ScoreHistogram.from_samples(rng.beta(20, 1, n), lower=0.0, upper=1.0)
        >>> test = SequentialTest(threshold=0.5, r=1.0, alpha=0.001, pilot=draw(100))
        >>> while test.answer == "undecided":
        ...     test.update(draw(20))
        >>> test.answer, test.n
        ('certified', 60)
    """

    def __init__(self, *, threshold: float, r: float, alpha: float, pilot: ScoreHistogram) -> None:
        """Prepare the bets on the first batch."""
        if np.ndim(r) != 0:
            raise InvalidArgumentError(f"r must be one number; got {r!r}")
        self._r = min(float(check_radii(r, name="r")[0]), LARGEST_SHIFT)
        self._alpha = check_alpha(alpha)
        # Measured from the lowest value, as everything here; beyond the range every threshold is like another.
        width = pilot.upper - pilot.lower
        self._claim = min(max(check_threshold(threshold) - pilot.lower, -width), 2.0 * width)
        self._knots = choose_knots(HistogramStack.of([pilot]))[0]
        self._positions = pilot.points[self._knots]
        self._seen = replace(pilot, counts=np.zeros_like(pilot.counts))
        self._past = self._on_knots(pilot)
        self._past_up = self._on_knots(pilot.rounded_up())
        self._low = np.zeros(self._knots.size - 1)
        self._high = np.ones(self._knots.size - 1)
        self._log_certify = self._log_refute = 0.0
        self._refreshes, self._next_refresh = 0, 0.0
        self.answer = UNDECIDED
        self._refresh()

    @property
    def n(self) -> int:
        """Number of samples seen, without the pilot."""
        return self._seen.n

    def update(self, batch: ScoreHistogram) -> None:
        """Bet on samples not seen before; afterwards ``answer`` tells where the question stands.

        Args:
            batch: Scores of the new samples, on the pilot's grid.

        Raises:
            InvalidArgumentError: If the question is already answered or the grids differ.
        """
        if self.answer != UNDECIDED:
            raise InvalidArgumentError(f"the question is answered ({self.answer}); it takes no more samples")
        self._seen = self._seen.merge(batch)
        down, up = self._on_knots(batch), self._on_knots(batch.rounded_up())
        self._log_certify += float(down @ np.log(self._certify_factors))
        self._log_refute += float(up @ np.log(self._refute_factors))
        self._past += down
        self._past_up += up
        if self._log_certify >= -math.log(self._alpha):
            self.answer = CERTIFIED
        elif self._log_refute >= -math.log((1.0 - BAND_SHARE) * self._alpha):
            self.answer = REFUTED
        elif self.n >= self._next_refresh:
            self._narrow_band()
            self._refresh()

    def _refresh(self) -> None:
        """Choose tangent, chord and bets for the samples until the next refresh."""
        widths = np.diff(self._positions)
        self._next_refresh = max(REFRESH * self.n, 1.0)
        weights = _imagine(self._past, 0)
        density = np.ones_like(weights)
        for _ in range(3):
            tangent = _one(tangent_at((weights * density)[None, None], widths[None, None], np.full((1, 1), self._r)))
            edge = (float(tangent.ceiling) - self._claim) / float(tangent.scale) - tangent.deficit
            self._certify_factors = 1.0 + growth_optimal_bet(weights, edge) * edge
            density = 1.0 / self._certify_factors
        chord = chord_over(self._low, self._high, widths, self._r)
        edge = chord.deficit - (float(chord.ceiling) - self._claim) / float(chord.scale)
        self._refute_factors = 1.0 + growth_optimal_bet(_imagine(self._past_up, -1), edge) * edge

    def _narrow_band(self) -> None:
        """Intersect the band with a new one; the k-th spends ``1 / (k (k + 1))`` of the bands' alpha."""
        self._refreshes += 1
        share = BAND_SHARE * self._alpha / (self._refreshes * (self._refreshes + 1))
        counts = np.append(self._seen.rounded_up().survival_counts, 0)
        at_right_end, above_left_end = counts[self._knots[1:]], counts[self._knots[:-1] + 1]
        low = clopper_pearson_survival_lower(at_right_end, n=self.n, alpha=share / 2)
        high = 1.0 - clopper_pearson_survival_lower(self.n - above_left_end, n=self.n, alpha=share / 2)
        self._low, self._high = np.maximum(self._low, low), np.minimum(self._high, high)
        self._high = np.maximum(self._high, self._low)  # crossed bands have failed already; any order will do

    def _on_knots(self, histogram: ScoreHistogram) -> FloatArray:
        return np.asarray(project(HistogramStack.of([histogram]), self._knots[None])[0])


def growth_optimal_bet(weights: FloatArray, edge: FloatArray) -> float:
    """Bet that maximizes the expected logarithm of ``1 + bet * edge``; 0 where the edge is not expected to pay.

    Args:
        weights: Probabilities, shape ``(knots,)``.
        edge: Gain per unit bet at each knot, shape ``(knots,)``.

    Returns:
        In ``[0, 1 / max(-edge)]``, so that no factor is negative; at most ``1e6``.
    """
    worst = float(-edge.min())
    low, high = 0.0, min(1.0 / worst, 1e6) if worst > 0.0 else 1e6
    if not weights @ edge > 0.0:
        return 0.0
    high *= 1.0 - 1e-9
    for _ in range(50):
        bet = 0.5 * (low + high)
        if weights @ (edge / (1.0 + bet * edge)) > 0.0:
            low = bet
        else:
            high = bet
    return low


def _imagine(past: FloatArray, worst: int) -> FloatArray:
    """Distribution of the past with a fraction of a sample at its worst end."""
    weights = past.copy()
    weights[worst] += IMAGINED
    return np.asarray(weights / weights.sum())


def _one(tangent: Tangent) -> Tangent:
    """The tangent of the only input and the only radius."""
    return Tangent(tangent.ceiling[0, 0], tangent.scale[0, 0], tangent.deficit[0, 0])
