"""The dual bound: the certificate as one mean of one bounded variable, bounded by betting."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from smoothcert._check import check_alpha, check_radii
from smoothcert.bounds.deal import choose_knots, project
from smoothcert.bounds.plan import best_response, deal, place_bets
from smoothcert.bounds.shift import LARGEST_SHIFT
from smoothcert.bounds.stack import Histograms, HistogramStack
from smoothcert.histogram import ScoreHistogram
from smoothcert.typing import FloatArray

CLAIMS = np.linspace(-2.25, 2.75, 48)  # tested in sequence, in standard errors from the bound to expect
LARGEST_TESTED_SHIFT = 8.0
FINE_RADII = 120  # about so many where the pilot expects the threshold to be met
LOT = 24  # radii tested at once


def dual_lower(
    pilot: ScoreHistogram, sample: ScoreHistogram, *, r: FloatArray, alpha: float, seed: int = 0
) -> FloatArray:
    r"""Lower bound on the smoothed score under every shift, by linearizing the shift function.

    For each radius: with probability at least ``1 - alpha`` over the i.i.d. samples and how they are dealt to groups
    (at random, by a generator that starts from ``seed``), ``E[h(x + delta + eps)]`` is at least the returned value for
    every shift ``|delta|_2 <= r sigma``. One radius at a time: for several jointly, divide ``alpha`` by their number.

    Args:
        pilot: Scores that may tune the bound: independent of ``sample``, possibly none.
        sample: Scores the bound is computed from, at least one.
        r: Radii in units of sigma, shape ``(radii,)``.
        alpha: Failure probability in ``(0, 1/2]``.
        seed: Of the deal: any that does not depend on the samples, such as :func:`~smoothcert.bounds.deal_seed`.

    Returns:
        Shape ``(radii,)``, in ``[sample.lower, sample.upper]``.

    Raises:
        InvalidArgumentError: If there is no sample, the grids differ, or ``alpha`` is outside its domain.

    References:
        docs/explanation/dual-bound.md; betting: Waudby-Smith and Ramdas (2024), https://arxiv.org/abs/2010.09686.

    Example:
        >>> scores = np.random.default_rng(0).beta(20, 1, 11_000)
        >>> pilot, sample = (ScoreHistogram.from_samples(s, lower=0.0, upper=1.0) for s in np.split(scores, [1_000]))
        >>> dual_lower(pilot, sample, r=np.array([0.0, 1.0, 2.0]), alpha=0.001).round(3)
        array([0.951, 0.885, 0.73 ])
    """
    return np.asarray(dual_lower_many([pilot], [sample], r=r, alpha=alpha, seeds=[seed])[0])


def dual_lower_many(
    pilots: Histograms, samples: Histograms, *, r: FloatArray, alpha: float, seeds: Sequence[int]
) -> FloatArray:
    """:func:`dual_lower` of many inputs on one grid at once, shape ``(inputs, radii)``."""
    stack = HistogramStack.of(samples)
    width = stack.upper - stack.lower  # everything is measured from the lowest value
    shifts = np.minimum(check_radii(r, name="r"), LARGEST_SHIFT)
    plan = place_bets(deal(HistogramStack.of(pilots), stack, seeds=seeds), r=shifts, alpha=alpha)
    # Tested first, and with bets common to all claims: the lowest claim of the sequence. Those below it follow, since
    # with common bets the capital decreases in the claim; those above come one by one, with bets of their own.
    claims = plan.expected[..., None] + plan.standard_error[..., None] * CLAIMS
    first = np.clip(claims[..., 0], 0.0, np.maximum(np.minimum(plan.wager.limit, width), 0.0))
    passed = plan.wager.log_capital(first) >= plan.log_target
    refuted = (plan.reactive_log_capital(claims) >= plan.log_target) & (claims <= plan.wager.limit[..., None])
    count = np.where(refuted.all(axis=-1), CLAIMS.size, np.argmin(refuted, axis=-1))
    best = np.take_along_axis(claims, np.maximum(count - 1, 0)[..., None], axis=-1)[..., 0]
    bound = np.where(count > 0, np.maximum(best, first), first)
    common = plan.steady | ~passed
    some = np.asarray(common.any(axis=-1))
    if some.any():
        refutable = plan.wager.of(some).largest_refuted(plan.log_target, upper=width, start=plan.expected[some])
        highest = np.where(plan.steady, width, first)[some]
        bound[some] = np.where(common[some], np.minimum(refutable, highest), bound[some])
    return np.asarray(np.clip(stack.lower + bound, stack.lower, stack.upper))


def dual_shift_above(
    threshold: float, *, pilot: HistogramStack, sample: HistogramStack, alpha: float, seed: int
) -> float:
    """Largest shift up to which the certificate is above a threshold, radii tested upward until the first failure.

    With probability at least ``1 - alpha`` over the i.i.d. samples and their deal to groups the certificate at the
    returned shift is above the threshold. The sequence of radii is fixed by the pilot, and a false statement needs the
    first radius at which it is false to pass its test, so the whole search costs ``alpha`` once.

    Args:
        threshold: The value to stay above, at least ``sample.lower``.
        pilot: Scores of one input that may tune the bound and place the radii: independent of ``sample``.
        sample: Scores the bound is computed from, at least one.
        alpha: Failure probability in ``(0, 1/2]``.
        seed: Of the deal.

    Returns:
        In units of sigma; 0.0 if not even radius 0 passes.

    Raises:
        InvalidArgumentError: If there is no sample, the grids differ, or ``alpha`` is outside its domain.

    References:
        Fixed-sequence testing: Maurer, Hothorn and Lehmacher (1995).
    """
    radii = _radii_to_test(threshold, pilot=pilot, n=int(sample.n[0]), alpha=alpha)
    dealt = deal(pilot, sample, seeds=[seed])
    reached = 0.0
    for some in np.split(radii, range(LOT, radii.size, LOT)):  # what lies beyond the first failure is not computed
        plan = place_bets(dealt, r=some, alpha=alpha)
        claims = np.full((1, some.size), threshold - sample.lower)
        capital = plan.reactive_log_capital(claims[..., None])[..., 0]
        if plan.steady.any():
            capital = np.where(plan.steady, plan.wager.log_capital(claims), capital)
        passed = (capital >= plan.log_target) & (claims <= plan.wager.limit)
        count = some.size if passed.all() else int(np.argmin(passed))
        reached = float(some[count - 1]) if count else reached
        if count < some.size:
            break
    return reached


def _radii_to_test(threshold: float, *, pilot: HistogramStack, n: int, alpha: float) -> FloatArray:
    """Increasing shifts, from the pilot alone: closer together where the pilot expects the threshold to be met."""
    coarse = np.linspace(0.0, LARGEST_TESTED_SHIFT, 33)
    knots = choose_knots(pilot)
    expected = best_response(
        project(pilot, knots)[:, None],
        pilot.points[knots],
        coarse[:, None],
        np.full((1, 1), -math.log(check_alpha(alpha)) / n),
        guess=None,
        rounds=2,
        imagined=0.0,
    ).expected[0]
    claim = threshold - pilot.lower
    after = min(int(np.count_nonzero(expected > claim)), coarse.size - 1)
    fall = max(float(expected[after - 1] - expected[after]), 1e-12) if after else 1.0
    end = float(coarse[after] - (claim - expected[after]) / fall * (coarse[1] - coarse[0])) if after else 0.0
    # Multiples of a power of two, so that rounding in what the pilot expects does not move every radius.
    first, last = 0.85 * end, min(1.15 * end + 0.05, LARGEST_TESTED_SHIFT)
    step = 2.0 ** round(math.log2((last - first) / FINE_RADII))
    fine = step * np.arange(math.floor(first / step), math.ceil(last / step) + 1)
    return np.unique(np.concatenate((coarse, fine[(fine >= 0.0) & (fine <= LARGEST_TESTED_SHIFT)])))
