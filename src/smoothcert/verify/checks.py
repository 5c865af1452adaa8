"""Claims against what the samples support: each recomputed by the reference, and samples drawn again with the model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from smoothcert._check import check_count
from smoothcert.analysis import bounds_table, certified_accuracy
from smoothcert.bounds import BOUNDS
from smoothcert.errors import RunError
from smoothcert.runs import Run
from smoothcert.scores import LEAD, VOTE
from smoothcert.urls import AnyPath
from smoothcert.verify import reference
from smoothcert.verify.counted import Scores, deal_seed
from smoothcert.verify.evidence import DEFAULT_RADII, Evidence, Stages, export_input, require_certificates

if TYPE_CHECKING:
    from smoothcert.data import Dataset
    from smoothcert.models import LoadedModel
    from smoothcert.samples import Samples

_MOVED = 0.02  # of the samples may lie in another cell where another machine or batch size moved the last bits
_THRESHOLDS = (0.5, 0.7, 0.9)


@dataclass(frozen=True)
class Check:
    """One claim and what was found.

    Args:
        claim: The claim in words.
        claimed: What is claimed.
        recomputed: What the samples support.
        ok: Whether they support the claim.
    """

    claim: str
    claimed: float | int | str
    recomputed: float | int | str
    ok: bool


def verify_file(path: AnyPath | str, *, against: Run | None = None) -> list[Check]:
    """Recompute everything that a file of evidence claims.

    Args:
        path: The file.
        against: The run it is said to be from: its weights, its data and the samples of the input must be those.

    Raises:
        RunError: If the file is no evidence, of another schema, was changed, its parts do not fit together, or it is
            not from that run.
    """
    evidence = Evidence.read(path)
    if against is not None:
        require_from(evidence, against, source=str(path))
    return verify_evidence(evidence)


def verify_run(
    run: Run,
    *,
    inputs: int | None = 10,
    resample: int = 0,
    model: LoadedModel | None = None,
    data: Dataset | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Check]:
    """Recompute what is claimed about the inputs of a run, from the run alone.

    Of each input: its class radius, and lower and upper bounds and certified radii of all measures by all bounds. If it
    is about all inputs, certified accuracies as ``query`` and the report print them, too.

    Args:
        run: A run that sampled its inputs.
        inputs: How many, evenly spaced over the run; None for all.
        resample: How many of them to sample again with the model, and compare.
        model: The base classifier, where the run was not made by name.
        data: The inputs, where the run was not made by name.
        progress: Called with the number of inputs done and of all.

    Raises:
        RunError: If the run holds no certificates, is damaged, or the model or the data at hand are not the run's.
    """
    require_certificates(run.config)
    known = np.array([record for table in run.tables(["index", "error"]) for record in _sampled_indices(table)])
    if known.size == 0:
        raise RunError(f"{run.label} holds no sampled input yet, so there is nothing to check")
    count = known.size if inputs is None else min(check_count("inputs", inputs), known.size)
    chosen = known[np.unique(np.rint(np.linspace(0, known.size - 1, count)).astype(np.int64))].tolist()
    wanted = check_count("resample", resample, at_least=0)
    few = chosen[:: max(1, len(chosen) // wanted)][:wanted] if wanted else []
    again = sample_again(run, few, model=model, data=data) if few else []  # first: it may fail, and soon
    checks, found = [], []
    for done, index in enumerate(chosen):
        progress(done, len(chosen))
        found.append(Recomputed(Evidence.of(export_input(run, index))))
        checks += _checks(found[-1])
    progress(len(chosen), len(chosen))
    if len(chosen) == known.size:
        checks += verify_accuracies(run, found)
    return [*checks, *again]


def require_from(evidence: Evidence, run: Run, *, source: str) -> None:
    """Raise ``RunError`` unless evidence is of an input of a run."""
    theirs, ours = evidence.document["run"]["defining"], run.config.defining
    if evidence.document["run"]["fingerprint"] != run.config.fingerprint:
        named = [name for name in dict.fromkeys([*ours, *theirs]) if ours.get(name) != theirs.get(name)]
        raise RunError(f"{source} is not from {run.label}: they differ in {', '.join(named) or 'their fingerprint'}")
    index = evidence.document.get("input", {}).get("index")
    if type(index) is not int:
        raise RunError(f"{source} does not say which input of {run.label} it is about")
    held = run.record(index).samples
    if held is not None and held.n > (n := int(evidence.votes.sum())):
        raise RunError(
            f"{source} holds {n:,} samples of input {index} and {run.label} by now {held.n:,}: export it again"
        )
    if export_input(run, index)["sampled"] != evidence.document["sampled"]:
        raise RunError(f"the samples in {source} are not those that {run.label} holds of input {index}")


def verify_evidence(evidence: Evidence) -> list[Check]:
    """Recompute every claim of evidence.

    Raises:
        RunError: If one is none that can be checked.
    """
    return _checks(Recomputed(evidence))


class Recomputed:
    """What the samples of one input support, by the reference; each number is computed when it is first asked for.

    Args:
        evidence: The samples.
    """

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self._left = evidence.alpha - evidence.price
        radius = reference.class_radius(evidence.pilot_votes, evidence.votes, evidence.prediction, self._left)
        self.class_radius = max(evidence.sigma * radius - evidence.offset, 0.0)
        self._parts = {**evidence.measures, VOTE: _vote(evidence)}
        self._known: dict[tuple[str, ...], float] = {}

    @property
    def measures(self) -> list[str]:
        """Names of what can be asked about."""
        return [*self._parts, *([LEAD] if self.evidence.lead else [])]

    def value(self, kind: str, measure: str, bound: str, at: float) -> float:
        """A lower or upper bound at a radius, or the certified radius of a threshold, in input units."""
        key = (kind, measure, bound, repr(at))
        if key not in self._known:
            # The lead is the least of what is said of each rival; from above the strongest of the pilot serves.
            named = {measure: self._parts[measure]} if measure in self._parts else self._leads()
            if kind == "upper" and measure not in self._parts:
                named = dict(list(named.items())[:1])
            self._known[key] = min(self._one(kind, name, stages, bound, at) for name, stages in named.items())
        return self._known[key]

    def _leads(self) -> dict[str, Stages]:
        return {f"{LEAD}_{i}": stages for i, stages in enumerate(self.evidence.lead)}

    def _one(self, kind: str, name: str, stages: Stages, bound: str, at: float) -> float:
        evidence = self.evidence
        seed = deal_seed(evidence.seed, evidence.content_hash, name)
        if kind == "radius":
            shift = reference.radius(bound, stages.pilot, stages.sample, at, self._left, seed)
            return max(evidence.sigma * shift - evidence.offset, 0.0)
        function = reference.lower if kind == "lower" else reference.upper
        r = (at + evidence.offset) / evidence.sigma
        return function(bound, stages.pilot, stages.sample, r, self._left, seed)


def _checks(found: Recomputed) -> list[Check]:
    about, checks = found.evidence.id, []
    for number, claim in enumerate(found.evidence.claims):
        kind, value = claim.get("kind"), claim.get("value")
        if kind == "class":
            claimed = _class_words(claim.get("prediction"), claim.get("abstained"))
            supported = _class_words(found.evidence.prediction, found.class_radius == 0.0)
            checks.append(Check(f"{about}: class", claimed, supported, claimed == supported))
        elif not _is_number(value):
            raise RunError(f"claim {number} of the evidence has no value: {dict(claim)!r}")
        elif kind == "class_radius":
            checks.append(Check(f"{about}: class radius", value, found.class_radius, value <= found.class_radius))
        else:
            checks.append(_bound_check(found, claim, float(value), number))
    return checks


def _bound_check(found: Recomputed, claim: Mapping[str, Any], value: float, number: int) -> Check:
    kind, measure, bound = (str(claim.get(name)) for name in ("kind", "measure", "bound"))
    at = claim.get("threshold" if kind == "radius" else "radius")
    known = kind in ("lower", "upper", "radius") and bound in BOUNDS and measure in found.measures
    if not known or not _is_number(at) or (kind != "radius" and at < 0.0):
        raise RunError(f"claim {number} of the evidence is none that can be checked: {dict(claim)!r}")
    supported = found.value(kind, measure, bound, float(at))
    what = f"radius of {at:g}" if kind == "radius" else f"{kind} bound at {at:g}"
    ok = value >= supported if kind == "upper" else value <= supported
    return Check(f"{found.evidence.id}: {measure}, {bound}: {what}", value, supported, ok)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _vote(evidence: Evidence) -> Stages:
    """Votes for the prediction: 1 or 0 on a grid of one step, nothing rounded."""

    def scores(votes: np.ndarray) -> Scores:
        own = int(votes[evidence.prediction])
        held = [(cell, count) for cell, count in ((0, int(votes.sum()) - own), (1, own)) if count]
        cells, counts = (np.array([pair[side] for pair in held], dtype=np.int64) for side in (0, 1))
        return Scores(0.0, 1.0, 1, cells, counts, exact=True)

    return Stages(scores(evidence.pilot_votes), scores(evidence.votes))


def _class_words(prediction: Any, abstained: Any) -> str:
    return f"{prediction}, abstained" if abstained else f"{prediction}"


# --- the whole run


def verify_accuracies(run: Run, found: Sequence[Recomputed]) -> list[Check]:
    """Certified accuracies of a run, and what they say of all such inputs, against counts by the reference.

    Args:
        run: The run.
        found: All of its inputs.
    """
    labels = [one.evidence.document["input"]["label"] for one in found]
    labelled = any(label is not None for label in labels)
    inputs = sum(label is not None for label in labels) if labelled else len(found)
    # Right and not abstained on; where no input has a label, not abstained on.
    counted = [
        one
        for one, label in zip(found, labels, strict=True)
        if one.class_radius > 0.0 and (not labelled or label == one.evidence.prediction)
    ]
    table = bounds_table(run)
    measures = [name for name in table.answers.measures if name in found[0].measures]
    checks = []
    for row in certified_accuracy(table, measures=measures, radii=DEFAULT_RADII, thresholds=_THRESHOLDS):
        count = sum(one.value("lower", row.measure, row.bound, row.radius) > row.threshold for one in counted)
        about = f"{row.measure}, {row.bound}, radius {row.radius:g}, above {row.threshold:g}"
        accuracy, least = count / inputs, max((reference.binomial_lower(count, inputs, 0.05) - row.alpha), 0.0)
        least /= 1.0 - row.alpha
        checks += [
            Check(f"{about}: certified accuracy", row.certified_accuracy, accuracy, row.certified_accuracy <= accuracy),
            # Up to rounding: a quantile by another route.
            Check(f"{about}: of all such inputs", row.population_lower, least, row.population_lower <= least + 1e-9),
        ]
    return checks


def _sampled_indices(table: Any) -> list[int]:
    return [row["index"] for row in table.to_pylist() if row["error"] is None]


# --- with the model


def sample_again(
    run: Run, indices: Sequence[int], *, model: LoadedModel | None = None, data: Dataset | None = None
) -> list[Check]:
    """Sample inputs again as the run did, and compare with what it holds.

    On the machine that made the run every sample falls where it fell; on another the last bits may move a score over
    the edge of a cell, so a fiftieth of the samples may.

    Raises:
        RunError: If what the run is defined by cannot be had again.
    """
    from smoothcert.certify.engine import LocalEngine, Task
    from smoothcert.certify.prepare import prepare
    from smoothcert.progress import Reporter

    prepared = prepare(run.config.spec, model=model, data=data, reporter=Reporter())
    if differences := run.config.difference(prepared.config):
        said = "; ".join(str(one) for one in differences)
        raise RunError(f"what is at hand is not what {run.label} was made of: {said}")
    held = {index: run.record(index).samples for index in indices}
    tasks = [
        Task(prepared.data.indices.index(index), n=None if samples is None else samples.n)
        for index, samples in held.items()
    ]
    found = {record.index: record for record in LocalEngine(prepared).records(tasks, progress=lambda drawn: None)}
    checks = []
    for index in indices:
        stored, again = held[index], found[index].samples
        if stored is None or again is None:
            raise RunError(f"input {index} of {run.label} could not be sampled again: {found[index].error}")
        moved, allowed = moved_samples(stored, again), math.floor(_MOVED * (stored.n0 + stored.n))
        same = (stored.content_hash, stored.prediction) == (again.content_hash, again.prediction)
        words = f"{moved} samples elsewhere" if same else "another input, or another class"
        checks.append(Check(f"{run.record(index).id}: sampled again", "the same", words, same and moved <= allowed))
    return checks


def moved_samples(one: Samples, other: Samples) -> int:
    """Number of samples that lie in another cell, in the measure where there are most."""
    pairs = [(one.measures[name], other.measures[name]) for name in one.measures if name in other.measures]
    pairs += list(zip(one.lead, other.lead, strict=False))
    return max(
        int(np.abs(mine.pilot.counts - its.pilot.counts).sum() + np.abs(mine.sample.counts - its.sample.counts).sum())
        // 2
        for mine, its in pairs
    )
