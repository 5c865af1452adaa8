"""Gaussian noise that depends on the seed, the input, the stage and the sample's number, and on nothing else.

The samples of a stage are numbered. A fixed number of consecutive samples, a chunk, is drawn at once from a
generator keyed for that chunk, always in full. Sample 1,000 is therefore the same noise whether batches
hold 7 or 512 samples, whether one worker or ten share the inputs, and whether the run was interrupted.

Which noise it is depends on the input: :mod:`smoothcert.sampling.lattice_noise` for one on a lattice,
:mod:`smoothcert.sampling.float_noise` for any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import lru_cache

import torch
from torch import Tensor

from smoothcert.discrete_gaussian import total_variation
from smoothcert.lattice import Lattice
from smoothcert.sampling.chunks import chunk_size
from smoothcert.sampling.float_noise import FloatNoise
from smoothcert.sampling.lattice_noise import LatticeNoise

LARGEST_AHEAD_BYTES = 256 * 2**20


class NoisyInput:
    """One input whose numbered noisy copies can be made in any portions.

    Args:
        x: The input, float32, on the device that draws the noise.
        sigma: Standard deviation of the noise, in input units.
        seed: Seed of the noise.
        content_hash: :func:`smoothcert.sampling.chunks.content_hash` of the input.
        lattice: What the input is rounded to, and the noise lies on; None for noise in floating point.

    Raises:
        InvalidArgumentError: If the lattice suits neither the input nor sigma.
    """

    def __init__(
        self, x: Tensor, *, sigma: float, seed: int, content_hash: str, lattice: Lattice | None = None
    ) -> None:
        self.x, self.sigma, self.seed, self.lattice = x, sigma, seed, lattice
        self.content_hash = content_hash
        self.offset = 0.0
        """L2 distance from the input to the point that noise is added to."""
        self._noise: FloatNoise | LatticeNoise
        if lattice is None:
            self._noise = FloatNoise(x, sigma=sigma, seed=seed, content_hash=content_hash)
        else:
            self._noise = LatticeNoise(x, lattice, sigma=sigma, seed=seed, content_hash=content_hash)
            self.offset = self._noise.offset
        self.chunk = chunk_size(tuple(x.shape))
        self._on_cpu = x.device.type == "cpu"
        # A generator runs on one thread. On a CPU several chunks are drawn at once, or the other threads would wait.
        room = LARGEST_AHEAD_BYTES // (4 * self.chunk * max(1, x.numel()))
        self._at_once = max(1, min(torch.get_num_threads(), room)) if self._on_cpu else 1
        self._buffers: list[Tensor] = []
        self._drawn: dict[tuple[str, int], Tensor] = {}

    def price(self, samples: int) -> float:
        """What so many samples cost of alpha, because their noise is drawn from finitely many bits.

        0.0 for noise in floating point, whose price is not known.
        """
        if self.lattice is None:
            return 0.0
        return total_variation(samples * self.x.numel(), self.lattice.step, self.sigma)

    def copies(self, stage: str, start: int, count: int, *, channels_last: bool = False) -> Tensor:
        """Noisy copies ``start`` to ``start + count - 1`` of a stage; float32, never clipped.

        Args:
            stage: One of :data:`smoothcert.sampling.chunks.STAGES`.
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
            self._noise.add(noise, piece)

    def write_plain(self, out: Tensor) -> None:
        """Fill ``out``, shape ``(rows, *x.shape)``, with what the classifier gets where there is no noise."""
        self._noise.add(torch.zeros(out.shape, dtype=self._noise.dtype, device=out.device), out)

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
                    torch.empty((self.chunk, *self.x.shape), dtype=self._noise.dtype, device=self.x.device)
                )
            self._drawn = {}  # whatever happens, no buffer passes for what it does not hold
            each = _threads(self._at_once).map if len(wanted) > 1 else map
            list(each(self._fill, wanted, self._buffers))
            self._drawn = dict(zip(wanted, self._buffers, strict=False))
        return self._drawn[stage, chunk]

    def _fill(self, place: tuple[str, int], noise: Tensor) -> None:
        self._noise.fill(noise, *place)


@lru_cache(maxsize=1)
def _threads(count: int) -> Executor:
    return ThreadPoolExecutor(count, thread_name_prefix="smoothcert-noise")
