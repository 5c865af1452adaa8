from __future__ import annotations

import json
import re
import time
from dataclasses import asdict, replace

import pytest

from command_line import ask, refused, run_cli
from smoothcert.certify import RunSpec, certify_run
from smoothcert.data import Dataset
from smoothcert.errors import RunError
from smoothcert.runs import RunStore
from smoothcert.runs.heartbeat import STATUS, Heartbeat
from smoothcert.runs.status import SILENT, joined, run_status

from certify.tiny_model import tiny_model  # isort: skip
from .synthetic import CONFIG, ArraySource, make_record


def store(folder, indices, config=CONFIG):
    with RunStore(folder, config) as writing:
        for index in indices:
            writing.append(make_record(index))
    return folder


def beats(folder, *, age: float = 1.0, **values: object) -> None:
    now = time.time()
    beat = Heartbeat(
        fingerprint=CONFIG.fingerprint,
        pid=7,
        device="cuda",
        started=now - age - 100.0,
        updated=now - age,
        progressed=now - age,
        **{"host": "node-1", "engine": "ray", "workers": 8, "to_do": 40, "planned": 8_800, "samples": 2_200, **values},
    )
    (folder / STATUS).write_text(json.dumps(asdict(beat)))


def test_records_alone_say_what_is_done_and_what_it_cost(tmp_path):
    found = run_status(store(tmp_path, range(10)))
    assert (found.inputs.done, found.inputs.failed.nonzero()[0].tolist()) == (10, [6])
    assert (found.config.expected, found.finished) == (40, False)
    assert found.inputs.samples.tolist() == [220 * (index != 6) for index in range(10)]
    assert found.inputs.seconds.sum() == pytest.approx(0.1 * (45 - 6) + 0.125)
    assert (found.heartbeat, found.writer, found.age, found.seconds_left) == (None, "unknown", None, None)
    (status,) = joined([found])
    assert (status.done, status.failed, status.left, status.rate, status.seconds_left) == (10, 1, 30, None, None)


def test_an_empty_run_has_a_status(tmp_path):
    found = run_status(store(tmp_path, []))
    assert (found.inputs.done, found.inputs.samples.sum()) == (0, 0)
    assert joined([found])[0].seconds == 0.0


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="holds no run"):
        run_status(tmp_path)


@pytest.mark.parametrize(
    ("age", "values", "writer"),
    [(1.0, {}, "writing"), (-300.0, {}, "writing"), (SILENT + 5, {}, "silent"), (1.0, {"state": "ended"}, "ended")],
)
def test_a_writer_that_is_silent_may_have_died(tmp_path, age, values, writer):
    beats(store(tmp_path, range(10)), age=age, recent_seconds=10.0, recent_samples=500, **values)
    (status,) = joined([run_status(tmp_path)])
    assert status.folders[0].writer == writer
    assert status.rate == (50.0 if writer == "writing" else None)
    assert (status.seconds_left is None) == (writer != "writing")
    if writer == "writing":
        assert status.seconds_left == pytest.approx(6_600 / 50 - max(0.0, age), abs=9.0)


def test_shards_of_one_run_are_added_up(tmp_path):
    one = store(tmp_path / "one", range(20))
    two = store(tmp_path / "two", range(15, 30))
    other = store(tmp_path / "other", range(3), replace(CONFIG, model="another"))
    beats(one, recent_seconds=10.0, recent_samples=500)
    both, alone = joined([run_status(folder) for folder in (one, other, two)])
    assert [len(status.folders) for status in (both, alone)] == [2, 1]
    assert (both.done, both.left, both.failed, both.expected) == (30, 10, 4, 40)
    assert both.samples == 26 * 220  # those that both hold are counted once
    assert (both.rate, both.seconds_left) == (50.0, None)  # nobody writes the second


def test_json_has_everything(tmp_path, capsys):
    beats(store(tmp_path, range(10)))
    (told,) = json.loads(ask(capsys, "status", tmp_path, "--format", "json"))
    assert (told["done"], told["left"], told["failed"], told["finished"]) == (10, 30, 1, False)
    assert (told["samples"], told["samples_per_second"]) == (1_980, pytest.approx(22.0))
    (folder,) = told["folders"]
    assert (folder["run"], folder["writer"], folder["heartbeat"]["host"]) == (str(tmp_path), "writing", "node-1")


def test_text_says_it_to_people(tmp_path, capsys):
    beats(store(tmp_path / "one", range(10)), recent_seconds=10.0, recent_samples=500)
    told = ask(capsys, "status", tmp_path / "one")
    for part in ["10 of 40 inputs are done (25%), 30 left, 1 failed", "1,980 samples, 4 device-seconds"]:
        assert part in told
    assert "ray engine, 8 workers on cuda, process 7 on node-1, last heartbeat " in told
    assert re.search(r"50 samples/s now, 22 since it began, about (2 min|1 min 5)", told)
    beats(tmp_path / "one", age=7_300.0)
    assert "was last heard of 2 h 1 min ago: it may have died" in ask(capsys, "status", tmp_path / "one")
    store(tmp_path / "two", range(10, 40))
    beats(tmp_path / "two", state="ended", reason="the disk is full")
    told = ask(capsys, "status", tmp_path / "one", tmp_path / "two")
    assert "2 folders of one run: 40 of 40 inputs are done (100%): finished, 5 failed" in told
    assert " s ago: the disk is full" in told


def test_a_heartbeat_steers_no_terminal(tmp_path, capsys):
    beats(store(tmp_path, range(3)), host="a\x1b[2J\nb", engine="\u202eray")
    told = ask(capsys, "status", tmp_path)
    assert "\x1b" not in told
    assert "\u202e" not in told
    assert "a\\x1b[2J\\nb" in told


def test_watching_ends_when_nothing_is_left(tmp_path, capsys):
    store(tmp_path, range(40))
    assert "finished" in ask(capsys, "status", tmp_path, "--watch", 3_600)
    assert "--watch must be a positive number of seconds" in refused(capsys, "status", tmp_path, "--watch", 0)
    assert run_cli("status", tmp_path / "none") == 2


def test_a_run_that_was_made_says_who_made_it(tmp_path):
    spec = RunSpec.of(sigma=0.25, n=200, n0=20, device="cpu")
    run = certify_run(spec, out=tmp_path, model=tiny_model(), data=Dataset(ArraySource()))
    found = run_status(tmp_path)
    assert (found.inputs.done, found.finished, found.inputs.samples.sum()) == (12, True, 12 * 220)
    assert found.inputs.seconds.sum() == pytest.approx(sum(record.seconds for record in run.records()))
    assert found.writer == "ended"
    assert found.heartbeat is not None
    assert (found.heartbeat.engine, found.heartbeat.device, found.heartbeat.samples) == ("local", "cpu", 12 * 220)


def shares(tmp_path):
    """A run of 40 inputs by 200 samples; how to store another share or extent of it."""

    def at(name, indices, *, n=200, inputs=40, shard=None):
        spec = CONFIG.spec.vary(shard=shard, n=n)
        grown = () if (n, inputs) == (200, 40) else (CONFIG.extent,)
        data = CONFIG.data_fingerprint if inputs == 40 else "ef" * 32
        config = replace(CONFIG, spec=spec, inputs=inputs, grown=grown, data_fingerprint=data)
        return run_status(store(tmp_path / name, indices, config))

    return at


def test_folders_are_asked_for_as_much_as_the_one_that_goes_farthest(tmp_path):
    at = shares(tmp_path)
    whole, more, many = at("whole", range(40)), at("more", [], n=400), at("many", range(40, 50), inputs=50)
    for folders in ([whole, more], [more, whole]):
        (status,) = joined(folders)
        assert (status.done, status.short, status.left, status.finished) == (5, 35, 35, False)
    for folders in ([whole, many], [many, whole]):
        (status,) = joined(folders)
        assert (status.done, status.expected, status.finished) == (50, 50, True)


def test_shares_that_overlap_are_not_added_up(tmp_path):
    at = shares(tmp_path)
    (status,) = joined([at("half", range(0, 40, 2), shard="1/2"), at("quarter", range(0, 40, 4), shard="1/4")])
    assert (status.expected, status.done, status.finished) == (20, 20, True)
