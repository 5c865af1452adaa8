"""Bounds by several processes: the same numbers in the same order, also when a process is killed."""

from __future__ import annotations

import multiprocessing
import os
import signal

import numpy as np
import pytest

from smoothcert.analysis import bounds_table, set_workers, stored_histograms, workers
from smoothcert.errors import InvalidArgumentError
from synthetic_runs import mixed_run


@pytest.fixture
def two_workers(monkeypatch):
    monkeypatch.setattr(workers, "FEWEST", 2)
    set_workers(2)
    yield
    set_workers(1)
    if workers._pool.cache_info().currsize:
        workers._pool(2).shutdown()
    workers._pool.cache_clear()


def which_process(_: object) -> int:
    return os.getpid()


def killed_at_three(value: int) -> int:
    if value == 3 and multiprocessing.parent_process() is not None:
        os._exit(1)
    return -value


def test_results_come_in_order_from_other_processes(two_workers) -> None:
    assert list(workers.spread(abs, iter(range(-40, 0)))) == list(range(40, 0, -1))
    found = set(workers.spread(which_process, range(40)))
    assert os.getpid() not in found
    assert 1 <= len(found) <= 2


def interrupts(_: object) -> bool:
    return signal.getsignal(signal.SIGINT) is not signal.SIG_IGN


def test_ctrl_c_is_for_the_process_that_waits(two_workers) -> None:
    before = signal.getsignal(signal.SIGINT)
    assert not any(workers.spread(interrupts, range(20)))
    assert signal.getsignal(signal.SIGINT) is before


def test_a_few_chunks_start_no_process(two_workers) -> None:
    assert set(workers.spread(which_process, [1])) == {os.getpid()}
    assert workers._pool.cache_info().currsize == 0


def test_chunks_are_not_read_far_ahead(two_workers) -> None:
    read: list[int] = []
    results = workers.spread(abs, (read.append(i) or i for i in range(100)))
    assert next(results) == 0
    assert len(read) <= 2 * 2 + 1
    assert list(results) == list(range(1, 100))


def test_a_killed_process_costs_no_result(two_workers) -> None:
    assert list(workers.spread(killed_at_three, range(12))) == [-i for i in range(12)]
    assert workers._pool.cache_info().currsize == 0  # and the rest was done here
    assert set(workers.spread(which_process, range(4))) == {os.getpid()}


def test_bounds_and_radii_do_not_depend_on_the_workers(two_workers, monkeypatch) -> None:
    monkeypatch.setattr(stored_histograms, "CHUNK", 8)
    run = mixed_run(30)
    radii = np.array([0.0, 0.25])

    def everything() -> list[np.ndarray]:
        table = bounds_table(run)
        return [
            table.lower(measure="score", bound="dual", radii=radii),
            table.upper(measure="margin", bound="dual", radii=radii),
            table.radius(measure="score", bound="cdf", threshold=0.5),
            table.radius(measure="score", bound="cdf", threshold=0.5, at_most=11),
        ]

    spread = everything()
    assert workers._pool.cache_info().currsize == 1
    set_workers(1)
    for several, alone in zip(spread, everything(), strict=True):
        np.testing.assert_array_equal(several, alone)
    assert [len(values) for values in spread] == [30, 30, 30, 11]


def test_no_worker_at_all_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="count"):
        set_workers(0)
