"""Who samples what, and who is to blame: the bookkeeping, without a cluster."""

from __future__ import annotations

import random
from itertools import count

import pytest

from smoothcert.certify.dispatch import ALONE, TOGETHER, Dispatch
from smoothcert.certify.engine import Task

INDICES = range(0, 400, 4)


def dispatch(inputs=100):
    return Dispatch(map(Task, range(inputs)), INDICES)


def positions(tasks):
    return [task.position for task in tasks]


def test_tasks_are_read_as_they_are_handed_out():
    read = []

    def tasks():
        for position in range(100):
            read.append(position)
            yield Task(position)

    own = Dispatch(tasks(), INDICES)
    assert positions(own.give("a", 3)) == [0, 1, 2]
    assert positions(own.give("b", 2)) == [3, 4]
    assert own.has_more("a")
    assert len(read) <= 6


def test_a_record_counts_once_and_only_from_its_worker():
    own = dispatch(2)
    own.give("a", 2)
    assert own.finished("a", 0)
    assert not own.finished("a", 0)
    assert not own.finished("b", 4)
    assert not own.is_done
    assert own.finished("a", 4)
    assert own.is_done
    assert not own.has_more("a")


def test_what_a_worker_has_not_begun_goes_to_another():
    own = dispatch(6)
    own.give("a", 6)
    assert own.give("b", 1) == []
    own.returned("a", [16, 20])
    assert positions(own.give("b", 5)) == [4, 5]


def test_tasks_of_a_machine_that_is_gone_are_as_new():
    own = dispatch(3)
    own.give("a", 3)
    assert own.lost("a", "gone", blameless=True) == []
    assert positions(own.give("b", 3)) == [0, 1, 2]
    assert not own.has_more("b")


def test_an_input_that_kills_its_worker_is_found_and_the_others_are_sampled():
    own, poison, workers = dispatch(100), 37, count()
    finished, deaths, given_up = [], 0, []
    worker = next(workers)
    while not own.is_done:
        tasks = own.give(worker, 20)
        assert tasks
        if poison in positions(tasks) and tasks[0].given_up is None:
            given_up += own.lost(worker, "it crashed")
            deaths, worker = deaths + 1, next(workers)
            continue
        for task in tasks:
            assert own.finished(worker, INDICES[task.position])
            finished.append(task)
    assert deaths == 2 + ALONE
    assert positions(given_up) == [poison]
    assert sorted(positions(finished)) == list(range(100))
    [error] = [task.given_up for task in finished if task.given_up]
    assert error == f"{ALONE} workers died, one after the other, of this input alone; the last: it crashed"


def test_suspects_are_tried_in_small_company_and_then_alone():
    own = dispatch(40)
    own.give("a", 20)
    own.lost("a", "x")
    assert positions(own.give("b", 50)) == list(range(20, 40))  # the others first
    assert own.give("b", 5) == []
    for position in range(20, 40):
        own.finished("b", INDICES[position])
    few = own.give("b", 50)
    assert positions(few) == list(range(TOGETHER))
    assert not own.has_more("b")
    assert own.give("b", 5) == []
    own.lost("b", "x")
    rest = [own.give("c", 9) for _ in range(1)]
    assert len(rest[0]) == TOGETHER
    for task in rest[0]:
        own.finished("c", INDICES[task.position])
    assert len(own.give("c", 9)) == 20 - 2 * TOGETHER
    assert len(own.give("d", 9)) == 1


def test_a_run_that_ends_hands_out_nothing_more():
    own = dispatch(10)
    own.give("a", 2)
    own.give("b", 2)
    own.stop("a")
    assert own.give("c", 5) == []
    assert not own.is_done
    own.lost("b", "x")
    assert own.is_done


@pytest.mark.parametrize("seed", range(20))
def test_whatever_dies_every_input_is_finished_exactly_once(seed):
    chance = random.Random(seed)
    poisons = set(chance.sample(range(100), 2))
    own, names = dispatch(), count()
    working = {next(names): [] for _ in range(3)}  # what each has still to sample
    finished, steps = [], 0
    while not own.is_done:
        steps += 1
        assert steps < 20_000
        worker = chance.choice(list(working))
        tasks = working[worker]
        event = chance.random()
        if event < 0.02 and steps < 2_000:
            own.lost(worker, "killed", blameless=chance.random() < 0.5)
            del working[worker]
            working[next(names)] = []
        elif event < 0.5 and (len(tasks) < 30):
            tasks += own.give(worker, chance.randint(1, 10))
        elif event < 0.55 and len(tasks) > 1:
            own.returned(worker, [INDICES[task.position] for task in tasks[1:]])
            del tasks[1:]
        elif tasks:
            task = tasks.pop(0)
            if task.position in poisons and task.given_up is None:
                own.lost(worker, "crashed")
                del working[worker]
                working[next(names)] = []
            elif own.finished(worker, INDICES[task.position]):
                finished.append(task)
    assert sorted(positions(finished)) == list(range(100))
    assert poisons <= {task.position for task in finished if task.given_up}
