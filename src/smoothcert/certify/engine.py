"""Who samples: an engine turns tasks, inputs of a data set, into records, and whoever asked it stores them.

The one here samples in this process; :class:`smoothcert.certify.ray_engine.RayEngine` has workers on other devices and
machines, each with one of these. What an engine is asked for is the same, and so are the records.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from smoothcert.certify.prepare import Prepared
from smoothcert.certify.rehearsal import Rehearsal, rehearse
from smoothcert.certify.witness import Known, require_unchanged
from smoothcert.errors import DataError, ModelError, SmoothcertError
from smoothcert.models.guard import place, reason
from smoothcert.runs.records import Record

if TYPE_CHECKING:
    from smoothcert.data import Example
    from smoothcert.runs.config import RunConfig
    from smoothcert.samples import Samples
    from smoothcert.sampling import Job

_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class Task:
    """One input to sample.

    Args:
        position: Of the input in the data set.
        held: What was sampled for it before. Only the samples beyond are drawn, and the record holds the whole, as if
            it had been sampled at once.
        n: Number of estimation samples; None for the run's.
        given_up: Why the input is not to be sampled any more; it is then one that failed.
    """

    position: int
    held: Samples | None = None
    n: int | None = None
    given_up: str | None = None


class BrokenError(ModelError):
    """The base classifier fails whatever it is given, as it does after an error of its device."""


class Engine(Protocol):
    """Samples the inputs of a run."""

    @property
    def config(self) -> RunConfig:
        """What defines the run."""

    @property
    def indices(self) -> Sequence[int]:
        """Of its inputs in their source, by position."""

    @property
    def workers(self) -> int:
        """How many sample at once."""

    def fingerprint_of(self, indices: Sequence[int]) -> str | None:
        """Fingerprint of the data if these inputs were chosen; None if some are not among those that are."""

    def require_unchanged(self, known: Known) -> None:
        """See that the classifier and the inputs are those that a stored run began with.

        Raises:
            RunError: If they are not; the message names the input.
        """

    def rehearse(self, *, samples: int) -> Rehearsal:
        """Look how fast a run of so many samples will be; warn if it cannot certify anything."""

    def finished(self, tasks: Iterable[Task], *, progress: Callable[[int], None]) -> Iterator[Sequence[Record]]:
        """Sample inputs of the data set.

        Args:
            tasks: Read only as far as there is capacity to sample.
            progress: Called with numbers of samples as they are drawn.

        Returns:
            Records of inputs as they finish, those that are there at once together; with the error in place of samples
            where an input cannot be read or the base classifier fails on it, and the run goes on without it.

        Raises:
            DataError: If an input cannot be read, and the run does not go on without it. What was begun is finished
                first.
            ModelError: If the base classifier fails on an input, likewise; or if it drifts.
        """

    def close(self) -> None:
        """Give free what it holds."""


class LocalEngine:
    """Samples in this process, on one device: every batch is filled with the oldest inputs that are not finished.

    Args:
        run: What to sample, and with what.
    """

    workers = 1

    def __init__(self, run: Prepared) -> None:
        self._run = run
        self._meter = _Meter()
        self._failure: SmoothcertError | None = None
        self.config, self.indices = run.config, run.data.indices

    def fingerprint_of(self, indices: Sequence[int]) -> str | None:
        """As the data say; see :class:`Engine`."""
        return self._run.data.fingerprint_of(indices)

    def require_unchanged(self, known: Known) -> None:
        """Sample what the run began with again, and read some inputs; see :class:`Engine`."""
        require_unchanged(self._run, known)

    def rehearse(self, *, samples: int) -> Rehearsal:
        """Sample some inputs a little; see :class:`Engine`."""
        run, config = self._run, self.config
        return rehearse(run.sampler, run.data, num_classes=config.num_classes, n=config.n, samples=samples)

    def finished(self, tasks: Iterable[Task], *, progress: Callable[[int], None]) -> Iterator[Sequence[Record]]:
        """Sample inputs of the data set; see :class:`Engine`."""
        for record in self.records(tasks, progress=progress):
            yield (record,)

    def records(self, tasks: Iterable[Task], *, progress: Callable[[int], None]) -> Iterator[Record]:
        """Sample inputs of the data set, one record at a time; see :class:`Engine`."""
        run = self._run
        self._failure = None

        def drawn(samples: int) -> None:
            self._meter.count(samples)
            run.watch.glance()
            progress(samples)

        run.watch.look()
        self._meter = _Meter()
        for _, done in run.sampler.run(self._jobs(tasks), progress=drawn, fill=True):
            if done is not None:
                yield replace(done.record, seconds=self._meter.charge(done.drawn))
        if self._failure is not None:
            raise self._failure
        run.watch.look()

    def close(self) -> None:
        """Nothing to give free."""

    def _jobs(self, tasks: Iterable[Task]) -> Iterator[Job[_Finished | None]]:
        for task in self._meter.waiting(tasks):
            yield self._job(task)
            if self._failure is not None:
                return  # what has begun is finished

    def _job(self, task: Task) -> Job[_Finished | None]:
        """The record of one input, without what it cost; None where the run stops because of it."""
        run = self._run
        try:
            if task.given_up is None:
                return (yield from self._sampling(run.data.load(task.position), task))
            failure: SmoothcertError = ModelError(task.given_up)
        except Exception as error:  # of whatever kind: the input's own, the classifier's, a measure's
            failure = error if isinstance(error, SmoothcertError) else ModelError(f"{reason(error)}{place(error)}")
        if run.skips:
            if not isinstance(failure, DataError):
                self._require_working(task)
            return _Finished(run.failed(task.position, str(failure)), 0)
        self._failure = self._failure or run.stopping(task.position, failure)
        return None

    def _require_working(self, task: Task) -> None:
        try:
            self._run.watch.look()
        except ModelError as error:
            index, name = self.indices[task.position], self._run.data.id(task.position)
            raise BrokenError(
                f"since input {index} ({name}) the base classifier fails on others, too: {error}"
            ) from error

    def _sampling(self, example: Example, task: Task) -> Job[_Finished]:
        config, sampler, until = self._run.config, self._run.sampler, self._run.until
        if until is None:
            sizes = {"n0": config.n0, "n": task.n or config.n, "seed": config.seed}
            samples = yield from sampler.sampling(example.x, label=example.label, held=task.held, **sizes)
            record = Record(example.index, example.id, example.label, 0.0, samples)
            return _Finished(record, samples.n - task.held.n if task.held else samples.n0 + samples.n)
        decision, samples = yield from until.job(sampler, example.x, label=example.label, seed=config.seed)
        record = Record(example.index, example.id, example.label, 0.0, samples, answer=decision.answer)
        return _Finished(record, samples.n0 + samples.n)


@dataclass(frozen=True, eq=False)
class _Finished:
    """The record of an input, and the number of samples that were drawn for it."""

    record: Record
    drawn: int


class _Meter:
    """Shares out the time among inputs that are sampled together, by their samples; the shares add up to the whole."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self._seconds, self._samples = 0.0, 0  # neither charged yet

    def waiting(self, items: Iterable[_T]) -> Iterator[_T]:
        """The items; the time until they come is nobody's."""
        iterator = iter(items)
        while True:
            asked = time.perf_counter()
            item = next(iterator, None)
            self._last += time.perf_counter() - asked
            if item is None:
                return
            yield item

    def count(self, samples: int) -> None:
        """Samples were drawn, for whichever input."""
        self._samples += samples

    def charge(self, samples: int) -> float:
        """Share, in seconds, of an input that took so many of them."""
        now = time.perf_counter()
        self._seconds += now - self._last
        share = self._seconds * min(1.0, samples / max(self._samples, 1))
        self._last, self._seconds, self._samples = now, self._seconds - share, max(0, self._samples - samples)
        return share
