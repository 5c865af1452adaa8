"""``query``: what alpha is split over, each input on a line of its own, formats, questions without an answer."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import norm

from command_line import ask, refused, run_cli
from published_logs import COHEN, KUMAR, write
from smoothcert.analysis import bounds_table, population_lower
from smoothcert.certificate import Certificate
from smoothcert.runs import Run, RunStore
from smoothcert.spec import RunSpec
from synthetic_runs import synthetic_run

ASKED = ["--measure", "score,margin", "--bound", "dual,cdf", "--radii", "0,0.1,0.2", "--thresholds", "0.5,0.7"]


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Path:
    """Five inputs, every hundredth of their data set, one of them skipped."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    run = synthetic_run(
        [(20, 1), (60, 0.5), (5, 1), (1, 1)],
        labels=[0, 1, 2, 3],
        ids=["a.png", "b.png", "c.png", "d.png"],
        skipped=[("broken.png", "broken.png cannot be read")],
        class_names=tuple("qrstuvwxyz"),
    )
    with RunStore(folder, replace(run.config, inputs=5)) as store:
        for record in run.records():
            store.append(replace(record, index=100 * record.index))
    return folder


@pytest.mark.parametrize(("joint", "inputs"), [("input", 1), ("dataset", 4)])
def test_alpha_is_split_over_all_that_is_said_of_an_input(capsys, stored, joint, inputs):
    (answer,) = json.loads(
        ask(capsys, "query", stored, "--input", "a.png", *ASKED, "--joint", joint, "--format", "json")
    )
    # Three claims: two measures and the class. The dual bound makes a statement for each side at three radii and for
    # each of two thresholds; a band is one statement for each side.
    share = {"dual": 0.001 / inputs / 3 / (2 * 3 + 2), "cdf": 0.001 / inputs / 3 / 2}
    for row in answer["bounds"] + answer["radii"]:
        assert row["alpha"] == pytest.approx(share[row["bound"]], rel=1e-12)
    share = {row["bound"]: row["alpha"] for row in answer["bounds"]}
    assert answer["alpha"] == 0.001
    assert answer["alpha_class_radius"] == pytest.approx(0.001 / inputs / 3, rel=1e-12)
    samples = Run.open(stored).record(0).samples
    for row in answer["bounds"]:
        certificate = Certificate.from_samples(samples, alpha=share[row["bound"]]).measure(row["measure"])
        at = [0.0, 0.1, 0.2].index(row["radius"])
        assert row["lower"] == certificate.lower([0.0, 0.1, 0.2], row["bound"])[at]
        assert row["upper"] == certificate.upper([0.0, 0.1, 0.2], row["bound"])[at]
    for row in answer["radii"]:
        certificate = Certificate.from_samples(samples, alpha=share[row["bound"]]).measure(row["measure"])
        assert row["radius"] == certificate.radius(row["threshold"], row["bound"])
    whole = Certificate.from_samples(samples, alpha=answer["alpha_class_radius"])
    assert answer["class_radius"] == whole.class_radius
    text = ask(capsys, "query", stored, "--input", "a.png", *ASKED, "--joint", joint)
    about = "each input" if joint == "input" else "all inputs"
    assert f"together about {about} (each statement at class radius " in text


def test_each_input_on_a_line_in_every_format(capsys, stored, tmp_path):
    asked = ["query", stored, "--per-input", *ASKED]
    rows = json.loads(ask(capsys, *asked, "--format", "json"))
    assert [(r["index"], r["id"], r["label"], r.get("prediction")) for r in rows] == [
        (0, "a.png", 0, 0),
        (100, "b.png", 1, 1),
        (200, "c.png", 2, 2),
        (300, "d.png", 3, 3),
        (400, "broken.png", 1, None),
    ]
    assert rows[-1]["error"] == "broken.png cannot be read"
    table = bounds_table(Run.open(stored))
    for row, radius, lower, above, mean in zip(
        rows,
        table.class_radius(),
        table.lower(measure="margin", bound="dual", radii=[0.0, 0.1, 0.2])[:, 1],
        table.radius(measure="score", bound="cdf", threshold=0.7),
        table.smoothed("score"),
        strict=False,
    ):
        assert row["class_radius"] == radius
        assert row["abstained"] == (radius == 0.0)
        assert row["margin_dual_lower_at_0.1"] == lower
        assert row["score_cdf_radius_above_0.7"] == above
        assert row["score_mean"] == mean
        assert (row["n0"], row["n"], row["class_name"]) == (100, 1_000, "qrst"[row["label"]])

    lines = list(csv.DictReader(io.StringIO(ask(capsys, *asked, "--format", "csv"))))
    assert [line["margin_dual_lower_at_0.2"] for line in lines[:4]] == [
        repr(row["margin_dual_lower_at_0.2"]) for row in rows[:4]
    ]
    assert "needs --out" in refused(capsys, *asked, "--format", "parquet")
    out = tmp_path / "inputs.parquet"
    assert ask(capsys, *asked, "--format", "parquet", "--out", out) == f"5 rows in {out}\n"
    stored_rows = pq.read_table(out).to_pylist()
    assert stored_rows == [dict.fromkeys(rows[0]) | row for row in rows]
    text = ask(capsys, *asked)
    assert "broken.png cannot be read" in text
    assert "score_dual_lower_at_0.2" in text
    ask(capsys, *asked, "--format", "csv", "--out", tmp_path / "inputs.csv")
    assert list(csv.DictReader(io.StringIO((tmp_path / "inputs.csv").read_text()))) == lines


def test_the_usual_bound_of_each_input_is_the_first(capsys, stored):
    (row, *_) = json.loads(ask(capsys, "query", stored, "--per-input", "--format", "json", "--measure", "score"))
    assert "score_dual_lower_at_0.25" in row
    assert not [name for name in row if "cdf" in name]
    (row, *_) = json.loads(ask(capsys, "query", stored, "--per-input", "--format", "json", "--measure", "class"))
    assert row["class_radius"] > 0.0
    assert not [name for name in row if "dual" in name]


def test_jointly_each_line_holds_as_a_whole(capsys, stored):
    asked = ["query", stored, "--per-input", *ASKED, "--format", "json"]
    joint = json.loads(ask(capsys, *asked, "--joint", "dataset"))
    at = {"dual": 0.001 / (4 * 3 * (3 + 2)), "cdf": 0.001 / (4 * 3 * 1)}
    for bound, alpha in at.items():
        table = bounds_table(Run.open(stored), alpha=alpha)
        found = [row[f"score_{bound}_lower_at_0.1"] for row in joint[:4]]
        assert found == table.lower(measure="score", bound=bound, radii=[0.0, 0.1, 0.2])[:, 1].tolist()
    whole = bounds_table(Run.open(stored), alpha=0.001 / (4 * 3))
    assert [row["class_radius"] for row in joint[:4]] == whole.class_radius().tolist()
    assert [row["abstained"] for row in joint[:4]] == whole.inputs.abstained.tolist()


def test_tables_for_markdown_and_latex(capsys, stored):
    asked = ["query", stored, "--measure", "score,class", "--bound", "dual", "--radii", "0", "--thresholds", "0.5"]
    (row, last) = json.loads(ask(capsys, *asked, "--format", "json"))
    markdown = ask(capsys, *asked, "--format", "markdown").splitlines()
    begin = markdown.index("| measure | threshold | bound | radius 0 |")
    assert markdown[begin + 1] == "| --- | --- | --- | ---: |"
    cell = "0.750 [0.194, 0.994] ≥ 0.247"  # three of four; floored, ceiled, floored
    assert (row["certified_accuracy"], row["inputs"]) == (0.75, 4)
    assert row["population_lower"] == population_lower(3, 4, 0.001)
    assert markdown[begin + 2 :] == [f"| score | 0.5 | dual | {cell} |", rf"| class | — | clopper\_pearson | {cell} |"]
    assert last["certified_accuracy"] == 0.75
    latex_cell = cell.replace("≥", r"$\geq$")
    latex = ask(capsys, *asked, "--format", "latex").splitlines()
    assert latex[-7:] == [
        r"\toprule",
        r"measure & threshold & bound & radius 0 \\",
        r"\midrule",
        rf"score & 0.5 & dual & {latex_cell} \\",
        rf"class & -- & clopper\_pearson & {latex_cell} \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
    assert all(line.startswith("%") for line in latex[:-8])


def test_an_input_is_named_by_id_position_or_index(capsys, stored):
    for wanted in ("c.png", "#3", "200"):
        (answer,) = json.loads(ask(capsys, "query", stored, "--input", wanted, "--format", "json"))
        assert (answer["index"], answer["id"]) == (200, "c.png")
    for wanted in ("3", "#0", "#6", "²", "#", "e.png"):
        assert f"holds no input '{wanted}'; " in refused(capsys, "query", stored, "--input", wanted)
    assert "give one of them" in refused(capsys, "query", stored, "--input", "3", "--per-input")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--thresholds", "70"],
            "--thresholds must lie in [-1, 1), the range of score and margin; got 70: in percent?",
        ),
        (["--thresholds", "0.5,1"], "--thresholds must lie in [-1, 1), the range of score and margin; got 1"),
        (
            ["--measure", "score", "--thresholds", "-0.2"],
            "--thresholds must lie in [0, 1), the range of score; got -0.2",
        ),
        (["--radii", "0,25"], "--radii must lie in [0, 2.5], 10 sigma, in the units of the inputs"),
        (["--radii", "-1"], "radii must be finite and at least 0"),
        (["--radii", "nan"], "radii must be finite"),
        (["--thresholds", "nan"], "--thresholds must be finite"),
        (["--thresholds", "inf"], "--thresholds must be finite"),
    ],
)
@pytest.mark.parametrize("about", [[], ["--input", "a.png"], ["--per-input"]], ids=["all", "one", "each"])
def test_what_can_never_be_certified_is_refused(capsys, stored, options, message, about):
    assert message in refused(capsys, "query", stored, *options, *about)


def test_compare_and_figure_refuse_it_too(capsys, stored, tmp_path):
    drawn = ["figure", "accuracy-over-radius", stored, "--out", tmp_path / "figure.png"]
    assert "must lie in [-1, 1), the range of score and margin" in refused(capsys, *drawn, "--thresholds", "50")
    assert "must lie in [0, 2.5], 10 sigma" in refused(capsys, *drawn, "--radii", "0,128")
    assert "must lie in [0, 1), the range of score" in refused(capsys, "compare", stored, "--thresholds", "50")
    assert "must lie in [0, 2.5], 10 sigma" in refused(capsys, "compare", stored, "--radii", "128")


def test_a_radius_that_so_few_samples_cannot_reach_is_said_so(capsys, stored):
    reach = 0.25 * (norm.ppf(0.001 ** (1 / 1000)) - norm.ppf(0.5))
    asked = ["query", stored, "--measure", "score", "--bound", "dual", "--thresholds", "0.5,0.9", "--radii"]
    text = ask(capsys, *asked, f"0,{reach + 0.001}")
    assert "1,000 samples per input at alpha 0.001 certify no score above 0.5 beyond radius 0.616" in text
    assert 0.615 < reach < 0.616
    assert "whatever the classifier" not in ask(capsys, *asked, f"0,{reach - 0.001}")


def test_a_run_with_inputs_missing_says_so(capsys, stored, tmp_path):
    run = Run.open(stored)
    with RunStore(tmp_path, replace(run.config, inputs=40)) as store:
        for record in run.records()[:2]:
            store.append(record)
    assert "2 inputs, 38 of 40 missing, sigma 0.25" in ask(capsys, "query", tmp_path, "--radii", "0")


def test_a_log_is_not_asked_for_a_bound_it_does_not_hold(capsys, tmp_path):
    for name, text in (("cifar10-pred_score-noise_0.25", KUMAR), ("cifar10-sigma_0.25", COHEN)):
        ask(capsys, "import", write(tmp_path, f"{name}.tsv", text), "--out", tmp_path / name[:12])
    kumar, cohen = tmp_path / "cifar10-pred", tmp_path / "cifar10-sigm"
    for about in ([], ["--input", "0"], ["--per-input"]):
        assert "holds no dual bound" in refused(capsys, "query", kumar, "--bound", "dual", "--radii", "0", *about)
        assert "holds no dual bound: it holds class radii" in refused(capsys, "query", cohen, "--bound", "dual", *about)
    assert "at its own alpha" in refused(capsys, "query", kumar, "--radii", "0", "--input", "0", "--joint", "input")
    rows = json.loads(ask(capsys, "query", kumar, "--radii", "0", "--per-input", "--format", "json"))
    assert [row["prediction"] for row in rows if row["abstained"]] == [None]
    assert (
        rows[0]["score_cdf_lower_at_0"]
        == bounds_table(Run.open(kumar)).lower(measure="score", bound="cdf", radii=0.0)[0, 0]
    )
    rows = json.loads(ask(capsys, "query", cohen, "--per-input", "--format", "json"))
    assert [row["class_radius"] for row in rows] == bounds_table(Run.open(cohen)).class_radius().tolist()
    assert not np.isnan(rows[0]["class_radius"])


OWN = """
from smoothcert.scores import Measure
def top(probabilities, classes):
    return 10 * probabilities[:, classes] - 20
surplus = Measure("surplus", -20.0, -10.0, top)
"""


@pytest.fixture(scope="module")
def sampled(tmp_path_factory) -> Path:
    """A run of the bundled digits that holds the lead and a measure of the user's own."""
    folder = tmp_path_factory.mktemp("sampled")
    (folder / "own.py").write_text(OWN)
    measures = f"score,lead,python:{folder / 'own.py'}:surplus"
    made = ["--model", "digits", "--data", "digits", "--sigma", 0.25, "--n", 300, "--n0", 50, "--limit", 4]
    assert run_cli("certify", *made, "--measure", measures, "--device", "cpu", "--quiet", "--out", folder / "run") == 0
    return folder / "run"


def test_every_measure_of_the_run_is_answered_by_its_name(capsys, sampled):
    rows = json.loads(ask(capsys, "query", sampled, "--bound", "dual", "--radii", "0", "--format", "json"))
    assert [(row["measure"], row["threshold"]) for row in rows[:3]] == [
        ("score", 0.5),
        ("score", 0.7),
        ("score", 0.9),
    ]
    assert {row["measure"] for row in rows} == {"score", "lead", "surplus"}
    rows = json.loads(ask(capsys, "query", sampled, "--measure", "surplus", "--radii", "0", "--format", "json"))
    assert {row["threshold"] for row in rows} == {-15.0, -13.0, -11.0}  # the usual shares of its own range
    assert all(row["certified_accuracy"] > 0.0 for row in rows if row["threshold"] == -15.0)
    (row, *_) = json.loads(ask(capsys, "query", sampled, "--per-input", "--format", "json"))
    assert {"lead_mean", "lead_dual_lower_at_0.25", "surplus_dual_lower_at_0"} <= row.keys()
    (answer,) = json.loads(ask(capsys, "query", sampled, "--input", "#1", "--measure", "vote,lead", "--format", "json"))
    assert {row["measure"] for row in answer["bounds"]} == {"vote", "lead"}
    own, lead = (row["lower"] for row in answer["bounds"] if row["bound"] == "dual" and row["radius"] == 0.0)
    assert own > lead > 0.0
    error = refused(capsys, "query", sampled, "--measure", "margin")
    assert "--measure must be some of score, surplus, lead, class, which " in error
    assert "range of surplus; got 0.5" in refused(
        capsys, "query", sampled, "--measure", "surplus", "--thresholds", "0.5"
    )


def test_jointly_the_lead_pays_for_its_rivals_and_the_noise_is_paid_once(capsys, sampled):
    run = Run.open(sampled)
    price = run.record(run.find("#1")).samples.price
    assert price > 0.0
    asked = ["--measure", "score,lead", "--bound", "dual,cdf", "--radii", "0,0.1,0.2,0.3,0.4", "--joint", "dataset"]
    rows = json.loads(ask(capsys, "query", sampled, *asked, "--format", "json"))
    at = {(row["measure"], row["bound"]): row["alpha"] - price for row in rows}
    left = (0.001 - 4 * price) / 4 / 2
    # A band holds at all radii of one rival at once; which rival is the least may differ from radius to radius.
    assert run.pairs == 4
    expected = {("score", "dual"): 5, ("score", "cdf"): 1, ("lead", "dual"): 5, ("lead", "cdf"): 4}
    for key, statements in expected.items():
        assert at[key] == pytest.approx(left / statements, rel=1e-9)
    text = ask(capsys, "query", sampled, *asked)
    assert "cdf 0.000126 of score, cdf 3.1" in text
    assert "for every input on the lattice of step 1/16 within the radius" in text
    assert "which is what the noise of 4 inputs costs" in refused(
        capsys, "query", sampled, *asked, "--alpha", f"{2 * price}"
    )


def test_no_radius_or_threshold_reads_as_a_larger_one(capsys, stored):
    asked = ["--measure", "score", "--bound", "dual", "--radii", "0.1234565,0.12345651", "--thresholds", "0.9999999"]
    text = ask(capsys, "query", stored, *asked)
    assert "radius 0.1234565 " in text
    assert "radius 0.12345651" in text
    assert "0.9999999 " in text
    rows = json.loads(ask(capsys, "query", stored, "--per-input", *asked, "--format", "json"))
    assert rows[0]["score_dual_lower_at_0.1234565"] > rows[0]["score_dual_lower_at_0.12345651"]
    assert "score_dual_radius_above_0.9999999" in rows[0]
    assert "0.9999999" in ask(capsys, "compare", stored, *asked)
    assert "score > 0.9999999 within L2 0.1234565 (dual)" in ask(capsys, "query", stored, *asked, "--format=model-card")


def test_inputs_that_are_in_no_fraction_are_counted(capsys, tmp_path):
    run = synthetic_run([(20, 1)] * 4, labels=[0, 1, None, None], skipped=[("broken.png", "cannot be read")])
    with RunStore(tmp_path, replace(run.config, inputs=7, notes=("one of a kind",))) as store:
        store.append(*run.records())
    assert ": 2 inputs with a label (2 more without) (1 more skipped as unreadable), 2 of 7 missing," in ask(
        capsys, "query", tmp_path
    )
    assert run_cli("query", tmp_path, "--format", "json") == 0
    told = capsys.readouterr()
    for row in json.loads(told.out):
        assert [row[name] for name in ("inputs", "unlabelled", "skipped", "missing")] == [2, 2, 1, 2]
    assert "note: one of a kind" in told.err
    assert "per input, 2 of 7 missing:" in ask(capsys, "query", tmp_path, "--per-input")
    assert "missing: 2" in ask(capsys, "query", tmp_path, "--format", "model-card")


def test_a_shard_says_that_it_is_one(capsys, tmp_path):
    run = synthetic_run([(20, 1)] * 4)
    with RunStore(tmp_path, replace(run.config, spec=run.config.spec.vary(shard="1/2"), inputs=8)) as store:
        store.append(*run.records())
    assert "note: this is shard 1/2 of a run of 8 inputs: what is said of all inputs is of its share alone" in ask(
        capsys, "query", tmp_path
    )


def test_what_a_statement_may_fail_with_is_rounded_up(capsys, stored):
    told = ask(
        capsys, "query", stored, "--measure", "score", "--bound", "dual", "--radii", "0,0.1,0.2", "--joint=input"
    )
    assert "each statement at dual 0.000334)" in told


def test_a_decided_run_bounds_nothing(capsys, tmp_path):
    run = synthetic_run([(20, 1)] * 3, labels=[0, None, 2])
    spec = RunSpec.of(**{**run.config.spec.options(), "n": None, "n0": None, "decide": "score:0.5@0.1"})
    config = replace(run.config, spec=spec, kind="decided")
    with RunStore(tmp_path / "run", config) as store:
        store.append(*(replace(record, answer="certified") for record in run.records()))
    found = Run.open(tmp_path / "run").per_input()
    assert found["class_radius"].null_count == found["abstained"].null_count == 3
    assert "can answer nothing else" in refused(
        capsys, "figure", "placement", tmp_path / "run", "--out", tmp_path / "x.svg"
    )
    (row,) = json.loads(ask(capsys, "query", tmp_path / "run", "--format", "json"))
    assert (row["inputs"], row["labelled_inputs"]) == (3, 2)
    assert "certified accuracy, of the 2 with a label" in ask(capsys, "query", tmp_path / "run")


def test_figures_of_runs_with_folders_of_one_name_are_two(capsys, stored, tmp_path):
    other = synthetic_run([(20, 1)] * 4, seed=1)
    with RunStore(tmp_path / stored.name, other.config) as store:
        store.append(*other.records())
    drawn = tmp_path / "drawn" / "at.svg"
    drawn.parent.mkdir()
    for second in (tmp_path / stored.name, stored):
        ask(capsys, "figure", "distribution", stored, second, "--out", drawn, "--radii", "0")
    assert len(list(drawn.parent.iterdir())) == 4


def test_an_id_of_several_inputs_names_none(capsys, tmp_path):
    run = synthetic_run([(20, 1)] * 3, ids=["twin", "twin", "other"])
    with RunStore(tmp_path, run.config) as store:
        store.append(*run.records())
    assert "holds 2 inputs 'twin': give the index of one, such as 0, 1" in refused(
        capsys, "query", tmp_path, "--input", "twin"
    )
    assert "input 1 (twin)" in ask(capsys, "query", tmp_path, "--input", "1")
