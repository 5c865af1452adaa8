"""The local loop: inputs that are not stored yet are read, sampled together in full batches, and stored one by one."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from smoothcert.certify.prepare import naming
from smoothcert.certify.rehearsal import rehearse
from smoothcert.errors import DataError
from smoothcert.progress import Reporter, duration
from smoothcert.runs.config import RunConfig
from smoothcert.runs.records import Record
from smoothcert.runs.store import RunStore

if TYPE_CHECKING:
    from smoothcert.data import Dataset, Example
    from smoothcert.sampling import Job, Sampler
    from smoothcert.stopping import UntilDecided

_USUAL = 1_000  # samples that a question takes on average, for want of anything better before the first is answered


def fill(
    store: RunStore,
    sampler: Sampler,
    data: Dataset,
    *,
    until: UntilDecided | None = None,
    skip: bool = False,
    reporter: Reporter,
) -> None:
    """Sample and store the inputs that are missing; an interrupt loses those that share the batches of the moment.

    Args:
        store: The run.
        sampler: As the run's config says.
        data: The inputs.
        until: Sample each input until this is decided; None for as many samples as the config says.
        skip: Store why an input cannot be read and go on, instead of stopping there.
        reporter: Shows notes and progress.

    Raises:
        DataError: If an input cannot be read; those before it are stored first.
        ModelError: If the base classifier fails on an input; the message names it.
        RunError: If the run cannot be written.
    """
    config, present = store.config, store.present
    missing = [position for position, index in enumerate(data.indices) if index not in present]
    if present:
        reporter.note(f"{store.path} already holds {len(data) - len(missing)} of {len(data)} inputs")
    if not missing:
        return
    each = config.n0 + config.n
    expected = len(missing) * (each if until is None else min(each, _USUAL))
    look = rehearse(sampler, data, num_classes=config.num_classes, n=config.n, samples=expected)
    reporter.note(_forecast(config, look.rate, inputs=len(missing)))
    meter, unreadable = _Meter(), list[DataError]()

    def jobs() -> Iterator[Job[Record]]:
        for position in missing:
            example = _load(data, position)
            if not isinstance(example, DataError):
                yield _record(sampler, example, config=config, until=until)
            elif skip:
                store.append(_skipped(data, position, example))
                reporter.skip(each)
            else:
                unreadable.append(example)
                return  # what has begun is finished first

    def drawn(samples: int) -> None:
        meter.count(samples)
        reporter.advance(samples)

    with reporter.sampling(inputs=len(missing), samples=each * len(missing) if until is None else None):
        for _, record in sampler.run(jobs(), progress=drawn):
            samples = 0 if record.samples is None else record.samples.n0 + record.samples.n
            store.append(replace(record, seconds=meter.charge(samples)))
            reporter.finish()
    if unreadable:
        raise DataError(
            f"{unreadable[0]}; what is stored so far is kept, and --on-unreadable skip goes on without this input"
        ) from unreadable[0]


def _record(sampler: Sampler, example: Example, *, config: RunConfig, until: UntilDecided | None) -> Job[Record]:
    """The record of one input; what it cost is added when it is known."""
    with naming(f"input {example.index} ({example.id})"):
        if until is None:
            samples = yield from sampler.sampling(example.x, n0=config.n0, n=config.n, seed=config.seed)
            return Record(example.index, example.id, example.label, 0.0, samples)
        decision, samples = yield from until.job(sampler, example.x, seed=config.seed)
        return Record(example.index, example.id, example.label, 0.0, samples, answer=decision.answer)


def _load(data: Dataset, position: int) -> Example | DataError:
    """The input, or why it cannot be read."""
    try:
        return data.load(position)
    except DataError as error:
        return error


def _skipped(data: Dataset, position: int, error: DataError) -> Record:
    return Record(data.indices[position], data.id(position), data.label(position), 0.0, None, str(error))


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


def _forecast(config: RunConfig, rate: float, *, inputs: int) -> str:
    each = config.n0 + config.n
    if config.question is not None:
        plan = f"{inputs:,} inputs, {config.question} decided with at most {each:,} samples each on {config.device}"
        return plan if math.isnan(rate) else f"{plan}: {rate:,.0f} samples/s"
    plan = f"{inputs:,} inputs x {each:,} samples on {config.device}"
    if math.isnan(rate):
        return plan
    return f"{plan}: about {duration(inputs * each / rate)} at {rate:,.0f} samples/s"
