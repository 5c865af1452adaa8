"""Bounds of many inputs by several processes: chunks go out in order, results come back in order."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain, islice
from multiprocessing import get_context
from threading import current_thread, main_thread
from typing import TypeVar

from smoothcert._check import check_count

Chunk = TypeVar("Chunk")
Result = TypeVar("Result")

FEWEST = 8  # chunks worth starting processes for, which takes about a second
_workers = 1


def set_workers(count: int) -> None:
    """Compute bounds of many inputs by this many processes from now on; 1, the default, starts none.

    Results do not depend on it. The command line uses one a processor. A script that asks for more than one needs
    the usual ``if __name__ == "__main__":`` around what it does, since each process imports it.

    Args:
        count: Processes, at least 1.

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
    if not enough:
        yield from map(function, every)
        return
    waiting: deque[tuple[Future[Result] | None, Chunk]] = deque()
    try:
        for chunk in every:
            waiting.append((_submit(function, chunk), chunk))
            while len(waiting) > 2 * _workers or (waiting and _workers == 1):
                yield _result(function, *waiting.popleft())
        while waiting:
            yield _result(function, *waiting.popleft())
    finally:
        for future, _ in waiting:
            if future is not None:
                future.cancel()


def _submit(function: Callable[[Chunk], Result], chunk: Chunk) -> Future[Result] | None:
    """Nothing if there are no processes any more."""
    try:
        with _interrupts_ignored():
            return None if _workers == 1 else _pool(_workers).submit(function, chunk)
    except BrokenExecutor:
        return None


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Processes started inside ignore Ctrl-C: it is for this one, and they end with it."""
    if current_thread() is not main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _result(function: Callable[[Chunk], Result], future: Future[Result] | None, chunk: Chunk) -> Result:
    if future is not None:
        try:
            return future.result()
        except BrokenExecutor:  # a process was killed, for memory perhaps: go on without them
            _pool.cache_clear()
            set_workers(1)
    return function(chunk)


@lru_cache(maxsize=1)
def _pool(workers: int) -> Executor:
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
