from __future__ import annotations

import io
import re
import sys
from types import SimpleNamespace

import pytest
from rich.console import Console

from smoothcert import progress
from smoothcert.progress import (
    BarReporter,
    LineReporter,
    NotebookReporter,
    Reporter,
    duration,
    interactive_reporter,
    reporter_for,
)


@pytest.fixture
def clock(monkeypatch):
    moment = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: moment[0])
    return moment


def test_lines_say_how_far_how_fast_and_how_long(clock):
    stream = io.StringIO()
    reporter = LineReporter(stream, every=10.0)
    reporter.note("hello")
    with reporter.sampling(inputs=4, samples=4_000):
        for _ in range(3):
            clock[0] += 6.0
            reporter.advance(600)
            clock[0] += 1.0
            reporter.advance(400)
            reporter.finish()
    assert stream.getvalue().splitlines() == [
        "hello",
        "1 of 4 inputs, 123 samples/s, 20 s left",  # 1,600 samples in 13 s
    ]


def test_a_skipped_input_counts_without_entering_the_rate(clock):
    stream = io.StringIO()
    reporter = LineReporter(stream, every=10.0)
    with reporter.sampling(inputs=3, samples=3_000):
        reporter.skip(1_000)
        clock[0] += 10.0
        reporter.advance(1_000)
    assert stream.getvalue() == "1 of 3 inputs, 100 samples/s, 10 s left\n"


def test_the_bar_shows_inputs_rate_and_remaining_time():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    reporter = BarReporter(console)
    reporter.note("100% [sure]")
    with reporter.sampling(inputs=3, samples=3_000):
        reporter.skip(1_000)
        for _ in range(4):
            reporter.advance(500)
        reporter.finish()
        reporter.finish()
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", console.file.getvalue())
    assert "100% [sure]" in text
    assert "3 of 3 inputs" in text
    assert "samples/s" in text
    assert "100%" in text.splitlines()[-1]
    reporter.advance(1)  # after the end: nothing to show, nothing raised


def test_streams_get_what_suits_them():
    assert isinstance(reporter_for(io.StringIO()), LineReporter)
    quiet = io.StringIO()
    reporter_for(quiet, quiet=True).note("hello")
    assert quiet.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (59.6, "1 min"), (3600, "1 h"), (3661, "1 h 1 min"), (90_000, "1 d 1 h"), (200_000, "2 d 7 h")],
)
def test_durations_are_for_people(seconds, text):
    assert duration(seconds) == text


def test_nobody_knows_how_many_inputs_an_iterator_has(clock):
    stream = io.StringIO()
    reporter = LineReporter(stream, every=1.0)
    with reporter.sampling(inputs=None, samples=None):
        clock[0] += 2.0
        reporter.finish()
        reporter.advance(600)
    assert stream.getvalue() == "1 inputs, 300 samples/s, unknown time left\n"
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    bar = BarReporter(console)
    with bar.sampling(inputs=None, samples=None):
        bar.advance(500)
        bar.finish()
        bar.finish()
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", console.file.getvalue())
    assert "2 inputs" in text
    assert "of None" not in text


class Shown:
    """What a notebook shows, each output with the contents it has had."""

    def __init__(self):
        self.outputs = []

    def display(self, content, *, raw, display_id):
        assert (raw, display_id) == (True, True)
        self.outputs.append([content["text/plain"]])
        update = self.outputs[-1].append
        return SimpleNamespace(update=lambda new, raw: update(new["text/plain"]))


def test_a_notebook_shows_one_line_that_is_renewed(clock, monkeypatch, capsys):
    shown = Shown()
    monkeypatch.setitem(sys.modules, "IPython.display", shown)
    reporter = NotebookReporter(every=0.5)
    reporter.note("hello")
    for _ in range(2):
        with reporter.sampling(inputs=2, samples=2_000):
            for _ in range(2):
                clock[0] += 1.0
                reporter.advance(1_000)
                reporter.finish()
    lines = [
        "0 of 2 inputs, 1,000 samples/s, 1 s left",
        "1 of 2 inputs, 1,000 samples/s, 0 s left",
        "2 of 2 inputs, 2,000 samples in 2 s",
    ]
    assert shown.outputs == [lines, lines]  # one output for each sampling
    assert capsys.readouterr().out == "hello\n"


@pytest.mark.parametrize(
    ("terminal", "notebook", "kind"),
    [(True, False, BarReporter), (False, True, NotebookReporter), (False, False, Reporter)],
)
def test_progress_is_shown_where_somebody_watches(monkeypatch, terminal, notebook, kind):
    monkeypatch.setattr(progress, "Console", lambda **_: SimpleNamespace(is_terminal=terminal, is_jupyter=notebook))
    assert type(interactive_reporter()) is kind
