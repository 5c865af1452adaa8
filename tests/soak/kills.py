"""Attacks on processes: ``kill -9`` at any moment of a command that writes or reads a run."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path

from runs.attacks import make_run
from runs.synthetic import CONFIG, make_record, same
from smoothcert.runs import Run, RunStore

from .outcome import Outcome

HERE = Path(__file__).resolve().parent
WRITER, MERGER, CERTIFY = "kill -9 of a writer of records", "kill -9 of merge", "kill -9 of certify"
QUERY, REPORT = "kill -9 of query", "kill -9 of report"
_COUNT = 120
_OLD = b"<html>the page before</html>"


class Kills:
    """Commands that are killed, and the runs they were at.

    Args:
        folder: Where there is room.
        chance: Decides when.
    """

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self._folder = folder
        self._chance = chance
        self._usual: dict[str, float] = {}
        self._shares = [folder / f"share{part}" for part in range(3)]
        for part, share in enumerate(self._shares):
            with RunStore(share, CONFIG, merge_every=7) as store:
                for index in range(part, 40, 3):
                    store.append(make_record(index))
        self._lying = make_run(folder / "lying")
        self._whole: Path | None = None

    def writer(self, outcome: Outcome) -> None:
        """A process that appends records and merges parts."""
        script = HERE.parent / "certify" / "killed_writer.py"
        self._writes(outcome, self._folder / "written", [str(script)], [str(_COUNT)], _COUNT)

    def merge(self, outcome: Outcome) -> None:
        """``merge`` of three shares whose inputs alternate."""
        out = self._folder / "merged"
        arguments = ["-m", "smoothcert", "merge", *map(str, self._shares), "--out"]
        self._writes(outcome, out, arguments, [], 40)

    def certify(self, outcome: Outcome) -> None:
        """``certify`` of the bundled digits; the finished run equals one that was never killed."""
        command = ["-m", "smoothcert", "certify", "--model", "digits", "--data", "digits", "--sigma", "0.25"]
        command += ["--limit", "24", "--n", "400", "--n0", "50", "--device", "cpu", "--quiet", "--out"]
        if self._whole is None:
            self._whole = self._folder / "whole"
            self._finish([*command, str(self._whole)])
        expected = {record.index: record for record in Run.open(self._whole).records()}
        self._killed(outcome, self._folder / "certified", command, [], expected)

    def query(self, outcome: Outcome) -> None:
        """``query``, with as many processes as it likes."""
        self._reads(outcome, ["query", str(self._lying), "--radii", "0,0.25,0.5", "--format", "json"])

    def report(self, outcome: Outcome) -> None:
        """``report`` over a page that is there already."""
        page = self._folder / "page.html"
        page.write_bytes(_OLD)
        self._reads(outcome, ["report", str(self._lying), "--out", str(page)], page=page)

    def _writes(self, outcome: Outcome, out: Path, before: list[str], after: list[str], count: int) -> None:
        expected = {index: make_record(index) for index in range(count)}
        self._killed(outcome, out, before, after, expected)

    def _killed(self, outcome: Outcome, out: Path, before: list[str], after: list[str], expected: dict) -> None:
        """Kill a command that writes; what was stored stays, and one of several tries runs to the end."""
        had = {record.index for record in Run.open(out).records()} if (out / "config.json").exists() else set()
        command = [*before, str(out), *after]
        to_the_end = self._chance.random() < 0.2
        marker = self._run(outcome.name, command, kill=not to_the_end)
        wrong: dict[str, str] = {}
        records = Run.open(out).records() if (out / "config.json").exists() else []
        indices = [record.index for record in records]
        if missing := had - set(indices):
            wrong["lost"] = f"{sorted(missing)}"
        if len(set(indices)) < len(indices):
            wrong["doubled"] = f"{indices}"
        if any(not same(record, expected[record.index], seconds=False) for record in records):
            wrong["silent"] = "other records"
        if to_the_end and set(indices) != set(expected):
            wrong["lost"] = f"the end: {sorted(set(expected) - set(indices))}"
        if left := _alive(marker):
            wrong["left running"] = f"{left}"
        outcome.count(noticed=False, wrong=wrong)
        if set(indices) == set(expected):
            shutil.rmtree(out)

    def _reads(self, outcome: Outcome, command: list[str], *, page: Path | None = None) -> None:
        """Kill a command that reads; the run is as it was, and so is the page, or it is a new and whole one."""
        before = _digest(self._lying)
        marker = self._run(outcome.name, ["-m", "smoothcert", *command], kill=True)
        wrong: dict[str, str] = {}
        if _digest(self._lying) != before:
            wrong["silent"] = "the run changed"
        if page is not None:
            content = page.read_bytes()
            if content != _OLD and not content.rstrip().endswith(b"</html>"):
                wrong["lost"] = f"a page of {len(content)} bytes"
        if left := _alive(marker):
            wrong["left running"] = f"{left}"
        outcome.count(noticed=False, wrong=wrong)

    def _run(self, name: str, command: list[str], *, kill: bool) -> str:
        """Start a command and kill it at some moment of the time it usually takes; gives what marks its children."""
        marker = uuid.uuid4().hex
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "SOAK_MARKER": marker}
        start = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, *command], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        if kill:
            try:
                process.wait(self._chance.uniform(0.0, self._usual.get(name, 10.0)))
            except subprocess.TimeoutExpired:
                process.kill()
        _, errors = process.communicate()
        if process.returncode == 0:
            self._usual[name] = min(self._usual.get(name, 60.0), time.monotonic() - start)
        elif process.returncode > 0:
            raise AssertionError(f"{name} failed by itself: {errors.decode(errors='replace')}")
        return marker

    def _finish(self, command: list[str]) -> None:
        self._run("", command, kill=False)


def _alive(marker: str) -> list[int]:
    """Processes started by the one that was killed, some seconds later."""
    deadline = time.monotonic() + 5.0
    while left := [pid for pid in _pids() if marker.encode() in _environment(pid)]:
        if time.monotonic() > deadline:
            return left
        time.sleep(0.1)
    return []


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()] if os.path.isdir("/proc") else []


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def _digest(folder: Path) -> str:
    """Of the names and bytes of all files."""
    sha = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            sha.update(str(path).encode() + path.read_bytes())
    return sha.hexdigest()
