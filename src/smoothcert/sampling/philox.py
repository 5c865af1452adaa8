"""Random bits from a counter and a 128-bit key: Philox4x64-10, the same on a CPU and on any other device.

NumPy brings it for CPUs. Elsewhere the same rounds are done in integer arithmetic by PyTorch, on a GPU as one kernel
where it can be compiled. Word ``i`` is word ``i % 4`` of the block with counter ``i // 4 + 1``, as NumPy counts.

References:
    Salmon, Moraes, Dror, Shaw (2011), Parallel random numbers: as easy as 1, 2, 3, https://doi.org/10.1145/2063384.2063405.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

_ROUNDS = 10
_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
_WORD = 2**64
_LOW = 0xFFFFFFFF

Blocks = Callable[[Tensor, tuple[int, int]], list[Tensor]]
"""Counters, int64, and the halves of the key to the four words of each, as int64 with the same bits."""


def generator(key: int, start: int = 0) -> np.random.Philox:
    """NumPy's generator of the words; ``random_raw`` gives the next ones, from word ``start`` on."""
    made = np.random.Philox(_Key(key), counter=start // 4)
    made.random_raw(start % 4)
    return made


class _Key(np.random.SeedSequence):
    """A key where NumPy expects a seed; given as ``key=`` it would gather entropy first, which takes twice as long."""

    def __init__(self, key: int) -> None:
        self._words = np.array([key % _WORD, key // _WORD], dtype=np.uint64)

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> Any:
        """The two words of the key, which is all that Philox asks for."""
        return self._words


def words(key: int, start: int, count: int, device: torch.device) -> Tensor:
    """Words ``start`` to ``start + count - 1`` on a device, as int64 with the same bits, shape ``(count,)``."""
    first = start // 4
    counters = torch.arange(first + 1, (start + count + 3) // 4 + 1, dtype=torch.int64, device=device)
    blocks = torch.stack(_blocks_on(device.type)(counters, (key % _WORD, key // _WORD)), dim=1)
    return blocks.flatten()[start - 4 * first :][:count]


@lru_cache(maxsize=4)
def _blocks_on(device_type: str) -> Blocks:
    """The fastest way to the words on a kind of device: it must give the same as NumPy, else PyTorch's integers do."""
    if device_type != "cuda":
        return integer_blocks
    key = (0x0123456789ABCDEF, 0xFEDCBA9876543210)
    counters = torch.arange(1, 65, device="cuda")
    expected = generator(key[1] * _WORD + key[0]).random_raw(256).view(np.int64).reshape(64, 4)
    try:
        compiled = _compiled_blocks()
        came = torch.stack(compiled(counters, key), dim=1).cpu().numpy()
    except Exception:  # no compiler at run time, or another interface to it
        return integer_blocks
    return compiled if np.array_equal(came, expected) else integer_blocks


def integer_blocks(counters: Tensor, key: tuple[int, int]) -> list[Tensor]:
    """The words by PyTorch's 64-bit integers, which wrap around."""
    zero = torch.zeros_like(counters)
    x0, x1, x2, x3 = counters, zero, zero, zero
    k0, k1 = key
    for _ in range(_ROUNDS):
        high0, low0 = _multiply(_MULTIPLIERS[0], x0)
        high1, low1 = _multiply(_MULTIPLIERS[1], x2)
        x0, x1, x2, x3 = high1 ^ x1 ^ _signed(k0), low1, high0 ^ x3 ^ _signed(k1), low0
        k0, k1 = (k0 + _WEYL[0]) % _WORD, (k1 + _WEYL[1]) % _WORD
    return [x0, x1, x2, x3]


def _multiply(a: int, b: Tensor) -> tuple[Tensor, Tensor]:
    """Upper and lower 64 bits of a product of unsigned numbers."""
    a0, a1 = a & _LOW, a >> 32
    b0, b1 = b & _LOW, _upper(b)
    middle0, middle1 = b0 * a1, b1 * a0
    carry = _upper(b0 * a0) + (middle0 & _LOW) + (middle1 & _LOW)
    return b1 * a1 + _upper(middle0) + _upper(middle1) + _upper(carry), b * _signed(a)


def _upper(x: Tensor) -> Tensor:
    """Upper 32 bits, as a number that is not negative."""
    return (x >> 32) & _LOW


def _signed(x: int) -> int:
    """The int64 with the same bits."""
    return x - _WORD if x >= _WORD // 2 else x


_KERNEL = """
template <typename T> void smoothcert_philox(T counter, T key0, T key1, T& w0, T& w1, T& w2, T& w3) {
  typedef unsigned long long u64;
  u64 x0 = (u64)counter, x1 = 0, x2 = 0, x3 = 0, k0 = (u64)key0, k1 = (u64)key1;
  for (int i = 0; i < 10; ++i) {
    u64 high0 = __umul64hi(0xD2E7470EE14C6C93ULL, x0), low0 = 0xD2E7470EE14C6C93ULL * x0;
    u64 high1 = __umul64hi(0xCA5A826395121157ULL, x2), low1 = 0xCA5A826395121157ULL * x2;
    x0 = high1 ^ x1 ^ k0; x1 = low1; x2 = high0 ^ x3 ^ k1; x3 = low0;
    k0 += 0x9E3779B97F4A7C15ULL; k1 += 0xBB67AE8584CAA73BULL;
  }
  w0 = (T)x0; w1 = (T)x1; w2 = (T)x2; w3 = (T)x3;
}
"""


def _compiled_blocks() -> Blocks:
    """The words by one kernel, which PyTorch compiles with the compiler that comes with it."""
    from torch.cuda.jiterator import _create_multi_output_jit_fn

    kernel = _create_multi_output_jit_fn(_KERNEL, num_outputs=4, key0=0, key1=0)

    def blocks(counters: Tensor, key: tuple[int, int]) -> list[Tensor]:
        return list(kernel(counters, key0=_signed(key[0]), key1=_signed(key[1])))

    return blocks
