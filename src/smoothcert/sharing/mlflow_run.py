"""A run in MLflow: its options as parameters, certified accuracies as metrics, evidence and report as artifacts.

Where it goes is MLflow's own configuration: ``MLFLOW_TRACKING_URI``, or ``mlflow.set_tracking_uri`` in Python.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from smoothcert.bounds import exact_text
from smoothcert.errors import MissingDependencyError, SmoothcertError
from smoothcert.extras import import_optional
from smoothcert.files import write_file
from smoothcert.runs import Run
from smoothcert.sharing.model_index import model_index_yaml
from smoothcert.sharing.package import CARD, EVIDENCE, package

PREFIX = "smoothcert."
"""Before the name of each parameter, which may stand beside those of a training."""
_LONGEST = 500  # characters of a value that every tracking server takes
_AT_ONCE = 100  # parameters and metrics that a tracking server takes in one request, with room to spare


def log_to_mlflow(run: Run, *, experiment: str | None = None, **asked: Any) -> str:
    """Log a run to MLflow and return the id of the MLflow run.

    An MLflow run that is active takes it; otherwise one is made. Parameters are ``smoothcert.sigma`` and the other
    options; metrics are ``accuracy``, ``abstention``, ``mean_class_radius`` and, for each row of certified accuracy,
    such as ``certified_accuracy/dual/score_above_0.5_within_0.25``; artifacts lie under ``smoothcert/``: evidence, a
    card, ``model-index.yaml`` and, if its packages are installed, the report.

    Args:
        run: A run that sampled its inputs, all of them.
        experiment: Name of the experiment a new MLflow run is made in; None for MLflow's own choice.
        asked: ``radii``, ``thresholds``, ``bounds`` and ``alpha``, as :func:`smoothcert.verify.export_run` takes them.

    Raises:
        MissingDependencyError: If MLflow is not installed.
        SmoothcertError: If the tracking server refuses or cannot be reached, or the run cannot be packed; see
            :func:`smoothcert.sharing.package.package`.
    """
    mlflow = import_optional("mlflow", what="logging to MLflow", extra="mlflow")
    files = package(run, repo="NAME", **asked)
    evidence = json.loads(files[EVIDENCE])
    with _one_sentence(), TemporaryDirectory() as folder:
        active = mlflow.active_run()
        if active is None and experiment is not None:
            mlflow.set_experiment(experiment)
        here = mlflow.start_run(run_name=f"certify {run.config.model}"[:250]) if active is None else nullcontext(active)
        with here as found:
            for part in _chunks(_params(run)):
                mlflow.log_params(part)
            for part in _chunks(_metrics(evidence)):
                mlflow.log_metrics(part)
            mlflow.set_tags({f"{PREFIX}fingerprint": run.config.fingerprint})
            _write_artifacts(run, files, evidence, Path(folder), asked)
            mlflow.log_artifacts(folder, artifact_path="smoothcert")
    return str(found.info.run_id)


def _params(run: Run) -> dict[str, Any]:
    spec, config = run.config.spec, run.config
    options = spec.options(parts=("model", "data")) | spec.options(all=True, parts=("sampling",))
    words = {"model": config.model, "data": config.data, "weights_hash": config.weights_hash, "device": config.device}
    known = {name: value for name, value in (options | words).items() if value is not None}
    return {
        f"{PREFIX}{name}": ",".join(map(str, value)) if isinstance(value, list) else str(value)[:_LONGEST]
        for name, value in known.items()
    }


def _metrics(evidence: Mapping[str, Any]) -> dict[str, float]:
    results = evidence["results"]
    found = {name: results[name]["value"] for name in ("accuracy", "abstention") if name in results}
    found["mean_class_radius"] = results["mean_class_radius"]
    found |= {f"mean/{name}": value for name, value in results["mean"].items()}
    for row in results["certified_accuracy"]:
        kept = "class" if row["threshold"] is None else f"{row['measure']}_above_{exact_text(row['threshold'])}"
        found[f"certified_accuracy/{row['bound']}/{kept}_within_{exact_text(row['radius'])}"] = row[
            "certified_accuracy"
        ]
    return found


def _write_artifacts(
    run: Run, files: Mapping[str, bytes], evidence: Mapping[str, Any], folder: Path, asked: Mapping[str, Any]
) -> None:
    write_file(folder / EVIDENCE, files[EVIDENCE])
    write_file(folder / CARD, files[CARD])
    write_file(folder / "model-index.yaml", model_index_yaml(run.config, metric_rows(evidence)) + "\n")
    with suppress(MissingDependencyError):  # the page is worth having, not worth failing for
        from smoothcert.report import write_report

        write_report(run, folder / "report.html", **asked)


def metric_rows(evidence: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Certified accuracies of evidence as :func:`~smoothcert.sharing.model_index.model_index` takes them."""
    results, method = evidence["results"], evidence["method"]
    labelled = results["inputs"]["labelled"]
    same = {
        "inputs": labelled or results["inputs"]["certified"],
        "alpha": method["alpha"],
        "labelled": labelled > 0,
    }
    return [{**row, **same} for row in results["certified_accuracy"]]


def _chunks(values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    left = iter(values.items())
    while part := dict(islice(left, _AT_ONCE)):
        yield part


@contextmanager
def _one_sentence() -> Iterator[None]:
    """Turn what MLflow raises into one sentence."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        said = " ".join(str(error).split())
        if "Max retries exceeded" in said:
            raise SmoothcertError(f"the MLflow server cannot be reached: {said[:300]}") from error
        raise SmoothcertError(f"MLflow refused: {said[:500]}") from error
