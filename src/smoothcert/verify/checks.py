"""Claims against what the samples support: each recomputed by the reference, and samples drawn again with the model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from smoothcert._check import check_count
from smoothcert.analysis import bounds_table, certified_accuracy
from smoothcert.bounds import BOUNDS
from smoothcert.errors import RunError
from smoothcert.runs import Run
from smoothcert.scores import LEAD, VOTE
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


def verify_file(path: Path | str, *, against: Run | None = None) -> list[Check]:
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
        raise RunError(f"{run.path} holds no sampled input yet, so there is nothing to check")
    count = known.size if inputs is None else min(check_count("inputs", inputs), known.size)
    chosen = known[np.unique(np.rint(np.linspace(0, known.size - 1, count)).astype(np.int64))].tolist()
    wanted = check_count("resample", resample, at_least=0)
    few = chosen[:: max(1, len(chosen) // wanted)][:wanted] if wanted else []
    again = sample_again(run, few, model=model, data=data) if few else []  # first: it may fail, and soon
    checks, evidences = [], []
    for done, index in enumerate(chosen):
        progress(done, len(chosen))
        evidences.append(Evidence.of(export_input(run, index)))
        checks += verify_evidence(evidences[-1])
    progress(len(chosen), len(chosen))
    if len(chosen) == known.size:
        checks += verify_accuracies(run, evidences)
    return [*checks, *again]


def require_from(evidence: Evidence, run: Run, *, source: str) -> None:
    """Raise ``RunError`` unless evidence is of an input of a run."""
    theirs, ours = evidence.document["run"]["defining"], run.config.defining
    if evidence.document["run"]["fingerprint"] != run.config.fingerprint:
        named = [name for name in dict.fromkeys([*ours, *theirs]) if ours.get(name) != theirs.get(name)]
        raise RunError(f"{source} is not from {run.path}: they differ in {', '.join(named) or 'their fingerprint'}")
    index = evidence.document.get("input", {}).get("index")
    if type(index) is not int:
        raise RunError(f"{source} does not say which input of {run.path} it is about")
    if export_input(run, index)["sampled"] != evidence.document["sampled"]:
        raise RunError(f"the samples in {source} are not those that {run.path} holds of input {index}")


def verify_evidence(evidence: Evidence) -> list[Check]:
    """Recompute every claim of evidence."""
    left = evidence.alpha - evidence.price
    parts = {**evidence.measures, VOTE: _vote(evidence)}
    radius = reference.class_radius(evidence.pilot_votes, evidence.votes, evidence.prediction, left)
    class_radius = max(evidence.sigma * radius - evidence.offset, 0.0)
    about = f"{evidence.id}: "
    checks = []
    for number, claim in enumerate(evidence.claims):
        kind = claim.get("kind")
        if kind == "class":
            claimed = _class_words(claim.get("prediction"), claim.get("abstained"))
            found = _class_words(evidence.prediction, class_radius == 0.0)
            checks.append(Check(f"{about}class", claimed, found, claimed == found))
            continue
        value = claim.get("value")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise RunError(f"claim {number} of the evidence has no value: {claim!r}")
        if kind == "class_radius":
            checks.append(Check(f"{about}class radius", value, class_radius, value <= class_radius))
            continue
        checks.append(_bound_check(evidence, parts, claim, float(value), left, number))
    return checks


def _bound_check(
    evidence: Evidence, parts: Mapping[str, Stages], claim: Mapping[str, Any], value: float, left: float, number: int
) -> Check:
    kind, measure, bound = (claim.get(name) for name in ("kind", "measure", "bound"))
    at = claim.get("threshold" if kind == "radius" else "radius")
    asked = isinstance(at, (int, float)) and not isinstance(at, bool) and math.isfinite(at)
    known = measure in parts or (measure == LEAD and evidence.lead)
    if kind not in ("lower", "upper", "radius") or bound not in BOUNDS or not known or not asked:
        raise RunError(f"claim {number} of the evidence is none that can be checked: {dict(claim)!r}")
    x = float(at)  # type: ignore[arg-type]
    if measure == LEAD:
        named = [(f"{LEAD}_{i}", stages) for i, stages in enumerate(evidence.lead)]
        named = named[:1] if kind == "upper" else named  # from above the strongest rival of the pilot
    else:
        named = [(str(measure), parts[str(measure)])]
    words = f"{evidence.id}: {measure}, {bound}: "
    if kind == "radius":
        shifts = [_radius(evidence, bound, name, stages, x, left) for name, stages in named]
        found = max(evidence.sigma * min(shifts) - evidence.offset, 0.0)
        return Check(f"{words}radius of {x:g}", value, found, value <= found)
    if x < 0.0:
        raise RunError(f"claim {number} of the evidence is at a negative radius: {dict(claim)!r}")
    r = (x + evidence.offset) / evidence.sigma
    function = reference.lower if kind == "lower" else reference.upper
    values = [
        function(str(bound), stages.pilot, stages.sample, r, left, _seed(evidence, name)) for name, stages in named
    ]
    found = min(values)
    ok = value <= found if kind == "lower" else value >= found
    return Check(f"{words}{kind} bound at {x:g}", value, found, ok)


def _radius(evidence: Evidence, bound: Any, name: str, stages: Stages, threshold: float, left: float) -> float:
    seed = _seed(evidence, name)
    return reference.radius(str(bound), stages.pilot, stages.sample, threshold, left, seed)


def _seed(evidence: Evidence, measure: str) -> int:
    return deal_seed(evidence.seed, evidence.content_hash, measure)


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


def verify_accuracies(run: Run, evidences: Sequence[Evidence]) -> list[Check]:
    """Certified accuracies of a run against counts by the reference, where all its inputs are at hand."""
    table = bounds_table(run)
    right = dict(zip(table.inputs.indices.tolist(), _counted(table), strict=True))
    measures = [name for name in table.answers.measures if name in evidences[0].measures]
    checks = []
    for row in certified_accuracy(table, measures=measures, radii=DEFAULT_RADII, thresholds=_THRESHOLDS):
        count = 0
        for evidence in evidences:
            stages, left = evidence.measures[row.measure], evidence.alpha - evidence.price
            r = (row.radius + evidence.offset) / evidence.sigma
            if right.get(evidence.document["input"]["index"], False):
                seed = _seed(evidence, row.measure)
                count += reference.lower(row.bound, stages.pilot, stages.sample, r, left, seed) > row.threshold
        found = count / row.inputs
        what = f"{row.measure}, {row.bound}: certified accuracy at radius {row.radius:g} above {row.threshold:g}"
        checks.append(Check(what, row.certified_accuracy, found, row.certified_accuracy <= found + 1e-12))
    return checks


def _counted(table: Any) -> Any:
    """Which inputs count if they keep what is asked: right ones that are not abstained on, or without labels all."""
    inputs = table.inputs
    kept = inputs.right if inputs.has_labels else ~inputs.abstained
    return kept.tolist()


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
    from smoothcert.certify.engine import LocalEngine
    from smoothcert.certify.prepare import prepare
    from smoothcert.progress import Reporter

    prepared = prepare(run.config.spec, model=model, data=data, reporter=Reporter())
    if differences := run.config.difference(prepared.config):
        said = "; ".join(str(one) for one in differences)
        raise RunError(f"what is at hand is not what {run.path} was made of: {said}")
    positions = [prepared.data.indices.index(index) for index in indices]
    found = {record.index: record for record in LocalEngine(prepared).records(positions, progress=lambda drawn: None)}
    checks = []
    for index in indices:
        stored, again = run.record(index).samples, found[index].samples
        if stored is None or again is None:
            raise RunError(f"input {index} of {run.path} could not be sampled again: {found[index].error}")
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
