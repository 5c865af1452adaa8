"""What the commands that sample share: progress, warnings as lines, an interrupt that says how to go on."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from smoothcert.cli.edge import INTERRUPTED
from smoothcert.console import one_line, say
from smoothcert.urls import AnyPath

if TYPE_CHECKING:
    from smoothcert.progress import Reporter


@contextmanager
def sampling_session(out: AnyPath, *, quiet: bool) -> Iterator[Reporter]:
    """Enclose the sampling of a run into ``out``; gives the reporter that suits standard error."""
    from smoothcert.progress import reporter_for

    reporter = reporter_for(sys.stderr, quiet=quiet)
    with warnings.catch_warnings():
        warnings.showwarning = show_warning
        try:
            yield reporter
        except KeyboardInterrupt:
            say(_interrupted(out), err=True)
            raise SystemExit(INTERRUPTED) from None


def show_warning(message: Warning | str, category: type[Warning], *place: object, **more: object) -> None:
    """A warning as one line, without the place in the code it came from."""
    say(f"warning: {one_line(message)}", err=True)


def _interrupted(out: AnyPath) -> str:
    from smoothcert.errors import RunError
    from smoothcert.runs import Run

    try:
        run = Run.open(out)
    except RunError:
        return "interrupted before the first input"
    stored = f"{len(run)} of {run.expected} inputs are stored in {out}"
    return f"interrupted: {stored}; the same command goes on from there"
