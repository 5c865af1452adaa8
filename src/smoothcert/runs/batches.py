"""Records on their way to an object store, where writing each by itself would cost a request and a wait apiece."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

import pyarrow as pa

from smoothcert.errors import RunError

SECONDS = 2.0
"""For how long a record waits for others at most before it is written: what a kill may cost."""
_SECONDS = {"hf": 60.0}  # where each write is a commit, of which there may be some hundreds an hour
MOST = 256
"""Records that are written together at most."""


class Batches:
    """Collects records and writes them together, a little later.

    A thread of its own writes what has waited long enough, so that a slow input or a slow store holds up nothing. If
    that fails, whoever adds the next record or flushes is told.

    Args:
        write: Writes rows durably; called by one thread at a time.
        protocol: Of the store, which says for how long a record may wait.
    """

    def __init__(self, write: Callable[[list[pa.Table]], None], *, protocol: str) -> None:
        self._write = write
        self._seconds = _SECONDS.get(protocol, SECONDS)
        self._waiting: list[pa.Table] = []
        self._timer: threading.Timer | None = None
        self._failure: RunError | None = None
        self._guard = threading.Lock()
        self._writing = threading.RLock()

    @property
    def failed(self) -> bool:
        """Whether something could not be written."""
        return self._failure is not None

    def add(self, table: pa.Table) -> None:
        """Take a record.

        Raises:
            RunError: If those before it could not be written.
        """
        with self._guard:
            if self._failure is not None:
                raise self._failure
            self._waiting.append(table)
            full = len(self._waiting) >= MOST
            if self._timer is None and not full:
                self._timer = threading.Timer(self._seconds, self._flush_later)
                self._timer.daemon = True
                self._timer.start()
        if full:
            self.flush()

    def flush(self) -> None:
        """Write what waits now; all of it is durable when this returns.

        Raises:
            RunError: If it cannot be written; then nothing more is written.
        """
        with self._writing:
            with self._guard:
                if self._failure is not None:
                    raise self._failure
                if self._timer is not None:
                    self._timer.cancel()
                tables, self._waiting, self._timer = self._waiting, [], None
            if not tables:
                return
            try:
                self._write(tables)
            except RunError as error:
                self._failure = error
                raise
            except BaseException:
                with self._guard:
                    self._waiting = tables + self._waiting
                raise

    def _flush_later(self) -> None:
        with suppress(RunError):  # whoever adds or flushes next is told
            self.flush()
