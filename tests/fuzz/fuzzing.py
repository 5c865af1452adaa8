"""Reads what one target is given, in a process of its own, and says what came of it."""

from __future__ import annotations

import faulthandler
import resource
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from smoothcert.errors import SmoothcertError

from .mutations import mutated
from .targets import Target

SECONDS = 20.0
"""Time one file may take to read."""
MEMORY = 2**31
"""Bytes of memory that reading may add to the process."""
LENGTH = 2_000
"""Characters of an error."""
CORPUS = Path(__file__).parent / "corpus"


class NotASentenceError(AssertionError):
    """An error that a person could not read."""


@dataclass
class Report:
    """What came of many files.

    Args:
        target: Which kind.
        read: Files that were read.
        refused: Files that were refused in words.
        slowest: Seconds the slowest took.
        memory: Bytes that all of them added to the peak of the process.
        wrong: What went wrong, with the file that shows it.
    """

    target: str
    read: int = 0
    refused: int = 0
    slowest: float = 0.0
    memory: int = 0
    wrong: list[tuple[str, bytes]] = field(default_factory=list)

    def __str__(self) -> str:
        """One line."""
        state = "WRONG" if self.wrong else "ok"
        return (
            f"{self.target:<18} {self.read + self.refused:>7,} files, {self.refused:>7,} refused, slowest "
            f"{self.slowest:.2f} s, {self.memory / 1e6:,.0f} MB more: {state}"
        )


def try_one(target: Target, content: bytes, folder: Path, report: Report) -> None:
    """Read one file.

    Raises:
        Exception: Whatever is not an error in words; ``NotASentenceError`` for words that are none, a ``TimeoutError``,
            or a ``MemoryError`` once more memory was used than may be.
    """
    before = _peak()
    start = time.monotonic()
    try:
        with _deadline(SECONDS):
            target.read(content, folder)
        report.read += 1
    except SmoothcertError as error:
        if len(str(error)) > LENGTH or "Traceback" in str(error):
            raise NotASentenceError(f"{str(error)[:1_000]!r}") from error
        report.refused += 1
    report.slowest = max(report.slowest, time.monotonic() - start)
    report.memory += _peak() - before
    if report.memory > MEMORY:
        raise MemoryError(f"{report.memory:,} bytes more than before")


def fuzz(target: Target, folder: Path, *, examples: int, number: int) -> Report:
    """Try many files; the first kind of failure ends it, with the smallest file that hypothesis finds for it.

    Args:
        target: What is read.
        folder: An empty one.
        examples: How many files.
        number: Seed.
    """
    report = Report(target.name)
    last = folder / "last"  # what a crash of the interpreter was reading
    failing: dict[str, bytes] = {}
    (folder / "files").mkdir()

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
    )
    @given(mutated(target.seeds(folder), target.tokens))
    def test(content: bytes) -> None:
        last.write_bytes(content)
        try:
            try_one(target, content, folder / "files", report)
        except BaseException:
            failing["file"] = content
            raise

    try:
        test()
    except Exception as error:  # what is looked for
        told = "".join(traceback.format_exception(error)[-12:])
        report.wrong.append((f"{type(error).__name__}: {error}\n{told}", failing.get("file", b"")))
    return report


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Interrupt Python that hangs; end the process where something else hangs."""

    def late(*_: object) -> None:
        raise TimeoutError(f"took more than {seconds:g} s")

    faulthandler.dump_traceback_later(4 * seconds, exit=True)
    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
        faulthandler.cancel_dump_traceback_later()


def _peak() -> int:
    """Bytes of memory this process has used at most."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else 1024 * used
