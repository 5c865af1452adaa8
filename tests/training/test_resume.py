"""An interrupted training that goes on ends in the bits of one that was not, and a foreign checkpoint is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file

from smoothcert.errors import RunError
from smoothcert.training import checkpoint as checkpoints
from smoothcert.training import loop
from smoothcert.training.checkpoint import checkpoint_path
from smoothcert.training.interrupts import interrupts_held

from .synthetic import Interrupting, Listening, train_small, write_table

STEPS = 8  # two epochs of four steps
CHANGES = {"consistency": 2.0}
interrupts = pytest.mark.usefixtures("interruptible")


@pytest.fixture
def interruptible():
    """Python's own handling of Ctrl-C, which a process started in the background does not have."""
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("only the main thread is given signals")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    return write_table(tmp_path_factory.mktemp("data") / "train.parquet", count=64)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, data) -> dict[str, torch.Tensor]:
    """Weights of a run that was not interrupted."""
    out = tmp_path_factory.mktemp("whole") / "w.safetensors"
    train_small(data, out, changes=CHANGES)
    return load_file(out)


def step_in(out: Path) -> int:
    return int(torch.load(checkpoint_path(out), weights_only=True)["step"])


def assert_goes_on_to(out: Path, data: str, whole: dict[str, torch.Tensor], *, step: int) -> None:
    listening = Listening()
    train_small(data, out, changes=CHANGES, reporter=listening)
    assert f"goes on from step {step} of {STEPS} in {checkpoint_path(out)}" in listening.notes
    ended = load_file(out)
    assert ended.keys() == whole.keys()
    assert all(torch.equal(ended[key], whole[key]) for key in whole)
    assert not checkpoint_path(out).exists()


@pytest.mark.parametrize(
    ("at", "step"), [("epoch 0.25 ", 1), ("epoch 1.00 ", 4), ("epoch 1.75 ", 7), ("epoch 2.00 ", 8)]
)
def test_ctrl_c_between_steps_saves_at_once_and_going_on_equals_one_go(tmp_path, data, whole, monkeypatch, at, step):
    monkeypatch.setattr(loop, "LINE_SECONDS", 0.0)
    out = tmp_path / "w.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train_small(data, out, changes=CHANGES, reporter=Interrupting(at))
    assert step_in(out) == step
    assert not out.exists()
    assert_goes_on_to(out, data, whole, step=step)


@interrupts
def test_ctrl_c_within_a_step_waits_for_its_end(tmp_path, data, whole, monkeypatch):
    out = tmp_path / "w.safetensors"
    real, losses = loop.noisy_loss, []

    def interrupted(*arguments):
        losses.append(real(*arguments))
        if len(losses) == 3:
            signal.raise_signal(signal.SIGINT)
        return losses[-1]

    monkeypatch.setattr(loop, "noisy_loss", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_small(data, out, changes=CHANGES)
    assert (len(losses), step_in(out)) == (3, 3)
    monkeypatch.setattr(loop, "noisy_loss", real)
    assert_goes_on_to(out, data, whole, step=3)


@pytest.mark.parametrize("interrupted_step", [2, 6])
def test_half_a_step_is_not_saved(tmp_path, data, whole, monkeypatch, interrupted_step):
    """A handler of the user's own raises at once, in the middle of a step."""
    out = tmp_path / "w.safetensors"
    real, losses = loop.noisy_loss, []

    def interrupted(*arguments):
        losses.append(real(*arguments))
        if len(losses) == interrupted_step:
            raise KeyboardInterrupt
        return losses[-1]

    monkeypatch.setattr(loop, "noisy_loss", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_small(data, out, changes=CHANGES)
    monkeypatch.setattr(loop, "noisy_loss", real)
    if interrupted_step > 4:  # the end of the first epoch
        assert step_in(out) == 4
        assert_goes_on_to(out, data, whole, step=4)
    else:
        assert not checkpoint_path(out).exists()


def test_a_run_that_failed_goes_on_from_the_last_checkpoint_in_time(tmp_path, data, whole, monkeypatch):
    monkeypatch.setattr(loop, "LINE_SECONDS", 0.0)

    class Failing(Listening):
        def note(self, message: str) -> None:
            if message.startswith("epoch 1.50 "):
                raise OSError("the terminal is gone")

    out = tmp_path / "w.safetensors"
    with pytest.raises(OSError, match="terminal"):
        train_small(data, out, changes=CHANGES, reporter=Failing(), checkpoint_seconds=0.0)
    assert step_in(out) == 6
    assert_goes_on_to(out, data, whole, step=6)


def test_a_killed_run_goes_on(tmp_path, data, whole):
    out = tmp_path / "w.safetensors"
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from training.synthetic import *\n"
        "from smoothcert.training import loop\n"
        "import time\n"
        "real = loop.noisy_loss\n"
        "loop.noisy_loss = lambda *a: (time.sleep(0.5), real(*a))[1]\n"
        "train_small(sys.argv[2], Path(sys.argv[3]), changes={'consistency': 2.0}, checkpoint_seconds=0.0)\n"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parents[1]), data, str(out)]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 300  # importing torch on a busy machine takes a minute
    while not checkpoint_path(out).exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.kill()
    _, errors = process.communicate()
    assert checkpoint_path(out).exists(), errors.decode()
    assert not out.exists()
    assert_goes_on_to(out, data, whole, step=step_in(out))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sigma": 0.5}, r"holds another training run: sigma was 0\.25, now 0\.5; choose another out"),
        ({"epochs": 3, "width": 8}, "run: epochs was 2, now 3; width was 4, now 8; initial_weights_sha256 was"),
        ({"seed": 1}, "seed was 0, now 1"),
    ],
)
def test_a_checkpoint_of_another_recipe_names_what_differs(tmp_path, data, change, message):
    out = tmp_path / "w.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train_small(data, out, reporter=Interrupting("epoch 1.00"))
    before = checkpoint_path(out).read_bytes()
    with pytest.raises(RunError, match=message):
        train_small(data, out, changes=change)
    assert checkpoint_path(out).read_bytes() == before


def test_a_checkpoint_of_other_data_names_them(tmp_path, data):
    out = tmp_path / "w.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train_small(data, out, reporter=Interrupting("epoch 1.00"))
    other = write_table(tmp_path / "other.parquet", count=64, first=1)
    with pytest.raises(RunError, match=r"data_fingerprint was .*; data_sha256 was .*, now"):
        train_small(other, out)


def test_the_same_data_under_another_name_go_on(tmp_path, data, whole):
    out = tmp_path / "w.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train_small(data, out, changes=CHANGES, reporter=Interrupting("epoch 1.00"))
    moved = tmp_path / "moved.parquet"
    moved.write_bytes(Path(data.removeprefix("parquet:")).read_bytes())
    assert_goes_on_to(out, f"parquet:{moved}", whole, step=4)


@pytest.mark.parametrize("damage", ["cut", "text", "foreign", "incomplete", "empty identity"])
def test_a_file_that_is_no_checkpoint_is_refused_and_kept(tmp_path, data, damage):
    out = tmp_path / "w.safetensors"
    path = checkpoint_path(out)
    if damage == "cut":
        with pytest.raises(KeyboardInterrupt):
            train_small(data, out, reporter=Interrupting("epoch 1.00"))
        path.write_bytes(path.read_bytes()[:-500])
    elif damage == "text":
        path.write_text("no checkpoint")
    elif damage == "foreign":
        torch.save({"state_dict": {"weight": torch.zeros(2)}}, path)
    else:
        identity = {} if damage == "empty identity" else {"recipe": "{}"}
        torch.save({"identity": identity, "network": {}, "step": 3}, path)
    before = path.read_bytes()
    with pytest.raises(RunError, match=r"checkpoint is not a checkpoint of a training run; move it away"):
        train_small(data, out)
    assert path.read_bytes() == before


def test_two_processes_do_not_train_into_the_same_file(tmp_path, data):
    out = tmp_path / "w.safetensors"
    with FileLock(tmp_path / ".w.safetensors.lock"), pytest.raises(RunError, match="another process is training into"):
        train_small(data, out)
    with checkpoints.sole_writer(out), pytest.raises(RunError, match="another process"):
        train_small(data, out)
    train_small(data, out, changes={"epochs": 1})
    assert out.exists()


def test_what_a_killed_process_left_half_written_is_deleted_and_nothing_else(tmp_path):
    out = tmp_path / "w[1].safetensors"
    left = [tmp_path / f".{path.name}.smoothcert-1-0123abcd.tmp" for path in (out, checkpoint_path(out))]
    others = [
        tmp_path / name
        for name in (
            ".w1.safetensors.smoothcert-1-0123abcd.tmp",
            ".other.safetensors.checkpoint.smoothcert-1-0123abcd.tmp",
            f".{out.name}.1.tmp",
            f".{out.name}.smoothcert-mine.tmp",
        )
    ]
    for path in left + others:
        path.write_bytes(b"half")
    with checkpoints.sole_writer(out):
        assert not any(path.exists() for path in left)
        assert all(path.exists() for path in others)


def test_whoever_waited_for_the_lock_finds_the_file_finished(tmp_path):
    out = tmp_path / "w.safetensors"
    out.write_text("finished")
    with pytest.raises(RunError, match="exists already"), checkpoints.sole_writer(out):
        pytest.fail("it was let in")


def test_a_folder_that_cannot_be_made_is_named(tmp_path, data):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot write to .*file"):
        train_small(data, tmp_path / "file" / "w.safetensors")


@interrupts
def test_interrupts_are_held_until_released():
    before, reached = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with interrupts_held() as release:
            release()  # none yet
            signal.raise_signal(signal.SIGINT)
            reached.append("held")
            release()
            reached.append("not released")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert reached == ["held"]
    assert signal.getsignal(signal.SIGINT) is before


@interrupts
def test_an_interrupt_nobody_released_is_raised_at_the_end():
    reached = []

    def work() -> None:
        with interrupts_held():
            signal.raise_signal(signal.SIGINT)
            reached.append("held")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert reached == ["held"]


@interrupts
def test_a_second_interrupt_is_not_held():
    reached = []

    def work() -> None:
        with interrupts_held():
            signal.raise_signal(signal.SIGINT)
            reached.append("held")
            signal.raise_signal(signal.SIGINT)
            reached.append("held again")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert reached == ["held"]


@interrupts
def test_a_process_that_ignores_interrupts_goes_on_ignoring_them():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts_held() as release:
            signal.raise_signal(signal.SIGINT)
            release()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_hold_nothing():
    released = []

    def work() -> None:
        with interrupts_held() as release:
            release()
            released.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert released == [True]
