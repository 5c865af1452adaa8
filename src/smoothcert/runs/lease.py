"""One writer at a time in an object store, which has no locks: a lease that its holder renews.

Whoever writes creates ``.lease-00000001``, or the next number, which a store does for one of several who try. The
holder of the highest number may write. It renews the object every few seconds; who finds it not renewed for as long as
it was taken for, by a clock of its own, creates the next number. So a killed writer blocks a run for a minute, clocks
that disagree do no harm, and a writer that was asleep finds a higher number, or its own time over, before it writes
again. At its end a writer marks its lease as released and leaves it: numbers are never used twice.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import secrets
import socket
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from logging import getLogger
from typing import TYPE_CHECKING, Any

from smoothcert import remote
from smoothcert.console import one_line
from smoothcert.errors import InvalidArgumentError, RunError
from smoothcert.runs.config import now

if TYPE_CHECKING:
    from upath import UPath

SECONDS_VARIABLE = "SMOOTHCERT_LEASE_SECONDS"
"""Environment variable with the seconds a lease is taken for."""
DEFAULT_SECONDS = 60.0
_RENEWALS = 4  # in the time of a lease
_NAME = re.compile(r"\.lease-(\d{8})")
_MOST_BYTES = 2**16
_LONGEST = 3600.0
_LOG = getLogger(__name__)


def is_lease(name: str) -> bool:
    """Whether an object of this name is a lease."""
    return _NAME.fullmatch(name) is not None


@dataclass(frozen=True)
class _Content:
    """What a lease says, for people and for who waits for it.

    Args:
        owner: Random; tells two holders apart.
        who: User, machine and process.
        since: When it was taken, ISO 8601.
        renewed: When it was last renewed; only to be read by people.
        renewals: How often; changes each time.
        seconds: How long it holds without being renewed.
        released: Whether its holder has gone.
    """

    owner: str
    who: str
    since: str
    renewed: str
    renewals: int
    seconds: float
    released: bool = False

    def encode(self) -> bytes:
        return json.dumps(asdict(self), indent=1).encode()


class Lease:
    """The right to write a run in an object store, held until it is released or lost.

    Args:
        folder: The run.

    Raises:
        RunError: If another process holds it, or the store refuses.
    """

    def __init__(self, folder: UPath) -> None:
        self._folder = folder
        self._lost: str | None = None
        self._ended = threading.Event()
        self._renewing = threading.Lock()
        seconds = _seconds()
        self._content = _Content(secrets.token_hex(16), _who(), now(), now(), 0, seconds)
        try:
            self._number = self._take()
            self._exclusive = remote.creates_exclusively(self._path(self._number))
        except OSError as error:
            raise RunError(f"cannot write to {folder}: {remote.reason(error)}") from error
        if not self._exclusive:
            _LOG.warning(
                "%s cannot keep a second writer out: see to it that only one process writes to this run at a time",
                folder,
            )
        threading.Thread(target=self._keep, name="lease", daemon=True).start()

    def check(self) -> None:
        """Make sure that nobody else may write; to be called before every write.

        Raises:
            OSError: If the store does not tell.
            RunError: If another process has taken over.
        """
        if self._lost is None and _clock() >= self._until:
            self._renew()
        if self._lost is not None:
            raise RunError(
                f"{self._lost} has taken over {self._folder}, because this process had not renewed its lease for "
                f"{self._content.seconds:g} seconds: it stops here; what it stored is kept"
            )

    def release(self) -> None:
        """Let others write."""
        if self._ended.is_set():
            return
        self._ended.set()
        with self._renewing, suppress(OSError):
            if self._lost is None:
                remote.write(self._path(self._number), replace(self._content, who="", released=True).encode())

    def _take(self) -> int:
        """Create the next number as soon as nobody holds the last one; returns it."""
        while True:
            held = self._leases()
            last = max(held, default=0)
            if last:
                self._wait_for(last)
            begun = _clock()
            try:
                remote.create(self._path(last + 1), self._content.encode())
            except FileExistsError:
                if not self._is_mine(last + 1):  # else an answer was lost on the way, and a second try met the first
                    continue
            except NotImplementedError:
                remote.write(self._path(last + 1), self._content.encode())
            self._until = begun + self._content.seconds
            remote.remove([self._path(number) for number in held])
            return last + 1

    def _wait_for(self, number: int) -> None:
        """Return when the holder of a number has released it or has not renewed it for as long as it said.

        Raises:
            RunError: If it renews it.
        """
        path, before, begun = self._path(number), None, _clock()
        told = False
        while True:
            content = self._read(path)
            if content is None or content.released:
                return
            if before is not None and content != before:
                raise RunError(
                    f"another process is writing to {self._folder}: {content.who}, since {content.since}; "
                    "wait for it to end, or choose another folder"
                )
            left = begun + content.seconds - _clock()
            if left <= 0:
                _LOG.warning("%s has not been heard of since %s and is taken as ended", content.who, content.renewed)
                return
            if not told:
                _LOG.warning(
                    "%s is being written by %s since %s, or was until that process was killed: "
                    "waiting up to %d seconds to see",
                    *(self._folder, content.who, content.since, int(left) + 1),
                )
                told = True
            before = content
            time.sleep(min(1.0, left, content.seconds / _RENEWALS))

    def _keep(self) -> None:
        """Renew until the end, in a thread of its own."""
        while not self._ended.wait(self._content.seconds / _RENEWALS):
            with suppress(OSError):  # the next time, or before something is written
                self._renew()
            if self._lost is not None:
                return

    def _renew(self) -> None:
        """Find out who holds the last number, and renew it if that is us.

        Raises:
            OSError: If the store does not answer.
        """
        with self._renewing:
            if self._ended.is_set() or self._lost is not None:
                return
            begun = _clock()
            if self._taken_over():
                return
            if begun >= self._until and not self._is_mine(self._number):
                self._lost = "another process"
                return
            self._content = replace(self._content, renewed=now(), renewals=self._content.renewals + 1)
            remote.write(self._path(self._number), self._content.encode())
            if begun >= self._until and self._taken_over():  # between the look and the renewal
                return
            self._until = begun + self._content.seconds

    def _taken_over(self) -> bool:
        last = max(self._leases(), default=0)
        if last > self._number:
            content = self._read(self._path(last))
            self._lost = "another process" if content is None else content.who
        return self._lost is not None

    def _is_mine(self, number: int) -> bool:
        content = self._read(self._path(number))
        return content is not None and content.owner == self._content.owner

    def _leases(self) -> list[int]:
        found = (_NAME.fullmatch(name) for name in remote.listing(self._folder))
        return [int(match[1]) for match in found if match is not None]

    def _path(self, number: int) -> UPath:
        return self._folder / f".lease-{number:08d}"

    @staticmethod
    def _read(path: UPath) -> _Content | None:
        """What a lease says; None if it is gone. One that says nothing sensible is held for the usual time."""
        try:
            values: Any = json.loads(remote.read(path, at_most=_MOST_BYTES))
            told = {name: one_line(values[name])[:200] for name in ("who", "since", "renewed")}
            return _Content(**{**values, **told, "seconds": min(_LONGEST, max(0.0, float(values["seconds"])))})
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError):
            return _Content("", "an unknown process", "an unknown time", "then", 0, DEFAULT_SECONDS)


def _seconds() -> float:
    text = os.environ.get(SECONDS_VARIABLE) or str(DEFAULT_SECONDS)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1.0 <= seconds <= _LONGEST:
        raise InvalidArgumentError(
            f"{SECONDS_VARIABLE} must be a number of seconds from 1 to {_LONGEST:g}; got {text!r}"
        )
    return seconds


def _clock() -> float:
    """Seconds that go on while the machine sleeps."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


def _who() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without users
        user = "somebody"
    return f"{user} on {socket.gethostname()}, process {os.getpid()}"
