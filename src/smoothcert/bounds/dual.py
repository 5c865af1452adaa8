"""The dual bound: the certificate as one mean of one bounded variable, bounded by betting."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from smoothcert._check import check_alpha
from smoothcert.bounds._knots import choose_knots, project
from smoothcert.bounds._tangent import Tangent, tangent_at, tilt
from smoothcert.bounds._wager import Wager
from smoothcert.errors import InvalidArgumentError
from smoothcert.histogram import ScoreHistogram
from smoothcert.typing import FloatArray

# Each group of samples is bet on with what the pilot and the groups before it showed: its share of the samples, how
# often its tangent is moved to the worst distribution, and samples at the lowest value imagined when the bet is chosen. Only
# the first group is bet on with little in hand, and a surprise there would cost most.
SHARES = (1 / 16, 4 / 16, 11 / 16)
ROUNDS = (3, 2, 1)
IMAGINED = (0.3, 0.0, 0.0)
WORST_SHARE = 0.02  # mass always added at the lowest value, in units of the nats per sample: nobody has seen everything
LARGEST_TESTED_SHIFT = 8.0


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
        array([0.95, 0.89, 0.76])
    """
    return np.asarray(dual_lower_many([pilot], [sample], r=r, alpha=alpha)[0])


def dual_lower_many(
    pilots: Sequence[ScoreHistogram], samples: Sequence[ScoreHistogram], *, r: FloatArray, alpha: float
) -> FloatArray:
    """:func:`dual_lower` of many inputs on one grid at once, shape ``(inputs, radii)``."""
    wager, expected = _place_bets(pilots, samples, r=r, alpha=alpha)
    grid = samples[0]
    return wager.largest_refuted(-math.log(alpha), lower=grid.lower, upper=grid.upper, start=expected)


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
    wager, _ = _place_bets([pilot], [sample], r=radii, alpha=alpha)
    claims = np.full((1, radii.size), threshold)
    passed = (wager.log_capital(claims)[0] >= -math.log(alpha)) & (claims < wager.largest_claim())
    failures = np.flatnonzero(~passed[0])
    tested = int(failures[0]) if failures.size else radii.size
    return float(radii[tested - 1]) if tested else 0.0


@dataclass(frozen=True)
class _Groups:
    """Samples at the knots: the pilot, then the groups in the order in which they are bet on."""

    positions: FloatArray  # of the knots, (inputs, knots)
    pilot: FloatArray  # (inputs, 1, knots)
    samples: list[FloatArray]  # one a group, (inputs, 1, knots)


def _place_bets(
    pilots: Sequence[ScoreHistogram], samples: Sequence[ScoreHistogram], *, r: FloatArray, alpha: float
) -> tuple[Wager, FloatArray]:
    """Tangents and bets of every group, each from the samples before it, and the bound to expect."""
    groups = _in_groups(pilots, samples)
    delta = -math.log(check_alpha(alpha)) / sum(group.sum(axis=-1) for group in groups.samples)
    past, tilted = groups.pilot, np.ones(1)
    tangents, bets = [], []
    for rounds, imagined, group in zip(ROUNDS, IMAGINED, groups.samples, strict=True):
        tangent, bet, expected, tilted = _best_response(
            past, groups.positions, r[:, None], delta, tilted=tilted, rounds=rounds, imagined=imagined
        )
        tangents.append(tangent)
        bets.append(np.where(past.sum(axis=-1) > 0, bet, 0.0))  # nothing seen yet: nothing bet
        past = past + group
    return Wager(tangents, bets, groups.samples), expected


def _best_response(
    past: FloatArray,
    positions: FloatArray,
    shift: FloatArray,
    delta: FloatArray,
    *,
    tilted: FloatArray,
    rounds: int,
    imagined: float,
) -> tuple[Tangent, FloatArray, FloatArray, FloatArray]:
    """Tangent at the worst distribution within ``delta`` nats of the past, the bet, and the bound to expect.

    ``tilted`` is a first guess of the density of the worst distribution over the past's; the last one is returned.
    """
    total = past.sum(axis=-1, keepdims=True)
    weights = np.where(total > 0, past / np.maximum(total, 1.0), 1.0 / past.shape[-1])
    weights = _with_mass_at_lowest(weights, WORST_SHARE * delta)
    base, widths = float(positions[0, 0]), np.diff(positions, axis=-1)[:, None, :]
    for _ in range(rounds):
        tangent = tangent_at(weights * tilted, widths, shift, base)
        tilted, bet, mean = tilt(weights, tangent.deficit, delta)
    expected = tangent.ceiling - tangent.scale * mean
    if imagined:
        cautious = _with_mass_at_lowest(weights, imagined / np.maximum(total[..., 0], 1.0))
        bet = tilt(cautious, tangent.deficit, delta)[1]
    return tangent, bet, expected, tilted


def _with_mass_at_lowest(weights: FloatArray, mass: FloatArray) -> FloatArray:
    more = weights.copy()
    more[..., 0] += mass
    return np.asarray(more / more.sum(axis=-1, keepdims=True))


def _in_groups(pilots: Sequence[ScoreHistogram], samples: Sequence[ScoreHistogram]) -> _Groups:
    """Deal the samples to groups at random, and put everything on knots.

    Samples are exchangeable and the histogram has forgotten their order, so a random order is as good as the real one.
    The hash of the histograms seeds it: the same samples give the same certificate, and there is no seed to choose.
    """
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
        dealt = rng.multinomial(counts, SHARES).T.astype(np.float64)
        positions.append(sample.points[knots])
        parts.append(
            np.concatenate((project(seen, seen_counts[None].astype(np.float64), knots), project(cells, dealt, knots)))
        )
    stacked = np.stack(parts)[:, :, None, :]
    return _Groups(np.stack(positions), stacked[:, 0], [stacked[:, 1 + g] for g in range(len(SHARES))])


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
    )[2][0]
    after = min(int(np.count_nonzero(expected > threshold)), coarse.size - 1)
    fall = max(float(expected[after - 1] - expected[after]), 1e-12) if after else 1.0
    end = float(coarse[after] - (threshold - expected[after]) / fall * (coarse[1] - coarse[0])) if after else 0.0
    return np.unique(np.concatenate((coarse, np.linspace(0.85 * end, 1.15 * end + 0.05, 121))))
