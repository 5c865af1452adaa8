"""How the samples of an input are numbered: by stage, in chunks of fixed size, under the hash of its content."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
from torch import Tensor

STAGES = ("pilot", "estimation", "predict")
"""What samples are drawn for. The order is part of the seeds: append, never insert."""

LARGEST_CHUNK = 256
LARGEST_CHUNK_BYTES = 64 * 2**20


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
