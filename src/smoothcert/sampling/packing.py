"""Batches that hold samples of many inputs, so that none runs half empty while an input is being finished.

What is to be computed about one input is a *job*: a generator that asks for numbered samples with a :class:`Draw`, is
resumed once they have been through the base classifier, and returns its result in the end. One input at a time, a job
that looks at 64 samples before it asks for more would run batches of 64. Here every batch is filled with the draws of
the oldest unfinished jobs, and a new job is begun whenever these do not fill one. Which noise a sample gets depends on
its input and number only, so the company it is in changes nothing. Where results are to be the same in every bit, every
batch is filled up to one size: libraries choose their kernels by the size of a batch, not by what is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeAlias, TypeVar

import torch
from torch import Tensor

from smoothcert.errors import ModelError, SmoothcertError
from smoothcert.models.guard import is_out_of_memory, place, reason
from smoothcert.sampling._threads import one_thread
from smoothcert.sampling.batching import BatchSize
from smoothcert.sampling.noise import NoisyInput

Result = TypeVar("Result")
Progress = Callable[[int], None]


class Reducer(Protocol):
    """Takes class scores in portions, keeps what it needs of them."""

    def add(self, scores: Tensor) -> None:
        """Add a portion, shape ``(rows, num_classes)``."""


class Draw:
    """Samples ``start`` to ``start + count - 1`` of one stage of one input, and where their scores go.

    Args:
        noisy: The input.
        stage: One of :data:`smoothcert.sampling.noise.STAGES`.
        start: Number of the first sample.
        count: How many, at least 1.
        into: Get the scores, in order of the samples, in portions of any size.
    """

    def __init__(self, noisy: NoisyInput, stage: str, start: int, count: int, into: Sequence[Reducer]) -> None:
        self.noisy, self.stage, self.start, self.count, self.into = noisy, stage, start, count, into
        self.done = 0
        self.valid = torch.ones((), dtype=torch.bool, device=noisy.x.device)
        """Whether all scores so far are what the base classifier declared; on the device."""

    @property
    def left(self) -> int:
        """Number of samples still to come."""
        return self.count - self.done

    def write(self, out: Tensor) -> None:
        """Fill ``out`` with the next noisy copies."""
        self.noisy.write(out, self.stage, self.start + self.done, more=self.count - self.done - len(out))

    def take(self, scores: Tensor, valid: Tensor) -> int:
        """Hand on the scores of the next samples; return how many they are."""
        with one_thread(scores):
            self.valid = self.valid & valid.all()
            for reducer in self.into:
                reducer.add(scores)
        self.done += len(scores)
        return len(scores)


class DrawWithPlain(Draw):
    """As :class:`Draw` from the first sample on, and in the first batch the input itself, without noise."""

    def __init__(self, noisy: NoisyInput, stage: str, count: int, into: Sequence[Reducer]) -> None:
        super().__init__(noisy, stage, 0, count, into)
        self.plain = noisy.x.new_empty(0)
        """Scores of the input itself, shape ``(num_classes,)``; empty until they are there."""

    @property
    def left(self) -> int:
        """Number of rows still to come."""
        return super().left + self._first

    @property
    def _first(self) -> int:
        """Rows of the input itself that are to come."""
        return int(len(self.plain) == 0)

    def write(self, out: Tensor) -> None:
        """Fill ``out`` with the input, if it is still to come, and the next noisy copies."""
        first = self._first
        if first:
            self.noisy.write_plain(out[:1])
        if len(out) > first:
            super().write(out[first:])

    def take(self, scores: Tensor, valid: Tensor) -> int:
        """Keep the scores of the input, and hand on those of the samples."""
        first = self._first
        if first:
            self.plain = scores[0].clone()
            self.valid = self.valid & valid[0]
        return super().take(scores[first:], valid[first:]) if len(scores) > first else 0


Job: TypeAlias = Generator[Draw, None, Result]


def _failure(error: Exception, what: str) -> SmoothcertError:
    """What was raised about samples of one input, in one line; errors of our own as they are."""
    if isinstance(error, SmoothcertError):
        return error
    failure = ModelError(f"{what} with {reason(error)}{place(error)}")
    failure.__cause__ = error
    return failure


@dataclass
class Plan:
    """How inputs of one shape are run: decided once, on the first of them."""

    batch: BatchSize
    channels_last: bool


@dataclass(eq=False)
class _Active(Generic[Result]):
    """A job that waits for its draw."""

    position: int
    job: Job[Result]
    draw: Draw

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.draw.noisy.x.shape)


_Portion: TypeAlias = tuple[_Active[Result], int]
"""A job, and how many of its samples are in a batch."""


def _ran(portion: _Portion[Result]) -> str:
    return f"the base classifier failed on a batch of {portion[1]} copies of it"


class Packer(Generic[Result]):
    """Runs jobs together.

    Args:
        jobs: Begun one after the other, as they are needed to fill batches.
        scores: Maps a batch to class scores and which rows of them are valid.
        plan: How to run inputs of a shape.
        progress: Called after each batch with the number of samples in it.
        fill: Whether to fill up every batch, with copies of its first row, so that scores are the same in every bit
            whatever company they are computed in.
    """

    def __init__(
        self,
        jobs: Iterable[Job[Result]],
        *,
        scores: Callable[[Tensor], tuple[Tensor, Tensor]],
        plan: Callable[[tuple[int, ...]], Plan],
        progress: Progress | None = None,
        fill: bool = False,
    ) -> None:
        self._waiting = enumerate(jobs)
        self._scores = scores
        self._plan = plan
        self._progress = progress
        self._fill = fill
        self._active: list[_Active[Result]] = []  # in order of their beginning
        self._finished: list[tuple[int, Result]] = []

    def results(self) -> Iterator[tuple[int, Result]]:
        """Position of each job and its result, in the order in which they finish.

        Raises:
            ModelError: If not even one sample fits into memory; and whatever a job raises.
        """
        while self._begin_next() or self._active:
            if self._active:
                self._run_batch()
            yield from self._finished
            self._finished.clear()

    def _begin_next(self) -> bool:
        """Begin jobs until they fill a batch; False if there was none to begin."""
        begun = False
        while self._room() > 0:
            following = next(self._waiting, None)
            if following is None:
                break
            begun = True
            self._advance(*following)
        return begun

    def _room(self) -> int:
        """Samples that the next batch could hold beyond those asked for."""
        if not self._active:
            return 1
        shape = self._active[0].shape
        if self._active[-1].shape != shape:
            return 0  # the next shape has begun: what is left of this one comes first
        return self._plan(shape).batch.size - sum(one.draw.left for one in self._active)

    def _advance(self, position: int, job: Job[Result]) -> None:
        """Let a job go on: it asks for more samples or is finished."""
        self._resume(position, job, lambda: next(job))

    def _resume(self, position: int, job: Job[Result], step: Callable[[], Draw]) -> None:
        try:
            self._active.append(_Active(position, job, step()))
        except StopIteration as end:
            self._finished.append((position, end.value))

    def _run_batch(self) -> None:
        """One forward pass over samples of the oldest jobs."""
        shape = self._active[0].shape
        plan = self._plan(shape)
        portions: list[_Portion[Result]] = []
        rows = 0
        for one in self._active:
            count = min(one.draw.left, plan.batch.size - rows) if one.shape == shape else 0
            if count:
                portions.append((one, count))
                rows += count
        try:
            scores, valid = self._forward(portions, plan)
        except Exception as error:
            if is_out_of_memory(error):
                plan.batch.shrink(rows, error)
                return
            self._run_alone(portions, plan, error)
        else:
            plan.batch.announce()
            self._hand_on(portions, scores, valid)
        self._go_on()

    def _forward(self, portions: Sequence[_Portion[Result]], plan: Plan) -> tuple[Tensor, Tensor]:
        """Scores of the next samples of these jobs, and which rows of them are valid."""
        rows = sum(count for _, count in portions)
        x = portions[0][0].draw.noisy.x
        layout = torch.channels_last if plan.channels_last else torch.contiguous_format
        size = max(rows, plan.batch.size) if self._fill else rows
        batch = torch.empty((size, *x.shape), dtype=torch.float32, device=x.device, memory_format=layout)
        at = 0
        for one, count in portions:
            one.draw.write(batch[at : at + count])
            at += count
        batch[rows:] = batch[:1]
        return self._scores(batch)

    def _hand_on(self, portions: Sequence[_Portion[Result]], scores: Tensor, valid: Tensor) -> None:
        """Give jobs their scores; what a measure of the user's own raises is for the job to know."""
        at = samples = 0
        for one, count in portions:
            try:
                samples += one.draw.take(scores[at : at + count], valid[at : at + count])
            except Exception as error:
                self._fail(one, _failure(error, "a measure failed"))
            at += count
        if self._progress is not None:
            self._progress(samples)

    def _run_alone(self, portions: Sequence[_Portion[Result]], plan: Plan, error: Exception) -> None:
        """Find out which jobs a batch failed for: each goes on alone, or fails."""
        if len(portions) == 1:
            self._fail(portions[0][0], _failure(error, _ran(portions[0])))
        else:
            for portion in portions:
                self._run_one(portion, plan)

    def _run_one(self, portion: _Portion[Result], plan: Plan) -> None:
        try:
            scores, valid = self._forward([portion], plan)
        except Exception as error:
            if is_out_of_memory(error):
                plan.batch.shrink(portion[1], error)
            else:
                self._fail(portion[0], _failure(error, _ran(portion)))
        else:
            self._hand_on([portion], scores, valid)

    def _fail(self, one: _Active[Result], failure: SmoothcertError) -> None:
        """Raise in a job, which knows which input it is about and may have a result all the same."""
        self._active.remove(one)
        self._resume(one.position, one.job, partial(one.job.throw, failure))

    def _go_on(self) -> None:
        """Resume the jobs whose draw is complete, in their order."""
        before, self._active = self._active, []
        for one in before:
            if one.draw.left:
                self._active.append(one)
            else:
                self._advance(one.position, one.job)
