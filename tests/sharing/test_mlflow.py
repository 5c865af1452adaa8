"""Runs logged to MLflow: to its store of files, or to the tracking server at SMOOTHCERT_TEST_MLFLOW if that is set."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from smoothcert.cli.app import run as command
from smoothcert.errors import SmoothcertError
from smoothcert.runs import Run
from smoothcert.sharing import log_to_mlflow

mlflow = pytest.importorskip("mlflow")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:mlflow", "ignore::DeprecationWarning:mlflow")
QUICK = {"radii": [0.0, 0.25], "thresholds": [0.5], "bounds": ["dual"]}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store of its own. Only in a folder that it makes itself does it begin with an experiment."""
    return os.environ.get("SMOOTHCERT_TEST_MLFLOW") or (tmp_path_factory.mktemp("mlflow") / "new").as_uri()


@pytest.fixture(autouse=True)
def tracking(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's own configuration; its client alone has no other store that needs no server."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mlflow.set_tracking_uri(None)


def artifact(found: Any, name: str, folder: Path) -> str:
    path = mlflow.artifacts.download_artifacts(run_id=found.info.run_id, artifact_path=name, dst_path=str(folder))
    return Path(path).read_text(encoding="utf-8")


def test_options_accuracies_and_evidence_of_a_run(shared_run: Run, tmp_path: Path, capsys) -> None:
    words = ["--radii", "0.25", "--thresholds", "0.5"]
    command(["push", str(shared_run.path), "--mlflow", "certificates", *words])
    found = mlflow.get_run(capsys.readouterr().out.split()[-1])
    assert mlflow.get_experiment(found.info.experiment_id).name == "certificates"
    assert found.info.status == "FINISHED"
    params = found.data.params
    assert (params["smoothcert.sigma"], params["smoothcert.n"], params["smoothcert.n0"]) == ("0.25", "200", "50")
    assert params["smoothcert.measure"] == "score,margin,lead"
    assert params["smoothcert.weights_hash"] == shared_run.config.weights_hash
    evidence = json.loads(artifact(found, "smoothcert/evidence.json", tmp_path))
    for row in evidence["results"]["certified_accuracy"]:
        kept = "class" if row["threshold"] is None else f"{row['measure']}_above_0.5"
        name = f"certified_accuracy/{row['bound']}/{kept}_within_0.25"
        assert found.data.metrics[name] == row["certified_accuracy"]
    assert found.data.metrics["accuracy"] == evidence["results"]["accuracy"]["value"]
    assert artifact(found, "smoothcert/report.html", tmp_path).startswith("<!DOCTYPE html>")
    assert artifact(found, "smoothcert/model-index.yaml", tmp_path).startswith("model-index:")


def test_a_run_that_is_active_takes_it_and_goes_on(shared_run: Run) -> None:
    with mlflow.start_run() as training:
        mlflow.log_param("sigma", "of the training")
        assert log_to_mlflow(shared_run, **QUICK) == training.info.run_id
        mlflow.log_metric("loss", 0.5)
    found = mlflow.get_run(training.info.run_id)
    assert found.data.params["sigma"] == "of the training"
    assert found.data.params["smoothcert.sigma"] == "0.25"
    assert found.data.metrics["loss"] == 0.5


def test_many_metrics_go_in_several_requests(shared_run: Run) -> None:
    radii = [0.01 * k for k in range(30)]
    found = mlflow.get_run(log_to_mlflow(shared_run, **{**QUICK, "radii": radii}))
    assert len([name for name in found.data.metrics if name.startswith("certified_accuracy/dual/score")]) == 30


def test_a_server_that_is_not_there_is_one_sentence(shared_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(SmoothcertError, match=r"the MLflow server cannot be reached: .*127\.0\.0\.1") as caught:
        log_to_mlflow(shared_run, experiment="certificates", **QUICK)
    assert "\n" not in str(caught.value)
