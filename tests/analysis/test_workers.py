"""Bounds by several processes: the same numbers in the same order, also when a process is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from joblib.externals.loky import get_reusable_executor

from smoothcert.analysis import bounds_table, set_workers, stored_histograms, workers
from smoothcert.errors import DataError, InvalidArgumentError
from synthetic_runs import mixed_run


@pytest.fixture
def two_workers(monkeypatch):
    monkeypatch.setattr(workers, "FEWEST", 2)
    set_workers(2)
    yield
    set_workers(1)
    get_reusable_executor().shutdown(kill_workers=True)


def which_process(_: object) -> int:
    return os.getpid()


def killed_at_three(value: int) -> int:
    if value == 3 and os.getpid() != int(os.environ["THE_TEST"]):
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


def test_chunks_are_not_read_far_ahead(two_workers) -> None:
    read: list[int] = []
    results = workers.spread(abs, (read.append(i) or i for i in range(100)))
    assert next(results) == 0
    assert len(read) <= 2 * 2 + 2
    assert list(results) == list(range(1, 100))


def test_a_killed_process_costs_no_result(two_workers, monkeypatch) -> None:
    monkeypatch.setenv("THE_TEST", str(os.getpid()))
    assert list(workers.spread(killed_at_three, range(12))) == [-i for i in range(12)]
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
    set_workers(1)
    for several, alone in zip(spread, everything(), strict=True):
        np.testing.assert_array_equal(several, alone)
    assert [len(values) for values in spread] == [30, 30, 30, 11]


def test_a_damaged_part_met_on_the_way_is_told(two_workers) -> None:
    def chunks():
        yield from range(10)
        raise DataError("a part is damaged")

    with pytest.raises(DataError, match="a part is damaged"):
        list(workers.spread(abs, chunks()))
    assert list(workers.spread(abs, range(12))) == list(range(12))


LONG = """
import os, sys, time
from smoothcert.analysis import set_workers, workers

def slow(value):
    time.sleep(0.2)
    return os.getpid()

set_workers(2)
for pid in workers.spread(slow, range(10_000)):
    print(pid, flush=True)
"""


def descendants(pid: int) -> set[int]:
    children: dict[int, set[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        if fields[0] != "Z":
            children.setdefault(int(fields[1]), set()).add(int(stat.parent.name))
    found, todo = set(), [pid]
    while todo:
        own = children.get(todo.pop(), set())
        found |= own
        todo += own
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc, which only Linux has")
@pytest.mark.parametrize("ended_by", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_no_process_outlives_the_one_it_works_for(ended_by, tmp_path) -> None:
    script = tmp_path / "long.py"
    script.write_text(LONG)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        assert parent.stdout is not None
        for _ in range(6):  # both work by then
            assert int(parent.stdout.readline()) != parent.pid
        started = descendants(parent.pid)
        assert len(started) >= 2
        parent.send_signal(ended_by)
        parent.wait()
        deadline = time.monotonic() + 20.0
        while any(alive(pid) for pid in started) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not [pid for pid in started if alive(pid)]


def test_no_worker_at_all_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="count"):
        set_workers(0)
