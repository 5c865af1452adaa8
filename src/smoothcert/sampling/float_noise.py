"""Gaussian noise in floating point, as PyTorch draws it: for inputs on no lattice, and for comparison.

It is an approximation. A draw never exceeds about 5.8 sigma on a CPU, and adding it rounds, which can tell a classifier
what it was added to (arXiv 2207.07209): certificates from it assume that the base classifier does not look for this.
Noise on a lattice (:mod:`smoothcert.sampling.lattice_noise`) needs no such assumption.

A device draws other numbers than a CPU for the same seed, and the last bits may differ between kinds of CPU or GPU;
that is why a run records its device.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from smoothcert._check import check_choice
from smoothcert.sampling.chunks import STAGES

_CHUNK_BITS = 28  # of the 32-bit counter; the bits above hold the stage
_MIXER = 0x9E3779B1  # odd, so multiplying by it modulo 2^32 maps different counters to different seeds


class Seeds:
    """64-bit generator seeds of one input's chunks, pairwise different also in their lower 32 bits.

    PyTorch's CPU generator reads only the lower 32 bits. Independent hashes would repeat there: among the
    16,000 chunks of a million ImageNet samples two would hold the same noise with probability 3%. Here a
    counter over stages and chunks goes through a bijection of 32-bit integers, so no input ever sees a chunk
    twice. Two inputs may: among 50,000 it happens to a few hundred pairs.

    Args:
        seed: Seed of the run, any non-negative integer.
        content_hash: :func:`smoothcert.sampling.chunks.content_hash` of the input.
    """

    def __init__(self, seed: int, content_hash: str) -> None:
        digest = hashlib.blake2b(f"{seed}:{content_hash}".encode(), digest_size=8).digest()
        self._base = int.from_bytes(digest, "little")

    def of(self, stage: str, chunk: int) -> int:
        """Seed of one chunk of one stage."""
        counter = (STAGES.index(check_choice("stage", stage, STAGES)) << _CHUNK_BITS) | chunk
        low = (self._base + _MIXER * counter) & 0xFFFFFFFF
        return (self._base & ~0xFFFFFFFF) | low


class FloatNoise:
    """Noise of one input.

    Args:
        x: The input, float32, on the device that draws the noise.
        sigma: Standard deviation.
        seed: Seed of the noise.
        content_hash: Of the input.
    """

    dtype = torch.float32

    def __init__(self, x: Tensor, *, sigma: float, seed: int, content_hash: str) -> None:
        self._x, self._sigma = x, sigma
        self._seeds = Seeds(seed, content_hash)

    def fill(self, noise: Tensor, stage: str, chunk: int) -> None:
        """Draw a chunk, shape ``(rows, *x.shape)``."""
        generator = torch.Generator(self._x.device).manual_seed(self._seeds.of(stage, chunk))
        noise.normal_(0.0, self._sigma, generator=generator)

    def add(self, noise: Tensor, out: Tensor) -> None:
        """Write the input plus some rows of noise to ``out``, shape ``(rows, *x.shape)``."""
        # The noise is already scaled, so this is a single rounding wherever a piece begins: x + alpha * noise might be
        # fused in a vectorized middle and not in its tail.
        if self._x.device.type == "cpu":
            # PyTorch would wake its threads for this, and they would go on spinning beside those of a backend. And to a
            # batch laid out channels-last it takes more than twice the time.
            np.add(self._x.numpy(), noise.numpy(), out=out.numpy())
        else:
            torch.add(self._x, noise, out=out)
