"""Evidence of a whole run: it can be made again from the run, and no number or word in it can be another."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smoothcert.analysis import certified_accuracy
from smoothcert.certify import RunSpec, certify_run
from smoothcert.cli.app import run as command
from smoothcert.errors import RunError
from smoothcert.runs import Run
from smoothcert.verify import export_run, read_run_evidence, run_evidence, verify_run_evidence
from smoothcert.verify.evidence import checksum

SPEC = {"model": "digits", "data": "digits", "sigma": 0.25, "n0": 50, "n": 200, "limit": 6, "device": "cpu"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("runs") / "digits"
    return certify_run(RunSpec.of(**SPEC), out=path)


@pytest.fixture(scope="module")
def document(run: Run) -> dict[str, Any]:
    return export_run(run, radii=[0.0, 0.25], thresholds=[0.5], bounds=["dual", "cdf"])


def written(document: dict[str, Any], folder: Path) -> Path:
    """The file with a checksum that fits, as a forger would write it."""
    signed = {**document, "checksum": checksum({k: v for k, v in document.items() if k != "checksum"})}
    path = folder / "evidence.json"
    path.write_text(json.dumps(signed), encoding="utf-8")
    return path


def test_it_says_what_query_says_how_and_from_which_files(run: Run, document: dict[str, Any]) -> None:
    rows = [row for row in document["results"]["certified_accuracy"] if row["measure"] != "class"]
    found = certified_accuracy(run, bounds=["dual", "cdf"], radii=[0.0, 0.25], thresholds=[0.5])
    names = ("measure", "bound", "threshold", "radius", "certified_accuracy", "ci_low", "population_lower")
    assert [tuple(row[name] for name in names) for row in rows] == [
        tuple(getattr(row, name) for name in names) for row in found
    ]
    assert document["method"]["sigma"] == 0.25
    assert document["method"]["bounds"].keys() == {"dual", "cdf"}
    assert any(run.config.weights_hash in sentence for sentence in document["assumptions"])
    assert document["run"]["versions"] == run.config.versions
    assert list(document["files"]) == ["config.json", *(f"parts/{path.name}" for path in run.files()[1:])]
    assert all(check.ok for check in verify_run_evidence(document, run))


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*path, key))
    else:
        yield path


def changed(document: dict[str, Any], path: tuple[Any, ...]) -> dict[str, Any]:
    other = copy.deepcopy(document)
    *above, last = path
    inner: Any = other
    for step in above:
        inner = inner[step]
    value = inner[last]
    inner[last] = (
        f"{value}x"
        if isinstance(value, str)
        else value * (1 + 1e-6) + (value == 0) * 1e-6
        if isinstance(value, float)
        else (value or 0) + 1
    )
    return other


def test_no_number_or_word_can_be_another(
    run: Run, document: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, known = run_evidence.export_run, {}

    def once(run: Run, **asked: Any) -> dict[str, Any]:
        key = json.dumps(asked)
        return known.setdefault(key, None) or known.__setitem__(key, real(run, **asked)) or known[key]

    monkeypatch.setattr(run_evidence, "export_run", once)
    unseen, tried = [], 0
    for path in leaves(document):
        if path[0] in ("checksum", "written_by"):
            continue
        tried += 1
        other = changed(document, path)
        with pytest.raises(RunError, match="changed after"):  # by hand, without a new checksum
            read_run_evidence(_plain(other, tmp_path))
        try:
            found = read_run_evidence(written(other, tmp_path))
            if found is not None and all(check.ok for check in verify_run_evidence(found, run)):
                unseen.append(path)
        except (RunError, ValueError):
            pass
    assert tried > 150
    assert unseen == []


def _plain(document: dict[str, Any], folder: Path) -> Path:
    path = folder / "plain.json"
    # Its name counts, too: another format is no evidence, which is said elsewhere.
    path.write_text(json.dumps({**document, "format": run_evidence.FORMAT, "schema": 1, "note": ""}), encoding="utf-8")
    return path


@pytest.mark.parametrize("edit", ["a row twice", "a row less", "a file less", "a sentence more", "a field more"])
def test_nothing_can_be_added_or_left_out(edit: str, run: Run, document: dict[str, Any]) -> None:
    other = copy.deepcopy(document)
    rows = other["results"]["certified_accuracy"]
    if edit == "a row twice":
        rows.append({**rows[-1], "certified_accuracy": 1.0})
    elif edit == "a row less":
        del rows[-1]
    elif edit == "a file less":
        other["files"].popitem()
    elif edit == "a sentence more":
        other["assumptions"].append("All is well.")
    else:
        other["certified_by"] = "somebody"
    assert not all(check.ok for check in verify_run_evidence(other, run))


def test_a_changed_file_of_the_run_is_found(run: Run, document: dict[str, Any], tmp_path: Path) -> None:
    certify_run(RunSpec.of(**SPEC), out=tmp_path / "again")  # the same but for times
    again = Run.open(tmp_path / "again")
    failed = [check.claim for check in verify_run_evidence(document, again) if not check.ok]
    assert any(claim.startswith("files: parts/") for claim in failed)
    assert not any(claim.startswith("results") for claim in failed)
    other = certify_run(RunSpec.of(**SPEC | {"seed": 1}), out=tmp_path / "other")
    with pytest.raises(RunError, match="fingerprints differ"):
        verify_run_evidence(document, other)


def test_export_and_verify_on_the_command_line(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inside, outside = run.path / "evidence.json", tmp_path / "evidence.json"
    command(["export", str(run.path), "--radii", "0.25", "--thresholds", "0.5", "--out", str(inside)])
    command(["verify", str(inside), "--inputs", "1"])
    assert "claims follow from the samples" in capsys.readouterr().out
    outside.write_bytes(inside.read_bytes())
    with pytest.raises(ValueError, match="give --against RUN"):
        command(["verify", str(outside)])
    bad = json.loads(outside.read_text())
    bad["results"]["mean_class_radius"] += 0.01
    written(bad, tmp_path)
    with pytest.raises(SystemExit, match="1"):
        command(["verify", str(outside), "--against", str(run.path), "--inputs", "1"])
    assert "NOT SUPPORTED  results: mean_class_radius" in capsys.readouterr().out
