"""Runs in an object store: against a real S3 server in a process of its own, which can be killed and comes back."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from s3fs import S3FileSystem

from command_line import run_cli
from smoothcert import remote
from smoothcert.certify import certify_run
from smoothcert.errors import RunError
from smoothcert.runs import Run, merge_runs
from smoothcert.runs import lease as lease_module
from smoothcert.runs.lease import SECONDS_VARIABLE
from smoothcert.runs.store import RunStore
from smoothcert.spec import RunSpec
from smoothcert.urls import to_path

from .synthetic import CONFIG, make_record, same

HERE = Path(__file__).resolve().parent
LEASE = 1.5  # seconds


class Server:
    """A server whose objects are in a folder, so that they outlive it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bucket").mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()

    def start(self) -> None:
        command = [sys.executable, str(HERE.parent / "s3_server.py"), str(self.port), str(self.folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self.process.stdout is not None
        self.process.stdout.readline()  # it listens

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def requests(self) -> list[str]:
        """What it was asked since it was last asked this, such as ``"PUT /bucket/run/config.json"``."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/requests") as answer:
            return json.load(answer)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Server(tmp_path_factory.mktemp("s3"))
    yield made
    made.kill()


@pytest.fixture(autouse=True)
def reached(server, monkeypatch):
    """What the store's own package reads: where it is, and who asks."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "writer")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    monkeypatch.setenv(SECONDS_VARIABLE, str(LEASE))
    S3FileSystem.clear_instance_cache()


@pytest.fixture
def url(request):
    return f"s3://bucket/{re.sub('[^a-z]+', '-', request.node.name)}/run"


def abandon(store: RunStore) -> None:
    """Leave a store as a killed process does: the lease stays, and nobody renews it."""
    store._lock._ended.set()


def assert_holds(place: str, indices: Iterable[int]) -> None:
    """A run has exactly the records of these inputs, in order."""
    records, expected = Run.open(place).records(), [make_record(index) for index in indices]
    assert [record.index for record in records] == [record.index for record in expected]
    assert all(map(same, records, expected))


def wait_for(condition, *, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_run_in_a_store_holds_what_one_here_does(url, tmp_path):
    spec = RunSpec.of(model="digits", data="digits", limit=5, sigma=0.25, n0=20, n=100)
    there, here = certify_run(spec, out=url), certify_run(spec, out=tmp_path / "run")
    assert there.config.fingerprint == here.config.fingerprint
    ours, theirs = (run.per_input().drop_columns(["seconds"]) for run in (there, here))
    assert ours.equals(theirs)
    for one, other in zip(there.records(), here.records(), strict=True):
        assert one.samples == other.samples
    certify_run(spec, out=url)  # there is nothing left to do
    assert len(Run.open(url)) == 5


def test_every_command_takes_a_url(url, tmp_path, capsys):
    def told(*arguments: object) -> str:
        assert run_cli(*arguments) == 0
        return capsys.readouterr().out

    sampled = ["--model", "digits", "--data", "digits", "--limit", 4, "--sigma", 0.25, "--n0", 20, "--n", 100]
    sampled += ["--levels", 100]
    assert f"4 inputs in {url}" in told("certify", *sampled, "--out", url)
    told("certify", *sampled, "--out", tmp_path / "run")
    asked = ["--radii", 0.1, "--thresholds", 0.5, "--format", "csv"]
    there, here = told("query", url, *asked), told("query", tmp_path / "run", *asked)
    assert there.replace(url, "RUN") == here.replace(str(tmp_path / "run"), "RUN")
    assert "4 of 4 inputs are stored and whole" in told("check", url)
    assert f"report: {url}.html" in told("report", url, "--out", f"{url}.html")
    assert b"<html" in to_path(f"{url}.html").fs.cat_file(to_path(f"{url}.html").path)[:200]
    assert "4 inputs" in told("merge", url, tmp_path / "run", "--out", f"{url}2")
    assert "4 of 4 inputs" in told("check", f"{url}2")
    told("export", url, "--input", "#1", "--out", f"{url}.json")
    assert "claims follow from the samples" in told("verify", f"{url}.json", "--against", url)
    assert "hoeffding" in told("compare", url, f"{url}2", "--radii", 0.1)
    told("figure", "accuracy-over-radius", url, "--out", f"{url}.svg")
    assert "4" in told("status", url)


def test_records_are_written_together_and_read_with_few_requests(server, url):
    server.requests()
    with RunStore(url, CONFIG, merge_every=16) as store:
        for index in range(40):
            store.append(make_record(index))
        written = server.requests()
    assert sum("parts/" in request and request.startswith("PUT") for request in written) < 10
    names = [path.name for path in Run.open(url).files()[1:]]
    server.requests()
    run = Run.open(url)
    assert [record.index for record in run.iter_records()] == list(range(40))
    assert len(run.records()) == 40
    asked = server.requests()
    assert sum("parts/part-" in request for request in asked) == len(names)  # each part once, whatever is asked
    assert not [request for request in asked if not request.startswith(("GET", "HEAD"))]


def test_a_second_writer_is_told_who_writes(url):
    with RunStore(url, CONFIG) as store:
        store.append(make_record(0))
        with pytest.raises(RunError, match=rf"another process is writing to {url}: .* process {os.getpid()}, since 20"):
            RunStore(url, CONFIG)
        store.append(make_record(1))
    with RunStore(url, CONFIG) as store:
        assert store.present == {0, 1}
    leases = [name for name in remote.listing(to_path(url)) if name.startswith(".lease")]
    assert leases == [".lease-00000002"]
    assert socket.gethostname().encode() not in remote.read(to_path(url) / leases[0], at_most=1000)


WRITER = """
import sys, time
sys.path.insert(0, sys.argv[2])
from runs.synthetic import CONFIG, make_record
from smoothcert.runs.store import RunStore
with RunStore(sys.argv[1], CONFIG, merge_every=4) as store:
    for index in sorted(set(range(int(sys.argv[3]))) - store.present):
        store.append(make_record(index))
        print(index, flush=True)
        time.sleep(float(sys.argv[4]))
"""


def test_a_writer_that_is_killed_blocks_the_run_until_its_lease_is_over(url, caplog):
    command = [sys.executable, "-c", WRITER, url, str(HERE.parent), "40", "0.3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        wait_for(lambda: "parts" in remote.listing(to_path(url)))
        appended = -1
        while not remote.listing(to_path(url) / "parts") or appended < 6:
            appended = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
    stored = Run.open(url)
    assert_holds(url, stored.indices.tolist())
    with caplog.at_level(logging.WARNING), RunStore(url, CONFIG) as store:
        assert store.present == set(stored.indices.tolist())
        for index in sorted(set(range(40)) - store.present):
            store.append(make_record(index))
    assert re.search(r"waiting up to \d seconds to see", caplog.text)
    assert f"process {writer.pid} has not been heard of" in caplog.text
    assert_holds(url, range(40))


def test_a_server_that_is_killed_and_comes_back_interrupts_nothing(server, url, caplog):
    command = [sys.executable, "-c", WRITER, url, str(HERE.parent), "40", "0.05"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        while int(writer.stdout.readline()) < 12:
            pass
        server.kill()
        time.sleep(2.5)
        server.start()
        _, said = writer.communicate(timeout=60)
    assert writer.returncode == 0, said
    assert f"{url} does not answer" in said
    assert "trying again" in said
    assert_holds(url, range(40))


def test_a_server_that_stays_away_stops_the_run_and_what_is_stored_is_kept(server, url, monkeypatch):
    monkeypatch.setattr(remote, "PATIENCE", 1.0)
    with RunStore(url, CONFIG) as store:
        for index in range(3):
            store.append(make_record(index))
    try:
        store = RunStore(url, CONFIG)
        server.kill()
        store.append(make_record(3))
        with pytest.raises(RunError, match=f"{url} does not answer .* run the same command again"), store:
            store.merge()
        with pytest.raises(RunError, match=f"cannot read {url}"):
            Run.open(url)
    finally:
        server.start()
    with RunStore(url, CONFIG) as store:
        assert store.present == {0, 1, 2}
        store.append(make_record(3))
    assert_holds(url, range(4))


def test_a_writer_that_was_asleep_notices_and_stops_before_it_writes(url):
    sleeper = RunStore(url, CONFIG)
    sleeper.append(make_record(0))
    sleeper.merge()
    abandon(sleeper)  # as a laptop that is closed
    with RunStore(url, CONFIG) as store:
        store.append(make_record(1))
        store.merge()
        sleeper._lock._ended.clear()
        before = set(remote.listing(to_path(url) / "parts"))
        sleeper.append(make_record(2))
        with pytest.raises(RunError, match=r"has taken over .* it stops here; what it stored is kept"), sleeper:
            sleeper.merge()
        assert set(remote.listing(to_path(url) / "parts")) == before
        store.append(make_record(3))
    assert Run.open(url).indices.tolist() == [0, 1, 3]


def test_a_writer_that_nobody_waited_for_goes_on_after_a_sleep(url, monkeypatch):
    with RunStore(url, CONFIG) as store:
        store.append(make_record(0))
        real = lease_module._clock
        monkeypatch.setattr(lease_module, "_clock", lambda: real() + 100.0)
        store.append(make_record(1))
    assert len(Run.open(url)) == 2


def test_a_write_that_comes_late_does_no_harm(url, monkeypatch):
    """Two writers at once, as where a store has no leases: the same inputs, sampled twice, in other seconds."""
    monkeypatch.setattr(lease_module.Lease, "check", lambda self: None)
    first = RunStore(url, CONFIG, merge_every=8)
    abandon(first)
    second = RunStore(url, CONFIG, merge_every=8)
    for index in range(20):
        first.append(make_record(index))
        second.append(replace(make_record(19 - index), seconds=9.0))
    first.close()
    second.close()
    run = Run.open(url)
    assert all(same(record, make_record(record.index), seconds=False) for record in run.records())
    assert len(run) == 20
    assert not run.state().damaged
    with RunStore(url, CONFIG) as store:
        assert len(store.present) == 20


def test_what_the_store_refuses_is_one_sentence(url, capsys, monkeypatch):
    assert run_cli("query", "s3://none/run") == 2
    assert "s3://none/run" in (said := capsys.readouterr().err)
    assert said.count("\n") == 1
    with pytest.raises(RunError, match="cannot write to s3://none/run: The specified bucket does not exist"):
        RunStore("s3://none/run", CONFIG)
    with RunStore(url, CONFIG) as store:
        store.append(make_record(0))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "reader")
    S3FileSystem.clear_instance_cache()
    assert len(Run.open(url)) == 1
    with pytest.raises(RunError, match=f"cannot write to {url}: Access Denied"):
        RunStore(url, CONFIG)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    S3FileSystem.clear_instance_cache()
    with pytest.raises(RunError, match=f"{url}.*Unable to locate credentials"):
        Run.open(url)


def test_a_store_without_conditions_is_told_of(url, caplog, monkeypatch):
    def refuse(path, content):
        raise NotImplementedError

    for create in (remote.write, refuse):  # one does as if it had not heard of them
        monkeypatch.setattr(remote, "create", create)
        caplog.clear()
        with caplog.at_level(logging.WARNING), RunStore(url, CONFIG) as store:
            store.append(make_record(len(store.present)))
        assert f"{url} cannot keep a second writer out" in caplog.text
    assert_holds(url, range(2))


def test_keys_of_others_do_not_matter(server, url):
    place = to_path(url)
    fs, where = place.fs, place.path
    fs.pipe_file(f"{where}/parts/notes.txt", b"?")
    with pytest.raises(RunError, match=r"is not empty and holds no run \(parts is there"):
        RunStore(url, CONFIG)
    fs.rm_file(f"{where}/parts/notes.txt")
    fs.pipe_file(where, b"?")
    fs.pipe_file(f"{where}2/config.json", b"?")
    with RunStore(url, CONFIG) as store:
        store.append(make_record(0))
    fs.pipe_file(f"{where}/parts/deep/part-00000003.parquet", b"?")
    server.kill()
    for number in range(1010):  # two pages of a listing
        key = f"{place.path}/parts/notes-{number:05d}.txt".removeprefix("bucket/")
        (server.folder / "bucket" / key.replace("/", "%2F")).write_bytes(b"?")
    server.start()
    with RunStore(url, CONFIG) as store:
        store.append(make_record(1))
    assert_holds(url, range(2))


def test_names_are_taken_as_they_are(server):
    url = "s3://bucket/a b%20c+d é='\"/r&n%2F..x"
    with RunStore(url, CONFIG) as store:
        store.append(make_record(0))
    assert str(Run.open(url).path) == url
    assert len(Run.open(url + "/")) == 1
    assert [file for file in (server.folder / "bucket").iterdir() if "a%20b%2520c" in file.name]


def test_a_damaged_part_is_set_aside_and_sampled_again(url, capsys):
    with RunStore(url, CONFIG, merge_every=4) as store:
        for index in range(6):
            store.append(make_record(index))
    path = Run.open(url).files()[1]
    content = bytearray(remote.read(path, at_most=2**30))
    content[len(content) // 2] ^= 1
    remote.write(path, bytes(content))
    assert run_cli("check", url) == 1
    assert "do not match its seal" in capsys.readouterr().out
    assert run_cli("check", url, "--repair") == 1
    assert f"set aside in {url}/damaged" in capsys.readouterr().out
    with RunStore(url, CONFIG) as store:
        for index in sorted(set(range(6)) - store.present):
            store.append(make_record(index))
    assert_holds(url, range(6))


def test_a_run_that_goes_on_reads_as_a_whole(url):
    run = None
    with RunStore(url, CONFIG, merge_every=4) as store:
        for index in range(12):
            store.append(make_record(index))
            store._flush()
            run = run or Run.open(url)
            assert [record.index for record in run.iter_records()] == list(range(index + 1))


@pytest.mark.parametrize("scheme", ["memory", "file"])
def test_other_places(scheme, tmp_path):
    url = f"memory://bucket{tmp_path}/run" if scheme == "memory" else f"file://{tmp_path}/run"
    with RunStore(url, CONFIG, merge_every=4) as store:
        for index in range(6):
            store.append(make_record(index))
    with RunStore(url, CONFIG) as store:
        store.append(make_record(6))
    assert_holds(url, range(7))
    merge_runs([url], f"{url}2")
    assert_holds(f"{url}2", range(7))
    assert (tmp_path / "run").exists() == (scheme == "file")
