"""Evidence of a whole run: what it found, on what assumptions, and hashes of the files it follows from.

A JSON object of schema 1, small whatever the number of inputs; the samples stay in the run's own files.

- ``format``: ``"smoothcert run evidence"``; ``schema``: 1; ``written_by``: name and version of what wrote it.
- ``method``: what was computed, in words and numbers, and each bound in words.
- ``assumptions``: what the numbers rest on beside the samples, a sentence each.
- ``run``: ``fingerprint``, the SHA-256 of the canonical JSON of ``defining``; ``model``, ``data``, ``notes``,
  ``created``, ``versions``, ``device``.
- ``results``: ``inputs``, ``accuracy``, ``abstention``, means, and ``certified_accuracy``, a row per measure, bound,
  threshold and radius.
- ``files``: SHA-256 of each file of the run, by its path in the folder.
- ``records``: SHA-256 over the index and the checksum of every record, which stays the same when parts are merged.
- ``checksum``: SHA-256 of the canonical JSON of all of the above.

Whoever has the run can make the object again, and so checks every number and word in it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from smoothcert._version import __version__
from smoothcert.analysis import BoundsTable, bounds_table, certified_accuracy, class_certified_accuracy, proportion
from smoothcert.analysis.certified_accuracy import CLASS, CLASS_BOUND, DEFAULT_BOUNDS, population_lower
from smoothcert.bounds import bound_named
from smoothcert.errors import RunError
from smoothcert.files import read_file
from smoothcert.runs import Run
from smoothcert.runs.records import CHECKSUM
from smoothcert.runs.store import CONFIG, PARTS
from smoothcert.urls import AnyPath, to_path
from smoothcert.verify.checks import Check
from smoothcert.verify.evidence import assumptions, checksum, described, require_certificates

FORMAT, SCHEMA = "smoothcert run evidence", 1
DEFAULT_THRESHOLDS = (0.5, 0.7, 0.9)
_CLOSE = 1e-9  # of numbers that another machine computes
_TOP = ("method", "assumptions", "run", "results", "files", "records")


def default_radii(sigma: float) -> tuple[float, ...]:
    """Radii of 0, 1 and 2 sigma: as far as 10,000 samples reach."""
    return (0.0, sigma, 2.0 * sigma)


def export_run(
    run: Run,
    *,
    radii: Sequence[float] | None = None,
    thresholds: Sequence[float] = DEFAULT_THRESHOLDS,
    bounds: Sequence[str] = DEFAULT_BOUNDS,
    alpha: float | None = None,
) -> dict[str, Any]:
    """Evidence of everything a run found; see the module for what it holds.

    Args:
        run: A run that sampled its inputs.
        radii: L2 radii, in input units. None for 0, 1 and 2 sigma.
        thresholds: Values that must be exceeded.
        bounds: Names of the bounds.
        alpha: Instead of the run's own.

    Raises:
        InvalidArgumentError: If a radius, a threshold, a bound or ``alpha`` is outside its domain.
        DataError: If the run holds no certified input.
        RunError: If it holds no samples, or is damaged.
    """
    require_certificates(run.config)
    files = {name: hashlib.sha256(content).hexdigest() for name, content in run_files(run)}
    table = bounds_table(run, alpha=alpha)
    table.require_inputs()
    config, sampling = run.config, run.config.spec.sampling
    step, offset = _noise(run)
    document = {
        "format": FORMAT,
        "schema": SCHEMA,
        "written_by": f"smoothcert {__version__}",
        "method": {
            "name": "randomized smoothing: certified bounds on the average score under Gaussian noise",
            "norm": "L2, in the units of the inputs",
            "sigma": config.sigma,
            "noise": sampling.noise if step is None else f"Gaussian on the lattice of step {step!r}",
            "n0": config.n0,
            "n": min(table.sizes),
            "alpha": table.alpha,
            "seed": config.seed,
            "bounds": {name: f"{bound_named(name).label}; holds {bound_named(name).holds}" for name in bounds},
        },
        "assumptions": [
            *assumptions(config, sigma=config.sigma, step=step, price=table.price, offset=offset, alpha=table.alpha),
            "Certified accuracy is the fraction of the labelled inputs (of all, where none has a label) that is right "
            "and certified, abstentions counted as wrong; population_lower is what it is at least of all such inputs "
            "with 95% confidence, wrong certificates included, if these were drawn from them independently.",
        ],
        "run": {
            **described(run),
            "created": config.created,
            "versions": dict(config.versions),
            "device": config.device,
        },
        "results": _results(run, table, radii or default_radii(config.sigma), thresholds, bounds),
        "files": files,
        "records": _records(run),
    }
    return {**document, "checksum": checksum(document)}


def run_files(run: Run) -> Iterator[tuple[str, bytes]]:
    """Every file that a run consists of: its path in the folder and its bytes, the configuration first.

    Raises:
        RunError: If one cannot be read, or they lie in several folders.
    """
    if run.members:
        raise RunError(f"{run.label} are shares of one run: put them together first (smoothcert merge)")
    try:
        for path in run.files():
            yield path.name if path.name == CONFIG else f"{PARTS}/{path.name}", read_file(path)
    except OSError as error:
        raise RunError(f"a file of {run.path} cannot be read: {error.strerror or error}") from error


def read_run_evidence(path: AnyPath | str) -> dict[str, Any] | None:
    """The object in a file, if it is evidence of a whole run; None if it is something else.

    Raises:
        RunError: If it cannot be read, has another schema, or was changed after it was written.
    """
    try:
        document = json.loads(read_file(to_path(path)).decode("utf-8"))
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        return None
    if document.get("schema") != SCHEMA:
        raise RunError(f"{path} has schema {document.get('schema')!r}, and this smoothcert reads schema {SCHEMA}")
    run = document.get("run")
    try:
        whole = checksum({name: value for name, value in document.items() if name != "checksum"})
        defining = checksum(run["defining"]) if isinstance(run, dict) and isinstance(run.get("defining"), dict) else ""
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is no evidence: {error}") from error
    if whole != document.get("checksum"):
        raise RunError(f"{path} was changed after it was written: its checksum is another")
    if not isinstance(run, dict) or defining != run.get("fingerprint"):
        raise RunError(f"{path} is no evidence: what defines the run does not have the run's fingerprint")
    return document


def verify_run_evidence(document: Mapping[str, Any], run: Run) -> list[Check]:
    """Compare evidence of a run with what the run holds: every hash, number and word.

    Args:
        document: What :func:`read_run_evidence` gave.
        run: The run it is said to be of.

    Returns:
        One check per entry: what is claimed, and what the run gives.

    Raises:
        RunError: If the evidence does not say what was asked, or the run is another one or damaged.
    """
    if document["run"]["fingerprint"] != run.config.fingerprint:
        raise RunError(f"the evidence is not of {run.path}: their fingerprints differ")
    again = export_run(run, **_asked(document))
    checks = []
    for name in _TOP:
        claimed, found = dict(_leaves(document.get(name), name)), dict(_leaves(again[name], name))
        for entry in dict.fromkeys([*claimed, *found]):
            mine, theirs = claimed.get(entry, "nothing"), found.get(entry, "nothing")
            checks.append(Check(entry, mine, theirs, _same(mine, theirs)))
    unknown = document.keys() - again.keys()
    return [*checks, *(Check(name, "something", "nothing", False) for name in sorted(unknown))]


def _asked(document: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked for when the evidence was written, from its rows."""
    try:
        rows = [row for row in document["results"]["certified_accuracy"] if row["measure"] != CLASS]
        lists: dict[str, list[Any]] = {
            name: list(dict.fromkeys(row[name] for row in rows)) for name in ("radius", "threshold", "bound")
        }
        alpha = document["method"]["alpha"]
        bounds = [bound for bound in document["method"]["bounds"] if isinstance(bound, str)]
        if not all(type(value) in (int, float) for name in ("radius", "threshold") for value in lists[name]):
            raise TypeError
    except (TypeError, KeyError) as error:
        raise RunError("the evidence does not say which bounds, radii and thresholds it is about") from error
    return {"radii": lists["radius"], "thresholds": lists["threshold"], "bounds": bounds, "alpha": alpha}


def _results(
    run: Run, table: BoundsTable, radii: Sequence[float], thresholds: Sequence[float], bounds: Sequence[str]
) -> dict[str, Any]:
    inputs = table.inputs
    labelled, total = int(inputs.labelled.sum()), len(inputs)
    shares = {"abstention": (int(inputs.abstained.sum()), total)}
    if labelled:
        shares = {"accuracy": (int(inputs.right.sum()), labelled)} | shares
    found: dict[str, Any] = {
        "inputs": {"certified": total, "labelled": labelled, "skipped": len(run.skipped), "expected": run.expected}
    }
    for name, (count, of) in shares.items():
        share = proportion(count, inputs=of)
        found[name] = {"value": share.value, "ci_low": share.ci_low, "ci_high": share.ci_high}
    found["mean_class_radius"] = float(np.mean(table.class_radius()))
    found["mean"] = {name: float(np.mean(table.smoothed(name))) for name in table.answers.measures}
    kept = class_certified_accuracy(table, radii=radii)
    least = population_lower([share.count for share in kept], kept[0].inputs, table.alpha)
    rows = [
        _row(CLASS, CLASS_BOUND, None, radius, share.value, share.ci_low, share.ci_high, float(low))
        for radius, share, low in zip(radii, kept, least, strict=True)
    ]
    for row in certified_accuracy(table, bounds=bounds, radii=radii, thresholds=thresholds):
        share_of = (row.certified_accuracy, row.ci_low, row.ci_high, row.population_lower)
        rows.append(_row(row.measure, row.bound, row.threshold, row.radius, *share_of))
    return {**found, "certified_accuracy": rows}


def _row(
    measure: str,
    bound: str,
    threshold: float | None,
    radius: float,
    value: float,
    ci_low: float,
    ci_high: float,
    least: float,
) -> dict[str, Any]:
    asked = {"measure": measure, "bound": bound, "threshold": threshold, "radius": float(radius)}
    return {**asked, "certified_accuracy": value, "ci_low": ci_low, "ci_high": ci_high, "population_lower": least}


def _noise(run: Run) -> tuple[float | None, float]:
    """Step of the lattice that all inputs share, if they do, and how far at most an input lay from its lattice."""
    steps, offsets = set(), [0.0]
    for table in run.tables(["step", "offset", "error"]):
        for row in table.to_pylist():
            if row["error"] is None:
                steps.add(row["step"])
                offsets.append(row["offset"] or 0.0)
    return (steps.pop() if len(steps) == 1 else None), max(offsets)


def _records(run: Run) -> str:
    """SHA-256 over the index and the checksum of every record, by ascending index."""
    sha = hashlib.sha256()
    for table in run.tables(["index", CHECKSUM]):
        for row in table.to_pylist():
            sha.update(f"{row['index']}:{(row[CHECKSUM] or b'').hex()}\n".encode())
    return sha.hexdigest()


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every number and word in a value, with its place in words."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}: {key}")
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from _leaves(inner, f"{name}[{position}]" if not isinstance(inner, dict) else _row_name(inner, name))
        yield f"{name}: entries", len(value)
    else:
        yield name, value


def _row_name(row: Mapping[str, Any], name: str) -> str:
    asked = [f"{key} {row[key]}" for key in ("measure", "bound", "threshold", "radius") if row.get(key) is not None]
    return f"{name}: {', '.join(asked)}"


def _same(claimed: object, found: object) -> bool:
    if isinstance(claimed, float) and isinstance(found, float):
        return math.isclose(claimed, found, rel_tol=_CLOSE, abs_tol=_CLOSE)
    return type(claimed) is type(found) and claimed == found
