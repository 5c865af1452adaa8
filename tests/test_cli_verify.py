"""``verify`` and ``export`` as a person calls them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from command_line import run_cli
from smoothcert.runs import RunStore
from smoothcert.verify.evidence import checksum
from synthetic_runs import synthetic_run


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    run = synthetic_run([(20, 1), (2, 2)], ids=["a.png", "b.png"], skipped=[("broken.png", "cannot be read")], n=300)
    with RunStore(folder, replace(run.config, inputs=3)) as store:
        for record in run.records():
            store.append(record)
    return folder


def test_a_run_and_a_file_of_it(stored, tmp_path, capsys):
    assert run_cli("verify", stored, "--inputs", 1) == 0
    out = capsys.readouterr().out
    claims = int(out.split()[0])
    assert out == f"{claims} of {claims} claims follow from the samples\n"
    assert claims > 50
    path = tmp_path / "evidence.json"
    assert run_cli("export", stored, "--input", "b.png", "--radii", "0,0.1", "--thresholds", "0.3", "--out", path) == 0
    assert capsys.readouterr().out == ""
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["input"]["id"] == "b.png"
    assert {claim["radius"] for claim in document["claims"] if claim["kind"] == "lower"} == {0.0, 0.1}
    assert {claim["threshold"] for claim in document["claims"] if claim["kind"] == "radius"} == {0.3}
    assert run_cli("verify", path, "--against", stored, "--format", "json") == 0
    assert all(check["ok"] for check in json.loads(capsys.readouterr().out))


def test_what_is_not_supported_ends_with_one(stored, tmp_path, capsys):
    assert run_cli("export", stored, "--input", "#1", "--radii", "0.1") == 0
    document = json.loads(capsys.readouterr().out)
    del document["checksum"]
    document["claims"] = [{"kind": "lower", "measure": "score", "bound": "cdf", "radius": 0.1, "value": 0.99}]
    path = tmp_path / "evidence.json"
    path.write_text(json.dumps({**document, "checksum": checksum(document)}), encoding="utf-8")
    assert run_cli("verify", path) == 1
    out = capsys.readouterr().out
    assert out.startswith("NOT SUPPORTED  a.png: score, cdf: lower bound at 0.1: claimed 0.99, found 0.")
    assert out.endswith("0 of 1 claims follow from the samples\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify", "RUN", "--against", "RUN"], "--against is for a file"),
        (["verify", "FILE", "--model-at-hand"], "are for a run"),
        (["verify", "FILE"], "is no evidence"),
        (["verify", "ABSENT"], "cannot be read"),
        (["verify", "RUN", "--inputs", "0"], "inputs must be an integer, at least 1"),
        (["verify", "RUN", "--model-at-hand"], "model"),
        (["export", "RUN", "--input", "c.png"], "holds no input 'c.png'"),
        (["export", "RUN", "--input", "broken.png"], "was skipped and has no certificate"),
        (["export", "RUN", "--input", "a.png", "--alpha", "0.9"], "alpha must be"),
        (["export", "RUN", "--input", "a.png", "--radii", "-1"], "radii must be"),
    ],
)
def test_mistakes_end_with_two_and_one_line(arguments, message, stored, tmp_path, capsys):
    (tmp_path / "file.json").write_text("{}", encoding="utf-8")
    given = {"RUN": stored, "FILE": tmp_path / "file.json", "ABSENT": tmp_path / "absent.json"}
    assert run_cli(*(given.get(argument, argument) for argument in arguments)) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
