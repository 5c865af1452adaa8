"""Deal the samples of a histogram to groups, in an order as good as the one the histogram has forgotten."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from smoothcert.bounds._knots import choose_knots, project
from smoothcert.errors import InvalidArgumentError
from smoothcert.histogram import ScoreHistogram
from smoothcert.typing import FloatArray, IntArray

MANY_SAMPLES = 1_000_000


@dataclass(frozen=True)
class Groups:
    """Samples at the knots: the pilot, then the groups in the order in which they are bet on."""

    positions: FloatArray  # of the knots, (inputs, knots)
    pilot: FloatArray  # (inputs, 1, knots)
    samples: list[FloatArray]  # one a group, each (inputs, 1, knots)


def in_groups(
    pilots: Sequence[ScoreHistogram], samples: Sequence[ScoreHistogram], *, shares: Sequence[float]
) -> Groups:
    """Deal each sample to a group on its own, at random, and put everything on knots.

    Samples are exchangeable and the histogram has forgotten their order, so a random order is as good as the real one.
    The hash of the histograms seeds it: the same samples give the same certificate, and there is no seed to choose.

    Args:
        pilots: One an input, possibly without samples.
        samples: One an input, all on one grid, each with a sample at least.
        shares: Probabilities of the groups.

    Raises:
        InvalidArgumentError: If an input has no sample or the grids differ.
    """
    positions, parts = [], []
    for pilot, sample in zip(pilots, samples, strict=True):
        if sample.n == 0:
            raise InvalidArgumentError("sample must hold at least one sample; it is empty")
        samples[0].merge(sample, pilot)  # raises unless range and levels agree
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
    return Groups(np.stack(positions), pilot_part, dealt_parts)


def _deal(counts: IntArray, shares: Sequence[float], rng: np.random.Generator) -> FloatArray:
    """Deal the samples of each cell to groups, each sample on its own; shape ``(groups, cells)``."""
    n = int(counts.sum())
    if n > MANY_SAMPLES:  # a draw for each cell and group costs less than one for each sample
        return np.asarray(rng.multinomial(counts, shares).T, dtype=np.float64)
    tickets = np.diff(np.rint(256 * np.cumsum(shares)), prepend=0).astype(np.int64)
    offset = np.repeat(np.arange(len(shares), dtype=np.int32) * np.int32(counts.size), tickets)
    cell = np.repeat(np.arange(counts.size, dtype=np.int32), counts)
    cell += offset[np.frombuffer(rng.bytes(n), dtype=np.uint8)]
    dealt = np.bincount(cell, minlength=len(shares) * counts.size)
    return dealt.reshape(len(shares), counts.size).astype(np.float64)
