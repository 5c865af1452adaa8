"""A run: prepared from its spec, compared with what is stored, and the inputs it lacks sampled and stored."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from smoothcert.certify.engine import Engine, LocalEngine, Task
from smoothcert.certify.prepare import Prepared, prepare
from smoothcert.certify.rehearsal import Rehearsal, rehearse
from smoothcert.certify.witness import require_unchanged
from smoothcert.errors import DataError
from smoothcert.progress import Reporter, duration, interactive_reporter
from smoothcert.runs.config import RunConfig
from smoothcert.runs.extent import Extent, grown
from smoothcert.runs.heartbeat import Pulse
from smoothcert.runs.records import from_table
from smoothcert.runs.run import Run
from smoothcert.runs.store import RunStore, check_folder
from smoothcert.spec import RunSpec, SamplingSpec

_USUAL = 1_000  # samples that a question takes on average, for want of anything better before the first is answered


def certify_run(
    spec: RunSpec | SamplingSpec,
    *,
    out: Path | str,
    model: object | None = None,
    data: object | None = None,
    engine: Callable[[Prepared], Engine] = LocalEngine,
    reporter: Reporter | None = None,
    progress: bool = False,
) -> Run:
    """Sample every input of a data set under noise and store what was sampled, for any later question.

    Records are stored one by one. A run that was interrupted, even by a kill, goes on where it stopped when this is
    called again with the same arguments, and ends with the same records. A run that is there grows when more is asked
    for, a larger ``n`` or a selection of the same data that contains the stored one: only what is new is drawn, and it
    ends with the records that it would have had at once.

    Args:
        spec: The run. What comes as an object is not named in it; where both do, a :class:`SamplingSpec` is enough.
        out: The run folder.
        model: The base classifier, where it is no name: a :class:`smoothcert.models.LoadedModel`, or a module, function
            or estimator, whose code becomes part of the run's fingerprint.
        data: The inputs, where they are no name: whatever :func:`smoothcert.data.as_dataset` takes. They know how they
            were selected and prepared.
        engine: Makes who samples; records come from it in any order, and are stored here.
        reporter: Shows notes and progress; None shows nothing.
        progress: Without a reporter: whether to show both where somebody watches, on a terminal or in a notebook.

    Returns:
        The finished run.

    Raises:
        InvalidArgumentError: If something is neither named nor loaded, or both, or the backend cannot run it.
        MissingDependencyError: If a package is absent.
        ModelError: If the model cannot be loaded or run, does not return class scores, scores an input by its company
            in the batch, or drifts.
        DataError: If the data cannot be loaded, a label is outside the classes, or an input cannot be read.
        RunError: If the folder holds another run or cannot be written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> spec = RunSpec.of(model="digits", data="digits", limit=2, sigma=0.25, n0=10, n=100)
        >>> with TemporaryDirectory() as folder:
        ...     len(certify_run(spec, out=folder))
        2
    """
    reporter = reporter or (interactive_reporter() if progress else Reporter())
    check_folder(Path(out))
    asked = spec if isinstance(spec, RunSpec) else RunSpec(sampling=spec)
    run = prepare(asked, model=model, data=data, reporter=reporter)
    with RunStore(out, run.config, settle=partial(_settled, run=run, out=out)) as store:
        work = _Work.of(run, store)
        if store.present:
            reporter.note(work.told(store))
            require_unchanged(run, store.path)
        if not work.inputs:
            return Run.open(out)
        expected = work.samples if run.until is None else work.inputs * min(work.each, _USUAL)
        look = rehearse(run.sampler, run.data, num_classes=run.config.num_classes, n=run.config.n, samples=expected)
        reporter.note(_forecast(run.config, look, work))
        run.watch.look()
        unreadable = None
        total = work.samples if run.until is None else None
        reporter = Pulse(reporter, store.path, store.config.fingerprint, run.config.spec.execution)
        with reporter.sampling(inputs=work.inputs, samples=total):
            for found in engine(run).records(work.tasks(run, store), progress=reporter.advance):
                record = replace(found, seconds=found.seconds + work.spent.get(found.index, 0.0))
                if record.error is None:
                    store.append(record)
                    reporter.finish()
                elif asked.execution.on_unreadable == "skip":
                    store.append(record)
                    reporter.skip(work.lacking.get(record.index, work.each))
                else:
                    unreadable = record
        run.watch.look()
    if unreadable is not None:
        raise DataError(
            f"{unreadable.error}; what is stored so far is kept, and --on-unreadable skip goes on without this input"
        )
    return Run.open(out)


@dataclass(frozen=True, eq=False)
class _Work:
    """What a run lacks.

    Args:
        new: Positions of the inputs of which nothing is stored.
        lacking: By the index of those that are stored with fewer samples, how many they lack.
        each: Samples per input, pilot included; where a question is decided, at most.
        spent: Seconds spent before on inputs that are given more samples, by index; filled as they are.
    """

    new: list[int]
    lacking: dict[int, int]
    each: int
    spent: dict[int, float] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Prepared, store: RunStore) -> _Work:
        """What is to be done, of what belongs to this folder."""
        indices, sizes, n = run.data.indices, store.sizes, run.config.n
        return cls(
            [position for position in run.positions if indices[position] not in sizes],
            {index: n - sizes[index] for p in run.positions if 0 < sizes.get(index := indices[p], 0) < n},
            run.config.n0 + n,
        )

    @property
    def inputs(self) -> int:
        """Number of inputs to be sampled."""
        return len(self.new) + len(self.lacking)

    @property
    def samples(self) -> int:
        """Number of samples to be drawn; where a question is decided, at most."""
        return len(self.new) * self.each + sum(self.lacking.values())

    def told(self, store: RunStore) -> str:
        """What is there already, in words."""
        held, own = len(store.present), store.config.expected
        fewer = f", {len(self.lacking):,} of them with fewer than {store.config.n:,} samples" if self.lacking else ""
        return f"{store.path} already holds {held} of {own} inputs{fewer}"

    def tasks(self, run: Prepared, store: RunStore) -> Iterator[Task]:
        """Inputs with too few samples first, read as they are needed."""
        if self.lacking:
            positions = {index: position for position, index in enumerate(run.data.indices)}
            wanted = np.array(sorted(self.lacking))
            # By the configuration that this store writes, which may go further than the stored one yet.
            for table in Run(store.path, store.config).tables():
                for record in from_table(table.filter(pa.array(np.isin(table["index"].to_numpy(), wanted)))):
                    self.spent[record.index] = record.seconds
                    yield Task(positions[record.index], record.samples)
        yield from map(Task, self.new)


def _settled(kept: RunConfig, asked: RunConfig, *, run: Prepared, out: Path | str) -> RunConfig:
    """The configuration to go on with in a folder that holds a run: the stored one, or a larger one."""

    def fingerprint_of(extent: Extent) -> str | None:
        indices = run.data.indices[: extent.inputs] if extent.indices is None else range(*extent.indices)
        return run.data.fingerprint_of(indices)

    return grown(kept, asked, fingerprint_of=fingerprint_of, where=out)


def _forecast(config: RunConfig, look: Rehearsal, work: _Work) -> str:
    each, inputs, rate = work.each, work.inputs, look.rate
    if config.question is not None:
        plan = f"{inputs:,} inputs, {config.question} decided with at most {each:,} samples each on {config.device}"
        return plan if math.isnan(rate) else f"{plan}: {rate:,.0f} samples/s"
    plan = f"{inputs:,} inputs x {each:,} samples on {config.device}"
    if work.lacking:
        plan = f"{work.samples:,} more samples of {inputs:,} inputs on {config.device}"
    if math.isnan(rate):
        return plan
    took = f"{plan}: about {duration(work.samples / rate)} at {rate:,.0f} samples/s"
    return took + look.worth_of_more(config.n)
