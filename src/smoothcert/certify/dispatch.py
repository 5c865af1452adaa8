"""Which worker samples which input, and which input is to blame when workers die.

Plain bookkeeping: nothing in here runs or waits for anything.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from smoothcert.certify.engine import Task

W = TypeVar("W", bound=Hashable)

TOGETHER = 8
"""Tasks that are tried again together after a worker died with them."""
ALONE = 3
"""Workers that may die with nothing but one input before that is given up."""


class Dispatch(Generic[W]):
    """Hands out tasks to workers, takes back those of workers that died, and finds the input that kills them.

    A task is handed out once and stays with its worker until its record is there. Tasks that were with a worker when it
    died are tried again after all others: a few together; those that saw two workers die, alone; and one with which
    alone several more died is given up. So an input that kills its worker costs the others nothing but a second try,
    and a machine that fails now and then blames none.

    Args:
        tasks: Inputs to sample; read as they are handed out.
        indices: Of the inputs in their source, by position: records go by these.
    """

    def __init__(self, tasks: Iterable[Task], indices: Sequence[int]) -> None:
        self._source = iter(tasks)
        self._indices = indices
        self._ready: deque[Task] = deque()  # read from the source, or given back
        self._again: deque[Task] = deque()  # saw one worker die
        self._alone: deque[Task] = deque()  # saw more
        self._held: dict[W, dict[int, Task]] = {}
        self._secluded: set[W] = set()  # workers that get nothing beside what they hold
        self._deaths: Counter[int] = Counter()  # by index of the input
        self._stopped = False

    @property
    def is_done(self) -> bool:
        """Whether no task is left, waiting or with a worker."""
        return not any(self._held.values()) and not self._waits()

    def has_more(self, worker: W) -> bool:
        """Whether there are tasks that could join those that a worker has."""
        return worker not in self._secluded and self._has_ready()

    def give(self, worker: W, wants: int) -> list[Task]:
        """Tasks for a worker that has room for so many; fewer where there are no more."""
        held = self._held.setdefault(worker, {})
        if worker in self._secluded:
            return []
        given: list[Task] = []
        while len(given) < wants and self._has_ready():
            given.append(self._ready.popleft())
        if not given and not held and (again := self._again or self._alone):
            most = TOGETHER if again is self._again else 1
            given = [again.popleft() for _ in range(min(most, len(again)))]
            self._secluded.add(worker)
        held.update((self._index(task), task) for task in given)
        return given

    def finished(self, worker: W, index: int) -> bool:
        """Note that the record of an input is there; False if the worker was not to sample it."""
        held = self._held.get(worker, {})
        task = held.pop(index, None)
        self._deaths.pop(index, None)
        if not held:
            self._secluded.discard(worker)
        return task is not None

    def returned(self, worker: W, indices: Iterable[int]) -> None:
        """Take back tasks that a worker has not begun."""
        held = self._held.get(worker, {})
        for index in indices:
            if (task := held.pop(index, None)) is not None:
                self._put_back(task)

    def lost(self, worker: W, why: str, *, blameless: bool = False) -> list[Task]:
        """Take back the tasks of a worker that died.

        Args:
            worker: Which.
            why: Said of an input that is given up.
            blameless: Whether no task can be the reason, as where its machine is gone.

        Returns:
            Tasks that are given up; they are handed out once more, to be recorded as such.
        """
        held, given_up = self._held.pop(worker, {}), []
        self._secluded.discard(worker)
        for index, task in held.items():
            self._deaths[index] += not blameless
            if self._deaths[index] >= 2 + ALONE:
                given_up.append(task)
                why = f"{ALONE} workers died, one after the other, of this input alone; the last: {why}"
                self._deaths[index] = 0
                task = replace(task, given_up=why)
            self._put_back(task)
        return given_up

    def stop(self, worker: W) -> None:
        """Hand out nothing any more, as a worker says that the run ends; what others have may still be finished."""
        self._stopped, self._source = True, iter(())
        self._held.pop(worker, None)
        for waiting in (self._ready, self._again, self._alone):
            waiting.clear()

    def _put_back(self, task: Task) -> None:
        if self._stopped:
            return
        deaths = self._deaths[self._index(task)]
        (self._alone if deaths >= 2 else self._again if deaths else self._ready).append(task)

    def _waits(self) -> bool:
        return bool(self._again or self._alone) or self._has_ready()

    def _has_ready(self) -> bool:
        """Whether there is a task to hand out; reads one ahead."""
        if not self._ready and (following := next(self._source, None)) is not None:
            self._ready.append(following)
        return bool(self._ready)

    def _index(self, task: Task) -> int:
        return self._indices[task.position]
