"""The page's tables: what is certified for the data set, what for each input, and where the numbers come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from smoothcert.analysis import BoundsTable, RunSummary, certified_accuracy, certified_fraction
from smoothcert.analysis.bounds_table import NO_LABEL
from smoothcert.bounds import ceil_decimals, floor_decimals
from smoothcert.report.wording import (
    accuracy_words,
    duration_words,
    estimate_words,
    percent,
    percent_interval,
    proportion_words,
    radius_words,
)
from smoothcert.runs.config import RunConfig


@dataclass(frozen=True)
class Share:
    """A fraction of the data set at one radius and threshold, ready to print."""

    measure: str
    bound: str
    threshold: float
    radius: float
    value: str
    interval: str


@dataclass(frozen=True)
class Column:
    """A column of the per-input table: its heading, and whether it holds words."""

    heading: str
    words: bool = False


@dataclass(frozen=True)
class Cell:
    """An entry of the per-input table: what is shown, and the number or text it is sorted by."""

    text: str
    key: float | str


@dataclass(frozen=True)
class InputRow:
    """One input: its cells and the words the filter looks for."""

    state: str
    cells: tuple[Cell, ...]


def shares(
    table: BoundsTable, *, measure: str, bound: str, radii: Sequence[float], thresholds: Sequence[float]
) -> list[Share]:
    """Certified accuracy, or without labels the certified fraction, for each threshold and radius."""
    if table.inputs.labelled.any():
        rows = certified_accuracy(table, measures=[measure], bounds=[bound], radii=radii, thresholds=thresholds)
        return [Share(measure, bound, row.threshold, row.radius, *accuracy_words(row)) for row in rows]
    found = certified_fraction(table, measure=measure, bound=bound, radii=radii, thresholds=thresholds)
    places = [(threshold, radius) for threshold in thresholds for radius in radii]
    return [
        Share(
            measure,
            bound,
            t,
            r,
            percent(share.count, share.inputs),
            percent_interval(share.ci_low, share.ci_high),
        )
        for (t, r), share in zip(places, found, strict=True)
    ]


def input_columns(*, measures: Sequence[str], radii: Sequence[float], radius: float, threshold: float) -> list[Column]:
    """Columns of the per-input table."""
    first = measures[0]
    return [
        Column("index"),
        *(Column(heading, words=True) for heading in ("input", "label", "prediction", "result")),
        Column("class radius"),
        *(Column(f"smoothed {measure}") for measure in measures),
        *(Column(f"{first} ≥ at {r:g}") for r in radii),
        Column(f"{first} ≤ at {radius:g}"),
        Column(f"radius for {first} > {threshold:g}"),
    ]


def input_rows(
    table: BoundsTable,
    *,
    measures: Sequence[str],
    bound: str,
    radii: Sequence[float],
    radius: float,
    threshold: float,
    class_names: Sequence[str] | None,
    at_most: int,
) -> list[InputRow]:
    """Rows of the per-input table, the first ``at_most`` inputs."""
    inputs, first = table.inputs, measures[0]
    lower = table.lower(measure=first, bound=bound, radii=radii)
    upper = table.upper(measure=first, bound=bound, radii=[radius])[:, 0]
    shown = min(len(inputs), at_most)
    reach = table.radius(measure=first, bound=bound, threshold=threshold, at_most=shown)
    smoothed = {measure: table.smoothed(measure) for measure in measures}
    class_radius = table.class_radius()

    def state(row: int) -> str:
        if inputs.abstained[row]:
            return "abstained"
        if inputs.labels[row] == NO_LABEL:
            return "no label"
        return "right" if inputs.right[row] else "wrong"

    def name(label: int) -> Cell:
        if label == NO_LABEL:
            return Cell("—", "—")
        text = class_names[label] if class_names is not None and label < len(class_names) else str(label)
        return Cell(text, text)

    def floored(value: float) -> Cell:
        return Cell(floor_decimals(value), float(value))

    return [
        InputRow(
            state(row),
            (
                Cell(str(inputs.indices[row]), float(inputs.indices[row])),
                Cell(inputs.ids[row], inputs.ids[row]),
                name(int(inputs.labels[row])),
                name(int(inputs.predictions[row])),
                Cell(state(row), state(row)),
                floored(class_radius[row]),
                *(floored(smoothed[measure][row]) for measure in measures),
                *(floored(value) for value in lower[row]),
                Cell(ceil_decimals(upper[row]), float(upper[row])),
                Cell(radius_words(float(reach[row])), float(np.minimum(reach[row], 1e9))),
            ),
        )
        for row in range(shown)
    ]


def summary_rows(found: RunSummary, *, expected: int | None) -> list[tuple[str, str, str]]:
    """Rows of the summary table: name, value, what it means."""
    of = f" of {expected:,} when finished" if expected is not None else ""
    stored = found.inputs + len(found.skipped)
    rows = [
        (
            "certified inputs",
            f"{found.inputs:,}",
            f"{stored:,} stored{of}" if expected != stored else "all of them",
        ),
        ("skipped inputs", f"{len(found.skipped):,}", "could not be read; in no fraction on this page"),
    ]
    if found.unlabelled:
        rows.append(("inputs without a label", f"{found.unlabelled:,}", "in no fraction that says right"))
    if found.accuracy is not None:
        rows.append(("accuracy", proportion_words(found.accuracy), "right and not abstained, no change of the input"))
    rows += [
        ("abstained", proportion_words(found.abstention), "no class certified even without a change"),
        ("mean class radius", estimate_words(found.mean_class_radius), "abstentions count as 0"),
        ("median class radius", estimate_words(found.median_class_radius), "abstentions count as 0"),
        ("mean smoothed score", estimate_words(found.mean_score), "an estimate, not a bound"),
        ("mean smoothed margin", estimate_words(found.mean_margin), "an estimate, not a bound"),
    ]
    if found.samples_per_second is not None:
        rate = f"{found.samples_per_second:,.0f} noisy samples a second"
        rows.append(("sampling time", duration_words(found.seconds), rate))
    return rows


def provenance_rows(config: RunConfig, *, alpha: float) -> list[tuple[str, str]]:
    """Everything that decided the numbers."""
    wanted: list[tuple[str, Any]] = [
        ("model", config.model),
        ("weights", config.weights),
        ("weights SHA-256", config.weights_hash),
        ("data", config.data),
        ("data fingerprint", config.data_fingerprint),
        ("split", config.split),
        ("limit", config.limit),
        ("stride", config.stride),
        ("resize", config.resize),
        ("image size", config.image_size),
        ("sigma", f"{config.sigma:g}"),
        ("pilot samples n0", f"{config.n0:,}"),
        ("estimation samples n", f"{config.n:,}"),
        ("alpha", f"{alpha:g}" if alpha == config.alpha else f"{alpha:g} (the run's own: {config.alpha:g})"),
        ("seed", config.seed),
        ("levels of the score grid", f"{config.levels:,}"),
        ("classes", config.num_classes),
        ("precision", config.precision),
        ("outputs", config.outputs),
        ("device", config.device),
        ("started", config.created),
        ("run fingerprint", config.fingerprint),
        ("versions", ", ".join(f"{name} {version}" for name, version in config.versions.items())),
    ]
    return [(name, str(value)) for name, value in wanted if value not in (None, "")]
