"""A run records the backend it was sampled with, and says how far it moves the scores."""

from __future__ import annotations

import json

import pytest

from smoothcert.certify import RunSpec, certify_run
from smoothcert.cli import main
from smoothcert.errors import InvalidArgumentError, RunError
from smoothcert.runs import Run

DIGITS = {"model": "digits", "data": "digits", "split": "test"}
FEW = RunSpec.of(**DIGITS, limit=3, sigma=0.25, n0=20, n=60, device="cpu")


def command(out, *more: str) -> list[str]:
    flags = ["--model", "digits", "--data", "digits", "--split", "test", "--limit", "3", "--sigma", "0.25"]
    return ["certify", *flags, "--n0", "20", "--n", "60", "--device", "cpu", "--quiet", "--out", str(out), *more]


@pytest.fixture(scope="module")
def onnx_run(tmp_path_factory):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    out = tmp_path_factory.mktemp("runs") / "onnx"
    with pytest.raises(SystemExit) as ended:
        main(command(out, "--backend", "onnxruntime", "--verify-precision"))
    assert ended.value.code == 0
    return Run.open(out)


def test_the_command_records_the_backend_and_its_version(onnx_run) -> None:
    config = json.loads((onnx_run.path / "config.json").read_text())
    assert config["spec"]["backend"] == "onnxruntime"
    assert "onnxruntime" in config["versions"]


def test_it_samples_what_torch_samples(onnx_run, tmp_path) -> None:
    eager = certify_run(FEW, out=tmp_path / "eager")
    assert eager.config.spec.sampling.backend == "torch"
    assert eager.config.fingerprint != onnx_run.config.fingerprint
    for one, other in zip(eager.records(), onnx_run.records(), strict=True):
        assert one.samples.prediction == other.samples.prediction
        assert one.samples.score.sample.mean == pytest.approx(other.samples.score.sample.mean, abs=2e-4)


def test_how_far_scores_move_is_kept_with_the_run(onnx_run) -> None:
    [note] = onnx_run.config.notes
    assert note.startswith("onnxruntime in float32 against PyTorch in float32: scores move by ")
    moved = float(note.split("move by ")[1].split()[0])
    assert 0.0 <= moved < 1e-5
    assert note.endswith("0 of 96 samples change their class")


def test_half_precision_moves_scores_more(tmp_path) -> None:
    run = certify_run(FEW.vary(precision="bfloat16", verify_precision=True), out=tmp_path)
    [note] = run.config.notes
    assert note.startswith("torch in bfloat16")
    assert 1e-4 < float(note.split("move by ")[1].split()[0]) < 0.2


def test_a_run_is_not_continued_with_another_backend(onnx_run) -> None:
    with pytest.raises(RunError, match="backend is"):
        certify_run(FEW, out=onnx_run.path)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"backend": "onnx"}, "backend must be one of"),
        ({"backend": "onnxruntime", "precision": "bfloat16"}, "float32 on the CPU only"),
    ],
)
def test_a_wrong_backend_is_an_error_before_anything_is_written(tmp_path, more, message) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        certify_run(FEW.vary(**more), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
