from __future__ import annotations

import errno
import json
import os
import threading
import time

import pytest

from smoothcert.errors import InvalidArgumentError, RunError
from smoothcert.progress import Reporter
from smoothcert.runs import heartbeat
from smoothcert.runs.heartbeat import STATUS, Heartbeat, Pulse, read_heartbeat
from smoothcert.spec import ExecutionSpec

BEAT = {
    "fingerprint": "ab" * 32,
    "host": "node-1",
    "pid": 7,
    "engine": "local",
    "device": "cuda",
    "started": 100.0,
    "updated": 200.0,
    "progressed": 199.0,
    "to_do": 10,
}


def beat(**values: object) -> Heartbeat:
    return Heartbeat(**{**BEAT, **values})


def pulse(folder, *, every: float = 60.0, reporter: Reporter | None = None, allowed=lambda: None) -> Pulse:
    execution = ExecutionSpec(device="cuda")
    return Pulse(
        reporter or Reporter(),
        folder,
        BEAT["fingerprint"],
        execution,
        lambda: 3,
        allowed=allowed,
        every=every,
    )


def written(folder) -> Heartbeat:
    found = read_heartbeat(folder, fingerprint=BEAT["fingerprint"])
    assert found is not None
    return found


def until(condition) -> None:
    end = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_the_rest_is_estimated_by_samples_where_their_number_is_known():
    fixed = beat(planned=1_000, samples=400, recent_seconds=10.0, recent_samples=100)
    assert (fixed.rate, fixed.seconds_left) == (10.0, 60.0)
    assert fixed.mean_rate == pytest.approx(400 / 99)
    stalled = beat(planned=1_000, samples=400, recent_seconds=10.0, recent_samples=0)
    assert stalled.seconds_left == pytest.approx(600 / (400 / 99))
    decided = beat(done=4, samples=400)
    assert decided.seconds_left == pytest.approx(100.0 * 6 / 4)
    assert beat().seconds_left is None
    assert beat(done=10, planned=100, samples=101, recent_seconds=1.0, recent_samples=1).seconds_left == 0.0


def test_a_writer_leaves_what_it_has_done(tmp_path):
    pulsing = pulse(tmp_path, every=0.01)
    with pulsing.sampling(inputs=3, samples=300):
        until((tmp_path / STATUS).exists)
        assert (written(tmp_path).state, written(tmp_path).done) == ("sampling", 0)
        pulsing.advance(100)
        pulsing.finish()
        until(lambda: written(tmp_path).done == 1)
        assert written(tmp_path).samples == 100
        pulsing.skip(100)
    last = written(tmp_path)
    assert (last.state, last.reason) == ("ended", None)
    assert (last.to_do, last.done, last.failed, last.planned, last.samples) == (3, 2, 1, 200, 100)
    assert (last.pid, last.engine, last.device, last.workers) == (os.getpid(), "local", "cuda", 3)
    assert last.started <= last.progressed <= last.updated
    assert os.listdir(tmp_path) == [STATUS]
    assert not [thread for thread in threading.enumerate() if thread.name == "heartbeat"]


@pytest.mark.parametrize(("error", "reason"), [(KeyboardInterrupt(), "interrupted"), (OSError("a\nb"), "a b")])
def test_what_ended_it_is_said_and_raised(tmp_path, error, reason):
    with pytest.raises(type(error)), pulse(tmp_path).sampling(inputs=3, samples=None):
        raise error
    assert (written(tmp_path).state, written(tmp_path).reason) == ("ended", reason)


def test_no_failure_to_write_it_is_one_of_the_run(tmp_path, monkeypatch):
    tried = []

    def full(path, content):
        tried.append(path)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(heartbeat, "write_atomically", full)
    pulsing = pulse(tmp_path, every=0.01)
    with pulsing.sampling(inputs=1, samples=100):
        pulsing.advance(100)
        until(lambda: len(tried) > 2)
    assert os.listdir(tmp_path) == []


def test_a_store_that_hangs_does_not_hold_up_the_end(tmp_path, monkeypatch):
    never = threading.Event()
    monkeypatch.setattr(heartbeat, "write_atomically", lambda path, content: never.wait(60))
    monkeypatch.setattr(heartbeat, "_PATIENCE", 0.05)
    with pulse(tmp_path).sampling(inputs=1, samples=100):
        pass
    never.set()


def test_the_other_reporter_is_told_everything(tmp_path):
    heard = []

    class Listening(Reporter):
        def note(self, message):
            heard.append(message)

        def advance(self, samples):
            heard.append(samples)

        def finish(self):
            heard.append("finished")

        def skip(self, samples):
            heard.append(-samples)

    pulsing = pulse(tmp_path, reporter=Listening())
    pulsing.note("hello")
    with pulsing.sampling(inputs=2, samples=200):
        pulsing.advance(100)
        pulsing.finish()
        pulsing.skip(100)
    assert heard == ["hello", 100, "finished", -100]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"[" * 5_000,
        b" " * 2**15,
        json.dumps({**BEAT, "pid": -1}).encode(),
        json.dumps({**BEAT, "updated": float("nan")}).encode(),
        json.dumps({**BEAT, "updated": 1e300}).encode(),
        json.dumps({**BEAT, "samples": 10**100}).encode(),
        b'{"pid": ' + b"1" * 10_000 + b"}",
        json.dumps({**BEAT, "host": ["a"]}).encode(),
        json.dumps({**BEAT, "state": "flying"}).encode(),
        json.dumps({**BEAT, "fingerprint": "cd" * 32}).encode(),
        json.dumps({name: value for name, value in BEAT.items() if name != "host"}).encode(),
    ],
)
def test_what_a_stranger_left_is_none(tmp_path, content):
    (tmp_path / STATUS).write_bytes(content)
    assert read_heartbeat(tmp_path, fingerprint=BEAT["fingerprint"]) is None


def test_fields_of_a_later_version_are_passed_over(tmp_path):
    (tmp_path / STATUS).write_text(json.dumps({**BEAT, "mood": "good"}))
    assert written(tmp_path) == beat()


def test_none_and_a_pipe_are_none(tmp_path):
    assert read_heartbeat(tmp_path, fingerprint="") is None
    os.mkfifo(tmp_path / STATUS)
    assert read_heartbeat(tmp_path, fingerprint="") is None


def test_a_moment_is_finite():
    with pytest.raises(InvalidArgumentError, match="seconds since 1970"):
        beat(updated=float("inf"))


def test_who_may_not_write_to_the_run_leaves_no_heartbeat(tmp_path):
    asked = []

    def taken_over():
        asked.append(1)
        raise RunError("somebody has taken over")

    with pulse(tmp_path, every=0.01, allowed=taken_over).sampling(inputs=1, samples=100):
        until(lambda: len(asked) > 1)
    assert os.listdir(tmp_path) == []
