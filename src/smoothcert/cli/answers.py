"""What ``query`` says of a run, as rows of exact numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from smoothcert.analysis import BoundsTable, certified_accuracy, class_certified_accuracy, population_lower
from smoothcert.analysis.certified_accuracy import CLASS, CLASS_BOUND
from smoothcert.analysis.inputs import NO_LABEL
from smoothcert.analysis.joint import EACH
from smoothcert.bounds import exact_text
from smoothcert.certificate import Certificate
from smoothcert.cli.asking import Inquiry
from smoothcert.cli.printing import Row
from smoothcert.errors import DataError
from smoothcert.runs import Record, Run
from smoothcert.runs.config import IMPORTED
from smoothcert.samples import Samples


def accuracy_rows(inquiry: Inquiry) -> list[Row]:
    """Certified accuracies over the inputs of a run, one row per measure, bound, threshold and radius.

    For the measure ``class`` there is one row per radius: right, and the class cannot change; no threshold is meant.
    Where no input has a label, the fractions are of inputs certified, right or wrong. ``n`` is the number of samples
    that every input has; some may have more in a run that is growing. ``unlabelled``, ``skipped`` and ``missing`` count
    inputs that are in no fraction.
    """
    groups = len(inquiry.measures)
    rows: list[Row] = []
    for measure in inquiry.measures:
        if measure == CLASS:
            table = inquiry.table_at(inquiry.share(CLASS, CLASS_BOUND, groups=groups))
            rows += _class_rows(table, inquiry.radii)
            continue
        for bound in inquiry.bounds:
            found = certified_accuracy(
                inquiry.table_at(inquiry.share(measure, bound, groups=groups)),
                measures=[measure],
                bounds=[bound],
                radii=inquiry.radii,
                thresholds=inquiry.thresholds,
            )
            rows += [asdict(row) for row in found]
    least = min(inquiry.table.sizes, default=inquiry.run.config.n)
    run, inputs = inquiry.run, inquiry.table.inputs
    beside = {
        "unlabelled": len(inputs) - int(inputs.counted.sum()),
        "skipped": len(inputs.skipped),
        "missing": run.missing,
    }
    return [{"run": run.label, "joint": inquiry.joint, "n": least, **row, **beside} for row in rows]


def _class_rows(table: BoundsTable, radii: list[float]) -> list[Row]:
    found = class_certified_accuracy(table, radii=radii)
    least = population_lower([share.count for share in found], found[0].inputs, table.alpha)
    return [
        {
            "measure": CLASS,
            "bound": CLASS_BOUND,
            "threshold": None,
            "radius": radius,
            "certified_accuracy": share.value,
            "ci_low": share.ci_low,
            "ci_high": share.ci_high,
            "inputs": share.inputs,
            "alpha": table.alpha,
            "labelled": table.inputs.has_labels,
            "population_lower": float(low),
        }
        for radius, share, low in zip(radii, found, least, strict=True)
    ]


def input_answer(inquiry: Inquiry, wanted: str) -> Row:
    """Everything certified about one input: its class radius, bounds at radii, radii at thresholds.

    A certified radius is None where no radius is too large, because the threshold lies below the measure's range.
    Jointly, the class radius and everything one bound says of the input hold together.

    Args:
        inquiry: What is asked.
        wanted: The input, see :meth:`smoothcert.runs.Run.find`.

    Raises:
        RunError: If the run does not hold the input.
        DataError: If it was skipped.
    """
    run, config = inquiry.run, inquiry.run.config
    index = run.find(wanted)
    certified = _imported(inquiry, index) if config.kind == IMPORTED else _sampled(inquiry, wanted)
    prediction = certified["prediction"]
    return {
        "run": run.label,
        "index": index,
        **certified,
        "class_name": config.class_names[prediction] if config.class_names and prediction is not None else None,
        "sigma": config.sigma,
        "n0": config.n0,
        "joint": inquiry.joint,
    }


def _sampled(inquiry: Inquiry, wanted: str) -> Row:
    record, samples = sampled_record(inquiry.run, wanted)
    radii, groups = inquiry.radii, 1 + len(inquiry.named)
    made: dict[float, Certificate] = {}

    def certificate(alpha: float) -> Certificate:
        if alpha not in made:  # of a share the noise is paid already
            price = None if inquiry.joint == EACH else 0.0
            made[alpha] = Certificate.from_samples(samples, alpha=alpha, price=price)
        return made[alpha]

    bounds, found, means = [], [], {}
    for measure in inquiry.named:
        for bound in inquiry.bounds:
            alpha = inquiry.share(measure, bound, groups=groups, searched=True, uppers=True)
            own = certificate(alpha).measure(measure)
            means[f"mean_{measure}"] = own.mean
            named = {"measure": measure, "bound": bound, "alpha": alpha}
            bounds += [
                {**named, "radius": radius, "lower": float(low), "upper": float(high)}
                for radius, low, high in zip(radii, own.lower(radii, bound), own.upper(radii, bound), strict=True)
            ]
            found += [
                {**named, "threshold": threshold, "radius": _finite(own.radius(threshold, bound))}
                for threshold in inquiry.thresholds
            ]
    whole = certificate(inquiry.share(CLASS, CLASS_BOUND, groups=groups))
    return {
        "id": record.id,
        "label": record.label,
        "prediction": whole.prediction,
        "n": samples.n,
        "abstained": whole.abstained,
        "class_radius": whole.class_radius,
        "alpha": inquiry.table.alpha,
        "alpha_class_radius": whole.alpha,
        **means,
        "bounds": bounds,
        "radii": found,
    }


def _imported(inquiry: Inquiry, index: int) -> Row:
    """What a log says about one input: lower bounds, the largest of its radii for each threshold."""
    _require_each(inquiry)
    table, inputs = inquiry.table, inquiry.table.inputs
    row = inputs.indices.tolist().index(index)
    bounds, radii = [], []
    for measure in inquiry.named:
        for bound in inquiry.bounds:
            named = {"measure": measure, "bound": bound, "alpha": table.alpha}
            lower = table.lower(measure=measure, bound=bound, radii=inquiry.radii)[row]
            bounds += [
                {**named, "radius": radius, "lower": float(low), "upper": None}
                for radius, low in zip(inquiry.radii, lower, strict=True)
            ]
            for threshold in inquiry.thresholds:
                radius = float(table.radius(measure=measure, bound=bound, threshold=threshold)[row])
                radii.append({**named, "threshold": threshold, "radius": _finite(radius)})
    abstained = bool(inputs.abstained[row])
    return {
        "id": inputs.ids[row],
        "label": int(inputs.labels[row]),
        "prediction": None if abstained else int(inputs.predictions[row]),
        "n": inquiry.run.config.n,
        "abstained": abstained,
        "class_radius": float(table.class_radius()[row]) if table.answers.class_radius else None,
        "alpha": table.alpha,
        "alpha_class_radius": table.alpha,
        "bounds": bounds,
        "radii": radii,
    }


def input_rows(answer: Row) -> list[Row]:
    """One input's answer as flat rows: bounds at radii, then radii at thresholds."""
    head = {key: answer[key] for key in ("run", "index", "id", "label", "prediction", "abstained", "class_radius")}
    empty = dict.fromkeys(("measure", "bound", "alpha", "threshold", "radius", "lower", "upper"))
    return [head | empty | row for row in (*answer["bounds"], *answer["radii"])]


def per_input_rows(inquiry: Inquiry) -> list[Row]:
    """One flat row per input: the prediction, class radius, lower bounds at radii, certified radii at thresholds.

    Columns of bounds are named ``score_dual_lower_at_0.25`` and ``score_dual_radius_above_0.5``; a radius is None where
    the threshold lies below the measure's range. Inputs that were skipped have nothing but a reason.
    """
    run, config, groups = inquiry.run, inquiry.run.config, 1 + len(inquiry.named)
    if config.kind == IMPORTED:
        _require_each(inquiry)
    whole = inquiry.table_at(inquiry.share(CLASS, CLASS_BOUND, groups=groups))
    found: dict[str, Sequence[Any]] = {}
    if whole.answers.class_radius:
        found["class_radius"] = whole.class_radius().tolist()
    for measure in inquiry.named:
        if whole.answers.smoothed:
            found[f"{measure}_mean"] = whole.smoothed(measure).tolist()
        for bound in inquiry.bounds:
            table = inquiry.table_at(inquiry.share(measure, bound, groups=groups, searched=True))
            lower = table.lower(measure=measure, bound=bound, radii=inquiry.radii)
            for radius, values in zip(inquiry.radii, lower.T, strict=True):
                found[f"{measure}_{bound}_lower_at_{exact_text(radius)}"] = values.tolist()
            for threshold in inquiry.thresholds:
                radii = table.radius(measure=measure, bound=bound, threshold=threshold)
                found[f"{measure}_{bound}_radius_above_{exact_text(threshold)}"] = [_finite(r) for r in radii.tolist()]
    inputs = whole.inputs
    rows = [
        {
            "run": run.label,
            "index": int(inputs.indices[row]),
            "id": inputs.ids[row],
            "label": None if inputs.labels[row] == NO_LABEL else int(inputs.labels[row]),
            **_predicted(run, int(inputs.predictions[row]), abstained=bool(inputs.abstained[row])),
            "sigma": config.sigma,
            "alpha": inquiry.table.alpha,
            "joint": inquiry.joint,
            "n0": config.n0,
            "n": int(inputs.sizes[row]),
            **{name: values[row] for name, values in found.items()},
            "error": None,
        }
        for row in range(len(inputs))
    ]
    return sorted([*rows, *skipped_rows(run)], key=lambda row: row["index"])


def _predicted(run: Run, prediction: int, *, abstained: bool) -> Row:
    """The class; a published log gives none where it abstains."""
    known = None if prediction < 0 else prediction
    names = run.config.class_names
    name = {"class_name": None if known is None else names[known]} if names else {}
    return {"prediction": known, **name, "abstained": abstained}


def skipped_rows(run: Run) -> Iterator[Row]:
    """What is known of the inputs that could not be read."""
    for record in run.skipped:
        yield {
            "run": run.label,
            "index": record.index,
            "id": record.id,
            "label": record.label,
            "error": record.error,
        }


def sampled_record(run: Run, wanted: str) -> tuple[Record, Samples]:
    """The record of an input, see :meth:`smoothcert.runs.Run.find`, and what was sampled.

    Raises:
        RunError: If there is none.
        DataError: If it was skipped.
    """
    record = run.record(run.find(wanted))
    if record.samples is None:
        raise DataError(f"input {record.index} ({record.id}) was skipped: {record.error}")
    return record, record.samples


def _require_each(inquiry: Inquiry) -> None:
    if inquiry.joint != EACH:
        raise DataError("a published log holds each bound at its own alpha: leave out --joint")


def _finite(radius: float) -> float | None:
    return radius if math.isfinite(radius) else None
