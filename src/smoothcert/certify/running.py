"""A run: prepared from its spec, compared with what is stored, and the inputs it lacks sampled and stored."""

from __future__ import annotations

import math
from collections.abc import Callable

from smoothcert.certify.engine import Engine, LocalEngine, Task
from smoothcert.certify.prepare import Prepared, prepare
from smoothcert.certify.rehearsal import Rehearsal, rehearse
from smoothcert.certify.witness import require_unchanged
from smoothcert.errors import DataError
from smoothcert.progress import Reporter, duration, interactive_reporter
from smoothcert.runs.config import RunConfig
from smoothcert.runs.run import Run
from smoothcert.runs.store import RunStore, check_folder
from smoothcert.spec import RunSpec, SamplingSpec
from smoothcert.urls import AnyPath, to_path

_USUAL = 1_000  # samples that a question takes on average, for want of anything better before the first is answered


def certify_run(
    spec: RunSpec | SamplingSpec,
    *,
    out: AnyPath | str,
    model: object | None = None,
    data: object | None = None,
    engine: Callable[[Prepared], Engine] = LocalEngine,
    reporter: Reporter | None = None,
    progress: bool = False,
) -> Run:
    """Sample every input of a data set under noise and store what was sampled, for any later question.

    Records are stored one by one. A run that was interrupted, even by a kill, goes on where it stopped when this is
    called again with the same arguments, and ends with the same records.

    Args:
        spec: The run. What comes as an object is not named in it; where both do, a :class:`SamplingSpec` is enough.
        out: The run folder: a path, or a URL such as ``s3://bucket/run``.
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
    out = to_path(out)
    check_folder(out)
    asked = spec if isinstance(spec, RunSpec) else RunSpec(sampling=spec)
    run = prepare(asked, model=model, data=data, reporter=reporter)
    with RunStore(out, run.config) as store:
        positions = [position for position, index in enumerate(run.data.indices) if index not in store.present]
        if store.present:
            reporter.note(f"{store.path} already holds {len(run.data) - len(positions)} of {len(run.data)} inputs")
            require_unchanged(run, store.path)
        if not positions:
            return Run.open(out)
        each = run.config.n0 + run.config.n
        expected = len(positions) * (each if run.until is None else min(each, _USUAL))
        look = rehearse(run.sampler, run.data, num_classes=run.config.num_classes, n=run.config.n, samples=expected)
        reporter.note(_forecast(run.config, look, inputs=len(positions)))
        run.watch.look()
        unreadable = None
        total = each * len(positions) if run.until is None else None
        with reporter.sampling(inputs=len(positions), samples=total):
            for record in engine(run).records(map(Task, positions), progress=reporter.advance):
                if record.error is None:
                    store.append(record)
                    reporter.finish()
                elif asked.execution.on_unreadable == "skip":
                    store.append(record)
                    reporter.skip(each)
                else:
                    unreadable = record
        run.watch.look()
    if unreadable is not None:
        raise DataError(
            f"{unreadable.error}; what is stored so far is kept, and --on-unreadable skip goes on without this input"
        )
    return Run.open(out)


def _forecast(config: RunConfig, look: Rehearsal, *, inputs: int) -> str:
    each, rate = config.n0 + config.n, look.rate
    if config.question is not None:
        plan = f"{inputs:,} inputs, {config.question} decided with at most {each:,} samples each on {config.device}"
        return plan if math.isnan(rate) else f"{plan}: {rate:,.0f} samples/s"
    plan = f"{inputs:,} inputs x {each:,} samples on {config.device}"
    if math.isnan(rate):
        return plan
    took = f"{plan}: about {duration(inputs * each / rate)} at {rate:,.0f} samples/s"
    return took + look.worth_of_more(config.n)
