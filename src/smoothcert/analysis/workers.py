"""Bounds of many inputs by several processes: chunks go out in order, results come back in order."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor
from itertools import chain, islice
from typing import Any, TypeVar

from smoothcert._check import check_count

Chunk = TypeVar("Chunk")
Result = TypeVar("Result")

FEWEST = 8  # chunks worth starting processes for, which takes about a second
_IDLE = 30.0  # seconds without work after which a process ends by itself
_LOOK = 0.5  # seconds between a process's looks at whether the one it works for is still there
_workers = 1


def set_workers(count: int) -> None:
    """Compute bounds of many inputs by this many processes from now on; 1, the default, starts none.

    Results do not depend on it, and the processes end with the one they work for, however that ends.

    Args:
        count: Processes, at least 1; the command line takes :func:`smoothcert.cpus.usable_cpus`.

    Raises:
        InvalidArgumentError: If there is to be none.
    """
    global _workers  # like torch.set_num_threads, a property of the process
    _workers = check_count("count", count)


def spread(function: Callable[[Chunk], Result], chunks: Iterable[Chunk]) -> Iterator[Result]:
    """As ``map``, by as many processes as are set if there are chunks enough; only a few chunks are read ahead.

    Args:
        function: At the top level of a module, or a ``partial`` of one that is.
        chunks: Inputs to it.
    """
    if _workers == 1:
        yield from map(function, chunks)  # one chunk in memory at a time
        return
    coming = iter(chunks)
    first = deque(islice(coming, FEWEST))
    enough = len(first) == FEWEST
    every = chain((first.popleft() for _ in range(len(first))), coming)
    yield from _by_processes(function, every) if enough else map(function, every)


def _by_processes(function: Callable[[Chunk], Result], chunks: Iterator[Chunk]) -> Iterator[Result]:
    import joblib  # not at the top: most commands start no process, and it takes a tenth of a second

    sent: deque[Chunk] = deque()

    def calls() -> Iterator[Any]:
        for chunk in chunks:
            sent.append(chunk)
            yield joblib.delayed(function)(chunk)

    pool = joblib.Parallel(
        n_jobs=_workers,
        batch_size=1,
        return_as="generator",
        max_nbytes=None,  # no files: a process killed would leave them
        idle_worker_timeout=_IDLE,
        initializer=_work_for,
        initargs=(os.getpid(),),
    )
    try:
        for result in pool(calls()):
            sent.popleft()
            yield result
    except BrokenExecutor:  # a process was killed, for memory perhaps: go on without them
        set_workers(1)
        yield from map(function, chain(sent, chunks))


def _work_for(parent: int) -> None:
    """In a process that was started: leave Ctrl-C to the one it works for, and end when that is gone.

    joblib ends its processes when this one exits, but not when it is killed or terminated.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
