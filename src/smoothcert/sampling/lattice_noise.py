"""Gaussian noise on a lattice, in whole numbers and exact: the same bits on a CPU and on a GPU.

A chunk of noise has a 128-bit key, a hash of the seed, the content of the input, the stage and the chunk. Its words are
those of :mod:`smoothcert.sampling.philox`. With ``v`` values in the chunk, words ``0`` to ``ceil(v / 4) - 1`` hold 16
bits for each value, the lowest first; those that 16 bits do not settle take one of the words that follow, in their
order. So where a value is in its chunk decides which bits it gets, and how the work is cut up does not.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from smoothcert._check import check_choice
from smoothcert.discrete_gaussian import DiscreteGaussian, Table, discrete_gaussian
from smoothcert.errors import InvalidArgumentError
from smoothcert.lattice import Lattice
from smoothcert.sampling import philox
from smoothcert.sampling.chunks import STAGES

_BLOCK = 2**16  # values worked on at a time: what they need stays in a core's cache
_ESCAPES = 2**12  # settled at a time, for the same reason; fewer would not be worth the calls
_SIGN = -(2**63)  # turns the order of unsigned numbers into that of signed ones


class LatticeNoise:
    """Noise of one input.

    Args:
        x: The input, float32, on the device that draws the noise.
        lattice: Of the input.
        sigma: Standard deviation.
        seed: Seed of the noise.
        content_hash: Of the input.

    Raises:
        InvalidArgumentError: If the step does not suit sigma, or the input lies ``sigma`` or more from the lattice.
    """

    def __init__(self, x: Tensor, lattice: Lattice, *, sigma: float, seed: int, content_hash: str) -> None:
        self._distribution = discrete_gaussian(lattice.step, sigma)
        self._lattice, self._key = lattice, f"{seed}:{content_hash}"
        points, self.offset = lattice.nearest(x.cpu().numpy())
        if self.offset >= sigma:
            raise InvalidArgumentError(
                f"x does not fit a lattice of step {lattice.step:g}: it lies {self.offset:.3g} from the nearest point, "
                f"and every certified radius shrinks by that, with sigma={sigma:g}; take a finer step"
            )
        reach = int(np.abs(points).max()) + self._distribution.largest
        self._points = points.astype(np.int16) if reach < 2**15 else points
        self._device = x.device
        self._on_cpu = x.device.type == "cpu"
        self._placed = torch.from_numpy(self._points).to(x.device)

    @property
    def dtype(self) -> torch.dtype:
        """Integer type of the noise."""
        return torch.int16 if self._distribution.dtype == np.int16 else torch.int32

    def fill(self, noise: Tensor, stage: str, chunk: int) -> None:
        """Draw a chunk, shape ``(rows, *x.shape)``, in steps of the lattice."""
        key = chunk_key(self._key, stage, chunk)
        if self._on_cpu:
            draw(self._distribution.table, key, noise.view(-1).numpy())
        else:
            noise.view(-1).copy_(draw_on(self._distribution, key, noise.numel(), noise.device))

    def add(self, noise: Tensor, out: Tensor) -> None:
        """Write what the base classifier gets for the input plus some rows of noise to ``out``."""
        divisor = self._lattice.divisor
        if not self._on_cpu:
            points = self._placed + noise
            if divisor is None:
                out.copy_(points.double().mul_(self._lattice.step))
            else:  # by a tensor: a division by a number may be a multiplication by its reciprocal, which is another one
                out.copy_(points).div_(torch.full((), float(divisor), device=out.device))
        elif divisor is None:
            np.multiply(self._points + noise.numpy(), self._lattice.step, out=out.numpy(), casting="same_kind")
        else:
            batch = out.numpy()
            np.add(self._points, noise.numpy(), out=batch, casting="same_kind")
            np.divide(batch, np.float32(divisor), out=batch)


def chunk_key(prefix: str, stage: str, chunk: int) -> int:
    """128 bits that key one chunk of one stage of one input.

    Args:
        prefix: Seed and content hash of the input.
        stage: What the samples are for.
        chunk: Its number.
    """
    name = f"{prefix}:{check_choice('stage', stage, STAGES)}:{chunk}"
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=16).digest(), "little")


def draw(table: Table, key: int, out: npt.NDArray[np.signedinteger]) -> None:
    """Fill an array, shape ``(values,)``, of the type of the table's draws."""
    main = (len(out) + 3) // 4
    generator, further = philox.generator(key), philox.generator(key, main)
    width = min(_BLOCK, len(out))
    index, escaped = np.empty(width, dtype=np.intp), np.empty(width, dtype=np.bool_)
    places, beginnings, waiting = [], [], 0
    for start in range(0, len(out), _BLOCK):
        block = out[start : start + _BLOCK]
        bits = _as_16_bits(generator.random_raw((len(block) + 3) // 4))[: len(block)]
        where = index[: len(block)]
        np.copyto(where, bits)  # NumPy looks up by integers of this type only
        table.settled.take(where, out=block, mode="wrap")  # checks nothing, and nothing is out of bounds
        at = np.flatnonzero(np.equal(block, table.escape, out=escaped[: len(block)]))
        beginnings.append(bits[at])
        places.append(at + start)
        waiting += len(at)
        if waiting >= _ESCAPES or start + _BLOCK >= len(out):
            out[np.concatenate(places)] = table.settle(np.concatenate(beginnings), further.random_raw(waiting))
            places, beginnings, waiting = [], [], 0


def draw_on(distribution: DiscreteGaussian, key: int, values: int, device: torch.device) -> Tensor:
    """What :func:`draw` fills an array with, on a device, shape ``(values,)``."""
    table, (settled, thresholds) = distribution.table, _tables_on(distribution, device)
    main = (values + 3) // 4
    shifts = torch.arange(0, 64, 16, device=device)
    bits = (philox.words(key, 0, main, device)[:, None] >> shifts & 0xFFFF).flatten()[:values]
    draws = settled[bits]
    at = (draws == table.escape).nonzero().flatten()
    if len(at):
        more = philox.words(key, main, len(at), device) >> 16 & (2**48 - 1)
        uniform = (bits[at] << 48 | more) ^ _SIGN
        draws[at] = (torch.searchsorted(thresholds, uniform, right=True) + table.lowest).to(draws.dtype)
    return draws


@lru_cache(maxsize=8)
def _tables_on(distribution: DiscreteGaussian, device: torch.device) -> tuple[Tensor, Tensor]:
    """What 16 bits settle, and the thresholds in the order of signed numbers."""
    table = distribution.table
    ordered = table.thresholds.view(np.int64) ^ np.int64(_SIGN)
    return torch.from_numpy(table.settled).to(device), torch.from_numpy(ordered).to(device)


def _as_16_bits(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint16]:
    return words.astype("<u8", copy=False).view("<u2")
