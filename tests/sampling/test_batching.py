from __future__ import annotations

import pytest
import torch

from smoothcert.errors import InvalidArgumentError, ModelError
from smoothcert.sampling import BatchSizeWarning, ConfidenceWarning, warn_if_too_few
from smoothcert.sampling.batching import BatchSize, batch_size_for_cpu, fastest_batch_size, is_out_of_memory

CPU_MESSAGE = "[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried ..."


@pytest.mark.parametrize(
    ("error", "yes"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError(CPU_MESSAGE), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_out_of_memory_is_recognized(error, yes):
    assert is_out_of_memory(error) is yes


def test_batch_size_halves_what_failed_and_warns_once():
    batch = BatchSize(100)
    batch.shrink(100, MemoryError())
    batch.shrink(50, MemoryError())
    assert batch.size == 25
    with pytest.warns(BatchSizeWarning, match="a batch of 100 samples does not fit into memory; going on with 25"):
        batch.announce()
    batch.announce()  # a second warning would be an error


def test_batch_size_passes_other_errors_on_and_gives_up_at_one():
    with pytest.raises(RuntimeError, match="shapes"):
        BatchSize(8).shrink(8, RuntimeError("shapes"))
    with pytest.raises(ModelError, match="a single sample does not fit"):
        BatchSize(1).shrink(1, MemoryError("no"))


@pytest.mark.parametrize("values", [1, 64, 3072, 150_528, 10**9])
def test_cpu_batches_are_powers_of_two_within_limits(values):
    size = batch_size_for_cpu(values)
    assert size & (size - 1) == 0
    assert 8 <= size <= 512


class Device:
    """A device with a cost per batch and one per sample, and a memory limit."""

    def __init__(self, overhead, limit):
        self.now, self.overhead, self.limit = 0.0, overhead, limit

    def run(self, rows):
        if rows > self.limit:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        self.now += self.overhead + rows

    def clock(self):
        return self.now


@pytest.mark.parametrize(
    ("overhead", "limit", "expected"),
    [(0, 10**9, 32), (1_000, 10**9, 8192), (20, 10**9, 512), (1_000, 300, 256), (0, 8, 32)],
)
def test_batches_double_while_it_pays_and_fits(overhead, limit, expected):
    device = Device(overhead, limit)
    assert fastest_batch_size(device.run, clock=device.clock) == expected


def test_search_for_the_batch_size_does_not_hide_other_errors():
    def run(rows):
        raise RuntimeError("device-side assert")

    with pytest.raises(RuntimeError, match="device-side assert"):
        fastest_batch_size(run)


@pytest.mark.parametrize(("n", "alpha", "warns"), [(9, 0.001, True), (10, 0.001, False), (1, 0.5, True)])
def test_too_few_samples_warn(n, alpha, warns, recwarn):
    # 9: 0.001 ** (1 / 9) = 0.464; 10: 0.501. One sample at alpha = 1/2 reaches exactly 1/2, which is not above it.
    if warns:
        with pytest.warns(ConfidenceWarning, match=rf"n={n} samples can never certify a class at alpha={alpha:g}"):
            warn_if_too_few(n=n, alpha=alpha)
    else:
        warn_if_too_few(n=n, alpha=alpha)
        assert not recwarn.list


def test_too_few_samples_checks_its_arguments():
    with pytest.raises(InvalidArgumentError, match="n must be an integer"):
        warn_if_too_few(n=0, alpha=0.1)
    with pytest.raises(InvalidArgumentError, match="alpha must be"):
        warn_if_too_few(n=5, alpha=0.0)
