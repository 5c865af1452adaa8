from __future__ import annotations

import inspect
import json

import numpy as np
import pytest
from safetensors import safe_open

from command_line import run_cli
from smoothcert import training
from smoothcert.cli.train import train as command
from smoothcert.runs import Run
from smoothcert.training import Recipe
from smoothcert.training.checkpoint import checkpoint_path

from .synthetic import Interrupting, train_small, write_table

SMALL = ["--arch", "resnet8", "--width", "4", "--epochs", "2", "--batch-size", "16", "--device", "cpu"]


@pytest.fixture
def data(tmp_path) -> str:
    return write_table(tmp_path / "train.parquet", count=64)


def test_the_options_are_those_of_python_with_the_same_defaults(capsys):
    defaults = {name: option.default for name, option in inspect.signature(command).parameters.items()}
    function = inspect.signature(training.train).parameters
    known = set(function) - {"checkpoint_seconds", "reporter"}
    assert set(defaults) - {"quiet"} == known
    assert all(defaults[name] == function[name].default for name in known)
    assert run_cli("train", "--help") == 0
    shown = capsys.readouterr().out
    assert all(f"--{name.replace('_', '-')} " in shown for name in inspect.signature(Recipe).parameters)
    assert "--no-augment" in shown


def test_trained_certified_and_told_apart_from_new_images(capsys, tmp_path, data):
    out = tmp_path / "weights" / "w.safetensors"
    assert run_cli("train", "--data", data, "--sigma", 0.25, "--out", out, *SMALL, "--epochs", 4) == 0
    printed = capsys.readouterr()
    assert "epoch 4.00 of 4: loss" in printed.err
    assert printed.out.startswith("accuracy under noise ")
    assert f"on 4 images; {out}\n" in printed.out
    assert f"smoothcert certify --model cifar:resnet8 --weights {out} --sigma 0.25 ..." in printed.out
    with safe_open(out, framework="pt") as file:
        assert json.loads(file.metadata()["recipe"])["epochs"] == 4

    new = write_table(tmp_path / "new.parquet", count=6, first=900)
    certified = {}
    for name, source, sigma in (("new", new, 0.25), ("same", data, 0.25), ("other", new, 0.5)):
        run = tmp_path / name
        settings = ["--n", 200, "--n0", 20, "--limit", 6, "--device", "cpu", "--out", run]
        model = ["--model", "cifar:resnet8", "--weights", out, "--data", source, "--sigma", sigma]
        assert run_cli("certify", *model, *settings) == 0
        certified[name] = Run.open(run).config.notes
    seen = "5 of 6 inputs are among the images cifar:resnet8 was trained on"
    assert certified["new"] == ()
    assert certified["same"] == (f"{seen}, so its certified accuracy here is not that on new images",)
    assert certified["other"] == ("cifar:resnet8 was trained under noise of sigma 0.25, not 0.5",)
    assert seen in capsys.readouterr().err
    assert run_cli("query", tmp_path / "same") == 0
    assert f"note: {seen}" in " ".join(capsys.readouterr().out.split())
    records = Run.open(tmp_path / "new").records()
    assert np.mean([record.samples.prediction == record.label for record in records]) > 0.8


def test_an_interrupt_ends_in_130_and_the_same_command_goes_on(capsys, tmp_path, data, monkeypatch):
    out = tmp_path / "w.safetensors"
    arguments = ["train", "--data", data, "--sigma", "0.25", "--out", out, *SMALL]
    with monkeypatch.context() as patch:
        patch.setattr("smoothcert.progress.LineReporter", lambda stream: Interrupting("epoch 1.00"))
        assert run_cli(*arguments) == 130
    interrupted = capsys.readouterr()
    assert f"interrupted: {checkpoint_path(out)} holds what was done; the same command goes on" in interrupted.err
    assert run_cli(*arguments) == 0
    assert "goes on from step 4 of 8" in capsys.readouterr().err
    assert run_cli(*arguments) == 2
    assert f"error: {out} exists already" in capsys.readouterr().err


def test_an_interrupt_while_images_are_read_promises_nothing(capsys, tmp_path, data, monkeypatch):
    monkeypatch.setattr("smoothcert.progress.LineReporter", lambda stream: Interrupting("reading"))
    assert run_cli("train", "--data", data, "--sigma", 0.25, "--out", tmp_path / "w.safetensors", *SMALL) == 130
    assert "interrupted before the first checkpoint" in capsys.readouterr().err


def test_quiet_says_the_result_alone(capsys, tmp_path, data):
    out = tmp_path / "w.safetensors"
    assert run_cli("train", "--data", data, "--sigma", 0.5, "--out", out, *SMALL, "--image-size", 32, "--quiet") == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "--sigma 0.5 ..." in printed.out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--arch", "vgg16"], "error: arch must be resnet20"),
        (["--consistency", "-1"], "error: --consistency must be a number, at least 0"),
        (["--data", "digits"], "error: --data must be colour images"),
        (["--out", "w.pt"], "error: --out must be a file that ends in .safetensors; got w.pt"),
        (["--test-split", "test"], "error: split means nothing for the single file"),
    ],
)
def test_mistakes_are_one_line_and_code_2(capsys, tmp_path, data, more, message):
    out = tmp_path / "w.safetensors"
    assert run_cli("train", "--data", data, "--sigma", 0.25, "--out", out, *SMALL, *more) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(message)
    assert captured.err.count("\n") == 1


def test_a_checkpoint_of_another_command_is_refused(capsys, tmp_path, data):
    out = tmp_path / "w.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train_small(data, out, reporter=Interrupting("epoch 1.00"))
    assert run_cli("train", "--data", data, "--sigma", 0.5, "--out", out, *SMALL) == 2
    assert "holds another training run: sigma was 0.25, now 0.5" in capsys.readouterr().err
