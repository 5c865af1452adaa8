"""Deal the samples of a histogram to groups, in an order as good as the one the histogram has forgotten."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from smoothcert.bounds._knots import Places, choose_knots, gather, project
from smoothcert.bounds.stack import HistogramStack, check_same_grid
from smoothcert.typing import FloatArray

MANY_SAMPLES = 1_000_000


@dataclass(frozen=True)
class Groups:
    """Samples at the knots: the pilot, then the groups in the order in which they are bet on."""

    positions: FloatArray  # of the knots, (inputs, knots)
    pilot: FloatArray  # (inputs, 1, knots)
    samples: list[FloatArray]  # one a group, each (inputs, 1, knots)


def in_groups(pilots: HistogramStack, samples: HistogramStack, *, shares: Sequence[float]) -> Groups:
    """Deal each sample to a group on its own, at random, and put everything on knots.

    Samples are exchangeable and the histogram has forgotten their order, so a random order is as good as the real one.
    The hash of the histograms seeds it: the same samples give the same certificate, and there is no seed to choose.

    Args:
        pilots: One an input, possibly without samples.
        samples: One an input, each with a sample at least.
        shares: Probabilities of the groups.

    Raises:
        InvalidArgumentError: If an input has no sample or the grids differ.
    """
    samples.require_samples()
    check_same_grid(samples, pilots)
    knots = choose_knots(pilots)
    places = Places.between(knots, samples)
    # One byte a sample decides its group.
    tickets = np.diff(np.rint(256 * np.cumsum(shares)), prepend=0).astype(np.int64)
    first_knot = np.repeat(np.arange(len(shares)) * knots.shape[1], tickets)
    dealt = np.empty((len(samples), len(shares), knots.shape[1]))
    for row in range(len(samples)):
        seen, drawn = (slice(int(s.starts[row]), int(s.starts[row + 1])) for s in (pilots, samples))
        counts, left, share = samples.counts[drawn], places.left[drawn], places.share[drawn]
        digest = hashlib.blake2b(digest_size=16)
        for array in (pilots.cells[seen], pilots.counts[seen], samples.cells[drawn], counts):
            digest.update(array.tobytes())
        rng = np.random.default_rng(int.from_bytes(digest.digest(), "little"))
        n = int(counts.sum())
        if n > MANY_SAMPLES:  # a draw for each cell and group costs less than one for each sample
            position = np.arange(len(shares)) * knots.shape[1] + left[:, None]
            each = rng.multinomial(counts, shares)
            dealt[row] = gather(position.ravel(), np.repeat(share, len(shares)), each.ravel(), shape=dealt.shape[1:])
        else:
            position = np.repeat(left, counts)
            position += first_knot[np.frombuffer(rng.bytes(n), dtype=np.uint8)]
            dealt[row] = gather(position, np.repeat(share, counts), None, shape=dealt.shape[1:])
    return Groups(
        samples.points[knots],
        project(pilots, knots)[:, None, :],
        [dealt[:, [group]] for group in range(len(shares))],
    )
