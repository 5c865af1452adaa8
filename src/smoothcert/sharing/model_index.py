"""Certified accuracies as the ``model-index`` of a model card, which the Hugging Face Hub and others read.

The Hub's newer place for results, ``.eval_results/*.yaml``, is for benchmarks that are registered there with a task of
their own; certified accuracy on any data set is described by a ``model-index``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from smoothcert.bounds import exact_text
from smoothcert.console import printable
from smoothcert.runs import RunConfig

_TASKS = {
    "digits": "image-classification",
    "cifar10": "image-classification",
    "imagefolder": "image-classification",
    "audiofolder": "audio-classification",
    "csv": "tabular-classification",
}
_OTHER_TASK = "other"
_HUB_NAMES = {"cifar10": "uoft-cs/cifar10"}
_TITLES = {
    "image-classification": "Image Classification",
    "audio-classification": "Audio Classification",
    "tabular-classification": "Tabular Classification",
    _OTHER_TASK: "Classification",
}


def model_index(config: RunConfig, rows: Sequence[Mapping[str, Any]], *, name: str | None = None) -> dict[str, Any]:
    """The entry of a model card that holds certified accuracies.

    Args:
        config: The run.
        rows: Certified accuracies with ``measure``, ``bound``, ``threshold`` (None for the class), ``radius``,
            ``certified_accuracy``, ``ci_low``, ``ci_high``, ``population_lower``, ``inputs``, ``alpha`` and
            ``labelled``; of ``unlabelled``, ``skipped`` and ``missing``, which are in no fraction, those above 0.
        name: Name of the model. Default: what the run calls it.

    Example:
        >>> from smoothcert.runs import RunConfig
        >>> from smoothcert.spec import RunSpec
        >>> spec = RunSpec.of(model="digits", data="digits", sigma=0.25)
        >>> config = RunConfig(spec=spec, model="digits", data="digits", num_classes=10)
        >>> row = {"measure": "score", "bound": "dual", "threshold": 0.5, "radius": 0.25, "certified_accuracy": 0.7,
        ...        "ci_low": 0.6, "ci_high": 0.8, "population_lower": 0.59, "inputs": 100, "alpha": 0.001,
        ...        "labelled": True}
        >>> model_index(config, [row])["model-index"][0]["results"][0]["metrics"][0]["name"]
        'certified accuracy, score > 0.5 within L2 0.25 (dual)'
    """
    return {
        "model-index": [
            {
                "name": one_line_name(name or config.model),
                "results": [
                    {
                        "task": _task(config),
                        "dataset": _dataset(config),
                        "metrics": [_metric(config, row) for row in rows],
                    }
                ],
            }
        ]
    }


def model_index_yaml(config: RunConfig, rows: Sequence[Mapping[str, Any]], *, name: str | None = None) -> str:
    """The same as YAML, to be put between the dashes at the head of a model card."""
    return as_yaml(model_index(config, rows, name=name))


def as_yaml(values: Mapping[str, Any]) -> str:
    """YAML in the order given; text of strangers is quoted where it could be read as anything else."""
    import yaml

    return str(yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=2**16)).rstrip("\n")


def one_line_name(text: object) -> str:
    """A name on one line: readers of a card look for lines of dashes before they read YAML."""
    return printable(" ".join(str(text).split()))


def task_of(config: RunConfig) -> str:
    """The Hub's name of the task, by the kind of data."""
    return _TASKS.get((config.spec.data.name or "").partition(":")[0], _OTHER_TASK)


def _task(config: RunConfig) -> dict[str, Any]:
    task = task_of(config)
    return {"type": task, "name": _TITLES[task]}


def _dataset(config: RunConfig) -> dict[str, Any]:
    """Name and place of the data: its id on the Hub where it has one, else the kind of data."""
    data = config.spec.data
    kind, _, rest = (data.name or config.data).partition(":")
    found: dict[str, Any] = {"name": one_line_name(config.data), "type": _HUB_NAMES.get(kind, kind)}
    if kind == "hf":
        found["type"], _, subset = rest.partition(":")
        found |= {"config": subset} if subset else {}
    return found | ({"split": data.split} if data.split else {})


def _metric(config: RunConfig, row: Mapping[str, Any]) -> dict[str, Any]:
    kind = "certified_accuracy" if row["labelled"] else "certified_fraction"
    kept = "class" if row["threshold"] is None else f"{row['measure']} > {exact_text(row['threshold'])}"
    asked = {name: row[name] for name in ("measure", "bound", "threshold", "radius") if row[name] is not None}
    found = {name: row[name] for name in ("inputs", "ci_low", "ci_high", "population_lower")}
    found |= {name: row[name] for name in ("unlabelled", "skipped", "missing") if row.get(name)}
    how = {"norm": "L2", "sigma": config.sigma, "n0": config.n0, "n": row.get("n", config.n), "alpha": row["alpha"]}
    return {
        "type": kind,
        "value": row["certified_accuracy"],
        "name": f"{kind.replace('_', ' ')}, {kept} within L2 {exact_text(row['radius'])} ({row['bound']})",
        "args": asked | how | found,
    }
