"""Who samples: an engine turns positions in a data set into records, and whoever asked it stores them.

The one here samples in this process. Another one, on many devices or machines, needs to do no more: it prepares the run
from its spec where it samples, and yields the same records in whatever order they finish.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from smoothcert.certify.inputs import naming, read
from smoothcert.certify.prepare import Prepared
from smoothcert.errors import DataError
from smoothcert.runs.records import Record

if TYPE_CHECKING:
    from smoothcert.data import Example
    from smoothcert.sampling import Job


class Engine(Protocol):
    """Samples inputs of a prepared run."""

    def records(self, positions: Iterable[int], *, progress: Callable[[int], None]) -> Iterator[Record]:
        """Sample the inputs at these positions of the data set.

        Args:
            positions: Read only as far as there is capacity to sample.
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

    def records(self, positions: Iterable[int], *, progress: Callable[[int], None]) -> Iterator[Record]:
        """Sample the inputs at these positions; see :class:`Engine`."""
        self._meter = _Meter()

        def drawn(samples: int) -> None:
            self._meter.count(samples)
            self._run.watch.glance()
            progress(samples)

        # No generator of its own: nothing stands between the writer and the sampler.
        return map(self._charged, self._run.sampler.run(self._jobs(positions), progress=drawn))

    def _jobs(self, positions: Iterable[int]) -> Iterator[Job[Record]]:
        for position in positions:
            example = read(self._run.data, position)
            if not isinstance(example, DataError):
                yield self._sampling(example)
                continue
            yield _nothing(self._run.unreadable(position, example))
            if self._run.config.spec.execution.on_unreadable == "fail":
                return  # what has begun is finished

    def _sampling(self, example: Example) -> Job[Record]:
        """The record of one input; what it cost is added when it is known."""
        config, sampler, until = self._run.config, self._run.sampler, self._run.until
        with naming(example):
            if until is None:
                sizes = {"n0": config.n0, "n": config.n, "seed": config.seed}
                samples = yield from sampler.sampling(example.x, label=example.label, **sizes)
                return Record(example.index, example.id, example.label, 0.0, samples)
            decision, samples = yield from until.job(sampler, example.x, label=example.label, seed=config.seed)
            return Record(example.index, example.id, example.label, 0.0, samples, answer=decision.answer)

    def _charged(self, finished: tuple[int, Record]) -> Record:
        record = finished[1]
        samples = 0 if record.samples is None else record.samples.n0 + record.samples.n
        return replace(record, seconds=self._meter.charge(samples))


def _nothing(record: Record) -> Job[Record]:
    """A job that is finished when it begins."""
    yield from ()
    return record


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
