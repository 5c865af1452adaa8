"""One description of a run: the same options in Python, in files and on the command line."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smoothcert import spec as module
from smoothcert.backends.names import BACKENDS
from smoothcert.cli import main
from smoothcert.data.preprocess import INTERPOLATIONS
from smoothcert.errors import InvalidArgumentError
from smoothcert.outputs import OUTPUTS
from smoothcert.runs import Run
from smoothcert.sampling.classifier import PRECISIONS
from smoothcert.spec import DataSpec, ExecutionSpec, ModelSpec, RunSpec, SamplingSpec

OTHER = {
    "model": "cifar:resnet20",
    "weights": "w.safetensors",
    "denoiser": "ffdnet",
    "denoiser_weights": "d.pth",
    "outputs": "probabilities",
    "data": "imagefolder:val",
    "limit": 7,
    "stride": 2,
    "split": "train",
    "image_size": [224, 160],
    "resize": 256,
    "interpolation": "bicubic",
    "image_column": "img",
    "label_column": "lbl",
    "channels": 1,
    "input_range": "-1.0,1.0",
    "classes": "classes.txt",
    "label_offset": -1,
    "allow_outside": True,
    "sigma": 0.5,
    "n": 1000,
    "n0": 10,
    "decide": "score:0.5@0.25",
    "max_n": 500,
    "alpha": 0.01,
    "seed": 3,
    "levels": 500,
    "measure": ["score", "vote"],
    "noise": "float",
    "lattice": 0.0625,
    "precision": "bfloat16",
    "backend": "openvino",
    "device": "cpu",
    "batch_size": 64,
    "on_unreadable": "skip",
    "verify_precision": True,
    "allow_unstable": True,
    "shard": "3/16",
    "retry_failed": True,
    "engine": "ray",
    "address": "auto",
    "workers": 3,
    "gpus_per_worker": 0.5,
    "cpus_per_worker": 2,
}
APART = [{"decide", "max_n"}, {"n"}], [{"lattice"}, {"noise"}]  # what excludes one another


def without(*names: str) -> dict[str, object]:
    return {name: value for name, value in OTHER.items() if name not in names}


def flags(options: dict[str, object]) -> list[str]:
    """The options as the command line has them."""
    words = []
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if name == "image_size":
            words += [flag, "x".join(map(str, value))]
        elif value is True:
            words.append(flag)
        else:
            words += [word for one in (value if isinstance(value, list) else [value]) for word in (flag, str(one))]
    return words


def parsed(monkeypatch, *words: str) -> RunSpec:
    """What ``certify`` is asked for."""
    import smoothcert.certify

    asked = []

    def certify_run(spec, **_):
        asked.append(spec)
        raise KeyboardInterrupt

    monkeypatch.setattr(smoothcert.certify, "certify_run", certify_run)
    with pytest.raises(SystemExit) as ended:
        main(["certify", "--out", "no-such-run", *words])
    assert ended.value.code == 130
    return asked[0]


def test_every_option_has_another_value_here():
    assert OTHER.keys() == RunSpec.of(sigma=0.25).options(all=True).keys()
    defaults = RunSpec.of(sigma=0.25).options(all=True)
    assert all(OTHER[name] != value for name, value in defaults.items())


@pytest.mark.parametrize("left_out", [("n", "lattice"), ("decide", "max_n", "noise")])
def test_flags_files_and_python_say_the_same(monkeypatch, tmp_path, left_out):
    options = without(*left_out)
    spec = RunSpec.of(**options)
    assert spec.options() == options
    assert RunSpec.of(**spec.options(all=True)) == spec
    assert parsed(monkeypatch, *flags(options)) == spec
    (tmp_path / "run.json").write_text(json.dumps(options))
    lines = [f"{name} = {json.dumps(value)}" for name, value in options.items()]
    (tmp_path / "run.toml").write_text("\n".join(lines))
    (tmp_path / "run.yaml").write_text("\n".join(f"{name}: {json.dumps(value)}" for name, value in options.items()))
    for file in ("run.json", "run.toml", "run.yaml"):
        assert RunSpec.load(tmp_path / file) == spec
        assert parsed(monkeypatch, "--config", str(tmp_path / file)) == spec


def test_flags_win_over_the_file(monkeypatch, tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("model: digits\ndata: digits\nsigma: 0.25\nalpha: 1e-4\nbatch-size: 8\nverify_precision: false\n")
    spec = parsed(monkeypatch, "--sigma", "0.5", "--config", str(file), "--verify-precision")
    assert (spec.sampling.sigma, spec.sampling.alpha, spec.execution.batch_size) == (0.5, 1e-4, 8)
    assert (spec.model.name, spec.execution.verify_precision) == ("digits", True)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("run.yaml", "sgima: 0.25", "there is no option 'sgima'; did you mean sigma?"),
        ("run.yaml", "colour: red", "there is no option 'colour'; known are model, weights"),
        ("run.toml", "sigma = ", "run.toml cannot be read"),
        ("run.json", "{", "run.json cannot be read"),
        ("run.yaml", "sigma: [", "run.yaml cannot be read"),
        ("run.yaml", "- sigma", "must hold options by name"),
        ("run.yaml", "!!python/object/apply:os.system [ls]", "run.yaml cannot be read"),
        ("run.yaml", "sigma: -1", "sigma must be a positive finite noise level"),
        ("run.yaml", "sigma: 0.25\nbackend: fast", "backend"),
        ("run.txt", "sigma: 0.25", "config must be a file that ends in .yaml"),
        ("none.yaml", None, "none.yaml cannot be read: No such file"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_sentence(capsys, tmp_path, name, text, message):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(SystemExit) as ended:
        main(["certify", "--config", str(tmp_path / name), "--out", str(tmp_path / "run")])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "run"], "certify needs --sigma"),
        (["--model", "digits", "--out", "run"], "certify needs --sigma"),
        (["--sigma", "0.25"], "certify needs --out"),
        (["--sigma", "0.25", "--out", "run"], "model must be given: a name such as digits"),
        (["--sigma", "0.25", "--model", "digits", "--out", "run"], "data must be given: a name such as cifar10"),
        (["--sigma", "-1", "--out", "run"], "--sigma must be a positive finite noise level"),
        (["--sigma", "0.25", "--backend", "fast", "--out", "run"], 'invalid value "fast" for --backend'),
        (["--sigma", "0.25", "--image-size", "3x", "--out", "run"], "--image-size must be"),
    ],
)
def test_what_is_wrong_on_the_command_line_is_one_sentence(capsys, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["certify", *words])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_run_is_repeated_from_its_config(tmp_path):
    digits = ["--model", "digits", "--data", "digits", "--limit", "3", "--sigma", "0.25", "--n", "60", "--n0", "10"]
    again = ["--config", str(tmp_path / "one" / "config.json")]
    for words in ([*digits, "--out", str(tmp_path / "one")], [*again, "--out", str(tmp_path / "two")]):
        with pytest.raises(SystemExit) as ended:
            main(["certify", *words, "--device", "cpu", "--quiet"])
        assert ended.value.code == 0
    one, two = (Run.open(tmp_path / name) for name in ("one", "two"))
    assert one.config.fingerprint == two.config.fingerprint
    assert RunSpec.load(tmp_path / "one" / "config.json") == one.config.spec


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sigma": 0}, "sigma must be a positive finite noise level"),
        ({"sigma": float("nan")}, "sigma must be"),
        ({"sigma": "0.25"}, "sigma must be"),
        ({"n": 0}, "n must be an integer, at least 1 and at most 1,000,000,000,000; got 0"),
        ({"n": True}, "n must be an integer"),
        ({"n": 10**23}, "n must be an integer"),
        ({"alpha": 0.7}, r"alpha must be a failure probability in \(0, 0.5\]"),
        ({"seed": -1}, "seed must be an integer, at least 0"),
        ({"seed": 2**63}, "seed must be"),
        ({"levels": 2**40}, "levels must be"),
        ({"precision": "int8"}, "precision must be one of float32, bfloat16, float16; got 'int8'"),
        ({"measure": ()}, "measure must be names of measures"),
        ({"measure": ("score", "score")}, "measure must be"),
        ({"measure": "score"}, "measure must be"),
        ({"image_size": 0}, "image_size must be a side in pixels"),
        ({"image_size": "3x"}, "image_size must be"),
        ({"input_range": "1,0"}, "input_range must be"),
        ({"channels": 2}, "channels must be 1 or 3; got 2"),
        ({"weights": ""}, "weights must be the path of a file"),
        ({"verify_precision": 1}, "verify_precision must be true or false"),
        ({"denoiser_weights": "w"}, "denoiser_weights needs a denoiser"),
        ({"model": 3}, "model must be text"),
        ({"decide": "confidently"}, "measure:threshold@radius"),
        ({"decide": "score:0.5@0.1", "n": 3}, "limit its samples by max_n; got n=3"),
        ({"max_n": 3}, "max_n is for a run that decides a question"),
        ({"lattice": 0.1, "noise": "float"}, "lattice is for noise on a lattice"),
        ({"sgima": 0.5}, "there is no option 'sgima'; did you mean sigma"),
    ],
)
def test_errors_name_the_option_what_was_expected_and_what_came(change, message):
    with pytest.raises(InvalidArgumentError, match=message):
        RunSpec.of(**{"sigma": 0.25, **change})


def test_sigma_has_no_default():
    with pytest.raises(InvalidArgumentError, match="sigma must be given"):
        RunSpec.of(model="digits")


def test_numpy_numbers_and_paths_are_plain_afterwards():
    spec = RunSpec.of(sigma=np.float32(0.25), n=np.int64(10), weights=Path("w"), image_size=[3, 4], input_range=(0, 1))
    assert spec.options() == {
        "weights": "w",
        "image_size": [3, 4],
        "input_range": "0.0,1.0",
        "sigma": 0.25,
        "n": 10,
    }
    json.dumps(spec.options())


def test_choices_are_those_of_the_rooms_that_take_them():
    assert get_args(module.Backend) == BACKENDS
    assert set(get_args(module.Interpolation)) <= set(INTERPOLATIONS)  # newer versions of Pillow have more
    assert set(get_args(module.Precision)) == set(PRECISIONS)
    assert get_args(module.Outputs) == OUTPUTS


def test_every_option_is_described_and_named_once():
    specs = (ModelSpec, DataSpec, SamplingSpec, ExecutionSpec)
    assert sum(len(fields(part)) for part in specs) == len(OTHER)
    for part in specs:
        described = [line.strip().partition(":")[0] for line in part.__doc__.split("Args:")[1].splitlines()]
        assert {one.name for one in fields(part)} <= set(described)


@given(
    st.fixed_dictionaries(
        {"sigma": st.floats(1e-6, 1e6)},
        optional={
            "n": st.integers(1, 10**12),
            "n0": st.integers(1, 10**12),
            "alpha": st.floats(1e-12, 0.5),
            "seed": st.integers(0, 2**63 - 1),
            "measure": st.lists(st.sampled_from(["score", "margin", "lead", "vote"]), min_size=1, unique=True),
            "image_size": st.lists(st.integers(1, 4096), min_size=2, max_size=2) | st.integers(1, 4096),
            "weights": st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1),
        },
    )
)
@settings(deadline=None)
def test_options_survive_json(options):
    spec = RunSpec.of(**options)
    assert RunSpec.of(**json.loads(json.dumps(spec.options(all=True)))) == spec
