"""A short fuzz with every change, and everything that once went wrong; the long one is ``make fuzz``."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from smoothcert.errors import DataError

if os.name != "posix":
    pytest.skip("limits of processes and alarms are POSIX", allow_module_level=True)

from .fuzzing import CORPUS, Report, fuzz, try_one
from .targets import TARGETS, Target


def test_files_of_strangers_are_read_or_refused_in_words(tmp_path):
    """In a process of its own: a crash of a library is a failure as well, and its memory is counted alone."""
    command = [sys.executable, "-m", "fuzz", "--seconds", "0", "--examples", "60", "--seed", "1"]
    done = subprocess.run(
        [*command, "--keep", str(tmp_path)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=900,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr[-5_000:]
    assert done.stdout.count(": ok") == len(TARGETS)


def test_what_once_went_wrong_does_not_again(tmp_path):
    for path in sorted(CORPUS.rglob("*.bin")):
        folder = tmp_path / path.parent.name
        folder.mkdir(exist_ok=True)
        try_one(TARGETS[path.parent.name], path.read_bytes(), folder, Report(path.parent.name))


@pytest.mark.parametrize("name", TARGETS)
def test_sound_files_are_read(name, tmp_path):
    (tmp_path / "files").mkdir()
    for content in TARGETS[name].seeds(tmp_path):
        report = Report(name)
        try_one(TARGETS[name], content, tmp_path / "files", report)
        assert (report.read, report.refused) == (1, 0)


def _nothing(content: bytes, folder: Path) -> None:
    if content[:1] != b"x":
        raise DataError("it does not begin with x")


def _traceback(content: bytes, folder: Path) -> None:
    _nothing(content, folder)
    if b"y" in content:
        raise KeyError("y")


def _a_book(content: bytes, folder: Path) -> None:
    raise DataError("word " * 10_000)


def _hangs(content: bytes, folder: Path) -> None:
    time.sleep(60)


@pytest.mark.parametrize(
    ("read", "found"),
    [(_traceback, "KeyError"), (_a_book, "NotASentence"), (_hangs, "TimeoutError"), (_nothing, None)],
)
def test_the_harness_notices(read, found, tmp_path, monkeypatch):
    monkeypatch.setattr("fuzz.fuzzing.SECONDS", 0.05)
    target = Target("x", read, lambda folder: [b"xyz" * 10])
    report = fuzz(target, tmp_path, examples=30 if found != "TimeoutError" else 1, number=0)
    if found is None:
        assert (report.wrong, report.read > 0, report.refused > 0) == ([], True, True)
    else:
        assert found in report.wrong[0][0]
    if found == "KeyError":
        assert report.wrong[0][1].count(b"y") >= 1
