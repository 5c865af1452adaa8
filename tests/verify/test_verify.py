"""Evidence files and runs: what is true passes, what is not is told, and what does not fit together is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smoothcert.bounds import cdf, clopper_pearson, plan
from smoothcert.bounds.shift import tangent_at
from smoothcert.certify import RunSpec, certify_run
from smoothcert.errors import InvalidArgumentError, RunError
from smoothcert.runs import Run
from smoothcert.verify import Evidence, export_input, verify_file, verify_run
from smoothcert.verify.checks import moved_samples, verify_evidence
from smoothcert.verify.evidence import cautious, checksum

SPEC = {"model": "digits", "data": "digits", "sigma": 0.25, "n0": 60, "n": 400, "limit": 2, "device": "cpu"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("runs") / "digits"
    certify_run(RunSpec.of(**SPEC), out=path)
    return Run.open(path)


@pytest.fixture(scope="module")
def document(run: Run) -> dict[str, Any]:
    return export_input(run, int(run.indices[1]))


@pytest.fixture(scope="module")
def small(run: Run) -> dict[str, Any]:
    """Without what takes long: certified radii by the dual bound, and the lead."""
    document = export_input(run, int(run.indices[1]), radii=[0.25])
    quick = [
        claim
        for claim in document["claims"]
        if claim.get("measure") != "lead" and (claim["kind"], claim.get("bound")) != ("radius", "dual")
    ]
    return {**document, "claims": quick}


def written(document: dict[str, Any], folder: Path, *, signed: bool = True) -> Path:
    path = folder / "evidence.json"
    if signed:
        document = {**document, "checksum": checksum({k: v for k, v in document.items() if k != "checksum"})}
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_what_was_exported_is_supported(document: dict[str, Any], run: Run, tmp_path: Path) -> None:
    path = written(document, tmp_path, signed=False)
    checks = verify_file(path, against=run)
    assert len(checks) == len(document["claims"])
    assert all(check.ok for check in checks), [check for check in checks if not check.ok]
    measures = {claim.get("measure") for claim in document["claims"]}
    assert {"score", "margin", "vote", "lead"} <= measures
    assert {claim["kind"] for claim in document["claims"]} == {"class", "class_radius", "lower", "upper", "radius"}


def test_a_file_says_what_it_assumes(document: dict[str, Any], run: Run) -> None:
    text = " ".join(document["assumptions"])
    for part in ("lattice of step 0.0625", run.config.weights_hash, "float32", "deal", "pilot", "not all of them"):
        assert part in text
    assert document["run"]["fingerprint"] == run.config.fingerprint
    assert document["run"]["defining"]["weights_hash"] == run.config.weights_hash
    assert json.loads(json.dumps(document)) == document


@pytest.mark.parametrize("kind", ["class_radius", "lower", "radius"])
def test_a_claim_that_is_too_large_is_told(kind: str, small: dict[str, Any], tmp_path: Path) -> None:
    changed = copy.deepcopy(small)
    some = [claim for claim in changed["claims"] if claim["kind"] == kind]
    for claim in some:
        claim["value"] += 0.02 if claim.get("bound") != "dual" else 0.05
    failed = [check for check in verify_file(written(changed, tmp_path)) if not check.ok]
    assert len(failed) >= 0.8 * len(some)  # the dual bound may be loose by more where samples are few


def test_an_upper_bound_that_is_too_small_is_told(small: dict[str, Any], tmp_path: Path) -> None:
    changed = copy.deepcopy(small)
    some = [claim for claim in changed["claims"] if claim["kind"] == "upper"]
    for claim in some:
        claim["value"] -= 0.05
    failed = [check for check in verify_file(written(changed, tmp_path)) if not check.ok]
    assert len(failed) >= 0.8 * len(some)


def test_another_class_is_told(small: dict[str, Any], tmp_path: Path) -> None:
    changed = copy.deepcopy(small)
    changed["claims"][0]["prediction"] = (changed["claims"][0]["prediction"] + 1) % 10
    checks = verify_file(written(changed, tmp_path))
    assert [check.claim.split(": ")[-1] for check in checks if not check.ok] == ["class"]


def edit(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        *above, last = path
        for step in above:
            document = document[step]
        if to is KeyError:
            del document[last]
        else:
            document[last] = to(document[last]) if callable(to) else to

    return change


REFUSED = {
    "another format": edit("format", to="other"),
    "a later schema": edit("schema", to=2),
    "schema zero": edit("schema", to=0),
    "a schema that is a truth": edit("schema", to=True),
    "no alpha": edit("alpha", to=KeyError),
    "alpha of one": edit("alpha", to=1.0),
    "alpha below the price": edit("sampled", "price", to=0.5),
    "no sigma": edit("sampled", "sigma", to=0.0),
    "another sigma than the run's": edit("sampled", "sigma", to=0.5),
    "another seed than the run's": edit("sampled", "seed", to=3),
    "a negative offset": edit("sampled", "offset", to=-0.1),
    "weights of another model": edit("run", "defining", "weights_hash", to="00" * 32),
    "another fingerprint": edit("run", "fingerprint", to="00" * 32),
    "more votes": edit("sampled", "votes", to=lambda votes: [votes[0] + 1, *votes[1:]]),
    "votes of one class": edit("sampled", "votes", to=[400]),
    "a class that is not there": edit("sampled", "prediction", to=10),
    "a vote of half": edit("sampled", "votes", to=lambda votes: [0.5, *votes[1:]]),
    "a negative count": edit("sampled", "measures", "score", "sample", "counts", to=lambda c: [-1, *c[1:]]),
    "a sample more": edit("sampled", "measures", "score", "sample", "counts", to=lambda c: [c[0] + 1, *c[1:]]),
    "cells that descend": edit("sampled", "measures", "score", "sample", "cells", to=lambda c: c[::-1]),
    "cells beyond the grid": edit("sampled", "measures", "score", "sample", "cells", to=lambda c: [*c[:-1], 10**6]),
    "levels without end": edit("sampled", "measures", "score", "levels", to=2**40),
    "an empty range": edit("sampled", "measures", "score", "upper", to=0.0),
    "no measures": edit("sampled", "measures", to=[]),
    "more rivals than pairs": edit("sampled", "rivals", to=[1, 2, 3, 4, 5, 6]),
    "claims that are no list": edit("claims", to={"kind": "lower"}),
    "a claim of an unknown kind": edit("claims", 2, "kind", to="best"),
    "a claim by an unknown bound": edit("claims", 2, "bound", to="magic"),
    "a claim about an unknown measure": edit("claims", 2, "measure", to="entropy"),
    "a claim without a radius": edit("claims", 2, "radius", to=None),
    "a claim at a negative radius": edit("claims", 2, "radius", to=-1.0),
    "a claim without a value": edit("claims", 2, "value", to="0.5"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_together_is_refused(name: str, document: dict[str, Any], tmp_path: Path) -> None:
    changed = copy.deepcopy(document)
    REFUSED[name](changed)
    with pytest.raises(RunError, match=r"evidence"):
        verify_file(written(changed, tmp_path))


def test_any_change_after_writing_is_noticed(document: dict[str, Any], tmp_path: Path) -> None:
    changed = copy.deepcopy(document)
    changed["assumptions"][0] = "None."
    with pytest.raises(RunError, match="changed after it was written"):
        verify_file(written(changed, tmp_path, signed=False))


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"format": NaN}', "3", '"' + "[" * 3000, "[" * 100_000])
def test_files_that_are_no_evidence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "evidence.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RunError, match="evidence"):
        verify_file(path)
    with pytest.raises(RunError):
        verify_file(tmp_path / "absent.json")


def test_evidence_of_another_run_or_other_samples_is_refused(
    run: Run, document: dict[str, Any], tmp_path: Path
) -> None:
    certify_run(RunSpec.of(**{**SPEC, "seed": 1}), out=tmp_path / "other")
    path = written(document, tmp_path, signed=False)
    with pytest.raises(RunError, match=r"not from .* differ in seed"):
        verify_file(path, against=Run.open(tmp_path / "other"))
    changed = copy.deepcopy(document)
    sample = changed["sampled"]["measures"]["score"]["sample"]
    sample["cells"][-1] -= 1 if sample["cells"][-2] < sample["cells"][-1] - 1 else 0
    changed["sampled"]["measures"]["margin"]["sample"]["cells"][0] += 0
    changed["sampled"]["content_hash"] = "00" * 32
    with pytest.raises(RunError, match="are not those"):
        verify_file(written(changed, tmp_path), against=run)


def test_a_run_is_verified_and_its_accuracies_with_it(run: Run) -> None:
    done: list[tuple[int, int]] = []
    checks = verify_run(run, inputs=None, progress=lambda *at: done.append(at))
    assert done[-1] == (2, 2)
    assert all(check.ok for check in checks), [check for check in checks if not check.ok]
    assert sum("certified accuracy" in check.claim for check in checks) == 3 * 3 * 3 * 3  # measures, bounds, and so on
    assert sum("of all such inputs" in check.claim for check in checks) == 3 * 3 * 3 * 3
    few = verify_run(run, inputs=1)
    assert not [check for check in few if "certified accuracy" in check.claim]
    assert {check.claim.split(": ")[0] for check in few} <= {check.claim.split(": ")[0] for check in checks}


def test_samples_are_the_same_when_they_are_drawn_again(run: Run) -> None:
    again = [check for check in verify_run(run, inputs=2, resample=2) if "sampled again" in check.claim]
    assert [check.recomputed for check in again] == ["0 samples elsewhere"] * 2
    assert all(check.ok for check in again)
    one, other = (run.record(int(index)).samples for index in run.indices[:2])
    assert moved_samples(one, other) > 100


BUGS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "a band without its margin": lambda patch: patch.setitem(cdf.BANDS, "dkw", lambda counts, *, n, alpha: counts / n),
    "a third of the price": lambda patch: patch.setattr(plan, "check_alpha", lambda alpha, **_: alpha ** (1.0 / 3.0)),
    "binomial bounds at half the confidence": lambda patch: patch.setattr(
        clopper_pearson, "check_alpha", lambda alpha, **_: min(alpha * 100.0, 0.5)
    ),
    "a line above the shift function": lambda patch: patch.setattr(
        plan, "tangent_at", lambda *given: replace(line := tangent_at(*given), ceiling=line.ceiling + 0.02)
    ),
}


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_planted_in_the_fast_code_is_told(name: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    BUGS[name](monkeypatch)
    document = export_input(run, int(run.indices[0]), radii=[0.0, 0.25], thresholds=[])
    checks = verify_evidence(Evidence.of(document))
    assert not all(check.ok for check in checks)


def test_values_are_given_on_the_safe_side() -> None:
    assert cautious(0.123456, at_least=0.0) == 0.12344
    assert cautious(0.0, at_least=0.0) == 0.0
    assert cautious(-1.0, at_least=-1.0) == -1.0
    rng = np.random.default_rng(0)
    for value in rng.uniform(-1.0, 1.0, 200):
        assert value - 2.1e-5 <= cautious(value, at_least=-1.0) <= value - 0.9e-5


def test_what_holds_no_certificates_is_refused(run: Run, tmp_path: Path) -> None:
    certify_run(RunSpec.of(**{**SPEC, "n": None, "decide": "score:0.5@0.25", "limit": 1}), out=tmp_path / "decided")
    decided = Run.open(tmp_path / "decided")
    for call in (lambda: verify_run(decided), lambda: export_input(decided, int(decided.indices[0]))):
        with pytest.raises(RunError, match="order of the samples"):
            call()
    with pytest.raises(InvalidArgumentError, match="inputs"):
        verify_run(run, inputs=0)
    with pytest.raises(InvalidArgumentError, match="alpha"):
        export_input(run, int(run.indices[0]), alpha=0.7)
    with pytest.raises(RunError, match="no input with index"):
        export_input(run, 10**6)
