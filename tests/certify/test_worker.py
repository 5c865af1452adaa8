"""One worker, in this process: tasks in, records out, and what it says of itself."""

from __future__ import annotations

import pickle
import sys
import time
import warnings
from dataclasses import replace

import pytest

from runs.synthetic import ArraySource, MarkedSource, same
from smoothcert.certify.engine import LocalEngine, Task
from smoothcert.certify.prepare import prepare
from smoothcert.certify.worker import Failed, Order, Outline, Worker, pack
from smoothcert.data import Dataset
from smoothcert.errors import DataError, InvalidArgumentError, ModelError
from smoothcert.progress import Reporter
from smoothcert.spec import RunSpec

from .tiny_model import Refusing, tiny_model


@pytest.fixture(autouse=True)
def _own_warnings():
    """A worker shows warnings its own way, for good."""
    with warnings.catch_warnings():
        yield


SPEC = RunSpec.of(sigma=0.25, n=400, n0=20, device="cpu", batch_size=100)


def order(spec=SPEC, model=None, data=None, folder="."):
    given = Order(spec, model or tiny_model(), data or Dataset(ArraySource(40)), folder, tuple(sys.path), 1)
    return pack(given, pickle.dumps)


def made(**given):
    worker = Worker(order(**given))
    outline = worker.prepare()
    assert isinstance(outline, Outline), outline.trace
    return worker, outline


def driven(worker, tasks):
    """Everything that comes of tasks handed out as the worker wants them."""
    records, drawn, wants, most = [], 0, 0, 0
    waiting = list(tasks)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        given, waiting = waiting[:wants], waiting[wants:]
        report = worker.exchange(given, more=bool(waiting))
        records, drawn = records + list(report.records), drawn + report.drawn
        wants, most = report.wants, max(most, report.queued)
        if report.failed is not None or (report.idle and not waiting and not report.wants):
            return records, drawn, report
    raise AssertionError("it takes too long")


def test_a_worker_gives_the_records_of_the_local_engine():
    worker, outline = made()
    assert outline.config.n == 400
    assert outline.indices is None
    assert "process" in outline.where
    records, drawn, _ = driven(worker, map(Task, range(40)))
    assert drawn == 40 * 420
    assert all(record.seconds > 0.0 for record in records)
    run = prepare(SPEC, model=tiny_model(), data=Dataset(ArraySource(40)), reporter=Reporter())
    local = {r.index: r for r in LocalEngine(run).records(map(Task, range(40)), progress=lambda drawn: None)}
    assert sorted(record.index for record in records) == sorted(local)
    for record in records:
        assert same(pickle.loads(pickle.dumps(record)), local[record.index], seconds=False)


def test_it_asks_for_more_as_it_gets_faster_and_gives_back_what_it_has_not_begun():
    worker, _ = made()
    assert worker.exchange(more=True).wants == 1
    report = worker.exchange([Task(position) for position in range(30)], more=False, give_back=10)
    assert report.returned == list(range(29, 29 - len(report.returned), -1))
    assert len(report.returned) == 10
    records, _, report = driven(worker, [])
    assert report.idle
    assert len(records) == 20


def test_a_worker_that_waits_for_tasks_charges_nobody_for_it():
    worker, _ = made()
    worker.exchange([Task(0)], more=True)
    time.sleep(1.0)
    records, _, _ = driven(worker, [])
    assert records[0].seconds < 0.9


def test_an_input_that_fails_is_a_record_or_ends_the_run():
    data = Dataset(MarkedSource(40, marked=[20]))
    skipping, _ = made(spec=SPEC.vary(on_unreadable="skip"), model=tiny_model(Refusing()), data=data)
    records, _, _ = driven(skipping, map(Task, range(16, 24)))
    assert [record.index for record in records if record.error] == [20]
    assert len(records) == 8
    failing, _ = made(model=tiny_model(Refusing()), data=data)
    records, _, report = driven(failing, map(Task, range(16, 24)))
    assert isinstance(report.failed.error, ModelError)
    assert "input 20 (array 20)" in str(report.failed.error)
    assert "I do not like" in report.failed.trace
    assert all(record.error is None for record in records)


def test_an_input_that_is_given_up_has_its_reason_for_a_record():
    worker, _ = made(spec=SPEC.vary(on_unreadable="skip"))
    [record], drawn, _ = driven(worker, [Task(3, given_up="it kills")])
    assert (record.index, record.id, record.error, drawn) == (3, "array 3", "it kills", 0)


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({"spec": SPEC.vary(model="digits")}, InvalidArgumentError, "model must not be given beside loaded model"),
        ({"data": Dataset(ArraySource(3, unreadable=[0, 1, 2]))}, DataError, "no input of arrays can be read"),
    ],
)
def test_what_cannot_be_prepared_is_said_in_the_words_of_the_error(given, kind, message):
    failed = Worker(order(**given)).prepare()
    assert isinstance(failed, Failed)
    assert type(failed.error) is kind
    assert message in str(failed.error)


def test_objects_that_cannot_be_unpacked_are_to_be_named():
    packed = pack(Order(SPEC, None, None, ".", tuple(sys.path), 1), lambda value: pickle.dumps(value))
    folder, path, threads, _ = pickle.loads(packed)
    failed = Worker(pickle.dumps((folder, path, threads, b"cnot_there\nNet\n."))).prepare()
    assert "cannot be unpacked" in str(failed.error)
    assert "python:FILE.py:NAME" in str(failed.error)


def test_indices_that_are_not_evenly_spaced_are_told():
    source = ArraySource(5)
    source.indices = [0, 1, 4]
    _, outline = made(data=Dataset(source))
    assert outline.indices == [0, 1, 4]
    assert replace(outline.config, indices=None) == outline.config


def test_source_files_that_differ_from_those_of_the_driver_are_refused():
    model = replace(tiny_model(), identity={"code tiny_model.py": "0" * 64, "code elsewhere.py": "1" * 64})
    failed = Worker(order(model=model)).prepare()
    assert isinstance(failed, Failed)
    assert "the code tiny_model.py of model tiny is another on" in str(failed.error)
