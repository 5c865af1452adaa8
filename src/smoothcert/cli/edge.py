"""Where the command line begins and ends: whatever happens in between, a person reads one line and a shell gets a code.

Imports little, so that Ctrl-C is caught from the first moment on.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import current_thread, main_thread
from types import FrameType

from smoothcert.console import any_encoding, one_line, say
from smoothcert.errors import SmoothcertError

FAILED = 1
MISTAKE = 2
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells give it."""
NOBODY_READS = 141
"""Exit code after the reader of a pipe went away, as shells give it."""
DEBUG = "SMOOTHCERT_DEBUG"
"""Environment variable that shows where an error came from."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end in ``SystemExit``.

    A user's mistake is one line on standard error and code 2. So is everything else that goes wrong, with code 1; with
    ``SMOOTHCERT_DEBUG=1`` it is shown with its traceback.

    Args:
        arguments: Instead of those of the process.
    """
    with any_encoding(), _interrupted_imports():
        try:
            from smoothcert.cli.app import run

            run(sys.argv[1:] if arguments is None else list(arguments))
            if sys.stdout is not None:
                sys.stdout.flush()
        except SystemExit:
            raise
        except BaseException as error:
            if os.environ.get(DEBUG, "0") != "0":
                raise
            raise SystemExit(_said(error)) from None
    raise SystemExit(0)


def _said(error: BaseException) -> int:
    """Say in one line what ended the program; gives its exit code."""
    if isinstance(error, BrokenPipeError):
        with suppress(OSError, ValueError):  # what is buffered would be written at the end, into the same pipe
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOBODY_READS
    interrupted = isinstance(error, KeyboardInterrupt)
    with suppress(OSError):
        say("interrupted" if interrupted else f"error: {one_line(' '.join(_sentence(error).split()))}", err=True)
    return INTERRUPTED if interrupted else MISTAKE if isinstance(error, SmoothcertError) else FAILED


def _sentence(error: BaseException) -> str:
    if isinstance(error, SmoothcertError):
        return str(error)
    if isinstance(error, MemoryError):
        return "there is not enough memory"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename is not None else error.strerror
    return f"{type(error).__name__}: {error} ({DEBUG}=1 shows where)"


@contextmanager
def _interrupted_imports() -> Iterator[None]:
    """End the process at once where Ctrl-C meets an import: libraries swallow it there, or raise errors of their own.

    Importing leaves nothing half done. Everywhere else an interrupt raises ``KeyboardInterrupt`` as usual.
    """

    def end(number: int, frame: FrameType | None) -> None:
        while frame is not None:
            if frame.f_code.co_filename.startswith("<frozen importlib"):
                with suppress(OSError):
                    os.write(2, b"interrupted\n")
                os._exit(INTERRUPTED)
            frame = frame.f_back
        raise KeyboardInterrupt

    usual = current_thread() is main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if usual:
        signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        if usual:
            signal.signal(signal.SIGINT, signal.default_int_handler)
