"""The page's tables: what is certified for the data set, what for each input, and where the numbers come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from smoothcert.analysis import (
    Askable,
    BoundsTable,
    RunSummary,
    certified_accuracy,
    class_certified_accuracy,
    population_lower,
)
from smoothcert.analysis.certified_accuracy import CLASS
from smoothcert.analysis.inputs import NO_LABEL
from smoothcert.bounds import ceil_decimals, floor_decimals
from smoothcert.report.wording import (
    accuracy_words,
    count_words,
    duration_words,
    estimate_words,
    percent_below,
    proportion_pair,
    proportion_words,
    radius_words,
    samples_words,
    step_words,
)
from smoothcert.runs.config import IMPORTED, RunConfig
from smoothcert.typing import FloatArray

_SOFTWARE = ("smoothcert", "torch", "onnxruntime", "openvino")
# What nobody knows of a published log.
_NOT_OF_A_LOG = ("seed", "levels of the score grid", "precision", "outputs", "device")


@dataclass(frozen=True)
class Share:
    """A fraction of the data set at one radius and threshold, ready to print."""

    measure: str
    bound: str
    threshold: float
    radius: float
    value: str
    interval: str
    least: str  # of all such inputs, wrong certificates included


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
    """Certified accuracy, or without labels the certified fraction, for each threshold and radius.

    The measure ``"class"`` is kept where the class is: more than half of the votes, whatever the threshold named.
    """
    if measure == CLASS:
        kept = class_certified_accuracy(table, radii=radii)
        least = [float(population_lower(p.count, p.inputs, table.alpha)) for p in kept]
        return [
            Share(measure, bound, thresholds[0], r, *proportion_pair(p), percent_below(low))
            for r, p, low in zip(radii, kept, least, strict=True)
        ]
    rows = certified_accuracy(table, measures=[measure], bounds=[bound], radii=radii, thresholds=thresholds)
    return [
        Share(measure, bound, row.threshold, row.radius, *accuracy_words(row), percent_below(row.population_lower))
        for row in rows
    ]


def input_columns(
    answers: Askable, *, measures: Sequence[str], radii: Sequence[float], radius: float, threshold: float
) -> list[Column]:
    """Columns of the per-input table: what the run can say about one input."""
    first = measures[0] if measures else None
    return [
        Column("index"),
        *(Column(heading, words=True) for heading in ("input", "label", "prediction", "result")),
        *([Column("class radius")] if answers.class_radius else []),
        *(Column(f"smoothed {measure}") for measure in measures if answers.smoothed),
        *(Column(f"{first} ≥ at {r:g}") for r in radii if first),
        *([Column(f"{first} ≤ at {radius:g}")] if first and answers.upper else []),
        *([Column(f"radius for {first} > {threshold:g}")] if first else []),
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
    inputs, answers = table.inputs, table.answers
    shown = min(len(inputs), at_most)
    numbers: list[tuple[Callable[[float], str], FloatArray]] = []  # how a column is rounded, and its values
    if answers.class_radius:
        numbers.append((floor_decimals, table.class_radius()))
    if answers.smoothed:
        numbers += [(floor_decimals, table.smoothed(measure)) for measure in measures]
    if measures:
        first = measures[0]
        numbers += [(floor_decimals, column) for column in table.lower(measure=first, bound=bound, radii=radii).T]
        if answers.upper:
            numbers.append((ceil_decimals, table.upper(measure=first, bound=bound, radii=[radius])[:, 0]))
        numbers.append((radius_words, table.radius(measure=first, bound=bound, threshold=threshold, at_most=shown)))

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

    return [
        InputRow(
            state(row),
            (
                Cell(str(inputs.indices[row]), float(inputs.indices[row])),
                Cell(inputs.ids[row], inputs.ids[row]),
                name(int(inputs.labels[row])),
                name(int(inputs.predictions[row])),
                Cell(state(row), state(row)),
                *(Cell(words(float(v[row])), float(np.minimum(v[row], 1e9))) for words, v in numbers),
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
    rows.append(("abstained", proportion_words(found.abstention), "no class certified even without a change"))
    estimates = [
        ("mean class radius", found.mean_class_radius, "abstentions count as 0"),
        ("median class radius", found.median_class_radius, "abstentions count as 0"),
        *((f"mean smoothed {name}", mean, "an estimate, not a bound") for name, mean in found.means.items()),
    ]
    rows += [(name, estimate_words(value), meaning) for name, value, meaning in estimates if value is not None]
    if found.samples_per_second is not None:
        rate = f"{found.samples_per_second:,.0f} noisy samples a second"
        rows.append(("sampling time", duration_words(found.seconds), rate))
    return rows


def facts(
    config: RunConfig, inputs: int, *, step: float | None, sizes: Mapping[int, int] | None = None
) -> list[tuple[str, str]]:
    """What a reader must know before any number: what was certified, on what, under which noise, when and by what.

    ``sizes`` says how many inputs hold how many samples.
    """
    samples = samples_words(sizes or {config.n: inputs})
    sampled = config.kind != IMPORTED
    pilot = f"{config.n0:,} pilot + " if sampled else ""
    noise = "in floating point" if step is None else f"exact, on the lattice of step {step_words(step)}"
    software = ", ".join(f"{name} {config.versions[name]}" for name in _SOFTWARE if name in config.versions)
    wanted = [
        ("model", config.model),
        ("data", f"{config.data}, {count_words(inputs, 'input')}"),
        ("sigma", f"{config.sigma:g}"),
        ("samples per input", f"{pilot}{samples} estimation" + ("" if config.question is None else " at most")),
        ("noise", noise if sampled else None),
        ("started" if sampled else "imported", config.created.replace("T", " ").removesuffix("+00:00")),
        ("software", software),
    ]
    return [(name, value) for name, value in wanted if value]


def provenance_rows(
    config: RunConfig, *, alpha: float, sizes: Mapping[int, int] | None = None
) -> list[tuple[str, str]]:
    """Everything that decided the numbers."""
    spec, samples = config.spec, samples_words(sizes or {config.n: 0})
    wanted: list[tuple[str, Any]] = [
        ("model", config.model),
        ("weights", spec.model.weights),
        ("weights SHA-256", config.weights_hash),
        *config.identity.items(),
        ("data", config.data),
        ("data fingerprint", config.data_fingerprint),
        ("split", spec.data.split),
        ("limit", spec.data.limit),
        ("stride", spec.data.stride),
        ("resize", spec.data.resize),
        ("image size", spec.data.image_size),
        ("scaled by", spec.data.interpolation if spec.data.resize or spec.data.image_size else None),
        ("sigma", f"{config.sigma:g}"),
        ("pilot samples n0", f"{config.n0:,}"),
        ("question", config.question),
        ("estimation samples n" if config.question is None else "estimation samples n, at most", samples),
        ("alpha", f"{alpha:g}" if alpha == config.alpha else f"{alpha:g} (the run's own: {config.alpha:g})"),
        ("seed", config.seed),
        ("levels of the score grid", f"{config.levels:,}"),
        ("classes", config.num_classes),
        ("precision", spec.sampling.precision),
        ("outputs", spec.model.outputs),
        ("device", config.device),
        ("started", config.created),
        ("run fingerprint", config.fingerprint),
        ("before it grew", "; ".join(map(str, config.grown))),
        ("shard", config.shard),
        ("versions", ", ".join(f"{name} {version}" for name, version in config.versions.items())),
    ]
    meaningless = _NOT_OF_A_LOG if config.kind == IMPORTED else ()
    return [(name, str(value)) for name, value in wanted if value not in (None, "") and name not in meaningless]
