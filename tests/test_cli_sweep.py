"""``sweep --sigmas``: the model of each sigma certified by one command."""

from __future__ import annotations

import json

import pytest
import torch
from cyclopts import App
from safetensors.torch import save_file
from torch import nn

from smoothcert.cli.certify import certify
from smoothcert.cli.sweep import sweep
from smoothcert.runs import Run
from test_cli_study import ask, refused


@pytest.fixture
def sweeping(tmp_path):
    """A network for each sigma, as weights files, and the options to sweep over them."""
    (tmp_path / "net.py").write_text(
        "from torch import nn\ndef net():\n"
        "    return nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(128, 10))\n"
        "def clip(sigma):\n    return nn.Hardtanh(0.0, 1.0)\n"
    )
    for seed, sigma in enumerate(("0.25", "0.50")):
        torch.manual_seed(seed)
        state = {f"0.{name}": value for name, value in nn.Conv2d(1, 2, 1).state_dict().items()}
        state |= {f"1.{name}": value for name, value in nn.BatchNorm2d(2).state_dict().items()}
        state |= {f"3.{name}": value for name, value in nn.Linear(128, 10).state_dict().items()}
        save_file(state, tmp_path / f"net_{sigma}.safetensors", {"sigma": sigma})
    asked = ["--sigmas", "0.25,0.50", "--data", "digits", "--limit", 3, "--n", 100, "--n0", 10, "--device", "cpu"]
    return [*asked, "--folder", tmp_path / "sweep", "--model", f"python:{tmp_path}/net.py:net", "--quiet"]


def test_sweep_certifies_a_model_at_each_sigma(capsys, tmp_path, sweeping):
    weights = ["--weights", tmp_path / "net_{sigma}.safetensors"]
    options = ["--seed", 3, "--stride", 2, "--levels", 500, "--precision", "bfloat16"]
    more = ["--split", "train", "--batch-size", 7, "--backend", "torch-folded", "--alpha", 0.01]
    command = ["sweep", *sweeping, *weights, *options, *more, "--radii", "0,0.5", "--format", "json"]
    shown = json.loads(ask(capsys, *command))
    assert {row["sigma"] for row in shown} == {0.25, 0.5}
    for sigma in ("0.25", "0.50"):
        config = Run.open(tmp_path / "sweep" / f"sigma_{sigma}").config
        data, sampling = config.spec.data, config.spec.sampling
        assert (config.sigma, config.n, config.n0, data.limit) == (float(sigma), 100, 10, 3)
        assert (config.seed, data.stride, config.levels, config.alpha) == (3, 2, 500, 0.01)
        assert (sampling.precision, sampling.backend, data.split) == ("bfloat16", "torch-folded", "train")
        assert config.spec.model.weights == tmp_path / f"net_{sigma}.safetensors"
    parts = sorted((tmp_path / "sweep").glob("*/parts/*"))
    parts[-1].unlink()
    times = {path: path.stat().st_mtime_ns for path in parts[:-1]}
    assert json.loads(ask(capsys, *command)) == shown
    assert {path: path.stat().st_mtime_ns for path in times} == times  # what was there was not sampled again


def test_sweep_behind_one_denoiser_needs_no_pattern(capsys, tmp_path, sweeping):
    one = ["--weights", tmp_path / "net_0.25.safetensors", "--denoiser", f"python:{tmp_path}/net.py:clip"]
    ask(capsys, "sweep", *sweeping, *one, "--radii", "0")
    configs = [Run.open(tmp_path / "sweep" / f"sigma_{sigma}").config for sigma in ("0.25", "0.50")]
    assert [config.sigma for config in configs] == [0.25, 0.5]
    assert all(config.model.endswith("net.py:clip") for config in configs)


def test_sweep_takes_every_option_of_certify_but_its_own():
    flags = {}
    for name, command in (("certify", certify), ("sweep", sweep)):
        app = App(name=name)
        app.default(command)
        arguments = app.assemble_argument_collection(parse_docstring=True)
        flags[name] = {flag for argument in arguments if argument.parse for flag in argument.names}
    assert flags["certify"] - flags["sweep"] == {"--sigma", "--decide", "--max-n", "--config"}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"--data": None}, "needs model and data"),
        ({"--weights": None}, "must hold {sigma}, or a denoiser"),
        ({"--weights": "other_{sigma}.safetensors"}, "weights of sigma 0.25: there is no file other_0.25.safetensors"),
        ({"--sigmas": "0.25,0.250"}, "sigmas must be given once each"),
        ({"--sigmas": "0.25,-1"}, "sigma must be a positive finite noise level"),
        ({"--sigmas": None}, "sigmas must be given, as runs to make, for --folder, --model, --weights, --data"),
    ],
)
def test_sweep_refuses_before_anything_is_certified(capsys, tmp_path, sweeping, change, problem):
    pairs = dict(zip(sweeping[:-1:2], sweeping[1:-1:2], strict=True)) | {
        "--weights": tmp_path / "net_{sigma}.safetensors"
    }
    kept = {name: value for name, value in (pairs | change).items() if value is not None}
    assert problem in refused(capsys, "sweep", *(part for pair in kept.items() for part in pair))
    assert not (tmp_path / "sweep").exists()
