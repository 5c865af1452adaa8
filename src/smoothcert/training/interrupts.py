"""Ctrl-C that waits for the end of a step, so that what is saved then is a whole step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupts_held() -> Iterator[Callable[[], None]]:
    """Hold an interrupt back within the block until the yielded function is called, or the block ends.

    A second one is not held back. Other handlers than Python's own are left in place, and so is a process that
    ignores interrupts.

    Yields:
        A function that raises ``KeyboardInterrupt`` if one is being held back.
    """
    held = False

    def hold(number: int, frame: FrameType | None) -> None:
        nonlocal held
        if held:
            signal.default_int_handler(number, frame)
        held = True

    def release() -> None:
        nonlocal held
        if held:
            held = False
            raise KeyboardInterrupt

    # Python gives signals to the main thread alone, and only there can a handler be set.
    here = threading.current_thread() is threading.main_thread()
    ours = here and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, hold)
    try:
        yield release
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
    release()
