"""The workers on a Ray cluster: started, asked, missed when they die, replaced, and written down in logs."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smoothcert.certify.cluster import Cluster, too_little
from smoothcert.certify.engine import Task
from smoothcert.certify.worker import BEAT, Failed, Outline, Report, Worker
from smoothcert.errors import ModelError, RunError, SmoothcertError
from smoothcert.files import write_file
from smoothcert.progress import Reporter
from smoothcert.runs.config import RunConfig
from smoothcert.urls import AnyPath

_PATIENCE = 300.0  # seconds without any worker and without room for one
_TOLD_EVERY = 60.0  # seconds between two notes that one waits
_DEATHS = 3  # workers that may die one after the other while they prepare the run
_LOOKED_EVERY = 20.0  # seconds between two looks whether the cluster has grown
_LOGGED_EVERY = 30.0
_MOST_LINES = 2_000  # of a log; the middle of a longer one is left out
_LONGEST = 300  # characters of a reason
_TAIL = 2_000  # bytes of a dead worker's output that are kept


@dataclass(eq=False)
class Member:
    """A worker: one actor after another, where they die.

    Attributes:
        number: From 1.
        actor: Its process.
        pending: The call that it has not answered.
        outline: What it prepared; None until it has.
        report: What it said last.
        lines: Of its log.
        inputs: Number of inputs that it finished.
        samples: Number of samples that it drew.
    """

    number: int
    actor: Any = None
    pending: Any = None
    outline: Outline | None = None
    report: Report = field(default_factory=lambda: Report(idle=True))
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_MOST_LINES))
    inputs: int = 0
    samples: int = 0

    def log(self, text: str) -> None:
        """Add to its log."""
        moment = time.strftime("%H:%M:%S")
        self.lines.extend(f"{moment} {line}" for line in text.rstrip().splitlines())


@dataclass(frozen=True)
class Died:
    """A worker is gone.

    Args:
        reason: In one line.
        blameless: Whether its machine is gone, too.
    """

    reason: str
    blameless: bool


class Crew:
    """Workers of one run.

    Args:
        cluster: Where they run.
        order: What they prepare the run from, pickled.
        workers: How many; None for as many as there is room for, also later.
        reporter: Is told when one waits.

    Raises:
        RunError: If not even one can be started.
    """

    def __init__(self, cluster: Cluster, order: bytes, *, workers: int | None, reporter: Reporter) -> None:
        self._cluster, self._ray, self._reporter = cluster, cluster.ray, reporter
        self._asked = workers
        room = cluster.room
        if workers is None and room == 0:
            raise RunError(too_little(cluster, workers))
        need = cluster.need
        self._remote = self._ray.remote(Worker).options(
            num_cpus=need.cpus, num_gpus=need.gpus, max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD"
        )
        self._order = self._ray.put(order)
        self._pending: dict[Any, Member] = {}
        self._deaths = 0  # one after the other, while they prepared
        self._config: RunConfig | None = None
        self._began = time.strftime("%Y%m%dT%H%M%S")
        self._looked = self._told = self._alive = self._logged = time.monotonic()
        self.members: list[Member] = []
        if workers is not None and workers > room > 0:
            reporter.note(
                f"{workers} workers are asked for and there is room for {room}; others begin when there is more"
            )
        self._grow(workers or room)

    @property
    def ready(self) -> list[Member]:
        """Those that have prepared the run."""
        return [member for member in self.members if member.outline is not None]

    def first(self) -> Outline:
        """What the first worker that is ready has prepared; the others must have prepared the same.

        Raises:
            SmoothcertError: What the first one fails with.
            RunError: If none can be started.
        """
        while not self.ready:
            for member, news in self.poll():
                self.take(member, news)
        return self.ready[0].outline  # type: ignore[return-value]

    def poll(self) -> Iterator[tuple[Member, Outline | Report | Failed | Died]]:
        """What workers say that were asked; waits a moment for the first of them."""
        self._look_after()
        if not self._pending:
            time.sleep(0.05)
            return
        ray = self._ray
        found, _ = ray.wait(list(self._pending), num_returns=1, timeout=BEAT, fetch_local=False)
        found += ray.wait(list(self._pending), num_returns=len(self._pending), timeout=0, fetch_local=False)[0]
        for reference in dict.fromkeys(found):
            member = self._pending.pop(reference)
            member.pending = None
            yield member, self._value(member, reference)

    def take(self, member: Member, news: Outline | Report | Failed | Died) -> None:
        """Note what came of a worker: one that died is replaced.

        Raises:
            SmoothcertError: What it failed with; or if workers die again and again before they are ready.
            RunError: If it prepared another run.
        """
        if isinstance(news, Outline):
            self._deaths = 0
            first = self._require_same(news)
            member.outline = news
            if (size := first.spec.execution.batch_size) is not None:
                member.actor.fix_batch_size.remote(size)  # before anything else it is asked for
            member.log(f"ready after {news.seconds:.1f} s on {news.where}; its output is in {news.output or 'no file'}")
            for note in news.notes:
                member.log(f"note: {note}")
        elif isinstance(news, Failed):
            member.log(f"failed: {news.trace}")
            raise news.error
        elif isinstance(news, Died):
            member.log(f"died: {news.reason}")
            if member.outline is None and not news.blameless:
                self._deaths += 1
                if self._deaths >= _DEATHS * max(1, len(self.members)):
                    raise ModelError(
                        f"workers die while they load the model and the data, the last one with: {news.reason}; what "
                        f"they wrote is in {self._cluster.logs} on their machines"
                    )
            self._start(member)
        else:
            member.report = news
            member.inputs += len(news.records)
            member.samples += news.drawn
            for category, text in news.told:
                member.log(f"{category.__name__}: {text}")

    def exchange(self, member: Member, tasks: list[Task], *, more: bool, give_back: int = 0) -> None:
        """Send tasks to a worker that is ready and was not asked yet; its answer comes by :meth:`poll`."""
        self._await(member, member.actor.exchange.remote(tasks, more=more, give_back=give_back))

    def ask(self, method: str, *given: Any, **named: Any) -> Any:
        """Before there are tasks: have a worker call a method of its engine. None if the worker dies of it.

        Raises:
            SmoothcertError: What that raises.
        """
        self.first()
        member = self.ready[0]
        reference = member.actor.ask.remote(method, *given, **named)
        while not self._ray.wait([reference], timeout=BEAT, fetch_local=False)[0]:
            self._look_after()
        found = self._value(member, reference)
        if isinstance(found, (Failed, Died)):
            self.take(member, found)
            return None
        return found

    def close(self) -> None:
        """End all workers."""
        for member in self.members:
            if member.actor is not None:
                self._ray.kill(member.actor)
                member.actor = None
        self._pending.clear()

    def write_logs(self, folder: AnyPath | None, *, now: bool = False) -> None:
        """Write down now and then what is known of every worker."""
        if folder is None or (not now and time.monotonic() < self._logged + _LOGGED_EVERY):
            return
        self._logged = time.monotonic()
        for member in self.members:
            if now:
                member.log(f"sampled {member.inputs:,} inputs with {member.samples:,} samples")
            with suppress(RunError):  # whether a run goes on is decided where its records are stored
                write_file(folder / f"{self._began}-worker-{member.number:03d}.log", "\n".join(member.lines) + "\n")

    def _grow(self, workers: int) -> None:
        while len(self.members) < workers:
            member = Member(len(self.members) + 1)
            self.members.append(member)
            self._start(member)

    def _start(self, member: Member) -> None:
        if member.actor is not None:
            self._ray.kill(member.actor)  # whatever is left of it
        member.outline, member.report = None, Report(idle=True)
        member.actor = self._remote.remote(self._order)
        self._await(member, member.actor.prepare.remote())

    def _await(self, member: Member, reference: Any) -> None:
        member.pending = reference
        self._pending[reference] = member

    def _value(self, member: Member, reference: Any) -> Any:
        """What a call gave, or that its worker died."""
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            return Failed.of(error.cause if isinstance(error.cause, SmoothcertError) else error)
        except self._ray.exceptions.RayError as error:
            lost = self._node_of(member) not in self._cluster.nodes
            return Died(self._told_by(member, error), blameless=lost)

    def _node_of(self, member: Member) -> str | None:
        """The machine of a worker; None where it never had one."""
        return None if member.outline is None else member.outline.node

    def _told_by(self, member: Member, error: Exception) -> str:
        """Why a worker died, as far as Ray and its own last words say."""
        text = " ".join(str(error).split())
        known = re.search(r"Worker exit type: \S+ Worker exit detail: ([^.]+)\.", text)
        words = ""
        if member.outline is not None and member.outline.output is not None:
            words = _tail(Path(member.outline.output))
        if words:
            member.log(f"its last words:\n{words}")
        return known[1] if known else text[:_LONGEST]

    def _require_same(self, outline: Outline) -> RunConfig:
        """What the first worker prepared; the others must have prepared it, too."""
        self._config = first = self._config or outline.config
        differences = [str(one) for one in first.difference(outline.config)]
        ours, theirs = first.versions, outline.config.versions
        differences += [
            f"{name} is {ours.get(name)} there and {theirs.get(name)} here"
            for name in sorted({*ours, *theirs} - {"python"})
            if ours.get(name) != theirs.get(name)
        ]
        if differences:
            raise RunError(
                f"a worker on {outline.where} would sample another run than the first one: {', '.join(differences)}; "
                "all machines must have the same files and packages"
            )
        return first

    def _look_after(self) -> None:
        """See whether there are workers at all, and whether there is room for more."""
        now = time.monotonic()
        if self.ready:
            self._alive = self._told = now
        elif now >= self._told + (_TOLD_EVERY if self._told > self._alive else BEAT * 10):
            self._told = now
            self._wait_for_room(now)
        if self._asked is None and now >= self._looked + _LOOKED_EVERY:
            self._looked = now
            self._grow(self._cluster.room)

    def _wait_for_room(self, now: float) -> None:
        if self._cluster.room:
            self._reporter.note(f"waiting for a worker with {self._cluster.need}: it prepares, or the cluster is busy")
        elif now >= self._alive + _PATIENCE:
            raise RunError(f"{too_little(self._cluster, self._asked)}; the same command goes on when it has")
        else:
            self._reporter.note(f"{too_little(self._cluster, self._asked)}; waiting for it")


def _tail(file: Path) -> str:
    """The end of a file on this machine, if it is there."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - _TAIL))
            lines = stream.read(_TAIL).decode("utf-8", "replace").splitlines()
        return "\n".join(line for line in lines if not line.startswith((":job_id:", ":actor_name:"))).strip()
    except OSError:
        return ""
