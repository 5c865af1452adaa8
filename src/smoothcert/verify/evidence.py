"""Evidence: one input of a run as a file that anybody can check, without the model and without this package.

A JSON object of schema 1:

- ``format``: ``"smoothcert evidence"``; ``schema``: 1; ``written_by``: name and version of what wrote it.
- ``alpha``: failure probability of each claim by itself.
- ``assumptions``: what the claims rest on beside the numbers here, a sentence each.
- ``run``: ``fingerprint``, the SHA-256 of the canonical JSON of ``defining``, which is everything that decides what the
  records of the run say, hashes of the weights and of the model's code included; ``model``, ``data``,
  ``notes``. Of a run that has grown this is the run as it was first made, and ``grown`` lists how far it went from then
  on: ``n``, ``inputs``, ``indices``, ``data_fingerprint``.
- ``input``: ``index``, ``id`` and ``label`` (null if unknown).
- ``sampled``: ``sigma``, ``seed`` and ``content_hash`` of the noise; ``offset``, ``step`` and ``price`` of its lattice;
  ``prediction``; ``pilot_votes`` and ``votes``, one number per class; ``measures``, by name: ``lower``, ``upper``,
  ``levels``, and ``pilot`` and ``sample``, each with ``cells`` (ascending grid points, from 0) and ``counts`` (of
  scores rounded down to them); ``rivals`` and ``lead``: a measure per rival and one for all other classes.
- ``claims``: objects with ``kind``: ``"class"`` (``prediction``, ``abstained``), ``"class_radius"`` (``value``),
  ``"lower"`` and ``"upper"`` (``measure``, ``bound``, ``radius``, ``value``), ``"radius"`` (``measure``, ``bound``,
  ``threshold``, ``value``).
- ``checksum``: SHA-256 of the canonical JSON of all of the above.

Canonical JSON has sorted keys, no spaces, and characters outside ASCII escaped. Values of claims have five decimals and
are on the safe side by at least one unit of the last, so that other hardware and other versions of a library come to
the same verdict.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from smoothcert._check import check_radii, check_threshold
from smoothcert._version import __version__
from smoothcert.bounds import BOUNDS, LeadCertificate
from smoothcert.certificate import Certificate
from smoothcert.errors import InvalidArgumentError, RunError
from smoothcert.files import read_file
from smoothcert.runs import Run
from smoothcert.runs.config import DECIDED, IMPORTED, RunConfig
from smoothcert.samples import Samples, StageHistograms
from smoothcert.scores import LEAD, VOTE
from smoothcert.typing import IntArray
from smoothcert.urls import AnyPath, to_path
from smoothcert.verify.counted import Scores

FORMAT, SCHEMA = "smoothcert evidence", 1
DEFAULT_RADII = (0.0, 0.25, 0.5)
_UNIT = 1e5
_MOST_LEVELS, _MOST_SAMPLES = 10_000_000, 2**53


def export_input(
    run: Run,
    index: int,
    *,
    radii: float | Sequence[float] = DEFAULT_RADII,
    thresholds: Sequence[float] | None = None,
    bounds: Sequence[str] = BOUNDS,
    alpha: float | None = None,
) -> dict[str, Any]:
    """Evidence of everything certified about one input; see the module for what it holds.

    Args:
        run: A run that sampled its inputs.
        index: Index of the input in the source.
        radii: Radii of the lower and upper bounds.
        thresholds: Thresholds of the certified radii, each for the measures in whose range it lies. None for the middle
            of the range.
        bounds: Names of the bounds.
        alpha: Instead of the run's own.

    Raises:
        InvalidArgumentError: If a radius, a threshold, a bound or ``alpha`` is outside its domain.
        RunError: If the run holds no samples of the input, or no fixed number of them.
    """
    require_certificates(run.config)
    record = run.record(index)
    if record.samples is None:
        raise RunError(f"input {index} ({record.id}) was skipped and has no certificate: {record.error}")
    samples, config = record.samples, run.config
    certificate = Certificate.from_samples(samples, alpha=config.alpha if alpha is None else alpha)
    document = {
        "format": FORMAT,
        "schema": SCHEMA,
        "written_by": f"smoothcert {__version__}",
        "alpha": certificate.alpha,
        "assumptions": assumptions(
            config,
            sigma=samples.sigma,
            step=samples.step,
            price=samples.price,
            offset=samples.offset,
            alpha=certificate.alpha,
        ),
        "run": {
            **described(run),
            **({"grown": [vars(extent) for extent in config.extents]} if config.grown else {}),
        },
        "input": {"index": record.index, "id": record.id, "label": record.label},
        "sampled": _sampled(samples),
        "claims": claims(certificate, radii=radii, thresholds=thresholds, bounds=bounds),
    }
    return {**document, "checksum": checksum(document)}


def described(run: Run) -> dict[str, Any]:
    """Which run it is, as evidence says it of one input and of all."""
    config = run.config
    return {
        "fingerprint": config.fingerprint,
        "defining": config.defining,
        "model": config.model,
        "data": config.data,
        "notes": list(run.notes),
    }


def require_certificates(config: RunConfig) -> None:
    """Raise ``RunError`` for a run that holds nothing bounds can be computed from."""
    if config.kind == IMPORTED:
        raise RunError(
            "an imported log holds published bounds and no samples, so there is nothing to check them against"
        )
    if config.kind == DECIDED:
        raise RunError(
            f"the run decided {config.question}: its answers depend on the order of the samples, which is not stored"
        )


def assumptions(
    config: RunConfig, *, sigma: float, step: float | None, price: float, offset: float, alpha: float
) -> list[str]:
    """What the claims rest on beside the numbers, a sentence each.

    Args:
        config: What defines the run.
        sigma: Standard deviation of the noise.
        step: Step of its lattice; None in floating point.
        price: What it costs of ``alpha``.
        offset: Distance of the input to the lattice.
        alpha: Failure probability of a claim.
    """
    sampling = config.spec.sampling
    noise = f"The noise is Gaussian of standard deviation {sigma:g}"
    if step is None:
        noise += "; in floating point that is an approximation."
    else:
        noise += (
            f", rounded to the lattice of step {step!r}, drawn from bits of a generator that are taken for "
            f"random; that costs {price:.3g} of alpha."
        )
    found = [
        f"Each claim by itself is wrong with probability at most {alpha:g}, over the noise and the deal of the samples "
        "to groups; not all of them together.",
        "Claims are about the smoothed classifier, the average under noise, and about every input within the L2 "
        "radius of this one; a score is not a probability of being right.",
        f"The base classifier is the function that ran: {config.model} with weights "
        f"{config.weights_hash or 'of unknown hash'}, in {sampling.precision} by {sampling.backend} on "
        f"{config.device}, preprocessing included.",
        "It treats the rows of a batch independently of one another, as far as a probe tells, and is averaged over "
        "where it is random itself.",
        noise,
        "The pilot is independent of the estimation samples; it chose the class, its rivals and the bets.",
    ]
    if offset:
        found.append(f"The noise was added to a point {offset:.6g} away; every radius has paid for that.")
    return found + [f"{note[0].upper()}{note[1:]}." for note in config.growth_notes]


def claims(
    certificate: Certificate,
    *,
    radii: float | Sequence[float] = DEFAULT_RADII,
    thresholds: Sequence[float] | None = None,
    bounds: Sequence[str] = BOUNDS,
) -> list[dict[str, Any]]:
    """What a certificate says, rounded to the safe side."""
    asked = check_radii(radii)
    found: list[dict[str, Any]] = [
        {"kind": "class", "prediction": certificate.prediction, "abstained": certificate.abstained},
        {"kind": "class_radius", "value": cautious(certificate.class_radius, at_least=0.0)},
    ]
    for measure in (*certificate.measures, VOTE, *([] if certificate.lead is None else [LEAD])):
        part = certificate.measure(measure)
        first = part.pairs[0] if isinstance(part, LeadCertificate) else part
        low, high = first.sample.lower, first.sample.upper
        within = (
            [0.5 * (low + high)] if thresholds is None else [t for t in map(check_threshold, thresholds) if t >= low]
        )
        for bound in bounds:
            about = {"measure": measure, "bound": bound}
            for radius, value in zip(asked.tolist(), part.lower(asked, bound), strict=True):
                found.append({"kind": "lower", **about, "radius": radius, "value": cautious(value, at_least=low)})
            for radius, value in zip(asked.tolist(), part.upper(asked, bound), strict=True):
                found.append({"kind": "upper", **about, "radius": radius, "value": -cautious(-value, at_least=-high)})
            for threshold in within:
                value = cautious(part.radius(threshold, bound), at_least=0.0)
                if math.isfinite(value):
                    found.append({"kind": "radius", **about, "threshold": threshold, "value": value})
    return found


def cautious(value: float, *, at_least: float) -> float:
    """The value with five decimals, lower by at least one unit of the last; not below what is always true."""
    return max(math.floor(float(value) * _UNIT - 1.0) / _UNIT, at_least) if math.isfinite(value) else float(value)


def checksum(document: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _sampled(samples: Samples) -> dict[str, Any]:
    return {
        "sigma": samples.sigma,
        "seed": samples.seed,
        "content_hash": samples.content_hash,
        "offset": samples.offset,
        "step": samples.step,
        "price": samples.price,
        "prediction": samples.prediction,
        "pilot_votes": samples.pilot_votes.tolist(),
        "votes": samples.votes.tolist(),
        "measures": {name: _stages(stages) for name, stages in samples.measures.items()},
        "rivals": list(samples.rivals),
        "lead": [_stages(stages) for stages in samples.lead],
    }


def _stages(stages: StageHistograms) -> dict[str, Any]:
    first = stages.sample
    found: dict[str, Any] = {"lower": first.lower, "upper": first.upper, "levels": first.levels}
    for name, histogram in (("pilot", stages.pilot), ("sample", stages.sample)):
        cells, counts = histogram.to_sparse()
        found[name] = {"cells": cells.tolist(), "counts": counts.tolist()}
    return found


# --- reading


@dataclass(frozen=True)
class Stages:
    """One measure: what tunes bounds and what they are computed from."""

    pilot: Scores
    sample: Scores


@dataclass(frozen=True, eq=False)
class Evidence:
    """A file of evidence that has been read and makes sense; see the module for its parts."""

    document: Mapping[str, Any]
    alpha: float
    sigma: float
    seed: int
    content_hash: str
    offset: float
    price: float
    prediction: int
    pilot_votes: IntArray
    votes: IntArray
    measures: Mapping[str, Stages]
    rivals: tuple[int, ...]
    lead: tuple[Stages, ...]
    claims: tuple[Mapping[str, Any], ...]

    @classmethod
    def read(cls, path: AnyPath | str) -> Evidence:
        """Read a file.

        Raises:
            RunError: If it is no evidence, of another schema, was changed, or its parts do not fit together.
        """
        source = to_path(path)

        def refuse(text: str) -> float:
            raise ValueError(f"{text} is no number")

        try:
            document = json.loads(read_file(source).decode("utf-8"), parse_constant=refuse)
        except OSError as error:
            raise RunError(f"{source} cannot be read: {error.strerror or error}") from error
        except (ValueError, RecursionError) as error:
            raise RunError(f"{source} is no evidence: {error}") from error
        return cls.of(document, source=str(source))

    @classmethod
    def of(cls, document: Any, *, source: str = "the evidence") -> Evidence:
        """Check that a document is evidence, and that its numbers fit together.

        Raises:
            RunError: If it is not, or they do not.
        """
        try:
            return cls._of(document)
        except InvalidArgumentError as error:
            raise RunError(f"{source} is no evidence that could be checked: {error}") from error

    @classmethod
    def _of(cls, document: Any) -> Evidence:
        top = _Fields(document, "it")
        if top.text("format") != FORMAT:
            raise InvalidArgumentError(f"format must be {FORMAT!r}; got {document['format']!r}")
        schema = top.integer("schema", least=1)
        if schema != SCHEMA:
            raise InvalidArgumentError(f"it has schema {schema}, and this smoothcert reads schema {SCHEMA}")
        rest = {name: value for name, value in document.items() if name != "checksum"}
        if checksum(rest) != top.text("checksum"):
            raise InvalidArgumentError("it was changed after it was written: its checksum is another")
        alpha = top.number("alpha", above=0.0, most=0.5)
        run, sampled = top.part("run"), top.part("sampled")
        defining = run.part("defining")
        if checksum(defining.values) != run.text("fingerprint"):
            raise InvalidArgumentError("what defines the run does not have the run's fingerprint")
        votes, pilot_votes = sampled.counts("votes", least=0), sampled.counts("pilot_votes", least=0)
        if votes.size < 2 or votes.size != pilot_votes.size:
            raise InvalidArgumentError(
                f"votes must be of two classes at least; got {pilot_votes.size} and {votes.size}"
            )
        n0, n = int(pilot_votes.sum()), int(votes.sum())
        measures = sampled.part("measures")
        found = cls(
            document=document,
            alpha=alpha,
            sigma=sampled.number("sigma", above=0.0),
            seed=sampled.integer("seed", least=0),
            content_hash=sampled.text("content_hash"),
            offset=sampled.number("offset", least=0.0),
            price=sampled.number("price", least=0.0),
            prediction=sampled.integer("prediction", least=0, most=votes.size - 1),
            pilot_votes=pilot_votes,
            votes=votes,
            measures={name: measures.stages(name, n0=n0, n=n) for name in measures.values},
            rivals=tuple(sampled.counts("rivals", least=0).tolist()),
            lead=tuple(part.stages_here(n0=n0, n=n) for part in sampled.parts("lead")),
            claims=tuple(part.values for part in top.parts("claims")),
        )
        if n < 1:
            raise InvalidArgumentError("it holds no estimation sample")
        if not found.price < alpha:
            raise InvalidArgumentError(f"the noise costs {found.price:g}, which leaves nothing of alpha {alpha:g}")
        if len(found.lead) - len(found.rivals) not in (0, 1):
            raise InvalidArgumentError("lead must have one entry per rival, and one for the rest")
        for name, own in {"sigma": found.sigma, "seed": found.seed}.items():
            if name in defining.values and defining.values[name] != own:
                raise InvalidArgumentError(f"{name} is {own!r} and the run's is {defining.values[name]!r}")
        return found

    @property
    def id(self) -> str:
        """Name of the input, for people."""
        about = self.document.get("input")
        return str(about.get("id", "?")) if isinstance(about, dict) else "?"


class _Fields:
    """A JSON object whose fields are read by type; each error names the field."""

    def __init__(self, values: Any, name: str) -> None:
        if not isinstance(values, dict):
            raise InvalidArgumentError(f"{name} must be an object; got {type(values).__name__}")
        self.values: dict[str, Any] = values
        self._name = name

    def _get(self, name: str, kind: type[Any] | tuple[type[Any], ...], what: str) -> Any:
        value = self.values.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):
            got = repr(value) if name in self.values else "nothing"
            raise InvalidArgumentError(f"{name} of {self._name} must be {what}; got {got[:80]}")
        return value

    def text(self, name: str) -> str:
        return str(self._get(name, str, "text"))

    def integer(self, name: str, *, least: int, most: int = _MOST_SAMPLES) -> int:
        value = int(self._get(name, int, "an integer"))
        # A seed may be larger than any count.
        if value < least or (value > most and name != "seed"):
            raise InvalidArgumentError(f"{name} of {self._name} must be an integer from {least} to {most}; got {value}")
        return value

    def number(self, name: str, *, least: float = -math.inf, above: float = -math.inf, most: float = math.inf) -> float:
        value = float(self._get(name, (int, float), "a number"))
        if not (math.isfinite(value) and least <= value <= most and value > above):
            raise InvalidArgumentError(f"{name} of {self._name} is outside what it can be; got {value!r}")
        return value

    def part(self, name: str) -> _Fields:
        return _Fields(self.values.get(name), name)

    def parts(self, name: str) -> list[_Fields]:
        return [_Fields(one, f"{name}[{i}]") for i, one in enumerate(self._get(name, list, "a list"))]

    def counts(self, name: str, *, least: int) -> IntArray:
        values = self._get(name, list, "a list of integers")
        if not all(type(value) is int and least <= value <= _MOST_SAMPLES for value in values):
            raise InvalidArgumentError(f"{name} of {self._name} must be integers, at least {least}")
        return np.array(values, dtype=np.int64)

    def stages(self, name: str, *, n0: int, n: int) -> Stages:
        return self.part(name).stages_here(n0=n0, n=n)

    def stages_here(self, *, n0: int, n: int) -> Stages:
        lower, upper = self.number("lower"), self.number("upper")
        levels = self.integer("levels", least=1, most=_MOST_LEVELS)
        if not lower < upper:
            raise InvalidArgumentError(f"the range of {self._name} is empty: [{lower:g}, {upper:g}]")
        stages = []
        for stage, size in (("pilot", n0), ("sample", n)):
            one = self.part(stage)
            cells, counts = one.counts("cells", least=0), one.counts("counts", least=1)
            if cells.size != counts.size or np.any(np.diff(cells) <= 0) or (cells.size and cells[-1] > levels):
                raise InvalidArgumentError(f"cells of {self._name} {stage} must ascend to {levels}, each with a count")
            if int(counts.sum()) != size:
                raise InvalidArgumentError(
                    f"the histogram of {self._name} {stage} holds {int(counts.sum())} samples, the votes {size}"
                )
            stages.append(Scores(lower, upper, levels, cells, counts))
        return Stages(*stages)
