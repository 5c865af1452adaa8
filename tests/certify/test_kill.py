"""``kill -9`` at any moment: what was stored stays readable, and going on gives what one go gives."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from runs.synthetic import assert_same_run, make_record, same
from smoothcert.errors import RunError
from smoothcert.runs import Run

HERE = Path(__file__).parent
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)


def start(script: str, *arguments: object) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)


def stored(folder: Path) -> int:
    return len(list((folder / "parts").glob("part-*.parquet"))) if folder.exists() else 0


def kill_after_some(process: subprocess.Popen[bytes], folder: Path, *, parts: int, delay: float) -> bool:
    """Kill once the folder holds some parts and a delay has gone; True if the process had not ended before."""
    return kill_when(process, lambda: stored(folder) >= parts, delay=delay)


def kill_when(process: subprocess.Popen[bytes], ready: Callable[[], bool], *, delay: float) -> bool:
    """Kill some time after it is ready; True if the process had not ended before."""
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline and not ready():
        time.sleep(0.001)
    time.sleep(delay)
    alive = process.poll() is None
    process.send_signal(KILL)
    process.communicate()
    return alive


def has_grown(folder: Path, had: int) -> bool:
    try:
        return Run.open(folder).sizes.get(6_000, 0) > had
    except RunError as error:  # it began to grow between the two
        if "open it again" not in str(error):
            raise
        return False


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()


def test_a_writer_killed_again_and_again_ends_with_every_record(tmp_path):
    chance = random.Random(5)
    count, killed, before = 150, 0, 0
    for _ in range(4):
        process = start("killed_writer.py", tmp_path, count)
        killed += kill_after_some(process, tmp_path, parts=stored(tmp_path) + 1, delay=chance.uniform(0.0, 0.15))
        records = Run.open(tmp_path).records()
        assert [r.index for r in records] == list(range(len(records)))  # written in order, none is missing
        assert len(records) >= before
        assert all(same(r, make_record(r.index)) for r in records)
        before = len(records)
    assert killed >= 2
    finish(start("killed_writer.py", tmp_path, count))
    records = Run.open(tmp_path).records()
    assert [r.index for r in records] == list(range(count))
    assert all(same(r, make_record(r.index)) for r in records)
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_killed_run_resumed_equals_one_go(tmp_path):
    from .killed_run import certify_tiny

    broken, whole = tmp_path / "broken", tmp_path / "whole"
    process = start("killed_run.py", broken)
    assert kill_after_some(process, broken, parts=3, delay=0.05)
    assert 3 <= len(Run.open(broken)) < 60
    for folder in (broken, whole):
        certify_tiny(folder)
    assert len(Run.open(whole)) == 60
    assert_same_run(broken, whole)


def test_a_run_killed_while_it_grows_equals_one_go(tmp_path):
    from .killed_run import certify_tiny

    chance = random.Random(3)
    grown, whole = tmp_path / "grown", tmp_path / "whole"
    certify_tiny(grown, 1_000, 40)
    before = {record.index: record for record in Run.open(grown).records()}
    killed, had = 0, 0
    for _ in range(3):
        process = start("killed_run.py", grown, 6_000)
        killed += kill_when(process, partial(has_grown, grown, had), delay=chance.uniform(0, 0.3))
        run = Run.open(grown)  # whatever the moment, the folder reads as a run that is growing
        records = {record.index: record for record in run.records()}
        assert records.keys() >= before.keys()
        assert all(r.samples.n in (1_000, 6_000) for r in records.values())
        assert all(same(before[i], r) for i, r in records.items() if r.samples.n == 1_000)
        assert run.sizes.get(6_000, 0) >= had  # what has grown stays grown
        had = run.sizes.get(6_000, 0)
    assert killed >= 2
    for folder in (grown, whole):
        certify_tiny(folder, 6_000)
    assert_same_run(grown, whole)
    assert Run.open(grown).sizes == {6_000: 60}
    assert Run.open(grown).state().whole
