"""What the writer of a run says of itself while it writes: a small file beside the records, renewed every ten seconds.

No number of the run depends on it. It is not sealed, it may be absent, out of date or written by a stranger, and no
failure to write it is one of the run.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from threading import Event, Thread
from typing import Annotated, Literal

from smoothcert.fields import Checked, Domain, whole
from smoothcert.files import read_file, write_atomically
from smoothcert.progress import Reporter
from smoothcert.spec import ExecutionSpec
from smoothcert.urls import AnyPath

STATUS = "status.json"
"""Name of the file in a run folder."""
EVERY = 10.0
"""Seconds between two heartbeats."""
_MOST = 2**14  # bytes
_LONGEST = 300  # characters of a reason
_RECENT = 6  # heartbeats over which the rate is measured
_PATIENCE = 10.0  # seconds that the end of a run waits for the last heartbeat

Moment = Annotated[float, Domain("seconds since 1970", accepts=lambda value: 0.0 <= value < 2**40)]
Tally = Annotated[int, whole(0)]


@dataclass(frozen=True, kw_only=True)
class Heartbeat(Checked):
    """One heartbeat.

    Args:
        fingerprint: Of the run.
        state: ``"sampling"``, or ``"ended"`` for whatever reason.
        reason: What ended it before it was done, if anything.
        host: Name of the machine that writes.
        pid: Its process there.
        engine: Who samples, such as ``"local"``.
        device: Where, such as ``"cuda"``.
        workers: How many sample.
        started: Time at which sampling began.
        updated: Time of this heartbeat.
        progressed: Time at which samples last came in.
        to_do: Inputs that this writer began with to do.
        done: Those of them that are stored, failed ones included.
        failed: Those that could not be read or sampled.
        planned: Samples that it will draw altogether; None where nobody can know.
        samples: Those it has drawn.
        recent_seconds: The last minute or so, as far as it reaches back.
        recent_samples: Samples drawn in it.

    Raises:
        InvalidArgumentError: If a field is of another type, or makes no sense.
    """

    fingerprint: str
    state: Literal["sampling", "ended"] = "sampling"
    reason: str | None = None
    host: str
    pid: Tally
    engine: str
    device: str
    workers: Tally = 1
    started: Moment
    updated: Moment
    progressed: Moment
    to_do: Tally
    done: Tally = 0
    failed: Tally = 0
    planned: Tally | None = None
    samples: Tally = 0
    recent_seconds: Moment = 0.0
    recent_samples: Tally = 0

    @property
    def rate(self) -> float | None:
        """Samples a second in the last minute; None before the second heartbeat."""
        return self.recent_samples / self.recent_seconds if self.recent_seconds > 0 else None

    @property
    def mean_rate(self) -> float | None:
        """Samples a second since this writer began."""
        elapsed = self.progressed - self.started
        return self.samples / elapsed if elapsed > 0 and self.samples else None

    @property
    def seconds_left(self) -> float | None:
        """Time that the rest takes: by samples where their number is known, else by inputs; None if nothing says."""
        if self.planned is not None:
            rate = self.rate or self.mean_rate
            return max(0, self.planned - self.samples) / rate if rate else None
        elapsed, left = self.updated - self.started, max(0, self.to_do - self.done)
        return elapsed * left / self.done if self.done and elapsed > 0 else None


def read_heartbeat(folder: AnyPath, *, fingerprint: str) -> Heartbeat | None:
    """The last heartbeat in a run folder; None where there is none that can be understood, or it is of another run."""
    try:
        values = json.loads(read_file(folder / STATUS, at_most=_MOST))
        found = Heartbeat(**{one.name: values[one.name] for one in fields(Heartbeat) if one.name in values})
    except (OSError, ValueError, TypeError, RecursionError):  # among them what the fields refuse
        return None
    return found if found.fingerprint == fingerprint else None


class Pulse(Reporter):
    """Passes on what it is told to another reporter, and leaves a heartbeat of it in the run folder.

    A thread of its own writes, so that neither a slow disk nor a slow store holds up the sampling.

    Args:
        reporter: Who shows it.
        folder: The run folder.
        fingerprint: Of the run.
        execution: Who samples it, and where.
        workers: Says how many there are now.
        allowed: Raises an error where somebody else writes to the run by now.
        every: Seconds between heartbeats.
    """

    def __init__(
        self,
        reporter: Reporter,
        folder: AnyPath,
        fingerprint: str,
        execution: ExecutionSpec,
        workers: Callable[[], int],
        *,
        allowed: Callable[[], None],
        every: float = EVERY,
    ) -> None:
        self._reporter, self._folder, self._workers, self._every = reporter, folder, workers, every
        self._allowed = allowed
        now = time.time()
        self._now = Heartbeat(
            fingerprint=fingerprint,
            host=_host(),
            pid=os.getpid(),
            engine=getattr(execution, "engine", "local"),
            device=execution.device or "cpu",
            started=now,
            updated=now,
            progressed=now,
            to_do=0,
        )
        self._samples = self._done = self._failed = self._off = 0
        self._progressed = now
        self._recent: deque[tuple[float, int]] = deque(maxlen=_RECENT + 1)
        self._end = Event()

    def note(self, message: str) -> None:
        """Pass it on."""
        self._reporter.note(message)

    @contextmanager
    def sampling(self, *, inputs: int | None, samples: int | None) -> Iterator[None]:
        """Write heartbeats meanwhile, and a last one."""
        self._now = replace(self._now, to_do=inputs or 0, planned=samples)
        thread = Thread(target=self._go_on, name="heartbeat", daemon=True)
        thread.start()
        reason = None
        try:
            with self._reporter.sampling(inputs=inputs, samples=samples):
                yield
        except BaseException as error:
            reason = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error) or type(error).__name__
            raise
        finally:
            self._now = replace(self._now, state="ended", reason=reason and " ".join(reason.split())[:_LONGEST])
            self._end.set()
            thread.join(_PATIENCE)

    def advance(self, samples: int) -> None:
        """Count samples."""
        self._samples += samples
        self._progressed = time.time()
        self._reporter.advance(samples)

    def finish(self) -> None:
        """Count an input."""
        self._done += 1
        self._reporter.finish()

    def skip(self, samples: int) -> None:
        """Count an input that failed, and that its samples will not come."""
        self._done += 1
        self._failed += 1
        self._off += samples
        self._reporter.skip(samples)

    def _go_on(self) -> None:
        self._beat()
        while not self._end.wait(self._every):
            self._beat()
        self._beat()

    def _beat(self) -> None:
        with suppress(Exception):  # a full disk, a store that is away: the run has errors of its own for those
            now = time.time()
            self._recent.append((now, self._samples))
            then, before = self._recent[0]
            planned = self._now.planned
            beat = replace(
                self._now,
                workers=self._workers(),
                updated=now,
                progressed=self._progressed,
                done=self._done,
                failed=self._failed,
                planned=None if planned is None else max(0, planned - self._off),
                samples=self._samples,
                recent_seconds=max(0.0, now - then),
                recent_samples=self._samples - before,
            )
            self._allowed()
            write_atomically(self._folder / STATUS, (json.dumps(asdict(beat), indent=1) + "\n").encode())


def _host() -> str:
    try:
        return socket.gethostname()
    except OSError:
        return "unknown"
