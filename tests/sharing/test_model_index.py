"""The entry of a model card: what the Hub's own types read from it is what was certified."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from huggingface_hub import EvalResult, ModelCard

from smoothcert.cli.app import run as command
from smoothcert.errors import InvalidArgumentError, SmoothcertError
from smoothcert.runs import Run
from smoothcert.sharing import model_index_yaml

ROW = {
    "measure": "score",
    "bound": "dual",
    "threshold": 0.5,
    "radius": 0.25,
    "certified_accuracy": 0.7,
    "ci_low": 0.6,
    "ci_high": 0.8,
    "population_lower": 0.59,
    "inputs": 100,
    "alpha": 0.001,
    "labelled": True,
}


def read(text: str) -> list[EvalResult]:
    """What the Hub's types make of a model card with this at its head, which they write back unchanged."""
    card = ModelCard(f"---\n{text}\n---\n\n# A model\n")
    again = ModelCard(str(card))
    assert again.data.eval_results == card.data.eval_results
    return list(card.data.eval_results or ())


def test_query_gives_the_entry_of_a_model_card(shared_run: Run, capsys, tmp_path: Path) -> None:
    command(["query", str(shared_run.path), "--radii", "0,0.25", "--thresholds", "0.5", "--format", "model-card"])
    text = capsys.readouterr().out
    results = read(text)
    assert {(one.task_type, one.dataset_type) for one in results} == {("image-classification", "digits")}
    assert {one.metric_type for one in results} == {"certified_accuracy"}
    assert [one.metric_name for one in results] == [
        "certified accuracy, class within L2 0 (clopper_pearson)",
        "certified accuracy, class within L2 0.25 (clopper_pearson)",
        "certified accuracy, score > 0.5 within L2 0 (dual)",
        "certified accuracy, score > 0.5 within L2 0.25 (dual)",
    ]
    args = results[-1].metric_args
    assert args is not None
    assert {name: args[name] for name in ("norm", "sigma", "n", "alpha", "radius", "threshold", "bound")} == {
        "norm": "L2",
        "sigma": 0.25,
        "n": 200,
        "alpha": 0.001,
        "radius": 0.25,
        "threshold": 0.5,
        "bound": "dual",
    }
    assert 0.0 <= args["ci_low"] <= results[-1].metric_value <= args["ci_high"] <= 1.0
    assert 0.0 <= args["population_lower"] <= results[-1].metric_value
    command(["query", str(shared_run.path), "--bound", "cdf", "--format", "model-card", "--out", str(tmp_path / "c")])
    assert {one.metric_args["bound"] for one in read((tmp_path / "c").read_text())} == {"clopper_pearson", "cdf"}


@pytest.mark.parametrize(
    ("data", "split", "task", "type_", "subset"),
    [
        ("cifar10", None, "image-classification", "uoft-cs/cifar10", None),
        ("hf:me/birds:small", "test", "other", "me/birds", "small"),
        ("audiofolder:/sounds", None, "audio-classification", "audiofolder", None),
        ("csv:/a.csv", None, "tabular-classification", "csv", None),
        ("npz:/a.npz", None, "other", "npz", None),
    ],
)
def test_data_are_named_as_the_hub_names_them(data, split, task, type_, subset, shared_run: Run) -> None:
    config = replace(shared_run.config, spec=shared_run.config.spec.vary(data=data, split=split), data="the data")
    (found,) = read(model_index_yaml(config, [ROW]))
    assert (found.task_type, found.dataset_type, found.dataset_config, found.dataset_split) == (
        task,
        type_,
        subset,
        split,
    )
    assert (found.metric_value, found.dataset_name) == (0.7, "the data")


def test_names_cannot_leave_the_head_of_the_card(shared_run: Run) -> None:
    config = replace(shared_run.config, model="m\n---\nlicense: mit\n", data="yes")
    text = model_index_yaml(config, [ROW | {"labelled": False, "threshold": None, "measure": "class"}])
    assert yaml.safe_load(text)["model-index"][0]["name"] == "m --- license: mit"
    (found,) = read(text)
    assert found.dataset_name == "yes"
    assert found.metric_type == "certified_fraction"


def test_it_is_about_one_run(shared_run: Run, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="about all inputs of one run"):
        command(["query", str(shared_run.path), str(shared_run.path), "--format", "model-card"])
    with pytest.raises(SmoothcertError, match="about all inputs of one run"):
        command(["query", str(shared_run.path), "--per-input", "--format", "model-card"])
