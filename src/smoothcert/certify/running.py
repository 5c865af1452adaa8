"""A run: prepared from its spec, compared with what is stored, and the inputs it lacks sampled and stored."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from smoothcert.certify.engine import Engine, LocalEngine, Task
from smoothcert.certify.prepare import prepare
from smoothcert.certify.rehearsal import Rehearsal
from smoothcert.certify.witness import Known
from smoothcert.errors import RunError
from smoothcert.progress import Reporter, duration, interactive_reporter
from smoothcert.runs.config import RunConfig
from smoothcert.runs.extent import Extent, grown
from smoothcert.runs.heartbeat import Pulse
from smoothcert.runs.records import from_table
from smoothcert.runs.run import Run
from smoothcert.runs.store import LOGS, RunStore, check_folder, holds_run, read_config
from smoothcert.spec import RunSpec, SamplingSpec
from smoothcert.urls import AnyPath, to_path

_USUAL = 1_000  # samples that a question takes on average, for want of anything better before the first is answered


def certify_run(
    spec: RunSpec | SamplingSpec,
    *,
    out: AnyPath | str,
    model: object | None = None,
    data: object | None = None,
    engine: Callable[..., Engine] | None = None,
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
        out: The run folder: a path, or a URL such as ``s3://bucket/run``.
        model: The base classifier, where it is no name: a :class:`smoothcert.models.LoadedModel`, or a module, function
            or estimator, whose code becomes part of the run's fingerprint.
        data: The inputs, where they are no name: whatever :func:`smoothcert.data.as_dataset` takes. They know how they
            were selected and prepared.
        engine: Makes who samples, in place of what the spec names, from ``spec``, ``model``, ``data`` and ``reporter``;
            records come from it in any order, and are stored here.
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
    out = to_path(out)
    check_folder(out)
    asked = spec if isinstance(spec, RunSpec) else RunSpec(sampling=spec)
    if asked.execution.batch_size is None and holds_run(out):  # as it began: another size may move the last bits
        with suppress(RunError):  # which is said where the folder is opened
            asked = asked.vary(batch_size=read_config(out).spec.execution.batch_size)
    make = engine or (partial(_on_cluster, out=out) if asked.execution.engine == "ray" else _local)
    with closing(make(asked, model=model, data=data, reporter=reporter)) as sampling:
        _fill(sampling, out, reporter)
    return Run.open(out)


def _local(spec: RunSpec, **given: Any) -> Engine:
    return LocalEngine(prepare(spec, **given))


def _on_cluster(spec: RunSpec, *, out: AnyPath, **given: Any) -> Engine:
    from smoothcert.certify.ray_engine import RayEngine

    return RayEngine(spec, logs=out / LOGS, **given)


def _fill(engine: Engine, out: AnyPath | str, reporter: Reporter) -> None:
    """Sample and store the inputs that a run lacks."""
    config = engine.config
    with RunStore(out, config, settle=partial(_settled, engine=engine, out=out)) as store:
        work = _Work.of(engine, store)
        if store.present:
            reporter.note(work.told(store))
            engine.require_unchanged(Known.of(Run(store.path, store.config)))
        if not work.inputs:
            return
        expected = work.samples if config.question is None else work.inputs * min(work.each, _USUAL)
        reporter.note(_forecast(config, engine.rehearse(samples=expected), work))
        reporter = Pulse(
            reporter,
            store.path,
            store.config.fingerprint,
            config.spec.execution,
            lambda: engine.workers,
            allowed=store.require_held,
        )
        total = work.samples if config.question is None else None
        with reporter.sampling(inputs=work.inputs, samples=total):
            for found in engine.finished(work.tasks(engine, store), progress=reporter.advance):
                spent = work.spent
                store.append(*(replace(one, seconds=one.seconds + spent.get(one.index, 0.0)) for one in found))
                for record in found:
                    if record.error is None:
                        reporter.finish()
                    else:
                        reporter.skip(work.lacking.get(record.index, work.each))


@dataclass(frozen=True, eq=False)
class _Work:
    """What a run lacks.

    Args:
        new: Positions of the inputs of which nothing is stored, or only an error that is to be tried again.
        lacking: By the index of those that are stored with fewer samples, how many they lack.
        each: Samples per input, pilot included; where a question is decided, at most.
        spent: Seconds spent before on inputs that are given more samples, by index; filled as they are.
    """

    new: list[int]
    lacking: dict[int, int]
    each: int
    spent: dict[int, float] = field(default_factory=dict)

    @classmethod
    def of(cls, engine: Engine, store: RunStore) -> _Work:
        """What is to be done, of what belongs to this folder."""
        config, indices, sizes = engine.config, engine.indices, store.sizes
        positions = range(len(indices)) if config.shard is None else config.shard.positions(len(indices))
        return cls(
            [p for p in positions if sizes.get(indices[p], -1) < (1 if config.spec.execution.retry_failed else 0)],
            {index: config.n - sizes[index] for p in positions if 0 < sizes.get(index := indices[p], 0) < config.n},
            config.n0 + config.n,
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
        failed = f", {len(store.failed):,} of them as failed (--retry-failed)" if store.failed else ""
        return f"{store.path} already holds {held} of {own} inputs{fewer}{failed}"

    def tasks(self, engine: Engine, store: RunStore) -> Iterator[Task]:
        """Inputs with too few samples first, read as they are needed."""
        if self.lacking:
            positions = {index: position for position, index in enumerate(engine.indices)}
            wanted = np.array(sorted(self.lacking))
            # By the configuration that this store writes, which may go further than the stored one yet.
            for table in Run(store.path, store.config).tables():
                for record in from_table(table.filter(pa.array(np.isin(table["index"].to_numpy(), wanted)))):
                    self.spent[record.index] = record.seconds
                    yield Task(positions[record.index], record.samples)
        yield from map(Task, self.new)


def _settled(kept: RunConfig, asked: RunConfig, *, engine: Engine, out: AnyPath | str) -> RunConfig:
    """The configuration to go on with in a folder that holds a run: the stored one, or a larger one."""

    def fingerprint_of(extent: Extent) -> str | None:
        indices = engine.indices[: extent.inputs] if extent.indices is None else range(*extent.indices)
        return engine.fingerprint_of(indices)

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
