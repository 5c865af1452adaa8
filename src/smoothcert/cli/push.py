"""``smoothcert push``: a run to where people keep results."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from smoothcert.cli.options import Numbers, Place, open_runs
from smoothcert.console import say
from smoothcert.errors import InvalidArgumentError

_WHERE = Parameter(group=Group("Where to", sort_key=1))
_WHAT = Parameter(group=Group("Which results", sort_key=2))


def push(
    run: Place,
    /,
    *,
    repo: Annotated[str | None, _WHERE] = None,
    private: Annotated[bool, _WHERE] = False,
    dry_run: Annotated[Path | None, _WHERE] = None,
    mlflow: Annotated[str | None, _WHERE] = None,
    radii: Annotated[Numbers | None, _WHAT] = None,
    thresholds: Annotated[Numbers | None, _WHAT] = None,
    alpha: Annotated[float | None, _WHAT] = None,
) -> None:
    """Keep a run where others find it: a data set on the Hugging Face Hub, or MLflow.

    To the Hub goes the run itself, evidence of it and a card that says what was certified and how to check it, so that
    "smoothcert query hf://datasets/USER/NAME" and "smoothcert verify" work there. Ids of inputs, names of classes and
    the options of the run, paths on this computer included, are part of it: --dry-run shows them.

    To MLflow, at MLFLOW_TRACKING_URI, go options, certified accuracies, evidence and report.

    For example:

        smoothcert push RUN --repo me/my-model-certified --dry-run FOLDER
        smoothcert push RUN --repo me/my-model-certified --private
        smoothcert push RUN --mlflow my-experiment

    Args:
        run: The run folder.
        repo: Data set on the Hub, USER/NAME; made if it is not there. Signed in by "hf auth login" or HF_TOKEN.
        private: Where it is made: only its members see it.
        dry_run: Write what would be pushed to this new folder instead.
        mlflow: Experiment in MLflow.
        radii: L2 radii, in input units. Default: 0, 1 and 2 sigma.
        thresholds: Values that must be exceeded. Default: 0.5,0.7,0.9.
        alpha: Probability that a certificate is wrong. Default: the run's own.
    """
    from smoothcert.verify.run_evidence import DEFAULT_THRESHOLDS

    if (repo is None) == (mlflow is None):
        raise InvalidArgumentError("say where to: --repo USER/NAME, or --mlflow EXPERIMENT")
    if mlflow is not None and (private or dry_run is not None):
        raise InvalidArgumentError("--private and --dry-run are for --repo")
    (opened,) = open_runs([run])
    asked = {"radii": radii, "thresholds": thresholds or DEFAULT_THRESHOLDS, "alpha": alpha}
    if dry_run is not None and repo is not None:
        from smoothcert.sharing import write_package

        for name in write_package(opened, dry_run, repo=repo, **asked):
            say(f"{dry_run / name}  {(dry_run / name).stat().st_size:,} bytes")
    elif repo is not None:
        from smoothcert.sharing import push_to_hub

        say(push_to_hub(opened, repo, private=private or None, **asked))
    elif mlflow is not None:
        from smoothcert.sharing import log_to_mlflow

        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # or a wrong address takes minutes to be noticed
        say(f"MLflow run {log_to_mlflow(opened, experiment=mlflow, **asked)}")
