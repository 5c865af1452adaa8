"""What a person sees while a run goes on: a bar on a terminal, a line in a notebook, lines elsewhere, or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import pairwise
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from smoothcert.console import one_line

BAR_WINDOW = 60.0
"""Seconds over which the rate of the bar is averaged."""


class Reporter:
    """Says nothing: the default in Python. The base of those that do."""

    def note(self, message: str) -> None:
        """Show one line about what is about to happen."""

    @contextmanager
    def sampling(self, *, inputs: int | None, samples: int | None) -> Iterator[None]:
        """Enclose the sampling of ``inputs`` inputs with ``samples`` samples altogether, None where nobody can know."""
        yield

    def advance(self, samples: int) -> None:
        """Count samples that were drawn."""

    def finish(self) -> None:
        """Count one input that is stored."""

    def skip(self, samples: int) -> None:
        """Count one input that cannot be read, and the samples it would have taken."""


class LineReporter(Reporter):
    """Plain lines now and then, for logs.

    Args:
        stream: Where they go.
        every: Seconds between lines.
        notes: Whether notes are shown too.
    """

    def __init__(self, stream: TextIO, *, every: float = 10.0, notes: bool = True) -> None:
        self._stream = stream
        self._every = every
        self._notes = notes

    def note(self, message: str) -> None:
        """Write the line, unless notes are off."""
        if self._notes:
            self._write(message)

    @contextmanager
    def sampling(self, *, inputs: int | None, samples: int | None) -> Iterator[None]:
        """Start counting."""
        self._inputs, self._left = inputs, samples
        self._done = self._drawn = 0
        self._start = self._last = time.monotonic()
        yield

    def advance(self, samples: int) -> None:
        """Count, and write a line when it is time."""
        self._drawn += samples
        if self._left is not None:
            self._left -= samples
        moment = time.monotonic()
        if moment - self._last >= self._every:
            self._last = moment
            rate = self._drawn / (moment - self._start)
            left = self._seconds_left(moment - self._start)
            time_left = "unknown time" if left is None else duration(left)
            self._write(f"{counted(self._done, self._inputs)}, {rate:,.0f} samples/s, {time_left} left")

    def finish(self) -> None:
        """Count."""
        self._done += 1

    def skip(self, samples: int) -> None:
        """Count, without its samples entering the rate."""
        self._done += 1
        if self._left is not None:
            self._left -= samples

    def _seconds_left(self, elapsed: float) -> float | None:
        """From the samples left, or where their number is not known from the inputs."""
        if self._left is None:
            return elapsed * (self._inputs - self._done) / self._done if self._inputs and self._done else None
        return elapsed * self._left / self._drawn if self._drawn else None

    def _write(self, line: str) -> None:
        self._stream.write(f"{one_line(line)}\n")
        self._stream.flush()


class NotebookReporter(LineReporter):
    """One line in the output of a notebook's cell, renewed in place.

    Rich shows its bar in a notebook only where ipywidgets is installed and enabled; this needs neither.

    Args:
        every: Seconds between renewals.
    """

    def __init__(self, *, every: float = 0.5) -> None:
        super().__init__(sys.stderr, every=every)
        self._handle: Any = None

    def note(self, message: str) -> None:
        """Print the line, to stay."""
        print(one_line(message))

    @contextmanager
    def sampling(self, *, inputs: int | None, samples: int | None) -> Iterator[None]:
        """Start counting; in the end say what it took."""
        self._handle = None
        with super().sampling(inputs=inputs, samples=samples):
            try:
                yield
            finally:
                took = duration(time.monotonic() - self._start)
                self._write(f"{counted(self._done, self._inputs)}, {self._drawn:,} samples in {took}")

    def _write(self, line: str) -> None:
        content = {"text/plain": one_line(line)}
        if self._handle is None:
            self._handle = import_module("IPython.display").display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)


class BarReporter(Reporter):
    """A progress bar with inputs, rate and remaining time.

    Args:
        console: The terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None

    def note(self, message: str) -> None:
        """Print the line, above the bar if there is one."""
        self._console.print(one_line(message), markup=False, highlight=False)

    @contextmanager
    def sampling(self, *, inputs: int | None, samples: int | None) -> Iterator[None]:
        """Show the bar."""
        columns = (
            TextColumn("{task.fields[counted]}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            _RateColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._console, speed_estimate_period=BAR_WINDOW) as bar:
            self._bar = bar
            self._by_input = samples is None
            total = inputs if samples is None else samples
            self._inputs, self._done = inputs, 0
            self._task = bar.add_task("", total=total, counted=counted(0, inputs), drawn=0, by_input=self._by_input)
            try:
                yield
            finally:
                self._bar = None

    def advance(self, samples: int) -> None:
        """Move the bar."""
        if self._bar is not None:
            drawn = self._bar.tasks[0].fields["drawn"] + samples
            self._bar.update(self._task, advance=0 if self._by_input else samples, drawn=drawn)

    def finish(self) -> None:
        """Count the input."""
        if self._bar is not None:
            self._done += 1
            shown = counted(self._done, self._inputs)
            self._bar.update(self._task, advance=1 if self._by_input else 0, counted=shown)

    def skip(self, samples: int) -> None:
        """Count the input and take its samples off the total, so that they do not look drawn."""
        if self._bar is not None and not self._by_input:
            self._bar.update(self._task, total=(self._bar.tasks[0].total or 0) - samples)
        self.finish()


class _RateColumn(TextColumn):
    """Samples a second."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        """The recent rate, or where the bar counts inputs the mean one, once there is one."""
        rate = task.speed if not task.fields["by_input"] else task.fields["drawn"] / (task.elapsed or 1.0)
        return Text(f"{rate:,.0f} samples/s" if rate else "")


def interactive_reporter() -> Reporter:
    """What somebody watches: a bar on a terminal, a line in a notebook; nothing where nobody does."""
    console = Console(stderr=True)
    if console.is_jupyter:
        return NotebookReporter()
    return BarReporter(console) if console.is_terminal else Reporter()


def reporter_for(stream: TextIO, *, quiet: bool = False) -> Reporter:
    """A bar on a terminal, a line every ten seconds elsewhere, one a minute if quiet."""
    console = Console(file=stream)
    if quiet:
        return LineReporter(stream, every=60.0, notes=False)
    return BarReporter(console) if console.is_terminal else LineReporter(stream)


def counted(done: int, inputs: int | None) -> str:
    """How far it is.

    Example:
        >>> counted(1, 3), counted(1, None)
        ('1 of 3 inputs', '1 inputs')
    """
    return f"{done} inputs" if inputs is None else f"{done} of {inputs} inputs"


def duration(seconds: float) -> str:
    """A time for people.

    Example:
        >>> duration(12.3), duration(80), duration(5000), duration(200_000)
        ('12 s', '1 min 20 s', '1 h 23 min', '2 d 7 h')
    """
    whole = max(0, round(seconds))
    units = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
    for (size, name), (smaller, detail) in pairwise(units):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {name} {rest} {detail}" if rest else f"{whole // size} {name}"
    return f"{whole} s"
