"""What ``query`` asks of a run, as rows of exact numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scipy.special import ndtri

from smoothcert._check import check_alpha
from smoothcert.analysis import (
    BoundsTable,
    bounds_table,
    certified_accuracy,
    class_certified_accuracy,
    population_lower,
)
from smoothcert.analysis.certified_accuracy import CLASS, CLASS_BOUND, DEFAULT_BOUNDS
from smoothcert.analysis.inputs import NO_LABEL
from smoothcert.bounds import ceil_decimals
from smoothcert.certificate import Certificate
from smoothcert.cli.printing import Row
from smoothcert.errors import DataError, InvalidArgumentError
from smoothcert.runs import Record, Run
from smoothcert.runs.config import IMPORTED
from smoothcert.samples import Samples
from smoothcert.scores import MEASURES

RADII = (0.0, 0.25, 0.5)
THRESHOLDS = (0.5, 0.7, 0.9)
EACH, INPUT, DATASET = "each", "input", "dataset"
_LEAD = "lead"  # a difference of two scores
_FARTHEST = 10.0  # in units of sigma: 1e23 unanimous votes would certify less


@dataclass(frozen=True)
class Asked:
    """What is asked of a run.

    Args:
        measures: Some of the run's measures and ``class``, or None for what the run holds.
        bounds: Some of ``smoothcert.bounds.BOUNDS``, or None for what the run holds.
        radii: L2 radii in input units, or None for the usual ones.
        thresholds: Values that must be exceeded, or None for the usual ones.
        alpha: Failure probability, or None for the run's own.
        joint: What it is the failure probability of: ``"each"`` statement on its own, all statements about an
            ``"input"`` together, or all about the whole ``"dataset"``. The statements are those of one bound: the best
            of several bounds is not a claim.
    """

    measures: Sequence[str] | None = None
    bounds: Sequence[str] | None = None
    radii: Sequence[float] | None = None
    thresholds: Sequence[float] | None = None
    alpha: float | None = None
    joint: str = EACH

    def share(self, alpha: float, *, statements: int, inputs: int, price: float = 0.0) -> float:
        """Failure probability of each of so many statements per input, so that what is asked holds jointly.

        Args:
            alpha: Of all of them together.
            statements: How many there are about each input.
            inputs: How many inputs there are.
            price: What the noise of each input costs of alpha, once for all that is said of it.
        """
        if self.joint == EACH:
            return alpha
        about = inputs if self.joint == DATASET else 1
        return check_alpha(alpha - about * price) / (about * statements)


@dataclass(frozen=True)
class _Settled:
    """A question with what it leaves open filled in, and checked against what the run holds."""

    table: BoundsTable
    asked: Asked
    measures: list[str]
    bounds: list[str]
    radii: list[float]
    thresholds: list[float]

    @property
    def named(self) -> list[str]:
        """The measures that have bounds and thresholds: all but the class."""
        return [measure for measure in self.measures if measure != CLASS]


def _settle(run: Run, asked: Asked, *, one_input: bool = False) -> _Settled:
    """Fill in the question.

    Raises:
        InvalidArgumentError: If a measure is unknown, or a radius or a threshold is none that could ever be certified.
        DataError: If the run holds no bound that is asked for.
    """
    table = bounds_table(run, alpha=asked.alpha)
    held = list(table.answers.measures)
    measures = list(asked.measures or held or ([] if one_input else [CLASS]))
    if not held and asked.measures is None and asked.bounds is not None and CLASS_BOUND not in asked.bounds:
        raise DataError(f"{run.path} holds no {asked.bounds[0]} bound: it holds class radii")
    usual = [bound for bound in DEFAULT_BOUNDS if bound in table.answers.bounds] or list(DEFAULT_BOUNDS)
    ranges = {measure: measure_range(run, measure) for measure in measures if measure != CLASS}
    return _Settled(
        table,
        asked,
        measures,
        bounds=list(dict.fromkeys(asked.bounds or usual)),
        radii=settled_radii(asked.radii, sigma=table.sigma),
        thresholds=settled_thresholds(asked.thresholds, ranges),
    )


def measure_range(run: Run, measure: str) -> tuple[float, float]:
    """Ends of a measure: a built-in one's, or those the run's histograms have.

    Raises:
        InvalidArgumentError: If the run does not hold it.
    """
    built_in = {name: (known.lower, known.upper) for name, known in MEASURES.items()}
    ranges = built_in | run.ranges | ({_LEAD: (-1.0, 1.0)} if run.pairs else {})
    if measure not in ranges:
        raise InvalidArgumentError(
            f"--measure must be some of {', '.join((*ranges, CLASS))}, which {run.path} holds; got {measure!r}"
        )
    return ranges[measure]


def settled_radii(asked: Sequence[float] | None, *, sigma: float) -> list[float]:
    """The radii asked for, or the usual ones.

    Raises:
        InvalidArgumentError: If one is so large that it must be in other units.
    """
    for radius in asked or ():
        if math.isfinite(radius) and radius > _FARTHEST * sigma:
            raise InvalidArgumentError(
                f"--radii must lie in [0, {_FARTHEST * sigma:g}], {_FARTHEST:g} sigma, in the units of the inputs "
                f"(images lie in [0, 1]): farther than that no number of samples certifies anything; got {radius:g}"
            )
    return list(dict.fromkeys(RADII if asked is None else asked))


def settled_thresholds(asked: Sequence[float] | None, ranges: Mapping[str, tuple[float, float]]) -> list[float]:
    """The thresholds asked for, or the usual ones that are in the range of a measure.

    Raises:
        InvalidArgumentError: If no measure can exceed one, or each of them always does.
    """
    if not ranges:
        return list(dict.fromkeys(THRESHOLDS if asked is None else asked))
    low, high = min(low for low, _ in ranges.values()), max(high for _, high in ranges.values())
    if asked is None:
        usual = [threshold for threshold in THRESHOLDS if low <= threshold < high]
        return usual or [low + share * (high - low) for share in THRESHOLDS]
    for threshold in asked:
        if math.isfinite(threshold) and not low <= threshold < high:
            percent = f": in percent? {threshold / 100:g} is meant then" if high < threshold <= 100 * high else ""
            raise InvalidArgumentError(
                f"--thresholds must lie in [{low:g}, {high:g}), the range of {' and '.join(ranges)}; "
                f"got {threshold:g}{percent}"
            )
    return list(dict.fromkeys(asked))


def accuracy_rows(run: Run, asked: Asked) -> list[Row]:
    """Certified accuracies over the inputs of a run, one row per measure, bound, threshold and radius.

    For the measure ``class`` there is one row per radius: right, and the class cannot change; no threshold is meant.
    Where no input has a label, the fractions are of inputs certified, right or wrong.
    """
    settled = _settle(run, asked)

    def table_for(bound: str) -> BoundsTable:
        # Only the dual bound is one statement per radius; every bound answers all thresholds at once.
        statements = len(settled.measures) * (len(settled.radii) if bound == "dual" else 1)
        whole = settled.table
        alpha = asked.share(whole.alpha, statements=statements, inputs=max(len(whole.inputs), 1))
        return whole if alpha == whole.alpha else bounds_table(run, alpha=alpha)

    rows: list[Row] = []
    for measure in settled.measures:
        if measure == CLASS:
            rows += _class_rows(table_for(CLASS_BOUND), settled.radii)
            continue
        for bound in settled.bounds:
            found = certified_accuracy(
                table_for(bound),
                measures=[measure],
                bounds=[bound],
                radii=settled.radii,
                thresholds=settled.thresholds,
            )
            rows += [asdict(row) for row in found]
    return [{"run": str(run.path), "joint": asked.joint, **row} for row in rows]


def reach_notes(run: Run, rows: Sequence[Row]) -> list[str]:
    """Where radii were asked for that no input can reach: with so many samples even unanimous ones certify no more."""
    config = run.config
    asked = [row for row in rows if row["threshold"] is not None]
    if config.kind == IMPORTED or not asked:
        return []
    farthest: list[tuple[float, Row]] = []
    for row in asked:
        low, high = measure_range(run, row["measure"])
        certain = row["alpha"] ** (1.0 / config.n)
        needed = min(max((row["threshold"] - low) / (high - low), 0.0), 1.0)
        farthest.append((config.sigma * float(ndtri(certain) - ndtri(needed)), row))
    reach, at = max(farthest, key=lambda pair: pair[0])
    if max(row["radius"] for row in asked) <= max(reach, 0.0):
        return []
    return [
        f"note: {config.n:,} samples per input at alpha {at['alpha']:.3g} certify no {at['measure']} above "
        f"{at['threshold']:g} beyond radius {ceil_decimals(max(reach, 0.0), 3)}, whatever the classifier"
    ]


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


def input_answer(run: Run, asked: Asked, wanted: str) -> Row:
    """Everything certified about one input: its class radius, bounds at radii, radii at thresholds.

    A certified radius is None where no radius is too large, because the threshold lies below the measure's range.
    Jointly, the class radius and everything one bound says of the input hold together.

    Args:
        run: The run.
        asked: What is asked.
        wanted: The input, see :meth:`smoothcert.runs.Run.find`.

    Raises:
        RunError: If the run does not hold the input.
        DataError: If it was skipped.
    """
    settled = _settle(run, asked, one_input=True)
    index = run.find(wanted)
    certified = _imported(settled, index) if run.config.kind == IMPORTED else _sampled(run, settled, wanted)
    config = run.config
    prediction = certified["prediction"]
    return {
        "run": str(run.path),
        "index": index,
        **certified,
        "class_name": config.class_names[prediction] if config.class_names and prediction is not None else None,
        "sigma": config.sigma,
        "n0": config.n0,
        "n": config.n,
        "joint": asked.joint,
    }


def _sampled(run: Run, settled: _Settled, wanted: str) -> Row:
    record, samples = sampled_record(run, wanted)
    inputs, alpha = max(len(settled.table.inputs), 1), settled.table.alpha
    radii, thresholds = settled.radii, settled.thresholds
    at = {}
    for bound in settled.bounds:
        # Lower and upper bounds; the dual bound is a statement of its own at each radius and for each threshold.
        each = 2 * len(radii) + len(thresholds) if bound == "dual" else 2
        statements = 1 + len(settled.named) * each
        at[bound] = settled.asked.share(alpha, statements=statements, inputs=inputs, price=samples.price)
    price = samples.price if settled.asked.joint == EACH else 0.0  # else it is paid already
    certificates = {share: Certificate.from_samples(samples, alpha=share, price=price) for share in set(at.values())}
    whole = certificates[min(at.values())]
    bounds, found = [], []
    for measure in settled.named:
        for bound in settled.bounds:
            certificate = certificates[at[bound]].measure(measure)
            named = {"measure": measure, "bound": bound, "alpha": at[bound]}
            lower, upper = certificate.lower(radii, bound=bound), certificate.upper(radii, bound=bound)
            bounds += [
                {**named, "radius": radius, "lower": float(low), "upper": float(high)}
                for radius, low, high in zip(radii, lower, upper, strict=True)
            ]
            for threshold in thresholds:
                radius = certificate.radius(threshold, bound=bound)
                found.append({**named, "threshold": threshold, "radius": _finite(radius)})
    return {
        "id": record.id,
        "label": record.label,
        "prediction": whole.prediction,
        "abstained": whole.abstained,
        "class_radius": whole.class_radius,
        "alpha": alpha,
        "alpha_class_radius": whole.alpha,
        **{f"mean_{name}": stages.sample.mean for name, stages in samples.measures.items()},
        "bounds": bounds,
        "radii": found,
    }


def _imported(settled: _Settled, index: int) -> Row:
    """What a log says about one input: lower bounds, the largest of its radii for each threshold."""
    table, asked = settled.table, settled.asked
    if asked.joint != EACH:
        raise DataError("a published log holds each bound at its own alpha: leave out --joint")
    inputs = table.inputs
    row = inputs.indices.tolist().index(index)
    bounds, radii = [], []
    for measure in settled.named:
        for bound in settled.bounds:
            named = {"measure": measure, "bound": bound, "alpha": table.alpha}
            lower = table.lower(measure=measure, bound=bound, radii=settled.radii)[row]
            bounds += [
                {**named, "radius": radius, "lower": float(low), "upper": None}
                for radius, low in zip(settled.radii, lower, strict=True)
            ]
            for threshold in settled.thresholds:
                radius = float(table.radius(measure=measure, bound=bound, threshold=threshold)[row])
                radii.append({**named, "threshold": threshold, "radius": _finite(radius)})
    abstained = bool(inputs.abstained[row])
    return {
        "id": inputs.ids[row],
        "label": int(inputs.labels[row]),
        "prediction": None if abstained else int(inputs.predictions[row]),
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


def per_input_rows(run: Run, asked: Asked) -> list[Row]:
    """One flat row per input: the prediction, class radius, lower bounds at radii, certified radii at thresholds.

    Columns of bounds are named ``score_dual_lower_at_0.25`` and ``score_dual_radius_above_0.5``; a radius is None where
    the threshold lies below the measure's range. Inputs that were skipped have nothing but a reason.
    """
    settled = _settle(run, asked)
    whole, config = settled.table, run.config
    bounds = settled.bounds if asked.bounds else settled.bounds[:1]
    inputs = whole.inputs
    found: dict[str, Sequence[Any]] = {}
    shares = {}
    for bound in bounds if settled.named else [CLASS_BOUND]:
        each = len(settled.radii) + len(settled.thresholds) if bound == "dual" else 1
        statements = 1 + len(settled.named) * each
        shares[bound] = asked.share(whole.alpha, statements=statements, inputs=max(len(inputs), 1))
    tables = {share: bounds_table(run, alpha=None if share == whole.alpha else share) for share in set(shares.values())}
    strictest = tables[min(shares.values())] if asked.joint != EACH else whole
    if whole.answers.class_radius:
        found["class_radius"] = strictest.class_radius().tolist()
    for measure in settled.named:
        if whole.answers.smoothed:
            found[f"{measure}_mean"] = whole.smoothed(measure).tolist()
        for bound in bounds:
            table = tables[shares[bound]]
            lower = table.lower(measure=measure, bound=bound, radii=settled.radii)
            for radius, values in zip(settled.radii, lower.T, strict=True):
                found[f"{measure}_{bound}_lower_at_{radius:g}"] = values.tolist()
            for threshold in settled.thresholds:
                radii = table.radius(measure=measure, bound=bound, threshold=threshold)
                found[f"{measure}_{bound}_radius_above_{threshold:g}"] = [_finite(r) for r in radii.tolist()]
    rows = [
        {
            "run": str(run.path),
            "index": int(inputs.indices[row]),
            "id": inputs.ids[row],
            "label": None if inputs.labels[row] == NO_LABEL else int(inputs.labels[row]),
            **_predicted(run, int(inputs.predictions[row]), abstained=bool(strictest.inputs.abstained[row])),
            "sigma": config.sigma,
            "alpha": whole.alpha,
            "joint": asked.joint,
            "n0": config.n0,
            "n": config.n,
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
            "run": str(run.path),
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


def _finite(radius: float) -> float | None:
    return radius if math.isfinite(radius) else None
