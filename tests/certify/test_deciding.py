"""Runs that answer one question: what they store, how they go on, and what they refuse."""

from __future__ import annotations

import csv
import io
import json
import re

import numpy as np
import pytest
from matplotlib.figure import Figure

import smoothcert as sc
from command_line import run_cli
from runs.synthetic import ArraySource, assert_same_run
from smoothcert.analysis import bounds_table, calibration
from smoothcert.analysis.decided import decided_summary
from smoothcert.certify import RunSpec, certify_run
from smoothcert.data import Dataset
from smoothcert.decision import Question
from smoothcert.errors import DataError, InvalidArgumentError, RunError
from smoothcert.report import write_report
from smoothcert.report.panels import draw_samples
from smoothcert.report.wording import proportion_words
from smoothcert.runs import Run

from .killed_decision import ASKED, decide_tiny
from .test_engine import Interrupting, Listening
from .test_kill import kill_after_some, start
from .tiny_model import tiny_model


def decide(out, *, source=None, **options):
    settings = ASKED | options
    reporter, data = settings.pop("reporter", None), Dataset(source or ArraySource())
    return certify_run(RunSpec.of(**settings), out=out, model=tiny_model(), data=data, reporter=reporter)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    return decide(tmp_path_factory.mktemp("decided") / "run", source=ArraySource(unreadable=[3]), on_unreadable="skip")


def test_a_decided_run_holds_what_decide_answers(stored):
    config, source = stored.config, ArraySource()
    assert (config.kind, config.question, config.n0, config.n) == ("decided", "score:0.95@0.2", 50, 2_000)
    g = sc.SmoothedClassifier(tiny_model().module, sigma=0.25, num_classes=3, levels=500)
    records = stored.records()
    assert [r.index for r in records] == list(range(12))
    assert (records[3].answer, records[3].samples) == (None, None)
    for record in records[:3] + records[4:]:
        alone = g.decide(source.read(record.index), threshold=0.95, radius=0.2, n0=50, max_n=2_000)
        assert (record.answer, record.samples.prediction) == (alone.answer, alone.prediction)
        assert (record.samples.n0, record.samples.n) == (50, alone.n)
        whole = g.sample(source.read(record.index), n0=50, n=alone.n)
        assert (record.samples.score, record.samples.margin) == (whole.score, whole.margin)
    assert len({r.samples.n for r in records if r.samples}) > 1
    assert {r.answer for r in records} == {"certified", "undecided", None}


@pytest.mark.parametrize("after", [0, 5])
def test_an_interrupted_decision_resumed_equals_one_go(tmp_path, stored, after):
    interrupting, listening = Interrupting(after), Listening()
    source = ArraySource(unreadable=[3])
    with pytest.raises(KeyboardInterrupt):
        decide(tmp_path, source=source, on_unreadable="skip", reporter=interrupting, batch_size=64)
    assert len(Run.open(tmp_path)) < 12
    decide(tmp_path, source=source, on_unreadable="skip", reporter=listening)
    assert interrupting.finished + listening.finished == 11
    assert_same_run(tmp_path, stored.path)


def test_a_killed_decision_resumed_equals_one_go(tmp_path):
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    assert kill_after_some(start("killed_decision.py", broken), broken, parts=3, delay=0.01)
    assert 3 <= len(Run.open(broken)) < 40
    for folder in (broken, whole):
        decide_tiny(folder)
    assert_same_run(broken, whole)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"decide": "score:0.9@0.2"}, "holds another run: decide is"),
        ({"max_n": 999}, "with at most 2,000 samples per input, and its answers are only good for that many"),
        ({"n0": 51}, "holds another run: n0 is"),
    ],
)
def test_another_question_in_the_folder_is_refused_by_name(stored, change, said):
    with pytest.raises(RunError, match=said):
        decide(stored.path, source=ArraySource(unreadable=[3]), **change)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 100}, "limit its samples by max_n; got n=100"),
        ({"max_n": 0}, "max_n must be an integer, at least 1 .* got 0"),
        ({"decide": None}, "max_n is for a run that decides a question; got 2000"),
        ({"decide": "score:2@0.1"}, r"threshold must lie in \[0, 1\)"),
        ({"decide": "confidently"}, "measure:threshold@radius"),
        ({"alpha": 0.0}, "alpha must be"),
    ],
)
def test_bad_arguments_leave_no_folder(tmp_path, options, message):
    with pytest.raises(InvalidArgumentError, match=message):
        decide(tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_the_summary_counts_what_is_stored(stored):
    found, records = decided_summary(stored), [r for r in stored.records() if r.samples]
    answers = [r.answer for r in records]
    assert (found.question, found.inputs, found.skipped) == (Question("score", 0.95, 0.2), 11, 1)
    shares = {"certified": found.certified, "refuted": found.refuted, "undecided": found.undecided}
    assert {answer: share.count for answer, share in shares.items()} == {a: answers.count(a) for a in shares}
    right = [r.answer == "certified" and r.samples.prediction == r.label for r in records]
    assert (found.certified_accuracy.count, found.certified_accuracy.inputs) == (sum(right), 11)
    samples = [r.samples.n0 + r.samples.n for r in records]
    assert (found.mean_samples, found.median_samples) == (np.mean(samples), np.median(samples))
    assert found.times_fewer == pytest.approx(100_000 / np.mean(samples))


def test_an_empty_run_has_no_summary(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        decide(tmp_path, reporter=Interrupting(0))
    with pytest.raises(DataError, match="holds no decided input yet"):
        decided_summary(Run.open(tmp_path))


def test_other_analyses_refuse_a_decided_run(stored):
    with pytest.raises(DataError, match=r"the run decided score:0\.95@0\.2 and can answer nothing else"):
        bounds_table(stored)


def test_query_prints_the_answer_in_every_form(capsys, stored):
    found = decided_summary(stored)
    assert run_cli("query", stored.path) == 0
    text = capsys.readouterr().out
    assert "score above 0.95 within 0.2? 11 inputs (1 more skipped as unreadable)" in text
    assert f"{found.mean_samples:,.1f}" in text
    assert run_cli("query", stored.path, "--format", "json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["measure"], row["threshold"], row["radius"], row["inputs"]) == ("score", 0.95, 0.2, 11)
    assert row["certified_accuracy"] == found.certified_accuracy.value
    assert row["ci_low"] < row["certified_accuracy"] <= row["ci_high"]
    assert run_cli("query", stored.path, "--format", "csv") == 0
    (line,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert float(line["mean_samples"]) == found.mean_samples


@pytest.mark.parametrize(
    "options",
    [["--radii", "0,0.25,0.5"], ["--thresholds", "0.7"], ["--alpha", "0.01"], ["--radii", "0", "--input", "0"]],
)
def test_query_refuses_another_question_in_a_sentence(capsys, stored, options):
    assert run_cli("query", stored.path, *options) == 2
    error = capsys.readouterr().err
    assert f"decided score:0.95@0.2 and can answer nothing else: leave out {options[0]}" in error


def test_query_prints_the_answer_about_one_input(capsys, stored):
    for record in stored.records():
        if record.samples is None:
            assert run_cli("query", stored.path, "--input", record.id) == 2
            assert f"input {record.index} ({record.id}) was skipped" in capsys.readouterr().err
            continue
        assert run_cli("query", stored.path, "--input", record.index, "--format", "json") == 0
        (row,) = json.loads(capsys.readouterr().out)
        assert (row["index"], row["id"], row["label"]) == (record.index, record.id, record.label)
        assert (row["answer"], row["prediction"]) == (record.answer, record.samples.prediction)
        assert (row["measure"], row["threshold"], row["radius"]) == ("score", 0.95, 0.2)
        assert (row["n0"], row["n"], row["samples"]) == (50, record.samples.n, 50 + record.samples.n)
        assert run_cli("query", stored.path, "--input", record.id) == 0
        text = capsys.readouterr().out
        assert f"score above 0.95 within 0.2? {record.answer}\n" in text
        assert f"label {record.label}" in text
        assert f"{50 + record.samples.n:,} samples used: n0 50, n {record.samples.n:,} of at most 2,000" in text
    assert run_cli("query", stored.path, "--input", "nothing") == 2
    assert "holds no input 'nothing'" in capsys.readouterr().err
    assert run_cli("query", stored.path, "--input", "0", "--format", "csv") == 0
    (line,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert line["answer"] == stored.record(0).answer


def test_report_has_a_section_about_the_one_question(capsys, stored, tmp_path):
    spec = RunSpec.of(sigma=0.25, n=100, n0=10)
    other = certify_run(spec, out=tmp_path / "run", model=tiny_model(), data=Dataset(ArraySource()))
    found, page = decided_summary(stored), tmp_path / "page.html"
    accuracy, share = proportion_words(found.certified_accuracy), proportion_words(found.certified)
    for runs in ([stored.path], [other.path, stored.path]):
        assert run_cli("report", *runs, "--out", page) == 0
        text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.read_text()))
        assert f"11 inputs. At radius 0.2, {accuracy.split()[0]} (95% CI" in text
        assert "are right and keep a score above 0.95, whatever the change" in text
        assert f"certified accuracy {accuracy} certified and right" in text
        assert f"certified {share} score above 0.95 within 0.2, right or wrong" in text
        assert f"undecided {proportion_words(found.undecided)} nothing is claimed after 2,000 samples" in text
        assert f"mean samples {found.mean_samples:,.1f}" in text
        assert "skipped inputs 1 could not be read" in text
        assert "question score:0.95@0.2" in text
        assert ("Every bound, radius and threshold" in text) == (len(runs) == 2)
        assert "--joint dataset" not in text  # it would be refused
    assert "2 runs side by side" in text
    with pytest.raises(DataError, match=r"answers at its own alpha 0\.001; got 0\.01"):
        write_report([stored], page, alpha=0.01)


def test_the_samples_of_every_answer_are_drawn(stored):
    found = decided_summary(stored)
    axes = Figure().subplots()
    draw_samples(axes, samples=found.samples)
    heights = sum(bar.get_height() for bars in axes.containers for bar in bars)
    assert heights == sum(samples.size for samples in found.samples.values()) == found.inputs
    answers = {record.index: record.answer for record in stored.records() if record.samples}
    assert {answer: samples.size for answer, samples in found.samples.items()} == {
        answer: list(answers.values()).count(answer) for answer in ("certified", "refuted", "undecided")
    }


def test_certify_decides_from_the_command_line(capsys, tmp_path):
    settings = ["--model", "digits", "--data", "digits", "--split", "test", "--limit", 9, "--sigma", 0.25]
    question = ["--decide", "margin:0@0.1", "--max-n", 500, "--device", "cpu"]
    assert run_cli("certify", *settings, *question, "--out", tmp_path) == 0
    captured = capsys.readouterr()
    assert captured.out == f"9 inputs in {tmp_path}\n"
    assert "margin:0.0@0.1 decided with at most 600 samples each on cpu" in captured.err
    assert {r.answer for r in Run.open(tmp_path).records()} <= {"certified", "refuted", "undecided"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decide": "foo:0.5@0.1"}, "the measure of decide must be one of vote, score, margin; got 'foo'"),
        ({"decide": "margin:0@0.1", "measure": ("score",)}, "the measure of decide must be one of vote, score; got"),
        ({"alpha": 1e-15, "lattice": 1 / 255}, "alpha must be above its price of"),
        ({"sigma": 1e-50}, "sigma must be from 1e-30 to 1e.30, so that float32 holds the noise; got 1e-50"),
    ],
)
def test_what_no_input_can_answer_is_refused_before_there_is_a_run(tmp_path, options, message):
    with pytest.raises(InvalidArgumentError, match=message):
        decide(tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("measures", [("vote",), ("lead",), ("vote", "lead"), ("margin",)])
def test_runs_without_the_score_are_stored_asked_and_shown(tmp_path, measures, capsys):
    spec = RunSpec.of(sigma=0.25, n0=20, n=100, levels=100, device="cpu", measure=measures)
    run = certify_run(spec, out=tmp_path / "run", model=tiny_model(), data=Dataset(ArraySource(12)))
    assert all(record.samples is not None for record in Run.open(tmp_path / "run").records())
    assert set(bounds_table(run).answers.measures) == set(measures)
    run_cli("report", tmp_path / "run", "--out", tmp_path / "report.html")
    run_cli("query", tmp_path / "run")
    assert measures[0] in capsys.readouterr().out
    with pytest.raises(DataError, match="calibration is of the score, which is not held; held are"):
        calibration(run)
