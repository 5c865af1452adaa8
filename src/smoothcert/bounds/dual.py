"""The dual bound: the certificate as one mean of one bounded variable, bounded by betting."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from smoothcert._check import check_alpha
from smoothcert.bounds._knots import choose_knots, project
from smoothcert.bounds._reactive import Moments, claimed_deficit, reactive_log_capital
from smoothcert.bounds._tangent import Tangent, tangent_at, tilt
from smoothcert.bounds._wager import BOLDEST, Wager
from smoothcert.errors import InvalidArgumentError
from smoothcert.histogram import ScoreHistogram
from smoothcert.typing import FloatArray, IntArray

# Each group of samples is bet on with what the pilot and the groups before it showed: its share of the samples, how
# often its tangent is moved to the worst distribution, and samples at the lowest value imagined when the bet is
# chosen. Only the first group is bet on with little in hand, and a surprise there would cost most.
SHARES = (1 / 16, 2 / 16, 4 / 16, 9 / 16)
ROUNDS = (3, 2, 1, 1)
IMAGINED = (0.3, 0.0, 0.0, 0.0)
BLOCKS = 0.75 ** np.arange(12)  # the last group again, in blocks for bets that react: shares in proportion
CLAIMS = np.linspace(-2.25, 2.75, 48)  # tested in sequence, in standard errors from the bound to expect
WORST_SHARE = 0.15  # mass always added at the lowest value, in units of the nats per sample: nobody has seen everything
LARGEST_TESTED_SHIFT = 8.0
MANY_SAMPLES = 1_000_000


def dual_lower(pilot: ScoreHistogram, sample: ScoreHistogram, *, r: FloatArray, alpha: float) -> FloatArray:
    r"""Lower bound on the smoothed score under every shift, by linearizing the shift function.

    For each radius: with probability at least ``1 - alpha`` over the i.i.d. samples, ``E[h(x + delta + eps)]`` is at
    least the returned value for every shift ``|delta|_2 <= r sigma``. One radius at a time: for several jointly, divide
    ``alpha`` by their number.

    Args:
        pilot: Scores that may tune the bound: independent of ``sample``, possibly none.
        sample: Scores the bound is computed from, at least one.
        r: Radii in units of sigma, shape ``(radii,)``.
        alpha: Failure probability in ``(0, 1/2]``.

    Returns:
        Shape ``(radii,)``, in ``[sample.lower, sample.upper]``.

    Raises:
        InvalidArgumentError: If there is no sample, the grids differ, or ``alpha`` is outside its domain.

    References:
        docs/dual-bound.md; betting: Waudby-Smith and Ramdas (2024), https://arxiv.org/abs/2010.09686.

    Example:
        >>> scores = np.random.default_rng(0).beta(20, 1, 11_000)
        >>> pilot, sample = (ScoreHistogram.from_samples(s, lower=0.0, upper=1.0) for s in np.split(scores, [1_000]))
        >>> dual_lower(pilot, sample, r=np.array([0.0, 1.0, 2.0]), alpha=0.001).round(2)
        array([0.95, 0.88, 0.73])
    """
    return np.asarray(dual_lower_many([pilot], [sample], r=r, alpha=alpha)[0])


def dual_lower_many(
    pilots: Sequence[ScoreHistogram], samples: Sequence[ScoreHistogram], *, r: FloatArray, alpha: float
) -> FloatArray:
    """:func:`dual_lower` of many inputs on one grid at once, shape ``(inputs, radii)``."""
    plan = _place_bets(pilots, samples, r=r, alpha=alpha)
    lower, upper = samples[0].lower, samples[0].upper
    # Tested first, and with bets common to all claims: the lowest claim of the sequence. Those below it follow, since
    # with common bets the capital decreases in the claim; those above come one by one, with bets of their own.
    claims = plan.expected[..., None] + plan.standard_error[..., None] * CLAIMS
    first = np.clip(claims[..., 0], lower, np.maximum(np.minimum(plan.limit, upper), lower))
    passed = plan.wager.log_capital(first)[0] >= plan.log_target
    refuted = (plan.reactive_log_capital(claims) >= plan.log_target) & (claims <= plan.limit[..., None])
    count = np.where(refuted.all(axis=-1), CLAIMS.size, np.argmin(refuted, axis=-1))
    best = np.take_along_axis(claims, np.maximum(count - 1, 0)[..., None], axis=-1)[..., 0]
    bound = np.where(passed, np.where(count > 0, np.maximum(best, first), first), lower)
    if not passed.all():
        common = plan.wager.largest_refuted(plan.log_target, lower=lower, upper=upper, start=plan.expected)
        bound = np.where(passed, bound, np.minimum(common, first))
    return np.asarray(np.clip(bound, lower, upper))


def dual_shift_above(threshold: float, *, pilot: ScoreHistogram, sample: ScoreHistogram, alpha: float) -> float:
    """Largest shift up to which the certificate is above a threshold, radii tested upward until the first failure.

    With probability at least ``1 - alpha`` over the i.i.d. samples the certificate at the returned shift is above the
    threshold. The sequence of radii is fixed by the pilot, and a false statement needs the first radius at which it is
    false to pass its test, so the whole search costs ``alpha`` once.

    Args:
        threshold: The value to stay above, at least ``sample.lower``.
        pilot: Scores that may tune the bound and place the radii: independent of ``sample``.
        sample: Scores the bound is computed from, at least one.
        alpha: Failure probability in ``(0, 1/2]``.

    Returns:
        In units of sigma; 0.0 if not even radius 0 passes.

    Raises:
        InvalidArgumentError: If there is no sample, the grids differ, or ``alpha`` is outside its domain.

    References:
        Fixed-sequence testing: Maurer, Hothorn and Lehmacher (1995).
    """
    radii = _radii_to_test(threshold, pilot=pilot, n=sample.n, alpha=alpha)
    plan = _place_bets([pilot], [sample], r=radii, alpha=alpha)
    claims = np.full((1, radii.size, 1), threshold)
    passed = (plan.reactive_log_capital(claims) >= plan.log_target) & (claims <= plan.limit[..., None])
    failures = np.flatnonzero(~passed[0, :, 0])
    tested = int(failures[0]) if failures.size else radii.size
    return float(radii[tested - 1]) if tested else 0.0


@dataclass(frozen=True)
class _Plan:
    """Everything decided before the last group is looked at, and the samples it is decided for."""

    wager: Wager  # all groups, bets common to all claims
    blocks: list[FloatArray]  # the last group again, in blocks
    delta: FloatArray  # nats a sample that refute a claim, (inputs, 1)
    expected: FloatArray  # the bound to expect, (inputs, radii)
    standard_error: FloatArray  # of the certificate, (inputs, radii)
    log_target: float

    @property
    def limit(self) -> FloatArray:
        """Largest claim that can be tested, shape ``(inputs, radii)``."""
        return self.wager.largest_claim()

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


@dataclass(frozen=True)
class _Groups:
    """Samples at the knots: the pilot, then the groups in the order in which they are bet on."""

    positions: FloatArray  # of the knots, (inputs, knots)
    pilot: FloatArray  # (inputs, 1, knots)
    samples: list[FloatArray]  # one a group, (inputs, 1, knots)
    blocks: list[FloatArray]  # the last group again, divided, (inputs, 1, knots)


def _place_bets(
    pilots: Sequence[ScoreHistogram], samples: Sequence[ScoreHistogram], *, r: FloatArray, alpha: float
) -> _Plan:
    """Tangents and bets of every group, each from the samples before it."""
    groups = _in_groups(pilots, samples)
    log_target = -math.log(check_alpha(alpha))
    delta = log_target / sum(group.sum(axis=-1) for group in groups.samples)
    past, tilted = groups.pilot, np.ones(1)
    tangents, bets = [], []
    for rounds, imagined, group in zip(ROUNDS, IMAGINED, groups.samples, strict=True):
        response = _best_response(
            past, groups.positions, r[:, None], delta, tilted=tilted, rounds=rounds, imagined=imagined
        )
        tangents.append(response.tangent)
        seen = past.sum(axis=-1) > 0
        bets.append(np.where(seen, np.minimum(response.bet, BOLDEST), 0.0))  # nothing seen yet: nothing bet
        tilted = response.tilted
        past = past + group
    standard_error = (response.mean - response.expected) / math.sqrt(2.0 * log_target)
    wager = Wager(tangents, bets, groups.samples)
    return _Plan(wager, groups.blocks, delta, response.expected, standard_error, log_target)


@dataclass(frozen=True)
class _Response:
    tangent: Tangent
    bet: FloatArray  # (inputs, radii)
    expected: FloatArray  # bound to expect, (inputs, radii)
    mean: FloatArray  # what a bound cannot exceed by much: the linearized certificate of the past, (inputs, radii)
    tilted: FloatArray  # density of the worst distribution over the past's, (inputs, radii, knots)


def _best_response(
    past: FloatArray,
    positions: FloatArray,
    shift: FloatArray,
    delta: FloatArray,
    *,
    tilted: FloatArray,
    rounds: int,
    imagined: float,
) -> _Response:
    """Tangent at the worst distribution within ``delta`` nats of the past, and the bet that separates the two.

    ``tilted`` is a first guess of the density of the worst distribution over the past's.
    """
    total = past.sum(axis=-1, keepdims=True)
    weights = np.where(total > 0, past / np.maximum(total, 1.0), 1.0 / past.shape[-1])
    weights = _with_mass_at_lowest(weights, WORST_SHARE * delta)
    base, widths = float(positions[0, 0]), np.diff(positions, axis=-1)[:, None, :]
    for _ in range(rounds):
        tangent = tangent_at(weights * tilted, widths, shift, base)
        tilted, bet, mean = tilt(weights, tangent.deficit, delta)
    if imagined:
        cautious = _with_mass_at_lowest(weights, imagined / np.maximum(total[..., 0], 1.0))
        bet = tilt(cautious, tangent.deficit, delta)[1]
    average = np.matmul(tangent.deficit, np.swapaxes(weights, -1, -2))[..., 0]
    return _Response(
        tangent,
        bet,
        expected=tangent.ceiling - tangent.scale * mean,
        mean=tangent.ceiling - tangent.scale * average,
        tilted=tilted,
    )


def _with_mass_at_lowest(weights: FloatArray, mass: FloatArray) -> FloatArray:
    more = weights.copy()
    more[..., 0] += mass
    return np.asarray(more / more.sum(axis=-1, keepdims=True))


def _in_groups(pilots: Sequence[ScoreHistogram], samples: Sequence[ScoreHistogram]) -> _Groups:
    """Deal the samples to groups at random, and put everything on knots.

    Samples are exchangeable and the histogram has forgotten their order, so a random order is as good as the real one.
    The hash of the histograms seeds it: the same samples give the same certificate, and there is no seed to choose.
    """
    shares = (*SHARES[:-1], *(SHARES[-1] * BLOCKS / BLOCKS.sum()))
    positions, parts = [], []
    for pilot, sample in zip(pilots, samples, strict=True):
        if sample.n == 0:
            raise InvalidArgumentError("sample must hold at least one sample; it is empty")
        sample.merge(pilot)  # raises unless range and levels agree
        knots = choose_knots(pilot.counts)
        (seen, seen_counts), (cells, counts) = pilot.to_sparse(), sample.to_sparse()
        digest = hashlib.blake2b(digest_size=16)
        for array in (seen, seen_counts, cells, counts):
            digest.update(array.tobytes())
        rng = np.random.default_rng(int.from_bytes(digest.digest(), "little"))
        dealt = _deal(counts, shares, rng)
        positions.append(sample.points[knots])
        parts.append(
            np.concatenate((project(seen, seen_counts[None].astype(np.float64), knots), project(cells, dealt, knots)))
        )
    pilot_part, *dealt_parts = np.moveaxis(np.stack(parts)[:, :, None, :], 1, 0)
    earlier, blocks = dealt_parts[: len(SHARES) - 1], dealt_parts[len(SHARES) - 1 :]
    return _Groups(np.stack(positions), pilot_part, [*earlier, np.sum(blocks, axis=0)], blocks)


def _deal(counts: IntArray, shares: Sequence[float], rng: np.random.Generator) -> FloatArray:
    """Deal the samples of each cell to groups, each sample on its own; shape ``(groups, cells)``."""
    n = int(counts.sum())
    if n > MANY_SAMPLES:  # a draw for each cell and group costs less than one for each sample
        return np.asarray(rng.multinomial(counts, shares).T, dtype=np.float64)
    tickets = np.diff(np.rint(256 * np.cumsum(shares)), prepend=0).astype(np.int64)
    offset = np.repeat(np.arange(len(shares)) * counts.size, tickets)
    cell = np.repeat(np.arange(counts.size), counts)
    cell += offset[np.frombuffer(rng.bytes(n), dtype=np.uint8)]
    dealt = np.bincount(cell, minlength=len(shares) * counts.size)
    return dealt.reshape(len(shares), counts.size).astype(np.float64)


def _radii_to_test(threshold: float, *, pilot: ScoreHistogram, n: int, alpha: float) -> FloatArray:
    """Increasing shifts, from the pilot alone: closer together where the pilot expects the threshold to be met."""
    coarse = np.linspace(0.0, LARGEST_TESTED_SHIFT, 33)
    knots = choose_knots(pilot.counts)
    cells, counts = pilot.to_sparse()
    expected = _best_response(
        project(cells, counts[None].astype(np.float64), knots)[None, :1],
        pilot.points[knots][None],
        coarse[:, None],
        np.full((1, 1), -math.log(check_alpha(alpha)) / n),
        tilted=np.ones(1),
        rounds=2,
        imagined=0.0,
    ).expected[0]
    after = min(int(np.count_nonzero(expected > threshold)), coarse.size - 1)
    fall = max(float(expected[after - 1] - expected[after]), 1e-12) if after else 1.0
    end = float(coarse[after] - (threshold - expected[after]) / fall * (coarse[1] - coarse[0])) if after else 0.0
    return np.unique(np.concatenate((coarse, np.linspace(0.85 * end, 1.15 * end + 0.05, 121))))
