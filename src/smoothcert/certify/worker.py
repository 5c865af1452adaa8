"""One worker of many: samples what it is given on a thread of its own, and tells, when asked, what came of it.

There is nothing of a cluster in here. Whoever starts a :class:`Worker`, in another process or on another machine, sends
it an :class:`Order` to prepare the run from, and then exchanges tasks for records with it.
"""

from __future__ import annotations

import os
import pickle
import platform
import socket
import sys
import time
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition, Thread
from typing import Any

from smoothcert._allocator import keep_freed_memory
from smoothcert.certify.engine import BrokenError, LocalEngine, Task
from smoothcert.certify.prepare import prepare
from smoothcert.errors import ModelError, SmoothcertError
from smoothcert.models import LoadedModel
from smoothcert.models.guard import reason
from smoothcert.models.identity import identify
from smoothcert.progress import Reporter
from smoothcert.runs.config import RunConfig
from smoothcert.runs.records import Record
from smoothcert.spec import RunSpec

BEAT = 1.0
"""Seconds after which a worker answers at the latest."""
_LINGER = 0.2  # seconds that a finished record waits for others to travel with
_MANY = 64  # records that do not wait
_MOST_AHEAD = 512  # tasks
_BRIEF, _LONG = 0.2, 1.0  # seconds that the tasks of one exchange should last, at least and at most


@dataclass(frozen=True)
class Order:
    """What a worker prepares the run from.

    Args:
        spec: The run.
        model: The base classifier, where it is no name.
        data: The inputs, where they are none.
        folder: Working directory of whoever asks, which relative paths are relative to.
        path: Where that process finds modules.
        threads: Number of threads that PyTorch computes with.
    """

    spec: RunSpec
    model: object | None
    data: object | None
    folder: str
    path: tuple[str, ...]
    threads: int


@dataclass(frozen=True)
class Outline:
    """What a worker has prepared.

    Args:
        config: What defines the run, as it is resolved there.
        indices: Of the inputs, where they are not evenly spaced.
        notes: What is worth knowing before the run.
        where: The machine, process and device, in words.
        node: The machine as the cluster calls it, if this is one.
        output: File that holds what the process writes, if that is known.
        seconds: How long it took.
    """

    config: RunConfig
    indices: Sequence[int] | None
    notes: tuple[str, ...]
    where: str
    node: str | None
    output: str | None
    seconds: float


@dataclass(frozen=True)
class Failed:
    """A worker cannot go on: what to tell a person, and what to put into a log."""

    error: SmoothcertError
    trace: str

    @classmethod
    def of(cls, error: BaseException) -> Failed:
        """What came of an error; what is not ours becomes a sentence."""
        told = error if isinstance(error, SmoothcertError) else ModelError(f"a worker failed with {reason(error)}")
        with suppress(Exception):
            pickle.loads(pickle.dumps(told))
            told = type(told)(str(told))  # without what it came from, which may not travel
        return cls(told, "".join(traceback.format_exception(error)))


@dataclass(frozen=True)
class Report:
    """What came of a worker since it was last asked.

    Args:
        records: Of inputs that were finished.
        drawn: Number of samples that were drawn, for whichever input.
        wants: Number of tasks that it has room for.
        queued: Number of tasks that it has not begun.
        idle: Whether it has nothing to do.
        returned: Tasks it was asked to give back, by index of their input.
        told: Warnings: their kinds, and what they say.
        failed: Why it samples no more.
    """

    records: Sequence[Record] = ()
    drawn: int = 0
    wants: int = 0
    queued: int = 0
    idle: bool = False
    returned: Sequence[int] = ()
    told: Sequence[tuple[type[Warning], str]] = ()
    failed: Failed | None = None


@dataclass
class _Notes(Reporter):
    """Keeps notes, for whoever asks."""

    notes: list[str] = field(default_factory=list)

    def note(self, message: str) -> None:
        self.notes.append(message)


class Worker:
    """Samples in this process.

    Args:
        order: A pickled :class:`Order`.
    """

    def __init__(self, order: bytes) -> None:
        self._order = order
        self._changed = Condition()
        self._inbox: deque[Task] = deque()
        self._more = False  # whether whoever asks has further tasks
        self._waiting = False  # whether sampling waits for a task
        self._idle = True
        self._records: list[Record] = []
        self._drawn = 0
        self._told: list[tuple[type[Warning], str]] = []
        self._failed: Failed | None = None
        self._since = 0.0  # when the first of these records was finished
        self._quota, self._granted = 1, 0.0
        self._thread: Thread | None = None

    def prepare(self) -> Outline | Failed:
        """Load what the order names, and see that it fits together."""
        start = time.monotonic()
        warnings.showwarning = self._warned
        warnings.simplefilter("default")
        notes = _Notes()
        try:
            order = self._loaded()
            run = prepare(order.spec, model=order.model, data=order.data, reporter=notes)
        except (Exception, SystemExit) as error:
            return Failed.of(error)
        self._run, self._engine = run, LocalEngine(run)
        return Outline(
            config=run.config,
            indices=None if run.config.indices is not None else run.data.indices,
            notes=tuple(notes.notes),
            where=_where(run.sampler.device),
            node=_node(),
            output=_output(),
            seconds=time.monotonic() - start,
        )

    def ask(self, method: str, *given: Any, **named: Any) -> Any:
        """Call a method of the engine here, before sampling begins; what it raises comes as a :class:`Failed`."""
        try:
            return getattr(self._engine, method)(*given, **named)
        except (Exception, SystemExit) as error:
            return Failed.of(error)

    def fix_batch_size(self, batch_size: int) -> None:
        """Before sampling begins: run as many samples at once as the other workers do."""
        self._run.sampler.fix_batch_size(batch_size)

    def exchange(self, tasks: Sequence[Task] = (), *, more: bool, give_back: int = 0) -> Report:
        """Take tasks, and answer as soon as there is something to say.

        Args:
            tasks: Inputs to sample.
            more: Whether there are others to come; if not, what has begun is finished without company.
            give_back: Number of tasks to give back that have not begun.
        """
        with self._changed:
            self._inbox.extend(tasks)
            self._more = more
            returned = [self._inbox.pop() for _ in range(min(give_back, len(self._inbox)))]
            if self._thread is None:
                self._thread = Thread(target=self._go_on, name="sampling", daemon=True)
                self._thread.start()
            if tasks:
                self._granted = time.monotonic()
                self._idle = False
            self._changed.notify_all()
            if not returned:
                self._await_news(until=time.monotonic() + BEAT, was_idle=self._idle)
            return self._report([self._engine.indices[task.position] for task in returned])

    def _await_news(self, *, until: float, was_idle: bool) -> None:
        """Wait until there is something to say."""
        while (now := time.monotonic()) < until:
            waited = until
            if self._failed is not None or self._hungry() or (self._idle and not was_idle):
                return
            if self._records:
                if len(self._records) >= _MANY or now >= self._since + _LINGER:
                    return
                waited = min(until, self._since + _LINGER)
            self._changed.wait(max(0.0, waited - now))

    def _hungry(self) -> bool:
        """Whether tasks are needed, or will be soon."""
        if not self._more:
            return False
        few = self._quota // 2 if self._quota > 1 else -1
        return len(self._inbox) <= few or ((self._waiting or self._idle) and not self._inbox)

    def _report(self, returned: Sequence[int]) -> Report:
        wants = 0
        if self._hungry():
            lasted = time.monotonic() - self._granted
            if self._granted and not self._inbox and lasted < _BRIEF:
                self._quota = min(_MOST_AHEAD, 2 * self._quota)
            elif lasted > _LONG:
                self._quota = max(1, self._quota // 2)
            wants = max(1, self._quota - len(self._inbox))
        report = Report(
            self._records, self._drawn, wants, len(self._inbox), self._idle, returned, self._told, self._failed
        )
        self._records, self._drawn, self._told = [], 0, []
        return report

    def _go_on(self) -> None:
        """Sample whatever comes, for good."""
        try:
            while True:
                with self._changed:
                    self._idle = not self._inbox
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: self._inbox)
                    self._idle = False
                for record in self._engine.records(self._tasks(), progress=self._drew):
                    with self._changed:
                        if not self._records:
                            self._since = time.monotonic()
                        self._records.append(record)
                        self._changed.notify_all()
        except BrokenError as error:  # a new process may do better
            print(error, file=sys.stderr, flush=True)
            os._exit(1)
        except BaseException as error:  # whatever the user's code raises, it is said
            with self._changed:
                self._failed = Failed.of(error)
                self._changed.notify_all()

    def _tasks(self) -> Iterator[Task]:
        """Tasks as they come; sampling waits for them as long as there are more, so that batches are full."""
        while True:
            with self._changed:
                self._waiting = True
                if not self._inbox:
                    self._changed.notify_all()
                self._changed.wait_for(lambda: self._inbox or not self._more)
                self._waiting = False
                if not self._inbox:
                    return
                task = self._inbox.popleft()
                if self._hungry():
                    self._changed.notify_all()
            yield task

    def _drew(self, samples: int) -> None:
        self._drawn += samples

    def _loaded(self) -> Order:
        """What was ordered, in the surroundings of whoever ordered it."""
        import torch

        keep_freed_memory()
        order, self._order = self._order, b""
        try:
            loads: Callable[[bytes], tuple[Any, ...]] = pickle.loads
            folder, path, threads, rest = loads(order)
            sys.path[:] = dict.fromkeys([*path, *sys.path])
            with suppress(OSError):  # a node without that folder may have everything by absolute paths
                os.chdir(folder)
            spec, model, data = loads(rest)
        except Exception as error:
            raise ModelError(
                f"model or data given as Python objects cannot be unpacked on {socket.gethostname()} "
                f"({reason(error)}): what they are made of must be installed there, or named as python:FILE.py:NAME"
            ) from error
        if isinstance(model, LoadedModel):
            _require_same_code(model)
        torch.set_num_threads(threads)
        return Order(spec, model, data, folder, path, threads)

    def _warned(self, message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        with self._changed:
            self._told.append((category, str(message)))


def pack(order: Order, dumps: Callable[[Any], bytes]) -> bytes:
    """An order as bytes; the modules it is made of are looked for after the path is known.

    Args:
        order: The order.
        dumps: Pickles functions and classes that lie in no module, too.
    """
    rest = dumps((order.spec, order.model, order.data))
    return dumps((order.folder, order.path, order.threads, rest))


def _require_same_code(model: LoadedModel) -> None:
    """Refuse a model whose source files are others here than where it was made."""
    here = identify(model.module)
    for name, known in model.identity.items():
        if name.startswith("code ") and here.get(name, known) != known:
            raise ModelError(
                f"the {name} of model {model.name} is another on {socket.gethostname()} than where the run was started"
            )


def _where(device: Any) -> str:
    import torch

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "CPU"
    return f"{socket.gethostname()}, process {os.getpid()}, {device.type} ({name})"


def _node() -> str | None:
    ray = sys.modules.get("ray")
    return str(ray.get_runtime_context().get_node_id()) if ray is not None and ray.is_initialized() else None


def _output() -> str | None:
    """The file that standard error goes to, if it is one."""
    with suppress(OSError):
        target = os.readlink(f"/proc/{os.getpid()}/fd/2")
        if Path(target).is_file():
            return target
    return None
