"""Who samples: an engine turns tasks, inputs of a data set, into records, and whoever asked it stores them.

The one here samples in this process. Another one, on many devices or machines, needs to do no more: it prepares the run
from its spec where it samples, and yields the same records in whatever order they finish.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from smoothcert.certify.inputs import naming, read
from smoothcert.certify.prepare import Prepared
from smoothcert.errors import DataError
from smoothcert.runs.records import Record

if TYPE_CHECKING:
    from smoothcert.data import Example
    from smoothcert.samples import Samples
    from smoothcert.sampling import Job


@dataclass(frozen=True, eq=False)
class Task:
    """One input to sample.

    Args:
        position: Of the input in the data set.
        held: What was sampled for it before. Only the samples beyond are drawn, and the record holds the whole, as if
            it had been sampled at once.
        n: Number of estimation samples; None for the run's.
    """

    position: int
    held: Samples | None = None
    n: int | None = None


class Engine(Protocol):
    """Samples inputs of a prepared run."""

    def records(self, tasks: Iterable[Task], *, progress: Callable[[int], None]) -> Iterator[Record]:
        """Sample inputs of the data set.

        Args:
            tasks: Read only as far as there is capacity to sample.
            progress: Called with numbers of samples as they are drawn.

        Returns:
            One record per input as it finishes; where it cannot be read, with the error in place of samples.

        Raises:
            ModelError: If the base classifier fails on an input; the message names it.
        """


class LocalEngine:
    """Samples in this process, on one device: every batch is filled with the oldest inputs that are not finished.

    Args:
        run: What to sample, and with what.
    """

    def __init__(self, run: Prepared) -> None:
        self._run = run
        self._meter = _Meter()

    def records(self, tasks: Iterable[Task], *, progress: Callable[[int], None]) -> Iterator[Record]:
        """Sample inputs of the data set; see :class:`Engine`."""
        self._meter = _Meter()

        def drawn(samples: int) -> None:
            self._meter.count(samples)
            self._run.watch.glance()
            progress(samples)

        # No generator of its own: nothing stands between the writer and the sampler.
        return map(self._charged, self._run.sampler.run(self._jobs(tasks), progress=drawn))

    def _jobs(self, tasks: Iterable[Task]) -> Iterator[Job[_Finished]]:
        for task in tasks:
            example = read(self._run.data, task.position)
            if not isinstance(example, DataError):
                yield self._sampling(example, task)
                continue
            yield _nothing(self._run.unreadable(task.position, example))
            if self._run.config.spec.execution.on_unreadable == "fail":
                return  # what has begun is finished

    def _sampling(self, example: Example, task: Task) -> Job[_Finished]:
        """The record of one input; what it cost is added when it is known."""
        config, sampler, until = self._run.config, self._run.sampler, self._run.until
        with naming(example):
            if until is None:
                sizes = {"n0": config.n0, "n": task.n or config.n, "seed": config.seed}
                samples = yield from sampler.sampling(example.x, label=example.label, held=task.held, **sizes)
                record = Record(example.index, example.id, example.label, 0.0, samples)
                return _Finished(record, samples.n - task.held.n if task.held else samples.n0 + samples.n)
            decision, samples = yield from until.job(sampler, example.x, label=example.label, seed=config.seed)
            record = Record(example.index, example.id, example.label, 0.0, samples, answer=decision.answer)
            return _Finished(record, samples.n0 + samples.n)

    def _charged(self, finished: tuple[int, _Finished]) -> Record:
        done = finished[1]
        return replace(done.record, seconds=self._meter.charge(done.drawn))


@dataclass(frozen=True, eq=False)
class _Finished:
    """The record of an input, and the number of samples that were drawn for it."""

    record: Record
    drawn: int


def _nothing(record: Record) -> Job[_Finished]:
    """A job that is finished when it begins."""
    yield from ()
    return _Finished(record, 0)


class _Meter:
    """Shares out the time among inputs that are sampled together, by their samples; the shares add up to the whole."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self._seconds, self._samples = 0.0, 0  # neither charged yet

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
