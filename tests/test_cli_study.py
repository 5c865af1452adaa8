"""The commands of the study: import, compare, figure, sweep."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from command_line import ask, refused, run_cli
from published_logs import COHEN, KUMAR, write
from smoothcert.analysis import radius_correlation
from smoothcert.runs import Run, RunStore
from synthetic_runs import mixed_run

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two sampled runs and two imported logs."""
    folder = tmp_path_factory.mktemp("study")
    for sigma in (0.12, 0.25):
        run = mixed_run(8, sigma=sigma, n=500)
        with RunStore(folder / f"run{sigma}", run.config) as store:
            for record in run.records():
                store.append(record)
    for name, text in (("cifar10-pred_score-noise_0.25", KUMAR), ("cifar10-sigma_0.25", COHEN)):
        log = write(folder, f"{name}.tsv", text)
        assert run_cli("import", log, "--out", folder / ("kumar" if text is KUMAR else "cohen")) == 0
    return folder


def test_import_says_what_it_found(capsys, tmp_path):
    log = write(tmp_path, "cifar10-pred_score-noise_0.25.tsv", KUMAR)
    lines = ask(capsys, "import", log, "--out", tmp_path / "run").splitlines()
    assert lines[0] == f"4 inputs in {tmp_path / 'run'}, sigma 0.25, alpha 0.001"
    assert lines[1].startswith(
        "note: imported from cifar10-pred_score-noise_0.25.tsv, a log in the form of Kumar et al."
    )
    assert "abstentions" in lines[2]
    assert "4 of 500 rows" in lines[3]
    assert "sigma must be given" in refused(capsys, "import", write(tmp_path, "l.tsv", COHEN), "--out", tmp_path / "x")
    assert "line 1: unknown columns" in refused(
        capsys, "import", write(tmp_path, "l.tsv", "a\tb\n"), "--out", tmp_path / "x"
    )


def test_query_of_imported_logs(capsys, folder):
    rows = json.loads(ask(capsys, "query", folder / "kumar", "--radii", "0,0.25", "--format", "json"))
    assert {(row["measure"], row["bound"]) for row in rows} == {("score", "cdf"), ("score", "hoeffding")}
    assert [r["certified_accuracy"] for r in rows if r["bound"] == "cdf" and r["threshold"] == 0.7] == [0.5, 0.25]
    assert "note: 1 of 4 inputs are abstentions" in ask(capsys, "query", folder / "kumar", "--radii", "0")
    rows = json.loads(ask(capsys, "query", folder / "cohen", "--radii", "0,0.5", "--format", "json"))
    assert [(row["measure"], row["threshold"], row["certified_accuracy"]) for row in rows] == [
        ("class", None, 0.5),
        ("class", None, 0.25),
    ]
    assert "class" in ask(capsys, "query", folder / "run0.25", "--measure", "score,class", "--bound", "cdf")
    assert "holds cdf and hoeffding lower bounds" in refused(capsys, "query", folder / "kumar", "--bound", "dual")
    assert "does not hold radius 0.5" in refused(capsys, "query", folder / "kumar")
    assert "cannot answer alpha=0.01" in refused(capsys, "query", folder / "kumar", "--alpha", "0.01")
    assert "--measure must be some of class" in refused(capsys, "query", folder / "cohen", "--measure", "margin")


def test_one_input_of_an_imported_log(capsys, folder):
    asked = ["--radii", "0,1", "--thresholds", "0.55", "--format", "json"]
    (answer,) = json.loads(ask(capsys, "query", folder / "kumar", "--input", "40", "--bound", "cdf", *asked))
    assert [(row["radius"], row["lower"], row["upper"]) for row in answer["bounds"]] == [
        (0.0, 0.95, None),
        (1, 0.6, None),
    ]
    assert answer["radii"] == [{"measure": "score", "bound": "cdf", "alpha": 0.001, "threshold": 0.55, "radius": 1.0}]
    assert (answer["prediction"], answer["class_radius"]) == (8, None)
    text = ask(capsys, "query", folder / "cohen", "--input", "cifar10:20")
    assert "prediction none, label 7, abstained" in text
    assert "class radius 0.3780" in ask(capsys, "query", folder / "cohen", "--input", "0")
    assert "holds no input '1'; " in refused(capsys, "query", folder / "kumar", "--input", "1")


def test_compare_prints_and_draws(capsys, folder, tmp_path):
    runs = [folder / "run0.12", folder / "run0.25", folder / "kumar"]
    asked = [*runs, "--bound", "cdf", "--radii", "0,0.25", "--thresholds", "0.5"]
    rows = json.loads(ask(capsys, "compare", *asked, "--format", "json", "--out", tmp_path / "figure.png"))
    assert [row["run"] for row in rows] == ["run0.12", "run0.25", "kumar"] * 2
    assert [row["interval"] for row in rows] == [None, "tango", "newcombe"] * 2
    assert rows[1]["difference"] == pytest.approx(rows[1]["certified_accuracy"] - rows[0]["certified_accuracy"])
    assert (tmp_path / "figure.png").read_bytes().startswith(PNG)
    table = ask(capsys, "compare", *asked)
    assert "difference from run0.12 (cdf)" in table
    assert "tango, 8 pairs" in table
    assert "kumar" in table
    found = list(csv.DictReader(io.StringIO(ask(capsys, "compare", *asked, "--format", "csv"))))
    assert found[0]["difference"] == ""
    assert "class" in ask(capsys, "compare", folder / "cohen", folder / "run0.25", "--measure", "class")
    by_threshold = ["--radii", "0", "--thresholds", "0.3,0.5,0.6,0.7,0.8", "--out", tmp_path / "b.png"]
    ask(capsys, "compare", *runs, "--bound", "cdf", *by_threshold)
    assert (tmp_path / "b.png").exists()
    assert "at most 4 for a figure" in run_error(capsys, "compare", *runs[:1], *by_threshold[2:])


def run_error(capsys, *arguments: object) -> str:
    assert run_cli(*arguments) == 2
    return capsys.readouterr().err


def test_the_same_run_twice_is_told_apart(capsys, folder):
    rows = json.loads(
        ask(capsys, "compare", folder / "kumar", folder / "kumar", "--radii", "0", "--bound", "cdf", "--format", "json")
    )
    assert len({row["run"] for row in rows}) == 2
    assert [row["difference"] for row in rows] == [None, 0.0] * 3


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("accuracy-over-threshold", ["--bound", "cdf"]),
        ("accuracy-over-radius", ["--bound", "cdf", "--measure", "score", "--radii", "0,0.25,0.5"]),
        ("correlation", []),
        ("calibration", []),
        ("distribution", ["--bound", "cdf", "--measure", "margin"]),
        ("placement", ["--thresholds", "10,100", "--radii", "0,0.25"]),
    ],
)
def test_every_figure_is_one_command(capsys, folder, tmp_path, kind, options):
    out = tmp_path / f"{kind}.png"
    assert str(out) in ask(capsys, "figure", kind, folder / "run0.25", "--out", out, *options)
    assert out.read_bytes().startswith(PNG)
    assert kind in " ".join(ask(capsys, "figure", "--help").split())


def test_figures_of_imported_logs(capsys, folder, tmp_path):
    for kind in ("accuracy-over-threshold", "accuracy-over-radius", "distribution"):
        ask(capsys, "figure", kind, folder / "kumar", "--out", tmp_path / f"{kind}.svg")
    ask(capsys, "figure", "accuracy-over-radius", folder / "cohen", "--out", tmp_path / "cohen.svg")
    said = ask(
        capsys, "figure", "accuracy-over-radius", folder / "kumar", folder / "cohen", "--out", tmp_path / "two.png"
    )
    assert [line.rsplit("/", 1)[1] for line in said.splitlines()] == ["two-kumar.png", "two-cohen.png"]
    for kind, problem in (("correlation", "holds no class radius"), ("calibration", "smoothed score itself")):
        assert problem in refused(capsys, "figure", kind, folder / "kumar", "--out", tmp_path / "x.png")
    assert "no samples" in refused(capsys, "figure", "placement", folder / "kumar", "--out", tmp_path / "x.png")
    assert "how many to place" in refused(
        capsys, "figure", "placement", folder / "run0.25", "--thresholds", "0.5", "--out", tmp_path / "x.png"
    )


def test_the_correlation_of_a_pair_of_logs(capsys, folder, tmp_path):
    drawn = tmp_path / "pair.svg"
    ask(capsys, "figure", "correlation", folder / "kumar", "--class-radii", folder / "cohen", "--out", drawn)
    text = drawn.read_text()
    assert "certified score at radius 0 (cdf)" in text
    found = radius_correlation(Run.open(folder / "kumar"), class_radii=Run.open(folder / "cohen"))
    assert f"Pearson {found.pearson.value:.2f}, Spearman {found.spearman.value:.2f}" in text
    assert "3 inputs; left out: 1 abstained on" in text
    by = ["--bound", "hoeffding", "--class-radii", folder / "cohen", "--out", drawn]
    ask(capsys, "figure", "correlation", folder / "kumar", *by)
    assert "certified score at radius 0 (hoeffding)" in drawn.read_text()
    assert "is for the figure correlation" in refused(capsys, "figure", "calibration", folder / "run0.25", *by[2:])


def test_sweep_over_runs(capsys, folder, tmp_path):
    runs = [folder / "run0.25", folder / "run0.12"]
    asked = [*runs, "--radii", "0,0.25", "--bound", "cdf"]
    text = ask(capsys, "sweep", *asked, "--out", tmp_path / "sweep.png")
    assert "sigma 0.12" in text
    assert "best sigma" in text or "one sigma is the best" in text
    assert (tmp_path / "sweep.png").read_bytes().startswith(PNG)
    rows = json.loads(ask(capsys, "sweep", *asked, "--format", "json"))
    assert [(row["radius"], row["sigma"]) for row in rows] == [(0.0, 0.12), (0.0, 0.25), (0.25, 0.12), (0.25, 0.25)]
    assert sum(row["best"] for row in rows) == 2
    assert "at least two" in refused(capsys, "sweep", runs[0])
    assert "at least two" in refused(capsys, "sweep")


def test_default_radii_of_a_sweep_end_where_nothing_is_certified(capsys, folder):
    shown = json.loads(
        ask(capsys, "sweep", folder / "run0.25", folder / "run0.12", "--bound", "cdf", "--format", "json")
    )
    certified = {row["radius"] for row in shown if row["certified_accuracy"] > 0}
    radii = sorted({row["radius"] for row in shown})
    assert 8 <= len(radii) <= 21
    assert max(certified) < radii[-1] <= max(certified) + 2 * 0.0625 + radii[1]
    assert radii == [round(step * radii[1], 10) for step in range(len(radii))]
