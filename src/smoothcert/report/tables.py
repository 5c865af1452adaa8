"""The page's tables: what is certified for the data set and its classes, and where the numbers come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from smoothcert.analysis import (
    BoundsTable,
    Estimate,
    Proportion,
    RunSummary,
    certified_accuracy,
    class_certified_accuracy,
    population_lower,
)
from smoothcert.analysis.certified_accuracy import CLASS, kept_inputs
from smoothcert.bounds import exact_text
from smoothcert.report.wording import (
    accuracy_words,
    class_name,
    count_words,
    duration_words,
    estimate_words,
    percent,
    percent_below,
    percent_interval,
    proportion_pair,
    samples_words,
    step_words,
)
from smoothcert.runs.config import IMPORTED, RunConfig
from smoothcert.typing import AnyArray, IntArray

_SOFTWARE = ("smoothcert", "torch", "onnxruntime", "openvino")
# What nobody knows of a published log.
_NOT_OF_A_LOG = ("seed", "levels of the score grid", "precision", "outputs", "device")
NOT_RECORDED = "not recorded"


@dataclass(frozen=True)
class Column:
    """A column of a table: its name in downloads, its heading, and whether it holds words."""

    key: str
    heading: str
    words: bool = False


def words_columns(*names: str) -> tuple[Column, ...]:
    """Columns of words under their own names."""
    return tuple(Column(name, name, words=True) for name in names)


@dataclass(frozen=True)
class Table:
    """A table of the page, and its exact numbers for whoever downloads it.

    Args:
        name: What its file is called; unique on the page.
        caption: What it says.
        columns: Its columns; the first heads each row.
        rows: What is shown, row by row.
        values: Exact numbers, row by row.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    values: tuple[tuple[Any, ...], ...]

    @property
    def data(self) -> dict[str, Any]:
        """What a download holds."""
        return {"name": self.name, "columns": [column.key for column in self.columns], "rows": self.values}


@dataclass(frozen=True)
class Share:
    """A fraction of the data set at one radius and threshold, ready to print, and its exact numbers."""

    measure: str
    bound: str
    threshold: float
    radius: float
    value: str
    interval: str
    least: str  # of all such inputs, wrong certificates included
    exact: tuple[float, float, float, float, int]  # fraction, ends of its interval, least, inputs


def shares(
    table: BoundsTable, *, measure: str, bound: str, radii: Sequence[float], thresholds: Sequence[float]
) -> list[Share]:
    """Certified accuracy, or without labels the certified fraction, for each threshold and radius.

    The measure ``"class"`` is kept where the class is: more than half of the votes, whatever the threshold named.
    """
    if measure == CLASS:
        alpha = table.alpha_of(measure, bound)
        found = [
            (
                thresholds[0],
                radius,
                proportion_pair(p),
                (p.value, p.ci_low, p.ci_high, float(population_lower(p.count, p.inputs, alpha)), p.inputs),
            )
            for radius, p in zip(radii, class_certified_accuracy(table, radii=radii), strict=True)
        ]
    else:
        found = [
            (
                row.threshold,
                row.radius,
                accuracy_words(row),
                (row.certified_accuracy, row.ci_low, row.ci_high, row.population_lower, row.inputs),
            )
            for row in certified_accuracy(table, measures=[measure], bounds=[bound], radii=radii, thresholds=thresholds)
        ]
    return [
        Share(measure, bound, cut, radius, *words, percent_below(exact[3]), exact)
        for cut, radius, words, exact in found
    ]


def certified_table(name: str, found: Sequence[Share], *, labelled: bool) -> Table:
    """Every measure, bound, threshold and radius."""
    what = "certified accuracy" if labelled else "fraction certified"
    columns = (
        *words_columns("measure", "bound"),
        Column("threshold", "threshold"),
        Column("radius", "radius"),
        Column("certified_accuracy", what),
        Column("ci_low", "95% CI from"),
        Column("ci_high", "to"),
        Column("population_lower", "of all such inputs ≥"),
        Column("inputs", "inputs"),
    )
    rows = []
    for share in found:
        low, high = share.interval.rstrip("%").split("–")
        at = (exact_text(share.threshold), exact_text(share.radius))
        rows.append(
            (share.measure, share.bound, *at, share.value, f"{low}%", f"{high}%", share.least, f"{share.exact[4]:,}")
        )
    values = [(share.measure, share.bound, share.threshold, share.radius, *share.exact) for share in found]
    return Table(name, "Every bound, radius and threshold", columns, tuple(rows), tuple(values))


def accuracy_table(name: str, found: RunSummary, *, imported: bool) -> Table:
    """Accuracy without noise, under one draw of it and smoothed, side by side, and abstentions."""
    clean, draw = found.clean_accuracy, found.one_draw_accuracy
    lines: list[tuple[str, Proportion | Estimate | None, str]] = []
    if found.accuracy is not None:
        source = "the log" if imported else "an earlier version"
        lines = [
            ("without noise", clean, "the network itself" if clean is not None else f"{source} did not store it"),
            ("under one draw of the noise", draw, "the network on noisy inputs"),
            ("smoothed", found.accuracy, "what is certified, no change of the input; abstentions are wrong"),
        ]
    lines.append(("abstained", found.abstention, "no class certified even without a change"))
    columns = (
        *words_columns("accuracy"),
        Column("value", "of the inputs"),
        Column("ci_low", "95% CI from"),
        Column("ci_high", "to"),
        Column("meaning", "what", words=True),
    )
    rows, values = [], []
    for what, share, meaning in lines:
        rows.append((what, *_ends(share), meaning))
        exact = (None, None, None) if share is None else (share.value, share.ci_low, share.ci_high)
        values.append((what, *exact, meaning))
    return Table(name, "Accuracy", columns, tuple(rows), tuple(values))


def _ends(share: Proportion | Estimate | None) -> tuple[str, str, str]:
    """A fraction and the ends of its interval, as percentages."""
    if share is None:
        return NOT_RECORDED, "", ""
    value = percent(share.count, share.inputs) if isinstance(share, Proportion) else percent_below(share.value)
    if share.ci_low is None or share.ci_high is None:
        return value, "", ""
    low, high = percent_interval(share.ci_low, share.ci_high).rstrip("%").split("–")
    return value, f"{low}%", f"{high}%"


@dataclass(frozen=True, eq=False)
class Classes:
    """What is certified of the inputs of each class.

    Args:
        labels: The classes that inputs have, shape ``(classes,)``.
        known: For each measure the inputs of each class, those classified right and those abstained on, shape
            ``(classes, 3)``.
        certified: For each measure and bound those right and certified, shape ``(classes, thresholds, radii)``.
    """

    labels: IntArray
    known: Mapping[str, IntArray]
    certified: Mapping[tuple[str, str], IntArray]


def by_class(
    tables: Mapping[str, BoundsTable],
    *,
    bounds: Sequence[str],
    radii: Sequence[float],
    thresholds: Mapping[str, Sequence[float]],
) -> Classes | None:
    """Certified inputs of each class; None where no input has a label.

    Args:
        tables: For each measure the table that its fractions are of.
        bounds: The bounds.
        radii: The radii.
        thresholds: For each measure its thresholds; the class has one, which means nothing.
    """
    every = np.concatenate([table.inputs.labels[table.inputs.labelled] for table in tables.values()])
    labels, grid = np.unique(every), np.array(radii, dtype=np.float64)
    if not labels.size:
        return None

    def count(table: BoundsTable, kept: AnyArray) -> IntArray:
        """How many of each class, shape ``(classes, columns)``, of what has shape ``(inputs, columns)``."""
        order = np.argsort(table.inputs.labels, kind="stable")
        before = np.concatenate((np.zeros((1, kept.shape[1]), dtype=np.int64), np.cumsum(kept[order], axis=0)))
        ends = [np.searchsorted(table.inputs.labels[order], labels, side=side) for side in ("left", "right")]
        return np.asarray(before[ends[1]] - before[ends[0]], dtype=np.int64)

    def kept(table: BoundsTable, measure: str, bound: str, threshold: float) -> IntArray:
        asked = {"measure": measure, "bound": bound, "threshold": None if measure == CLASS else threshold}
        return count(table, kept_inputs(table, **asked, radii=grid))  # type: ignore[arg-type]

    return Classes(
        labels,
        {
            measure: count(table, np.stack([table.inputs.labelled, table.inputs.right, table.inputs.abstained], axis=1))
            for measure, table in tables.items()
        },
        {
            (measure, bound): np.stack([kept(table, measure, bound, cut) for cut in thresholds[measure]], axis=1)
            for measure, table in tables.items()
            for bound in bounds
        },
    )


def class_table(
    name: str,
    found: Classes,
    *,
    measure: str,
    bound: str,
    threshold: float,
    place: int,
    radii: Sequence[float],
    class_names: Sequence[str] | None,
) -> Table:
    """A row for each class, at one measure, bound and threshold, the ``place``-th; classes by their label."""
    certified = found.certified[measure, bound][:, place]
    kept = "class unchanged" if measure == CLASS else f"{measure} > {exact_text(threshold)} by {bound}"
    columns = (
        *words_columns("class"),
        Column("inputs", "inputs"),
        Column("right", "right"),
        Column("abstained", "abstained"),
        *(Column(f"certified_at_{exact_text(radius)}", f"certified at {exact_text(radius)}") for radius in radii),
    )
    rows, values = [], []
    for row, label in enumerate(found.labels.tolist()):
        total, right, abstained = found.known[measure][row].tolist()
        counts = [right, abstained, *certified[row].tolist()]
        named = class_name(label, class_names)
        rows.append((named, f"{total:,}", *(percent(count, total) if total else "—" for count in counts)))
        values.append((named, total, *counts))
    return Table(name, f"By class, right and {kept}", columns, tuple(rows), tuple(values))


def summary_table(name: str, found: RunSummary, *, expected: int | None) -> Table:
    """What else is worth knowing: name, value, what it means."""
    of = f" of {expected:,} when finished" if expected is not None else ""
    stored = found.inputs + len(found.skipped)
    rows = [
        (
            "certified inputs",
            f"{found.inputs:,}",
            "all of them" if found.inputs == expected else f"{stored:,} stored{of}",
        ),
        ("skipped inputs", f"{len(found.skipped):,}", "could not be read; in no fraction on this page"),
    ]
    if found.unlabelled:
        rows.append(("inputs without a label", f"{found.unlabelled:,}", "in no fraction that says right"))
    estimates = [
        ("mean class radius", found.mean_class_radius, "abstentions count as 0"),
        ("median class radius", found.median_class_radius, "abstentions count as 0"),
        *((f"mean smoothed {name}", mean, "an estimate, not a bound") for name, mean in found.means.items()),
    ]
    rows += [(name, estimate_words(value), meaning) for name, value, meaning in estimates if value is not None]
    if found.samples_per_second is not None:
        rate = f"{found.samples_per_second:,.0f} noisy samples a second"
        rows.append(("sampling time", duration_words(found.seconds), rate))
    return words_table(name, "Summary", rows)


def words_table(name: str, caption: str, rows: Sequence[tuple[str, str, str]]) -> Table:
    """A table of names, values and what they mean, all of them words."""
    return Table(name, caption, words_columns("name", "value", "meaning"), tuple(rows), tuple(rows))


def facts(
    config: RunConfig,
    inputs: int,
    *,
    step: float | None,
    alpha: str | None = None,
    sizes: Mapping[int, int] | None = None,
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
        ("alpha", alpha or exact_text(config.alpha)),
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
        (
            "alpha",
            exact_text(alpha)
            if alpha == config.alpha
            else f"{exact_text(alpha)} (the run's own: {exact_text(config.alpha)})",
        ),
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
