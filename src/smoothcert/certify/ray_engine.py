"""Samples on a Ray cluster: workers sample, this process stores.

What differs from :class:`smoothcert.certify.engine.LocalEngine`: the run is prepared where it is sampled, by every
worker for itself, and what the first one resolved defines it; tasks go out to whoever has room, and records come back
in any order. This process loads no model, reads no input and needs no GPU.
"""

from __future__ import annotations

import math
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from smoothcert.certify.cluster import Cluster
from smoothcert.certify.crew import Crew, Died, Member
from smoothcert.certify.dispatch import Dispatch
from smoothcert.certify.engine import Task
from smoothcert.certify.rehearsal import Rehearsal
from smoothcert.certify.witness import Known
from smoothcert.certify.worker import Order, Report, pack
from smoothcert.errors import InvalidArgumentError, SmoothcertError
from smoothcert.models.guard import reason
from smoothcert.progress import Reporter
from smoothcert.runs.config import RunConfig
from smoothcert.runs.records import Record
from smoothcert.spec import RunSpec
from smoothcert.urls import AnyPath


class RayEngine:
    """Samples in many processes, each with a model and a device of its own.

    Args:
        spec: The run; its ``execution`` says where and how many.
        model: The base classifier, where it is no name: it is sent to the workers.
        data: The inputs, where they are none: likewise.
        reporter: Shows notes.
        logs: Folder for a log of every worker; None for none.

    Raises:
        MissingDependencyError: If Ray is absent.
        InvalidArgumentError: If no cluster answers, or the model or the data cannot be sent.
        SmoothcertError: Whatever preparing the run raises on a worker.
    """

    def __init__(
        self,
        spec: RunSpec,
        *,
        model: object | None,
        data: object | None,
        reporter: Reporter,
        logs: AnyPath | None = None,
    ) -> None:
        self._reporter, self._logs = reporter, logs
        self._said: set[str] = set()
        self._crew: Crew | None = None
        self._cluster = Cluster(spec.execution)
        try:
            order = self._packed(spec, model, data)
            self._crew = Crew(self._cluster, order, workers=spec.execution.workers, reporter=reporter)
            first = self._crew.first()
        except BaseException:
            self.close()
            raise
        for note in first.notes:
            reporter.note(note)
        self._config = first.config
        if first.indices is not None:
            self._indices: Sequence[int] = first.indices
        else:
            self._indices = range(*(first.config.indices or (0, 0, 1)))

    @property
    def config(self) -> RunConfig:
        """What defines the run, as the first worker resolved it."""
        return self._config

    @property
    def indices(self) -> Sequence[int]:
        """Of the inputs in their source, by position."""
        return self._indices

    @property
    def workers(self) -> int:
        """How many workers are ready."""
        return len(self._workers.ready)

    def fingerprint_of(self, indices: Sequence[int]) -> str | None:
        """As a worker's data say; see :class:`~smoothcert.certify.engine.Engine`."""
        found: str | None = self._workers.ask("fingerprint_of", indices)
        return found

    def require_unchanged(self, known: Known) -> None:
        """Have a worker sample what the run began with; see :class:`~smoothcert.certify.engine.Engine`."""
        self._workers.ask("require_unchanged", known)  # what kills a worker here will in the run, and is known there

    def rehearse(self, *, samples: int) -> Rehearsal:
        """Have a worker sample some inputs a little; the rate is that of as many as there are to be."""
        found: Rehearsal | None = self._workers.ask("rehearse", samples=samples)
        return (
            Rehearsal(math.nan, None, 0)
            if found is None
            else replace(found, rate=found.rate * len(self._workers.members))
        )

    def finished(self, tasks: Iterable[Task], *, progress: Callable[[int], None]) -> Iterator[Sequence[Record]]:
        """Sample inputs of the data set; see :class:`~smoothcert.certify.engine.Engine`."""
        crew, dispatch = self._workers, Dispatch[Member](tasks, self._indices)
        failure: SmoothcertError | None = None
        try:
            while not dispatch.is_done:
                self._assign(dispatch)
                for member, news in crew.poll():
                    if isinstance(news, Died):
                        for task in dispatch.lost(member, news.reason, blameless=news.blameless):
                            self._reporter.note(f"input {self._indices[task.position]} is given up: workers die of it")
                    crew.take(member, news)
                    if not isinstance(news, Report):
                        continue
                    self._warn(news)
                    progress(news.drawn)
                    dispatch.returned(member, news.returned)
                    yield [record for record in news.records if dispatch.finished(member, record.index)]
                    if news.failed is not None:
                        failure = failure or news.failed.error
                        dispatch.stop(member)
                crew.write_logs(self._logs)
        finally:
            crew.write_logs(self._logs, now=True)
        if failure is not None:
            raise failure

    def close(self) -> None:
        """End the workers, and the connection to the cluster."""
        if self._crew is not None:
            self._crew.close()
        self._cluster.close()

    @property
    def _workers(self) -> Crew:
        if self._crew is None:
            raise InvalidArgumentError("the engine is closed")
        return self._crew

    def _assign(self, dispatch: Dispatch[Member]) -> None:
        """Hand tasks to workers that have room; those that have too many while others have none give some back."""
        free = [member for member in self._workers.ready if member.pending is None and member.report.failed is None]
        given = {member: dispatch.give(member, member.report.wants or int(member.report.idle)) for member in free}
        parked = [member for member in free if member.report.idle and not given[member]]
        for member in free:
            if member in parked:
                continue  # asked again when there is something for it
            more = dispatch.has_more(member)
            give_back = -(-member.report.queued // 2) if parked and not more else 0
            self._workers.exchange(member, given[member], more=more, give_back=give_back)

    def _warn(self, news: Report) -> None:
        """Warn as the workers did, once of each thing."""
        for category, text in news.told:
            if category.__module__.startswith("smoothcert.") and text not in self._said:
                self._said.add(text)
                warnings.warn(text, category, stacklevel=2)

    def _packed(self, spec: RunSpec, model: object | None, data: object | None) -> bytes:
        """What workers prepare the run from."""
        from smoothcert.models import LoadedModel
        from smoothcert.models.identity import identify
        from smoothcert.models.python_code import describe

        need = self._cluster.need
        spec = spec.vary(device=spec.execution.device or ("cuda" if need.gpus else "cpu"))
        if isinstance(model, LoadedModel):
            model = model if model.identity else replace(model, identity=identify(model.module))
        elif model is not None and not isinstance(model, str):
            model = describe(model, name=type(model).__name__)  # here, where its code lies
        try:
            return pack(
                Order(spec, model, data, os.getcwd(), tuple(sys.path), need.cpus), self._cluster.ray.cloudpickle.dumps
            )
        except Exception as error:  # of whatever cannot be pickled
            raise InvalidArgumentError(
                f"model and data given as Python objects must be such as can be sent to workers ({reason(error)}); "
                "name them instead, as python:FILE.py:NAME does"
            ) from error
