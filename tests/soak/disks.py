"""Attacks on the disk under a writer: it fills up, or fails, at any moment; then there is room again."""

from __future__ import annotations

import errno
import os
import random
import resource
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from runs.synthetic import CONFIG, make_record, same
from smoothcert.errors import RunError
from smoothcert.files import write_file
from smoothcert.runs import Run, RunStore

from .outcome import Outcome

FAILS, FULL = "a disk that fails at any one step", "a disk that is full, by the kernel"
INPUTS = 10
_STEPS = ("open", "fsync", "replace", "unlink", "mkdir")


class Disks:
    """Runs written to a disk that fails.

    Args:
        folder: Where there is room.
        chance: Decides when it fails.
    """

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self._folder = folder
        self._chance = chance
        self._made = 0

    def fails(self, outcome: Outcome) -> None:
        """From some step on every one that writes fails, or just that one."""
        step, ever = self._chance.randrange(60), self._chance.random() < 0.5
        code = self._chance.choice([errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
        written = self._next(f"step {step}, {errno.errorcode[code]}, {'from then on' if ever else 'once'}")
        with _failing(step, ever=ever, code=code):
            _write(written)
        _look(outcome, written)

    def full(self, outcome: Outcome) -> None:
        """No file may grow beyond some size: a part, the config or the page does not fit."""
        size = self._chance.choice([0, 100, 500, 4_000, 9_000, self._chance.randrange(40_000)])
        written = self._next(f"files of at most {size} bytes")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            _write(written)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, before)
        _look(outcome, written)

    def _next(self, what: str) -> _Written:
        self._made += 1
        return _Written(what, self._folder / f"run{self._made}", self._folder / f"page{self._made}")


@dataclass
class _Written:
    """What was written while the disk failed.

    Args:
        what: How it failed.
        run: A run folder.
        page: Another file.
        stored: Inputs the writer of the run was told are stored.
        noticed: Whether it was told of a fault.
        wrong: What must not happen and did.
    """

    what: str
    run: Path
    page: Path
    stored: list[int] = field(default_factory=list)
    noticed: bool = False
    wrong: dict[str, str] = field(default_factory=dict)


def _write(written: _Written) -> None:
    """Write what can be written."""
    try:
        with RunStore(written.run, CONFIG, merge_every=4) as store:
            for index in range(INPUTS):
                store.append(make_record(index))
                written.stored.append(index)
    except RunError as error:
        written.noticed = True
        if "\n" in str(error) or str(written.run) not in str(error):
            written.wrong["traceback"] = f"{written.what}: names no run: {error}"
    except Exception as error:  # what is counted here
        written.wrong["traceback"] = f"{written.what}: {type(error).__name__}: {error}"
    with suppress(RunError):
        write_file(written.page, b"page" * 30_000)


def _look(outcome: Outcome, written: _Written) -> None:
    """With room again: what was stored is there, and the run can be finished."""
    what, run, wrong = written.what, written.run, written.wrong
    if written.page.exists() and written.page.stat().st_size != 120_000:
        wrong["lost"] = f"{what}: half a page"
    try:
        found = [record.index for record in Run.open(run).records()] if (run / "config.json").exists() else []
        if missing := set(written.stored) - set(found):
            wrong["lost"] = f"{what}: {sorted(missing)}"
        with RunStore(run, CONFIG, merge_every=4) as store:
            for index in sorted(set(range(INPUTS)) - store.present):
                store.append(make_record(index))
        records = Run.open(run).records()
        if [record.index for record in records] != list(range(INPUTS)):
            wrong["doubled"] = f"{what}: {[record.index for record in records]}"
        elif not all(same(record, make_record(record.index)) for record in records):
            wrong["silent"] = f"{what}: other records"
        shutil.rmtree(run)
    except Exception as error:  # what is counted here
        wrong["traceback"] = f"{what}, then: {type(error).__name__}: {error}"
    outcome.count(noticed=written.noticed, wrong=wrong)


@contextmanager
def _failing(step: int, *, ever: bool, code: int) -> Iterator[None]:
    """Inside, the given one of the steps that write to a disk fails."""
    count = -1

    def faulty(name: str) -> Any:
        real = getattr(os, name)

        def call(*given: Any, **named: Any) -> Any:
            nonlocal count
            if name != "open" or given[1] & os.O_CREAT:
                count += 1
                if count == step or (ever and count > step):
                    raise OSError(code, os.strerror(code), str(given[0]))
            return real(*given, **named)

        return call

    patches = [patch.object(os, name, faulty(name)) for name in _STEPS]
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in patches:
            one.stop()
