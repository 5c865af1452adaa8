"""Workers on a Ray cluster of several machines, which here are several sets of processes on one."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from runs.synthetic import ArraySource, MarkedSource, assert_same_run, same
from smoothcert.certify import RunSpec, certify_run
from smoothcert.data import Dataset
from smoothcert.errors import InvalidArgumentError, ModelError, RunError
from smoothcert.progress import Reporter
from smoothcert.runs import Run

from .ray_models import Crashing, Slow
from .tiny_model import tiny_model

pytest.importorskip("ray")

TESTS = Path(__file__).resolve().parents[1]
SPEC = RunSpec.of(sigma=0.25, n=900, n0=100, batch_size=100, device="cpu", engine="ray")
LOCAL = SPEC.vary(engine="local")


@pytest.fixture(scope="module")
def cluster():
    """A head without workers, and two machines with room for one each."""
    import ray
    from ray.cluster_utils import Cluster

    quiet = {"include_dashboard": False, "object_store_memory": 100 * 2**20}
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **quiet})
    for _ in range(2):
        found.add_node(num_cpus=1, object_store_memory=100 * 2**20)
    ray.init(address=found.address, log_to_driver=False, logging_level="ERROR")
    yield found
    ray.shutdown()
    found.shutdown()


class Telling(Reporter):
    """Calls a function whenever an input is stored, and keeps notes."""

    def __init__(self, then=lambda done: None):
        self.notes, self.done, self.drawn, self.skipped, self.then = [], 0, 0, 0, then

    def note(self, message):
        self.notes.append(message)

    def advance(self, samples):
        self.drawn += samples

    def finish(self):
        self.done += 1
        self.then(self.done)

    def skip(self, samples):
        self.skipped += 1


def workers():
    """Process ids of the workers of this cluster: of descendants of this process, as others may test here, too."""
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            if folder.name.isdecimal() and (folder / "cmdline").read_bytes().startswith(b"ray::Worker"):
                pid = found_by = int(folder.name)
                while found_by > 1 and found_by != os.getpid():
                    found_by = int(Path(f"/proc/{found_by}/stat").read_text().rpartition(")")[2].split()[1])
                found += [pid] if found_by == os.getpid() else []
    return sorted(found)


def certify(out, *, spec=SPEC, model=None, data=None, **given):
    return certify_run(spec, out=out, model=model or tiny_model(), data=data or Dataset(ArraySource(60)), **given)


def test_workers_give_what_one_process_gives(cluster, tmp_path):
    data = Dataset(MarkedSource(60, marked=[20], unreadable=[3, 41]))
    for name, spec in (("ray", SPEC), ("local", LOCAL)):
        telling = Telling()
        certify(tmp_path / name, spec=spec.vary(on_unreadable="skip"), data=data, reporter=telling, model=tiny_model())
        assert (telling.done, telling.skipped, telling.drawn) == (58, 2, 58 * 1000)
    assert_same_run(tmp_path / "ray", tmp_path / "local")
    run = Run.open(tmp_path / "ray")
    assert run.config.fingerprint == Run.open(tmp_path / "local").config.fingerprint
    assert all(record.seconds > 0.0 for record in run.records() if record.error is None)
    logs = sorted((tmp_path / "ray" / "logs").iterdir())
    assert len(logs) == 2
    # One may have sampled everything before the other was ready.
    texts = [text for text in (log.read_text() for log in logs) if "ready after" in text]
    assert texts
    assert all("its output is in" in text for text in texts)
    assert sum(int(text.rpartition("sampled ")[2].split()[0]) for text in texts) == 60


def test_decisions_are_those_of_one_process(cluster, tmp_path):
    spec = RunSpec.of(sigma=0.4, decide="score:0.98@0.1", max_n=3_000, batch_size=64, device="cpu", engine="ray")
    ours = certify(tmp_path / "ray", spec=spec)
    certify(tmp_path / "local", spec=spec.vary(engine="local"))
    assert_same_run(tmp_path / "ray", tmp_path / "local")
    sizes = [record.samples.n for record in ours.records()]
    assert max(sizes) >= 10 * min(sizes)  # else it would show little


def test_twenty_kills_of_workers_and_machines_lose_and_double_nothing(cluster, tmp_path):
    chance, killed, machines = random.Random(0), [], []

    def kill(done):
        if len(killed) + len(machines) >= 20 or done % 3:
            return
        if len(machines) < 3 and len(killed) % 6 == 5:
            machines.append(cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20))
            cluster.remove_node(next(node for node in cluster.list_all_nodes() if node is not cluster.head_node))
            return
        for pid in chance.sample(workers(), 1):
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    telling = Telling(kill)
    data = Dataset(ArraySource(80))
    certify(tmp_path / "ray", model=tiny_model(Slow(0.01)), data=data, reporter=telling)
    assert len(killed) + len(machines) == 20
    assert len(machines) == 3
    assert telling.done == 80
    assert telling.drawn >= 80 * 1000
    certify(tmp_path / "local", spec=LOCAL, model=tiny_model(Slow(0.0)), data=data)
    assert_same_run(tmp_path / "ray", tmp_path / "local")
    await_no_workers()


def test_an_input_that_kills_its_workers_is_one_record_with_an_error(cluster, tmp_path):
    data = Dataset(MarkedSource(60, marked=[20]))
    telling = Telling()
    spec = SPEC.vary(on_unreadable="skip", workers=2)
    run = certify(tmp_path / "ray", spec=spec, model=tiny_model(Crashing()), data=data, reporter=telling)
    [skipped] = run.skipped
    assert skipped.index == 20
    assert "3 workers died, one after the other, of this input alone" in skipped.error
    assert any("input 20 is given up" in note for note in telling.notes)
    local = certify(tmp_path / "local", spec=LOCAL, data=data)
    assert all(same(r, local.record(r.index), seconds=False) for r in run.records() if r.index != 20)


def driver(cluster, out, *more):
    """Another process that certifies the same on the cluster."""
    command = [sys.executable, "-m", "certify.killed_ray_run", cluster.address, str(out), *more]
    return subprocess.Popen(command, cwd=TESTS, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def await_parts(out, process, count):
    deadline = time.monotonic() + 120
    while len(list((out / "parts").glob("part-*.parquet"))) < count:
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def await_no_workers():
    deadline = time.monotonic() + 30
    while workers():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_killed_driver_leaves_no_workers_and_the_same_command_goes_on(cluster, tmp_path):
    out = tmp_path / "ray"
    with driver(cluster, out) as process:
        await_parts(out, process, 5)
        process.kill()
    assert 5 <= len(Run.open(out)) < 60
    await_no_workers()
    with driver(cluster, out) as process:  # Ctrl-C this time
        await_parts(out, process, 10)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[0]
    assert process.returncode == 130, said
    assert "the same command goes on from there" in said
    assert "Traceback" not in said
    await_no_workers()
    assert len(Run.open(out)) < 60
    certify(out, spec=SPEC, model=tiny_model(Slow(0.0)))
    certify(tmp_path / "local", spec=LOCAL, model=tiny_model(Slow(0.0)))
    assert_same_run(out, tmp_path / "local")


def test_a_machine_with_other_data_is_refused_by_name(cluster, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "import os, numpy as np\n"
        "def data():\n"
        "    return np.full((40, 1, 4, 4), os.getpid() % 1000 / 1000, np.float32), [0] * 40\n"
    )
    spec = SPEC.vary(data=f"python:{file}:data")
    with pytest.raises(RunError, match=r"would sample another run than the first one: the content of the data changed"):
        certify_run(spec, out=tmp_path / "run", model=tiny_model(Slow(0.05)))
    await_no_workers()


def test_a_model_that_cannot_be_loaded_stops_the_run_with_that_sentence(cluster, tmp_path):
    spec = SPEC.vary(model=f"python:{tmp_path}/none.py:net", workers=1)
    with pytest.raises(ModelError, match=r"^Python file .*none.py does not exist"):
        certify_run(spec, out=tmp_path / "run", data=Dataset(ArraySource(6)))
    assert not (tmp_path / "run").exists()


def test_more_than_the_cluster_has_is_told(cluster, tmp_path):
    with pytest.raises(RunError, match=r"a worker with 1 CPU and 4 GPUs cannot be started: the cluster has 2 CPUs and"):
        certify(tmp_path / "run", spec=SPEC.vary(gpus_per_worker=4.0, device=None))


def test_what_cannot_be_sent_is_to_be_named(cluster, tmp_path):
    model = tiny_model(Slow(0.0))
    model.module.lock = threading.Lock()
    with pytest.raises(InvalidArgumentError, match=r"can be sent to workers .*python:FILE.py:NAME"):
        certify(tmp_path / "run", model=model)
