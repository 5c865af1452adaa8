"""The samples of a histogram on a few hundred knots, dealt to groups: what the dual bound computes on.

Between two knots the dual bound's function is linear, so a sample may be replaced by two fractions of a sample, at the
knots around it, with the same mean. The logarithm is concave: the capital computed from the fractions is at most the
capital of the samples. A certificate only gets more cautious, by a second-order amount.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from smoothcert.bounds.stack import HistogramStack, check_same_grid
from smoothcert.typing import FloatArray, IntArray

MANY_SAMPLES = 1_000_000
KNOTS = 224
_EVEN, _BELOW, _LOW, _HIGH = KNOTS // 5, KNOTS // 8, KNOTS // 5, KNOTS // 10
_BODY = np.linspace(0.0, 1.0, KNOTS - _EVEN - _BELOW - _LOW - _HIGH)


def choose_knots(pilots: HistogramStack) -> IntArray:
    """Grid indices of the knots of each input, from its pilot alone: ascending, repeats only at the end.

    Some hold the same number of pilot samples in each interval. The others follow the tails of the pilot, where the
    dual bound bends most, reach below its lowest sample, and cover the range evenly in case the pilot misleads.

    Args:
        pilots: Pilot samples, possibly none.

    Returns:
        Shape ``(inputs, KNOTS)``; the first of each row is 0, the last ``levels``.
    """
    levels, total = pilots.levels, pilots.n[:, None]
    evenly = np.rint(np.linspace(0, levels, KNOTS))
    if not total.any():
        return np.tile(evenly.astype(np.int64), (len(pilots), 1))
    tail = np.maximum(total, 1.0) ** (np.linspace(0.0, 1.0, _LOW) - 1.0) / 2.0  # from half a sample to half of all
    top = 1.0 - np.maximum(total, 1.0) ** (np.linspace(0.0, 1.0, _HIGH) - 1.0) / 2.0
    shares = np.concatenate((np.broadcast_to(_BODY, (len(pilots), _BODY.size)), tail, top), axis=1)
    ranks = np.maximum(np.ceil(shares * total), 1.0).astype(np.int64)
    running = np.cumsum(pilots.counts)
    before = np.cumsum(total)[:, None] - total  # samples of earlier inputs
    # The entry that holds the sample of each rank; for an input without samples some entry, which is not used.
    entries = np.minimum(np.searchsorted(running, before + ranks), running.size - 1)
    quantiles = pilots.cells[entries]
    # A cell with many samples, an atom perhaps, gets a knot on either side, or it would be smeared over an interval.
    heavy = pilots.counts[entries] * _BODY.size > total
    lowest = pilots.cells[np.minimum(pilots.starts[:-1], running.size - 1), None]
    wanted = np.concatenate(
        (
            np.broadcast_to(np.linspace(0, levels, _EVEN), (len(pilots), _EVEN)),
            lowest * np.linspace(0.0, 1.0, _BELOW),
            quantiles,
            np.minimum(quantiles + heavy, levels),
        ),
        axis=1,
    )
    wanted = np.sort(np.rint(wanted), axis=1)
    new = np.diff(wanted, axis=1, prepend=-1.0) > 0.0
    found = new.sum(axis=1, keepdims=True)
    thinned = np.rint(np.arange(KNOTS) * ((found - 1) / (KNOTS - 1)))
    chosen = np.where(found > KNOTS, thinned, np.minimum(np.arange(KNOTS), found - 1)).astype(np.int64)
    knots = wanted[new][np.cumsum(found)[:, None] - found + chosen]
    return np.asarray(np.where(total > 0, knots, evenly).astype(np.int64))


@dataclass(frozen=True)
class Places:
    """Where the entries of a stack lie between the knots.

    Args:
        left: Position of the knot at or below each entry's cell among the knots of its input, shape ``(entries,)``.
        share: How far the cell is on the way to the next knot, in ``[0, 1]``, shape ``(entries,)``.
    """

    left: IntArray
    share: FloatArray

    @classmethod
    def between(cls, knots: IntArray, stack: HistogramStack) -> Places:
        """Places among the knots of each input, shape ``(inputs, knots)``; see :func:`choose_knots`."""
        inputs, size = knots.shape
        offset = np.arange(inputs)[:, None] * (stack.levels + 1)
        cells = stack.cells + np.repeat(offset[:, 0], np.diff(stack.starts))
        begins = np.searchsorted(cells, knots + offset)
        # The highest cell belongs to the last interval, of which it is the right end.
        begins = np.where(knots == stack.levels, stack.starts[1:, None], begins)
        sizes = np.diff(begins, append=stack.starts[1:, None], axis=1).ravel()
        knot = np.repeat(np.arange(knots.size), sizes)
        at = knots.ravel()
        share = (stack.cells - at[knot]) / (at[knot + 1] - at[knot])
        return cls(np.repeat(np.tile(np.arange(size), inputs), sizes), share)


def project(stack: HistogramStack, knots: IntArray) -> FloatArray:
    """Samples as fractions at the knots around them, keeping number and mean; the shape of ``knots``."""
    places = Places.between(knots, stack)
    row = np.repeat(np.arange(len(stack)), np.diff(stack.starts))
    return gather(row * knots.shape[1] + places.left, places.share, stack.counts, shape=knots.shape)


def gather(position: IntArray, share: FloatArray, counts: IntArray | None, *, shape: tuple[int, ...]) -> FloatArray:
    """Sum fractions of samples at knots.

    Args:
        position: Knot to the left of each sample or cell, flat in an array of the shape that is asked for.
        share: How far each is on the way to the next knot.
        counts: Samples at each, one if None.
        shape: Shape of the result, knots last.
    """
    size = int(np.prod(shape))
    samples = np.bincount(position, weights=counts, minlength=size)
    right = np.bincount(position, weights=share if counts is None else share * counts, minlength=size)
    out = np.subtract(samples, right, dtype=np.float64)
    out[1:] += right[:-1]  # no sample is to the right of the last knot, so nothing crosses to another row
    return out.reshape(shape)


@dataclass(frozen=True)
class Groups:
    """Samples at the knots: the pilot, then the groups in the order in which they are bet on."""

    positions: FloatArray  # of the knots, (inputs, knots)
    pilot: FloatArray  # (inputs, 1, knots)
    samples: list[FloatArray]  # one a group, each (inputs, 1, knots)


def deal_seed(seed: int, content_hash: str, measure: str) -> int:
    """Seed of the deal of one measure of one input: a hash of what determines the noise, and of nothing sampled.

    The theorem of the dual bound needs a deal that does not depend on the values of the samples. A hash of the
    histogram does: where few histograms are likely, one lucky deal fails whenever its histogram occurs, and the rate of
    wrong bounds is known to reach ten times alpha.

    Args:
        seed: Seed of the noise.
        content_hash: Hash of the input.
        measure: Name of the measure.

    Returns:
        The first 128 bits of SHA-256 over ``"{seed}:{content_hash}:deal:{measure}"`` in UTF-8, big-endian.

    Example:
        >>> deal_seed(0, "ab", "score")
        107659329565733883671734185172951346180
    """
    return _hashed(f"{seed}:{content_hash}:deal:{measure}")


def mirrored_seed(seed: int) -> int:
    """Seed of the deal of the upper bound where that of the lower bound has ``seed``.

    The first 128 bits of SHA-256 over ``"{seed}:mirrored"``, big-endian.
    """
    return _hashed(f"{seed}:mirrored")


def _hashed(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")


def in_groups(
    pilots: HistogramStack, samples: HistogramStack, *, shares: Sequence[float], seeds: Sequence[int]
) -> Groups:
    """Deal each sample to a group on its own, at random, and put everything on knots.

    Samples are exchangeable and the histogram has forgotten their order, so a random order is as good as the real one.

    What is dealt how, to be done again anywhere: the samples of an input in ascending order take one byte each of the
    stream of NumPy's ``PCG64(seed)``, whose 64-bit words are read least significant byte first. Group ``g`` has the
    bytes below ``rint(256 (shares[0] + ... + shares[g]))`` that no earlier group has. More than ``MANY_SAMPLES``
    samples are dealt cell by cell, ascending, by ``Generator(PCG64(seed)).multinomial(count, shares)``.

    Args:
        pilots: One per input, possibly without samples.
        samples: One per input, each with a sample at least.
        shares: Probabilities of the groups.
        seeds: Of the deal, one per input; they must not depend on the samples.

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
    for row, seed in enumerate(seeds):
        drawn = slice(int(samples.starts[row]), int(samples.starts[row + 1]))
        counts, left, share = samples.counts[drawn], places.left[drawn], places.share[drawn]
        bits = np.random.PCG64(seed)
        n = int(counts.sum())
        if n > MANY_SAMPLES:  # a draw for each cell and group costs less than one for each sample
            position = np.arange(len(shares)) * knots.shape[1] + left[:, None]
            each = np.random.Generator(bits).multinomial(counts, shares)
            dealt[row] = gather(position.ravel(), np.repeat(share, len(shares)), each.ravel(), shape=dealt.shape[1:])
        else:
            stream = bits.random_raw(-(-n // 8)).astype("<u8", copy=False).view(np.uint8)[:n]
            position = np.repeat(left, counts)
            position += first_knot.take(stream, mode="clip")  # thrice as fast as by index; a byte is never outside
            dealt[row] = gather(position, np.repeat(share, counts), None, shape=dealt.shape[1:])
    return Groups(
        samples.points[knots],
        project(pilots, knots)[:, None, :],
        [dealt[:, [group]] for group in range(len(shares))],
    )
