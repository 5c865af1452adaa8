"""Gaussian noise that depends on the seed, the input, the stage and the sample's number, and on nothing else.

The samples of a stage are numbered. A fixed number of consecutive samples, a chunk, is drawn at once from a
generator seeded for that chunk, always in full. Sample 1,000 is therefore the same noise whether batches
hold 7 or 512 samples, whether one worker or ten share the inputs, and whether the run was interrupted.

A device draws other numbers than a CPU for the same seed, and the last bits may differ between kinds of CPU
or GPU; that is why a run records its device.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from smoothcert._check import check_choice

STAGES = ("pilot", "estimation", "predict")
"""What samples are drawn for. The order is part of the seeds: append, never insert."""

LARGEST_CHUNK = 256
LARGEST_CHUNK_BYTES = 64 * 2**20
LARGEST_AHEAD_BYTES = 256 * 2**20
_CHUNK_BITS = 28  # of the 32-bit counter; the bits above hold the stage
_MIXER = 0x9E3779B1  # odd, so multiplying by it modulo 2^32 maps different counters to different seeds


def content_hash(x: Tensor | npt.ArrayLike) -> str:
    """SHA-256 of the shape and the little-endian float32 bytes of an input: what keys its noise.

    Args:
        x: The input, any shape, array or tensor.

    Returns:
        64 hexadecimal digits.

    Example:
        >>> content_hash([0.0, 0.5])[:16]
        '9799266b032ba24e'
        >>> content_hash([[0.0, 0.5]]) == content_hash([0.0, 0.5])
        False
    """
    values = x.detach().cpu().numpy() if isinstance(x, Tensor) else np.asarray(x)
    digest = hashlib.sha256(repr(tuple(int(size) for size in values.shape)).encode())
    digest.update(np.ascontiguousarray(values, dtype="<f4").tobytes())
    return digest.hexdigest()


def chunk_size(shape: tuple[int, ...]) -> int:
    """Samples drawn at once: a power of two, at most 256, and within 64 MiB if more than one.

    It depends on the shape of the input only, so that nothing else can change the noise.

    Example:
        >>> chunk_size((3, 32, 32)), chunk_size((3, 224, 224))
        (256, 64)
    """
    bytes_per_sample = 4 * int(np.prod(shape, dtype=np.int64))
    chunk = LARGEST_CHUNK
    while chunk > 1 and chunk * bytes_per_sample > LARGEST_CHUNK_BYTES:
        chunk //= 2
    return chunk


class Seeds:
    """64-bit generator seeds of one input's chunks, pairwise different also in their lower 32 bits.

    PyTorch's CPU generator reads only the lower 32 bits. Independent hashes would repeat there: among the
    16,000 chunks of a million ImageNet samples two would hold the same noise with probability 3%. Here a
    counter over stages and chunks goes through a bijection of 32-bit integers, so no input ever sees a chunk
    twice.

    Args:
        seed: Seed of the run, any non-negative integer.
        content_hash: :func:`content_hash` of the input.
    """

    def __init__(self, seed: int, content_hash: str) -> None:
        digest = hashlib.blake2b(f"{seed}:{content_hash}".encode(), digest_size=8).digest()
        self._base = int.from_bytes(digest, "little")

    def of(self, stage: str, chunk: int) -> int:
        """Seed of one chunk of one stage."""
        counter = (STAGES.index(check_choice("stage", stage, STAGES)) << _CHUNK_BITS) | chunk
        low = (self._base + _MIXER * counter) & 0xFFFFFFFF
        return (self._base & ~0xFFFFFFFF) | low


class NoisyInput:
    """One input whose numbered noisy copies can be made in any portions.

    Args:
        x: The input, float32, on the device that draws the noise.
        sigma: Standard deviation of the noise, in input units.
        seed: Seed of the noise.
        content_hash: :func:`content_hash` of the input.
    """

    def __init__(self, x: Tensor, *, sigma: float, seed: int, content_hash: str) -> None:
        self.x, self.sigma, self.seed = x, sigma, seed
        self.content_hash = content_hash
        self.chunk = chunk_size(tuple(x.shape))
        self._seeds = Seeds(seed, content_hash)
        self._on_cpu = x.device.type == "cpu"
        # A generator runs on one thread. On a CPU several chunks are drawn at once, or the other threads would wait.
        room = LARGEST_AHEAD_BYTES // (4 * self.chunk * max(1, x.numel()))
        self._at_once = max(1, min(torch.get_num_threads(), room)) if self._on_cpu else 1
        self._buffers: list[Tensor] = []
        self._drawn: dict[tuple[str, int], Tensor] = {}

    def copies(self, stage: str, start: int, count: int, *, channels_last: bool = False) -> Tensor:
        """Noisy copies ``start`` to ``start + count - 1`` of a stage; float32, never clipped.

        Args:
            stage: One of :data:`STAGES`.
            start: Number of the first copy.
            count: How many, in any proportion to the chunks.
            channels_last: Memory layout of the result; for inputs ``(C, H, W)`` only.

        Returns:
            Shape ``(count, *x.shape)``.
        """
        layout = torch.channels_last if channels_last else torch.contiguous_format
        out = torch.empty((count, *self.x.shape), dtype=torch.float32, device=self.x.device, memory_format=layout)
        self.write(out, stage, start)
        return out

    def write(self, out: Tensor, stage: str, start: int, *, more: int = 0) -> None:
        """Fill ``out``, shape ``(count, *x.shape)``, with the copies from ``start`` on.

        ``more`` copies will be asked for after these, and their noise may be drawn along.
        """
        last = (start + len(out) + more - 1) // self.chunk
        for at, chunk, rows in self._pieces(start, len(out)):
            noise, piece = self._draw(stage, chunk, last)[rows], out[at : at + rows.stop - rows.start]
            # The noise is already scaled, so this is a single rounding wherever a piece begins: x + alpha *
            # noise might be fused in a vectorized middle and not in its tail.
            if self._on_cpu:
                # PyTorch would wake its threads for this, and they would go on spinning beside those of a backend. And
                # to a batch laid out channels-last it takes more than twice the time.
                np.add(self.x.numpy(), noise.numpy(), out=piece.numpy())
            else:
                torch.add(self.x, noise, out=piece)

    def _pieces(self, start: int, count: int) -> Iterator[tuple[int, int, slice]]:
        """Where each piece goes, its chunk and its rows there."""
        done = 0
        while done < count:
            chunk, row = divmod(start + done, self.chunk)
            rows = min(self.chunk - row, count - done)
            yield done, chunk, slice(row, row + rows)
            done += rows

    def _draw(self, stage: str, chunk: int, last: int) -> Tensor:
        """The whole chunk, ``(chunk, *x.shape)``; kept, with some of those up to ``last``, until another is needed."""
        if (stage, chunk) not in self._drawn:
            wanted = [(stage, one) for one in range(chunk, min(last + 1, chunk + self._at_once))]
            if stage == "pilot" and len(wanted) < self._at_once:
                wanted.append(("estimation", 0))  # which always follows, so a thread that would wait draws it now
            while len(self._buffers) < len(wanted):
                self._buffers.append(
                    torch.empty((self.chunk, *self.x.shape), dtype=torch.float32, device=self.x.device)
                )
            self._drawn = {}  # whatever happens, no buffer passes for what it does not hold
            each = _threads(self._at_once).map if len(wanted) > 1 else map
            list(each(self._fill, wanted, self._buffers))
            self._drawn = dict(zip(wanted, self._buffers, strict=False))
        return self._drawn[stage, chunk]

    def _fill(self, place: tuple[str, int], noise: Tensor) -> None:
        generator = torch.Generator(self.x.device).manual_seed(self._seeds.of(*place))
        noise.normal_(0.0, self.sigma, generator=generator)


@lru_cache(maxsize=1)
def _threads(count: int) -> Executor:
    return ThreadPoolExecutor(count, thread_name_prefix="smoothcert-noise")
