"""What ``query`` asks of a run, as rows of exact numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from smoothcert.analysis import BoundsTable, bounds_table, certified_accuracy, class_certified_accuracy
from smoothcert.analysis.certified_accuracy import DEFAULT_BOUNDS
from smoothcert.bounds import split_alpha
from smoothcert.certificate import Certificate
from smoothcert.cli.printing import Row
from smoothcert.errors import DataError
from smoothcert.runs import Record, Run
from smoothcert.runs.config import IMPORTED
from smoothcert.samples import Samples
from smoothcert.scores import MEASURES

CLASS = "class"
"""Measure of Cohen et al.: the class itself is kept, at no threshold."""


@dataclass(frozen=True)
class Question:
    """What is asked.

    Args:
        measures: Some of ``score``, ``margin`` and ``class``, or None for what each run holds.
        bounds: Some of ``smoothcert.bounds.BOUNDS``, or None for what each run holds.
        radii: L2 radii in input units.
        thresholds: Confidences that must be kept.
        alpha: Failure probability, or None for each run's own.
        joint: What it is the failure probability of: ``"each"`` statement on its own, all statements about an
            ``"input"`` together, or all about the whole ``"dataset"``.
    """

    measures: Sequence[str] | None
    bounds: Sequence[str] | None
    radii: Sequence[float]
    thresholds: Sequence[float]
    alpha: float | None
    joint: str = "each"


def accuracy_rows(run: Run, question: Question) -> list[Row]:
    """Certified accuracies over the inputs of a run, one row a measure, bound, threshold and radius.

    For the measure ``class`` there is one row a radius: right, and the class cannot change; no threshold is meant.
    """
    whole = bounds_table(run, alpha=question.alpha)
    measures = question.measures or list(whole.answers.measures) or [CLASS]

    def table_for(bound: str) -> BoundsTable:
        if question.joint == "each":
            return whole
        return bounds_table(run, alpha=_alpha_of_each(whole, question, bound, measures=len(measures)))

    rows: list[Row] = []
    for measure in measures:
        if measure == CLASS:
            rows += _class_rows(table_for("clopper_pearson"), question.radii)
            continue
        for bound in question.bounds or _default_bounds(whole):
            found = certified_accuracy(
                table_for(bound),
                measures=[measure],
                bounds=[bound],
                radii=question.radii,
                thresholds=question.thresholds,
            )
            rows += [asdict(row) for row in found]
    return [{"run": str(run.path), "joint": question.joint, **row} for row in rows]


def _alpha_of_each(table: BoundsTable, question: Question, bound: str, *, measures: int) -> float:
    """Failure probability at which each bound must be made. Only the dual bound is one statement a radius."""
    return split_alpha(
        table.alpha,
        radii=len(set(question.radii)) if bound == "dual" else 1,
        measures=measures,
        inputs=max(len(table.inputs), 1) if question.joint == "dataset" else 1,
    )


def _default_bounds(table: BoundsTable) -> list[str]:
    """The usual bounds the table has; all the usual ones if it has none, so that it says what it has instead."""
    return [bound for bound in DEFAULT_BOUNDS if bound in table.answers.bounds] or list(DEFAULT_BOUNDS)


def _class_rows(table: BoundsTable, radii: Sequence[float]) -> list[Row]:
    found = class_certified_accuracy(table, radii=radii)
    return [
        {
            "measure": CLASS,
            "bound": "clopper_pearson",
            "threshold": None,
            "radius": radius,
            "certified_accuracy": share.value,
            "ci_low": share.ci_low,
            "ci_high": share.ci_high,
            "inputs": share.inputs,
            "alpha": table.alpha,
        }
        for radius, share in zip(radii, found, strict=True)
    ]


def input_answer(run: Run, question: Question, wanted: str) -> Row:
    """Everything certified about one input: its class radius, bounds at radii, radii at thresholds.

    A certified radius is None where no radius is too large, because the threshold lies below the measure's
    range.

    Args:
        run: The run.
        question: What is asked.
        wanted: Id of the input, or its index in the source.

    Raises:
        DataError: If the run does not hold the input, or it was skipped.
    """
    if run.config.kind == IMPORTED:
        return _imported_answer(run, question, find_index(run, wanted))
    config, record, samples = run.config, *sampled_record(run, wanted)
    found = Certificate.from_samples(samples, alpha=config.alpha if question.alpha is None else question.alpha)
    asked = [measure for measure in question.measures or MEASURES if measure != CLASS]
    pairs = [(measure, bound) for measure in asked for bound in question.bounds or DEFAULT_BOUNDS]
    bounds = []
    radii = []
    for measure, bound in pairs:
        certificate = found.measure(measure)
        lower, upper = (
            certificate.lower(question.radii, bound=bound),
            certificate.upper(question.radii, bound=bound),
        )
        bounds += [
            {"measure": measure, "bound": bound, "radius": radius, "lower": float(low), "upper": float(high)}
            for radius, low, high in zip(question.radii, lower, upper, strict=True)
        ]
        for threshold in question.thresholds:
            radius = float(certificate.radius(threshold, bound=bound))
            radii.append(
                {
                    "measure": measure,
                    "bound": bound,
                    "threshold": threshold,
                    "radius": radius if math.isfinite(radius) else None,
                }
            )
    return {
        "run": str(run.path),
        "index": record.index,
        "id": record.id,
        "label": record.label,
        "prediction": found.prediction,
        "class_name": config.class_names[found.prediction] if config.class_names else None,
        "abstained": found.abstained,
        "class_radius": found.class_radius,
        "alpha": found.alpha,
        "sigma": found.sigma,
        "n0": found.n0,
        "n": found.n,
        "mean_score": found.score.mean,
        "mean_margin": found.margin.mean,
        "bounds": bounds,
        "radii": radii,
    }


def _imported_answer(run: Run, question: Question, index: int) -> Row:
    """What the log says about one input: lower bounds, the largest of its radii for each threshold."""
    table = bounds_table(run, alpha=question.alpha)
    config, inputs, holds = run.config, table.inputs, table.answers
    row = inputs.indices.tolist().index(index)
    abstained = bool(inputs.abstained[row])
    prediction = None if abstained else int(inputs.predictions[row])
    asked = [measure for measure in question.measures or holds.measures if measure != CLASS]
    pairs = [(measure, bound) for measure in asked for bound in question.bounds or _default_bounds(table)]
    bounds, radii = [], []
    for measure, bound in pairs:
        named = {"measure": measure, "bound": bound}
        lower = table.lower(measure=measure, bound=bound, radii=question.radii)[row]
        bounds += [
            {**named, "radius": radius, "lower": float(low), "upper": None}
            for radius, low in zip(question.radii, lower, strict=True)
        ]
        for threshold in question.thresholds:
            radius = float(table.radius(measure=measure, bound=bound, threshold=threshold)[row])
            radii.append({**named, "threshold": threshold, "radius": radius if math.isfinite(radius) else None})
    return {
        "run": str(run.path),
        "index": index,
        "id": inputs.ids[row],
        "label": int(inputs.labels[row]),
        "prediction": prediction,
        "class_name": None,
        "abstained": abstained,
        "class_radius": float(table.class_radius()[row]) if holds.class_radius else None,
        "alpha": table.alpha,
        "sigma": table.sigma,
        "n0": config.n0,
        "n": config.n,
        "mean_score": None,
        "mean_margin": None,
        "bounds": bounds,
        "radii": radii,
    }


def input_rows(answer: Row) -> list[Row]:
    """One input's answer as flat rows: bounds at radii, then radii at thresholds."""
    head = {key: answer[key] for key in ("run", "index", "id", "label", "prediction", "abstained", "class_radius")}
    empty = {"measure": None, "bound": None, "threshold": None, "radius": None, "lower": None, "upper": None}
    return [head | empty | row for row in (*answer["bounds"], *answer["radii"])]


def sampled_record(run: Run, wanted: str) -> tuple[Record, Samples]:
    """The record of the input with this id, or else this index, and what was sampled.

    Raises:
        DataError: If there is none, or it was skipped.
    """
    record = run.record(find_index(run, wanted))
    if record.samples is None:
        raise DataError(f"input {record.index} ({record.id}) was skipped: {record.error}")
    return record, record.samples


def find_index(run: Run, wanted: str) -> int:
    """Index of the input with this id, or else this index.

    Raises:
        DataError: If there is none.
    """
    first = None
    for table in run.tables(["index", "id"]):
        for row in table.to_pylist():
            first = first or row
            if row["id"] == wanted or (wanted.isdecimal() and row["index"] == int(wanted)):
                return int(row["index"])
    example = f"; an id there is {first['id']!r}, its index {first['index']}" if first else "; the run is empty"
    raise DataError(f"{run.path} holds no input {wanted!r}{example}")
