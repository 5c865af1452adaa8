"""What ``query`` asks of a run, as rows of exact numbers."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from smoothcert.analysis import bounds_table, certified_accuracy
from smoothcert.certificate import Certificate
from smoothcert.errors import DataError
from smoothcert.runs import Record, Run

Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Question:
    """What is asked.

    Args:
        measures: Some of ``score`` and ``margin``.
        bounds: Some of ``smoothcert.bounds.BOUNDS``.
        radii: L2 radii in input units.
        thresholds: Confidences that must be kept.
        alpha: Failure probability, or None for each run's own.
    """

    measures: list[str]
    bounds: list[str]
    radii: list[float]
    thresholds: list[float]
    alpha: float | None


def accuracy_rows(run: Run, question: Question) -> list[Row]:
    """Certified accuracies over the inputs of a run, one row a measure, bound, threshold and radius."""
    found = certified_accuracy(
        bounds_table(run, alpha=question.alpha),
        measures=question.measures,
        bounds=question.bounds,
        radii=question.radii,
        thresholds=question.thresholds,
    )
    return [{"run": str(run.path), **asdict(row)} for row in found]


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
    record = find_input(run, wanted)
    if record.samples is None:
        raise DataError(f"input {record.index} ({record.id}) was skipped: {record.error}")
    config = run.config
    found = Certificate.from_samples(record.samples, alpha=config.alpha if question.alpha is None else question.alpha)
    pairs = [(measure, bound) for measure in question.measures for bound in question.bounds]
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


def input_rows(answer: Row) -> list[Row]:
    """One input's answer as flat rows: bounds at radii, then radii at thresholds."""
    head = {key: answer[key] for key in ("run", "index", "id", "label", "prediction", "abstained", "class_radius")}
    empty = {"measure": None, "bound": None, "threshold": None, "radius": None, "lower": None, "upper": None}
    return [head | empty | row for row in (*answer["bounds"], *answer["radii"])]


def find_input(run: Run, wanted: str) -> Record:
    """The record of the input with this id, or else this index.

    Raises:
        DataError: If there is none.
    """
    first = None
    for table in run.tables(["index", "id"]):
        for row in table.to_pylist():
            first = first or row
            if row["id"] == wanted or (wanted.isdecimal() and row["index"] == int(wanted)):
                return run.record(row["index"])
    example = f"; an id there is {first['id']!r}, its index {first['index']}" if first else "; the run is empty"
    raise DataError(f"{run.path} holds no input {wanted!r}{example}")
