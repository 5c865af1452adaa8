"""How many samples go through the base classifier at once; fewer when memory runs out."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable

from smoothcert.errors import ModelError
from smoothcert.models.guard import is_out_of_memory
from smoothcert.sampling._warnings import BatchSizeWarning

_CPU_VALUES = 2**20  # input values in a batch on a CPU: beyond, throughput halves (measured)
_SMALLEST, _LARGEST_CPU, LARGEST = 8, 512, 8192  # at 1,024 rows small networks are a third slower than at 512
_WORTHWHILE = 1.03  # a doubled batch must be this much faster per sample


class BatchSize:
    """Number of samples in one forward pass; it can only shrink.

    Args:
        size: To start with, at least 1.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._failed: int | None = None  # largest batch that did not fit and has not been warned about

    def shrink(self, rows: int, error: BaseException) -> None:
        """Go on with half of ``rows`` if the error says that memory ran out; otherwise raise it again.

        Raises:
            ModelError: If a single sample does not fit.
        """
        if not is_out_of_memory(error):
            raise error
        if rows == 1:
            raise ModelError(f"a single sample does not fit into memory: {error}") from error
        self._failed = self._failed or rows
        self.size = rows // 2

    def announce(self) -> None:
        """Warn, once a batch has succeeded, that larger ones did not fit."""
        if self._failed is not None:
            failed, self._failed = self._failed, None
            warnings.warn(
                f"a batch of {failed} samples does not fit into memory; going on with {self.size}, with the same noise",
                BatchSizeWarning,
                stacklevel=2,
            )


def batch_size_for_cpu(values_per_sample: int) -> int:
    """A batch size that runs well on CPUs: a power of two in ``[8, 512]``, smaller for larger inputs.

    Example:
        >>> batch_size_for_cpu(3 * 32 * 32), batch_size_for_cpu(3 * 224 * 224), batch_size_for_cpu(64)
        (256, 8, 512)
    """
    fitting = max(1, _CPU_VALUES // values_per_sample)
    return min(_LARGEST_CPU, max(_SMALLEST, 1 << (fitting.bit_length() - 1)))


def fastest_batch_size(
    run: Callable[[int], object], *, first: int = 32, clock: Callable[[], float] = time.perf_counter
) -> int:
    """Double the batch while that makes a sample at least 3% faster and memory allows.

    Args:
        run: Runs one batch of the given size and returns once the device has finished it.
        first: Where to start.
        clock: Seconds.

    Returns:
        The fastest size tried; ``first`` if even that ran out of memory, to be halved when it is used.
    """
    best, best_seconds = first, float("inf")
    size = first
    while size <= LARGEST:
        try:
            run(size)  # the first pass at a size pays for allocations and the choice of kernels
            start = clock()
            run(size)
            seconds = (clock() - start) / size
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            break
        if seconds * _WORTHWHILE > best_seconds:
            break
        best, best_seconds = size, seconds
        size *= 2
    return best
