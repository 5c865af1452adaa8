from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest

from command_line import run_cli
from smoothcert import __version__
from smoothcert.runs import Record, Run, RunStore

from synthetic_runs import beta_samples, synthetic_run  # isort: skip

KEYS = {"measure", "bound", "threshold", "radius", "certified_accuracy", "ci_low", "ci_high", "inputs"}

TINY = """
import torch
from torch import nn

class Brightness(nn.Module):
    def forward(self, x):
        return -40 * (x.flatten(1).mean(1, keepdim=True) - torch.tensor([0.1, 0.5, 0.9])).square()

def make():
    return Brightness()
"""


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Path:
    """A run of six inputs, one of them skipped."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    run = synthetic_run(
        [(20, 1), (60, 0.5), (5, 1), (1, 1), (8, 0.3)],
        labels=[0, 1, 2, 3, 0],
        ids=["a.png", "b.png", "c.png", "d.png", "7"],
        skipped=[("broken.png", "broken.png cannot be read")],
        class_names=tuple("qrstuvwxyz"),
    )
    with RunStore(folder, replace(run.config, inputs=6)) as store:
        for record in run.records():
            store.append(record)
    return folder


@pytest.fixture
def images(tmp_path) -> Path:
    """A folder of four grey images in three classes, one of them broken."""
    from PIL import Image

    for position, (name, level) in enumerate([("dark", 25), ("medium", 128), ("bright", 230), ("dark", 30)]):
        folder = tmp_path / "images" / f"{['medium', 'bright', 'dark'].index(name)}_{name}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((6, 6, 3), level, np.uint8)).save(folder / f"{position}.png")
    (tmp_path / "images" / "0_medium" / "broken.png").write_bytes(b"no image")
    (tmp_path / "tiny.py").write_text(TINY)
    return tmp_path / "images"


def certify(images: Path, out: Path, *more: object) -> int:
    model = f"python:{images.parent / 'tiny.py'}:make"
    settings = ["--sigma", 0.25, "--n", 200, "--n0", 20, "--device", "cpu", "--out", out]
    return run_cli("certify", "--model", model, "--data", f"imagefolder:{images}", *settings, *more)


def test_version(capsys):
    assert run_cli("--version") == 0
    assert capsys.readouterr().out == f"smoothcert {__version__}\n"


@pytest.mark.parametrize("command", ["certify", "demo", "query", "report"])
def test_every_command_has_help(capsys, command):
    assert run_cli(command, "--help") == 0
    assert command in capsys.readouterr().out


def test_a_wrong_option_is_refused(capsys):
    assert run_cli("query", "RUN", "--colour", "red") == 2
    assert "colour" in capsys.readouterr().err


def test_mistakes_are_one_line_and_code_2(capsys, tmp_path):
    assert run_cli("query", tmp_path / "none") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith(f"error: {tmp_path / 'none'} holds no run")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--radii", "0,x"], "error: --radii must be numbers separated by commas, such as 0,0.25,0.5; got '0,x'"),
        (["--radii", ","], "error: --radii must be"),
        (["--thresholds", ""], "error: --thresholds must be numbers"),
        (["--radii", "-1"], "error: --radii must be finite and at least 0"),
        (["--alpha", "0.9"], "error: --alpha must be"),
        (["--bound", "best"], "error: --bound must be some of dual, cdf, hoeffding, clopper_pearson; got 'best'"),
        (["--measure", "certainty"], "error: --measure must be some of score, margin, class, which "),
        (["--bound", ","], "error: --bound must be names separated by commas"),
        (
            ["--input", "z.png"],
            "holds no input 'z.png'; near are 'd.png', 'c.png', 'b.png'",
        ),
        (["--input", "broken.png"], "error: input 5 (broken.png) was skipped: broken.png cannot be read"),
    ],
)
def test_bad_questions_are_named(capsys, stored, arguments, message):
    assert run_cli("query", stored, *arguments) == 2
    assert message in capsys.readouterr().err


def test_query_json_has_the_contract_keys(capsys, stored):
    arguments = ["--measure", "score", "--bound", "dual,cdf,hoeffding", "--radii", "0,0.25", "--thresholds", "0.5,0.7"]
    assert run_cli("query", stored, *arguments, "--format", "json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 3 * 2 * 2
    assert all(row.keys() >= KEYS for row in rows)
    assert {(r["measure"], r["bound"], r["threshold"], r["radius"]) for r in rows} == {
        ("score", b, t, r) for b in ("dual", "cdf", "hoeffding") for t in (0.5, 0.7) for r in (0.0, 0.25)
    }
    at = {(r["bound"], r["threshold"], r["radius"]): r for r in rows}
    easy = at["dual", 0.5, 0.0]
    assert easy["inputs"] == 5
    assert easy["certified_accuracy"] == 0.6  # 4 has a wrong label, 3 is unsure
    assert easy["ci_low"] < 0.6 < easy["ci_high"]
    assert {row["run"] for row in rows} == {str(stored)}


def test_query_csv_holds_the_same_numbers(capsys, stored):
    assert run_cli("query", stored, "--format", "json") == 0
    expected = json.loads(capsys.readouterr().out)
    assert run_cli("query", stored, "--format", "csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [float(r["ci_low"]) for r in rows] == [r["ci_low"] for r in expected]
    assert rows[0].keys() >= KEYS


def test_query_table_floors_and_ceils(capsys, stored):
    assert run_cli("query", stored, "--measure", "score", "--bound", "dual", "--radii", "0", "--thresholds", "0.5") == 0
    text = capsys.readouterr().out
    assert "5 inputs (1 more skipped as unreadable), sigma 0.25, alpha 0.001, n0 100, n 1,000" in text
    assert "0.600 [0.146, 0.948]" in text  # Clopper-Pearson of 3 of 5: 0.14663, 0.94725


def test_a_whole_table_costs_alpha_by_the_number_of_statements(capsys, stored):
    asked = ["--measure", "score,margin", "--bound", "dual,cdf", "--radii", "0,0.1,0.2", "--thresholds", "0.5,0.7"]
    at = {}
    for joint in ("each", "input", "dataset"):
        assert run_cli("query", stored, *asked, "--joint", joint, "--format", "json") == 0
        at[joint] = {row["bound"]: row["alpha"] for row in json.loads(capsys.readouterr().out)}
    # Thresholds are free: a lower bound answers them all. Radii are free for the band, which holds at all of them.
    assert at["each"] == {"dual": 0.001, "cdf": 0.001}
    assert at["input"] == pytest.approx({"dual": 0.001 / 6, "cdf": 0.001 / 2})
    assert at["dataset"] == pytest.approx({"dual": 0.001 / 30, "cdf": 0.001 / 10})
    assert run_cli("query", stored, *asked, "--joint", "dataset") == 0
    assert (
        "alpha 0.001 for all lines of a bound together about all inputs (each statement at dual 3.34e-05, cdf 0.0001)"
        in capsys.readouterr().out
    )


def test_query_of_several_runs_names_each(capsys, stored):
    assert run_cli("query", stored, stored, "--format", "json") == 0
    one_run = len(json.loads(capsys.readouterr().out)) // 2
    assert one_run == 2 * 3 * 3 * 3
    assert run_cli("query", stored, stored) == 0
    assert capsys.readouterr().out.count(f"{stored}: 5 inputs") == 2


def test_query_of_a_copy_beside_its_run_is_that_of_the_run(capsys, stored, tmp_path):
    copytree(stored, tmp_path / "copy")
    assert run_cli("query", stored, "--format", "json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert run_cli("query", stored, tmp_path / "copy", "--format", "json") == 0
    assert [{**row, "run": rows[0]["run"]} for row in json.loads(capsys.readouterr().out)] == rows


def test_alpha_of_the_question_wins(capsys, stored):
    assert run_cli("query", stored, "--input", "a.png", "--alpha", "0.1", "--format", "json") == 0
    loose = json.loads(capsys.readouterr().out)[0]
    assert run_cli("query", stored, "--input", "a.png", "--format", "json") == 0
    strict = json.loads(capsys.readouterr().out)[0]
    assert (loose["alpha"], strict["alpha"]) == (0.1, 0.001)
    assert loose["class_radius"] > strict["class_radius"] > 0.0


@pytest.mark.parametrize("wanted", ["b.png", "1"])
def test_one_input_by_id_or_index(capsys, stored, wanted):
    arguments = ["--input", wanted, "--radii", "0,0.25", "--thresholds", "0.5,-0.5", "--format", "json"]
    assert run_cli("query", stored, *arguments) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert (answer["index"], answer["id"], answer["label"], answer["prediction"]) == (1, "b.png", 1, 1)
    assert (answer["class_name"], answer["abstained"], answer["n0"], answer["n"]) == ("r", False, 100, 1_000)
    record = Run.open(stored).record(1)
    assert answer["mean_score"] == record.samples.score.sample.mean
    assert len(answer["bounds"]) == 2 * 3 * 2
    assert all(row["lower"] <= row["upper"] for row in answer["bounds"])
    radius = {(r["measure"], r["bound"], r["threshold"]): r["radius"] for r in answer["radii"]}
    assert radius["score", "dual", 0.5] > 0.0
    assert radius["score", "dual", -0.5] is None  # no score is below -0.5 at any radius


def test_an_id_goes_before_an_index(capsys, stored):
    assert run_cli("query", stored, "--input", "7", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)[0]["index"] == 4


def test_one_input_for_people(capsys, stored):
    assert run_cli("query", stored, "--input", "b.png", "--thresholds", "-0.5,0.5") == 0
    text = capsys.readouterr().out
    assert "input 1 (b.png)" in text
    assert "prediction 1 (r), label 1, class radius 0." in text
    assert "any" in text


def test_one_input_as_csv_is_flat(capsys, stored):
    assert run_cli("query", stored, "--input", "b.png", "--radii", "0", "--thresholds", "0.5", "--format", "csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 2 * 3 * 2
    assert {(r["threshold"], bool(r["lower"])) for r in rows} == {("", True), ("0.5", False)}


def test_without_labels_query_speaks_of_the_fraction_certified(capsys, tmp_path):
    with RunStore(tmp_path, synthetic_run([(5, 1)]).config) as store:
        store.append(Record(0, "a", None, 1.0, beta_samples(20, 1)))
        store.append(Record(1, "b", None, 1.0, beta_samples(1, 5)))
    asked = ["--bound", "dual", "--measure", "score,class", "--radii", "0", "--thresholds", "0.5"]
    assert run_cli("query", tmp_path, *asked, "--format", "json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(r["measure"], r["certified_accuracy"], r["inputs"], r["labelled"]) for r in rows] == [
        ("score", 0.5, 2, False),
        ("class", 0.5, 2, False),
    ]
    assert run_cli("query", tmp_path, *asked) == 0
    assert "without labels: fraction certified, right or wrong" in capsys.readouterr().out
    assert run_cli("query", tmp_path, "--per-input", "--format", "json") == 0
    assert [row["label"] for row in json.loads(capsys.readouterr().out)] == [None, None]


def test_report_ends_with_its_path(capsys, stored, tmp_path):
    page = tmp_path / "page.html"
    assert run_cli("report", stored, "--out", page) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"report: {page.resolve()}"
    assert "<html" in page.read_text(encoding="utf-8")[:500].lower()


def test_certify_stops_at_an_unreadable_image_and_goes_on_on_request(capsys, images, tmp_path):
    assert certify(images, tmp_path / "run") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert "broken.png" in error
    assert "--on-unreadable skip" in error
    assert certify(images, tmp_path / "run", "--on-unreadable", "skip") == 0
    captured = capsys.readouterr()
    assert captured.out == f"5 inputs in {tmp_path / 'run'}, 1 of them skipped as unreadable\n"
    assert "samples on cpu" in captured.err
    assert certify(images, tmp_path / "run", "--seed", 1) == 2
    assert "holds another run: seed is 0 there and 1 here" in capsys.readouterr().err


def test_a_class_folder_whose_name_is_not_utf8(capsys, images, tmp_path):
    (images / "0_medium" / "broken.png").unlink()
    os.rename(images / "0_medium", os.fsencode(images) + b"/0_\xff")
    assert certify(images, tmp_path / "run") == 0
    assert Run.open(tmp_path / "run").config.class_names == (r"0_\udcff", "1_bright", "2_dark")
    assert certify(images, tmp_path / "run") == 0  # goes on
    table = tmp_path / "table.parquet"
    assert run_cli("query", tmp_path / "run", "--per-input", "--format", "parquet", "--out", table) == 0


def test_quiet_says_only_the_end(capsys, images, tmp_path):
    assert certify(images, tmp_path / "run", "--on-unreadable", "skip", "--quiet") == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.startswith("5 inputs in ")


@pytest.mark.filterwarnings("default")
def test_warnings_are_lines(capsys, images, tmp_path):
    assert certify(images, tmp_path / "run", "--on-unreadable", "skip", "--n", 9, "--quiet") == 0
    assert capsys.readouterr().err.startswith("warning: n=9 samples can never certify a class at alpha=0.001")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--model", "resnet", "unknown model 'resnet'; known forms are digits"),
        ("--data", "mnist", "unknown data 'mnist'; known forms are digits"),
        ("--sigma", "-1", "sigma must be"),
    ],
)
def test_certify_names_what_is_wrong(capsys, images, tmp_path, option, value, message):
    assert certify(images, tmp_path / "run", option, value) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("value", ["1.5", "1e3", "nan", "ten"])
def test_whole_numbers_are_not_rounded(capsys, images, tmp_path, value):
    assert certify(images, tmp_path / "run", "--n", value) == 2
    assert capsys.readouterr().err == f"error: --n must be a whole number; got {value!r}\n"
    assert not (tmp_path / "run").exists()


def test_a_size_is_one_number_or_two(capsys, images, tmp_path):
    options = ["--image-size", "6x6", "--on-unreadable", "skip"]
    assert certify(images, tmp_path / "run", *options) == 0
    assert certify(images, tmp_path / "other", "--image-size", "99999") == 2
    assert "--image-size must be an integer, at most 16,384" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["compare"], ["figure", "correlation"], ["sweep"]])
def test_the_ending_of_a_figure_is_looked_at_before_the_runs(capsys, tmp_path, command):
    assert run_cli(*command, tmp_path / "no run", "--out", "figure.jpg") == 2
    assert "a figure must end in .png, .svg, .pdf; got 'figure.jpg'" in capsys.readouterr().err


def test_an_interrupt_says_how_to_go_on(capsys, images, tmp_path, monkeypatch):
    real, calls = RunStore.append, []

    def interrupted(self, record):
        calls.append(record)
        if len(calls) == 3:
            raise KeyboardInterrupt
        real(self, record)

    with monkeypatch.context() as patch:
        patch.setattr(RunStore, "append", interrupted)
        assert certify(images, tmp_path / "run", "--on-unreadable", "skip") == 130
    stored = len(Run.open(tmp_path / "run"))
    assert f"interrupted: {stored} of 5 inputs are stored in" in capsys.readouterr().err
    assert 2 <= stored < 5
    assert certify(images, tmp_path / "run", "--on-unreadable", "skip") == 0


def test_an_interrupt_before_the_first_input(capsys, images, tmp_path, monkeypatch):
    import smoothcert.models

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(smoothcert.models, "resolve_model", interrupted)
    assert certify(images, tmp_path / "run") == 130
    assert "interrupted before the first input" in capsys.readouterr().err


def test_help_and_query_need_no_torch(stored):
    code = (
        "import sys; from smoothcert.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as ended: assert not ended.code, ended.code\n"
        "assert 'torch' not in sys.modules"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for arguments in (["certify", "--help"], ["query", str(stored)]):
        subprocess.run([sys.executable, "-c", code, *arguments], check=True, env=environment, capture_output=True)


def test_python_dash_m_is_the_same_command(stored):
    done = subprocess.run(
        [sys.executable, "-m", "smoothcert", "query", "nowhere"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: nowhere holds no run")


def test_the_demo_ends_with_the_path_of_a_report_and_goes_on(capsys, tmp_path, monkeypatch):
    import smoothcert.report
    from smoothcert.cli import demo

    def write_report(runs, out):
        out.write_text(f"{len(runs[0])} inputs")
        return out

    for name, value in (("LIMIT", 4), ("N", 300), ("N0", 50)):
        monkeypatch.setattr(demo, name, value)
    monkeypatch.setattr(smoothcert.report, "write_report", write_report)
    page = tmp_path / "run" / "report.html"
    for note in ("4 inputs x 350 samples", "already holds 4 of 4 inputs"):
        assert run_cli("demo", "--out", tmp_path / "run", "--device", "cpu") == 0
        captured = capsys.readouterr()
        assert captured.out.splitlines()[-1] == f"report: {page.resolve()}"
        assert note in captured.err
    assert page.read_text() == "4 inputs"
    run = Run.open(tmp_path / "run")
    assert (run.config.model, run.config.data, run.config.spec.data.split) == ("digits", "digits", "test")
    assert [r.samples.prediction == r.label for r in run.records()].count(True) >= 3
