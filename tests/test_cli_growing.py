"""What every command says of a run that has grown, is growing, or lies in several folders."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import copytree

import pytest

from command_line import ask, run_cli
from smoothcert.certify import RunSpec, certify_run
from smoothcert.certify.engine import LocalEngine
from smoothcert.certify.prepare import prepare
from smoothcert.errors import RunError
from smoothcert.runs import Run

LOOKED = "samples were added to this run after n 300 could be looked at, up to 600 per input: each certificate is wrong"
HALF = "this run is still growing: 2 of 5 inputs hold 600 samples, 3 hold 300 samples"
ASKED = ["--measure", "score", "--bound", "cdf", "--radii", "0.1", "--thresholds", "0.5"]


def spec(**options: object) -> RunSpec:
    return RunSpec.of(**{"model": "digits", "data": "digits", "sigma": 0.25, "n0": 50, "n": 600, "limit": 5} | options)


class Stopping(LocalEngine):
    """Samples two inputs, then is interrupted."""

    def __init__(self, spec, **given) -> None:
        super().__init__(prepare(spec, **given))

    def records(self, tasks, *, progress):
        yield from super().records([next(tasks), next(tasks)], progress=progress)
        raise KeyboardInterrupt


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Runs ``before``, ``half``-way through growing, ``grown``, ``whole`` at once, and two shards of that."""
    path = tmp_path_factory.mktemp("runs")
    certify_run(spec(n=300), out=path / "before")
    copytree(path / "before", path / "half")
    with pytest.raises(KeyboardInterrupt):
        certify_run(spec(), out=path / "half", engine=Stopping)
    copytree(path / "half", path / "grown")
    certify_run(spec(), out=path / "grown")
    certify_run(spec(), out=path / "whole")
    for shard in (1, 2):
        certify_run(spec(shard=f"{shard}/2"), out=path / f"shard{shard}")
    return path


def test_query_says_how_many_samples_each_input_has(capsys, folder):
    said = ask(capsys, "query", folder / "half", *ASKED)
    assert "n0 50, n 300 (3 inputs) or 600 (2 inputs)" in said
    assert f"note: {HALF}" in said
    assert f"note: {LOOKED}" in said
    assert "--alpha 0.0005" in said
    rows = json.loads(ask(capsys, "query", folder / "half", *ASKED, "--per-input", "--format", "json"))
    assert sorted(row["n"] for row in rows) == [300, 300, 300, 600, 600]
    assert "n 300 (3 inputs) or 600 (2 inputs)" in ask(capsys, "query", folder / "half", *ASKED, "--per-input")
    assert {row["n"] for row in json.loads(ask(capsys, "query", folder / "half", *ASKED, "--format", "json"))} == {300}
    run = Run.open(folder / "half")
    for row in rows:
        (one,) = json.loads(ask(capsys, "query", folder / "half", *ASKED, "--input", row["index"], "--format", "json"))
        assert one["n"] == row["n"] == run.record(row["index"]).samples.n
        assert one["bounds"][0]["lower"] == row["score_cdf_lower_at_0.1"]
        assert f", n {row['n']}" in ask(capsys, "query", folder / "half", *ASKED, "--input", row["index"])
    said = ask(capsys, "query", folder / "grown", *ASKED)
    assert "n0 50, n 600\n" in said
    assert LOOKED in said
    assert "still growing" not in said
    assert "300" not in ask(capsys, "query", folder / "whole", *ASKED)


def test_bounds_are_those_of_the_samples_each_input_has(capsys, folder):
    rows = {
        name: json.loads(ask(capsys, "query", folder / name, *ASKED, "--per-input", "--format", "json"))
        for name in ("before", "half", "grown", "whole")
    }
    for old, half, new, at_once in zip(*rows.values(), strict=True):
        like = new if half["n"] == 600 else old
        assert {**half, "run": ""} == {**like, "run": ""}
        assert {**new, "run": ""} == {**at_once, "run": ""}


def test_notes_reach_the_limit_of_what_is_there(capsys, folder):
    asked = ["--measure", "score", "--bound", "cdf", "--thresholds", "0.5", "--radii", "2.4"]
    assert "note: 600 samples per input at alpha 0.001" in ask(capsys, "query", folder / "half", *asked)
    assert "note: 300 samples per input at alpha 0.001" in ask(capsys, "query", folder / "before", *asked)


def test_the_page_says_it(capsys, folder, tmp_path):
    for name, samples in (("half", "300 (3 inputs) or 600 (2 inputs)"), ("grown", "600"), ("whole", "600")):
        ask(capsys, "report", folder / name, "--out", tmp_path / "page.html")
        page = (tmp_path / "page.html").read_text(encoding="utf-8")
        assert f"50 pilot + {samples} estimation" in page
        assert (LOOKED[1:] in page) == (name != "whole")
        assert (HALF[1:] in page) == (name == "half")


def test_check_names_the_inputs_that_are_short(capsys, folder):
    assert run_cli("check", folder / "half") == 1
    said = capsys.readouterr().out
    assert "  short    " in said
    assert "300 samples until the run has grown" in said
    assert LOOKED in said
    assert run_cli("check", folder / "grown") == 0


@pytest.mark.parametrize("name", ["half", "grown"])
def test_grown_runs_are_verified_with_their_model(capsys, folder, name):
    said = ask(capsys, "verify", folder / name, "--inputs", "2", "--model-at-hand")
    assert said.count("sampled again: 0 samples elsewhere") == 2


def test_evidence_says_that_the_run_has_grown(capsys, folder, tmp_path):
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    ask(capsys, "export", folder / "before", "--input", "#1", "--out", old)
    ask(capsys, "export", folder / "grown", "--input", "#1", "--out", new)
    document = json.loads(new.read_text())
    assert any(line.startswith(LOOKED.capitalize()[:40]) for line in document["assumptions"])
    assert LOOKED in document["run"]["notes"][-1]
    assert [extent["n"] for extent in document["run"]["grown"]] == [300, 600]
    assert sum(document["sampled"]["votes"]) == 600
    assert "claims follow" in ask(capsys, "verify", new, "--against", folder / "grown")
    assert run_cli("verify", old, "--against", folder / "grown") == 2
    assert "old.json holds 300 samples of input" in (said := capsys.readouterr().err)
    assert "by now 600: export it again" in said


def test_shards_are_asked_as_one_run(capsys, folder, tmp_path):
    shards = [folder / "shard1", folder / "shard2"]
    whole = json.loads(ask(capsys, "query", folder / "whole", *ASKED, "--format", "json"))
    rows = json.loads(ask(capsys, "query", *shards, *ASKED, "--format", "json"))
    assert [{**row, "run": ""} for row in rows] == [{**row, "run": ""} for row in whole]
    assert f"{shards[0]} and {shards[1]}: 5 inputs, sigma" in ask(capsys, "query", *shards, *ASKED)
    assert "2 inputs, sigma" in ask(capsys, "query", shards[1], *ASKED)  # of a shard nothing is missing
    assert "2 of 2 inputs are stored and whole" in ask(capsys, "check", shards[1])
    ask(capsys, "report", *shards, "--out", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "shard1 and 1 more folder" in page
    assert "5 inputs" in page
    ask(capsys, "figure", "accuracy-over-radius", *shards, "--radii", "0,0.1", "--out", tmp_path / "one.svg")
    assert (tmp_path / "one.svg").exists()
    assert ask(capsys, "merge", *shards, "--out", tmp_path / "all").endswith("from 2 runs\n")
    assert "5 of 5 inputs are stored and whole" in ask(capsys, "check", tmp_path / "all")


def test_grown_and_ungrown_folders_are_one_run(capsys, folder, tmp_path):
    said = ask(capsys, "query", folder / "before", folder / "half", *ASKED)
    assert "5 inputs, sigma" in said
    assert HALF in said
    assert LOOKED in said
    said = ask(capsys, "merge", folder / "before", folder / "half", "--out", tmp_path / "all").splitlines()
    assert said[1:] == ["3 hold fewer than 600 samples: the command that made the run goes on"]


def test_different_runs_stay_apart(capsys, folder, tmp_path):
    certify_run(spec(limit=2, n=100, seed=1), out=tmp_path / "other")
    said = ask(capsys, "query", folder / "shard1", tmp_path / "other", folder / "shard2", *ASKED)
    assert said.count(" inputs, sigma ") == 2
    with pytest.raises(RunError, match=r"shares of different runs: .*seed is 0 there"):
        Run.open([folder / "whole", tmp_path / "other"])
    ask(capsys, "report", folder / "shard1", tmp_path / "other", folder / "shard2", "--out", tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text().count("50 pilot + ") == 2  # side by side: the shards, and the other
