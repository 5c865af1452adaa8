"""What defines a run: stored beside its records, compared on resume, quoted in every report."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timezone
from functools import cached_property
from importlib.metadata import distributions, version
from typing import Any, Final, Literal, NamedTuple

from smoothcert._version import __version__
from smoothcert.errors import InvalidArgumentError, RunError
from smoothcert.fields import Checked, Count
from smoothcert.runs.extent import Extent, growth_notes
from smoothcert.shard import Shard
from smoothcert.spec import RunSpec

SCHEMA: Final = 2
"""Number of the layout of a run folder, raised when a reader of the old one would misread the new one."""

SAMPLED: Final = "sampled"
DECIDED: Final = "decided"
IMPORTED: Final = "imported"
_HASH = re.compile(r"[0-9a-f]{32,}")
_HASHED = {"data_fingerprint": "the content of the data", "weights_hash": "the file or values of the weights"}


class Difference(NamedTuple):
    """One thing that defines a run and in which two runs differ."""

    field: str
    ours: Any
    theirs: Any

    def __str__(self) -> str:
        """For people: of hashes that they differ, of everything else how."""
        name = _HASHED.get(self.field, self.field)
        if all(_HASH.fullmatch(str(value)) for value in (self.ours, self.theirs)):
            return f"{name} changed"
        return f"{name} is {self.ours!r} there and {self.theirs!r} here"


@dataclass(frozen=True, kw_only=True)
class Witness(Checked):
    """What the first noisy samples of one input scored, to be sampled again and compared before a run is continued.

    Args:
        index: Position of the input in its source.
        id: Its name.
        content_hash: Of the input.
        predictions: The class with the highest score, per sample.
        logits: The logarithm of that score, less the mean of those of all classes.
    """

    index: int
    id: str
    content_hash: str
    predictions: tuple[int, ...]
    logits: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class RunConfig(Checked):
    """Everything that decides what a run's records say, and what is worth knowing beside it.

    Two runs with the same :attr:`fingerprint` draw the same noise for the same inputs through the same classifier, so
    their records are interchangeable and one can continue the other. What defines a run is what was resolved: the
    classifier that runs, the data set's own fingerprint, and how it is sampled, with nothing left open. How the data
    were named, class names, versions and the time are stored and shown but do not count. How far a run goes, ``n`` and
    which inputs, counts as it was when the run was first made: a run that has grown keeps its fingerprint.

    Args:
        spec: The run as it was asked for, with what was left open filled in.
        kind: ``"sampled"`` for a run made here, ``"decided"`` for one that answers a single question, ``"imported"``
            for a published log.
        model: The base classifier in words, such as ``"digits behind ffdnet"``.
        weights_hash: SHA-256 of the weights, if known.
        identity: What else identifies the code that runs: hashes of its source files, versions of its packages.
        data: The data set in words.
        data_fingerprint: Of its selection, preparation and content.
        num_classes: Number of classes of the base classifier.
        device: Type of the device that computed the scores, such as ``"cpu"``.
        inputs: Number of inputs the finished run holds, if known.
        indices: Their first index in the source, the one behind the last, and their step, if they are evenly spaced.
        class_names: Names of the classes, for people.
        notes: What a reader of the numbers must know, a sentence each.
        witness: Scores to compare with before the run is continued.
        versions: Versions of Python and of the libraries that took part.
        created: Time of the start, ISO 8601 in UTC.
        grown: How far the run went before it grew, from the first on; empty for one that has not grown.
        schema: Layout of the folder.

    Raises:
        InvalidArgumentError: If a field is of another type.

    Example:
        >>> from dataclasses import replace
        >>> spec = RunSpec.of(model="digits", data="digits", sigma=0.25, n0=100, n=1_000)
        >>> config = RunConfig(spec=spec, model="digits", data="digits", num_classes=10)
        >>> RunConfig.from_json(config.to_json()) == config
        True
        >>> config.difference(replace(config, spec=spec.vary(sigma=0.5), created=""))
        [Difference(field='sigma', ours=0.25, theirs=0.5)]
    """

    spec: RunSpec
    kind: Literal["sampled", "decided", "imported"] = "sampled"
    model: str
    weights_hash: str | None = None
    identity: Mapping[str, str] = field(default_factory=dict, hash=False)
    data: str
    data_fingerprint: str | None = None
    num_classes: Count
    device: str = "cpu"
    inputs: int | None = None
    indices: tuple[int, int, int] | None = None
    class_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    witness: Witness | None = None
    versions: Mapping[str, str] = field(default_factory=dict, hash=False)
    created: str = ""
    grown: tuple[Extent, ...] = ()
    schema: Literal[1, 2] = SCHEMA

    @property
    def sigma(self) -> float:
        """Standard deviation of the noise, in input units."""
        return self.spec.sampling.sigma

    @property
    def n0(self) -> int:
        """Number of pilot samples per input."""
        return self.spec.sampling.pilot_samples

    @property
    def n(self) -> int:
        """Number of estimation samples per input; in a decided run the most an input may take."""
        return self.spec.sampling.estimation_samples

    @property
    def question(self) -> str | None:
        """What a decided run decides, such as ``"score:0.5@0.25"``."""
        return self.spec.sampling.decide

    @property
    def alpha(self) -> float:
        """Probability that a certificate is wrong, used when a query names no other."""
        return self.spec.sampling.alpha

    @property
    def seed(self) -> int:
        """Seed of the noise."""
        return self.spec.sampling.seed

    @property
    def levels(self) -> int:
        """Number of steps of the score grid."""
        return self.spec.sampling.levels

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of what was counted."""
        return self.spec.sampling.measures

    @cached_property
    def extent(self) -> Extent:
        """How far the run goes."""
        return Extent(n=self.n, inputs=self.inputs, indices=self.indices, data_fingerprint=self.data_fingerprint)

    @property
    def extents(self) -> tuple[Extent, ...]:
        """How far it ever went, from the first on."""
        return (*self.grown, self.extent)

    @property
    def first(self) -> Extent:
        """How far it went when it was first made."""
        return self.extents[0]

    @cached_property
    def sizes(self) -> list[int]:
        """Numbers of estimation samples that a record may hold, ascending: until it has grown, an earlier one."""
        return sorted({extent.n for extent in self.extents})

    @property
    def shard(self) -> Shard | None:
        """Which share of the inputs this folder is of; None for the whole."""
        text = self.spec.execution.shard
        return None if text is None else Shard.parse(text)

    @property
    def expected(self) -> int | None:
        """Number of inputs that the folder holds when it is finished; None if nobody said."""
        if self.inputs is None or self.shard is None:
            return self.inputs
        return len(self.shard.positions(self.inputs))

    @property
    def own(self) -> range | None:
        """Index of each of these inputs; None where nobody said which they are."""
        every = range(*self.indices) if self.indices is not None else range(0)
        if len(every) != self.inputs:
            return None
        return every if self.shard is None else every[self.shard.number - 1 :: self.shard.of]

    @property
    def growth_notes(self) -> tuple[str, ...]:
        """What a reader of the numbers must know if the run has grown, a sentence each."""
        return growth_notes(self)

    @property
    def defining(self) -> dict[str, Any]:
        """Everything that decides what the records of the run as first made say; what is None decides nothing."""
        return self._defined(self.first)

    def _defined(self, extent: Extent) -> dict[str, Any]:
        """Everything that decides what the records say, by name."""
        sampling = self.spec.options(all=True, parts=("sampling",))
        sizes = {"n0": self.n0, "n" if self.question is None else "max_n": extent.n}
        resolved = {
            "schema": self.schema,
            "kind": self.kind,
            "model": self.model,
            "weights_hash": self.weights_hash,
            "outputs": self.spec.model.outputs or "logits",
            **{f"the {name}": value for name, value in self.identity.items()},
            "data_fingerprint": extent.data_fingerprint,
            "num_classes": self.num_classes,
            "device": self.device,
        }
        return {name: value for name, value in (resolved | sampling | sizes).items() if value is not None}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON of :attr:`defining`, 64 hexadecimal digits."""
        return _sha256(self.defining)

    def difference(self, other: RunConfig) -> list[Difference]:
        """What defines the two and differs, with this config's value and the other's.

        Where the data differ, so do their names and options, if those tell them apart.
        """
        ours, theirs = self._defined(self.extent), other._defined(other.extent)
        if self.data_fingerprint != other.data_fingerprint:
            ours, theirs = (
                {**config.spec.options(all=True, parts=("data",)), "data": config.data, "inputs": config.inputs, **own}
                for config, own in ((self, ours), (other, theirs))
            )
        pairs = ((name, ours.get(name), theirs.get(name)) for name in dict.fromkeys([*ours, *theirs]))
        return [Difference(*pair) for pair in pairs if pair[1] != pair[2]]

    def told_apart(self, other: RunConfig, *, but_for: Collection[str] = ()) -> str:
        """:meth:`difference` for people, without some fields; empty where nothing differs."""
        return ", ".join(str(one) for one in self.difference(other) if one.field not in but_for)

    def is_same_but_for_extent(self, other: RunConfig) -> bool:
        """Whether one could become the other by growing, as far as it does not hang on the data."""
        return self._defined(self.first) == other._defined(self.first)

    def to_json(self) -> str:
        """Readable JSON of all fields, the fingerprint, and a checksum of them all."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        values |= {
            "spec": self.spec.options(all=True),
            "witness": self.witness and vars(self.witness),
            "identity": dict(self.identity),
            "versions": dict(self.versions),
        }
        if grown := values.pop("grown"):  # absent from others, which every version can read
            values["grown"] = [vars(extent) for extent in grown]
        values = {"schema": values.pop("schema"), "fingerprint": self.fingerprint, **values}
        return json.dumps({**values, "checksum": _sha256(values)}, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, *, source: str = "config.json") -> RunConfig:
        """Read what :meth:`to_json` wrote, or what the layout before did.

        Args:
            text: The JSON.
            source: Name of the file, for errors.

        Raises:
            RunError: If it is not the configuration of a run, was written by a newer smoothcert, or was
                edited.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise RunError(f"{source} is not the configuration of a run: {error}") from error
        number = values.get("schema") if isinstance(values, dict) else None
        if type(number) is not int:
            raise RunError(f"{source} is not the configuration of a run: it has no schema number")
        if number > SCHEMA:
            raise RunError(
                f"{source} was written by a newer smoothcert (schema {number}, this one reads "
                f"up to {SCHEMA}): upgrade to read this run"
            )
        if number < 1:
            raise RunError(f"{source} is not the configuration of a run: its schema number is {number}")
        try:
            return cls._read(values) if number == SCHEMA else cls._read_schema_1(values)
        except _EditedError:
            raise RunError(
                f"{source} was changed after the run was started: its fields do not match its fingerprint and checksum"
            ) from None
        except InvalidArgumentError as error:
            raise RunError(f"{source} is not the configuration of a run: {error}") from error

    @classmethod
    def _read(cls, values: dict[str, Any]) -> RunConfig:
        checksum, fingerprint = values.pop("checksum", None), values.get("fingerprint")
        if checksum != _sha256(values):
            raise _EditedError
        del values["fingerprint"]
        spec, witness = values.pop("spec", None), values.pop("witness", None)
        grown = values.pop("grown", [])
        if not isinstance(spec, dict) or not isinstance(witness, (dict, type(None))) or not _are_tables(grown):
            raise InvalidArgumentError("spec, witness and grown must be tables of fields")
        made = {
            "spec": RunSpec.of(**spec),
            "witness": None if witness is None else _made(Witness, witness),
            "grown": tuple(_made(Extent, extent) for extent in grown),
        }
        config: RunConfig = _made(cls, {**values, **made})
        if config.fingerprint != fingerprint:
            raise _EditedError
        return config

    @classmethod
    def _read_schema_1(cls, values: dict[str, Any]) -> RunConfig:
        from smoothcert.runs.schema1 import fingerprint, migrated

        stored = values.pop("fingerprint", None)
        config: RunConfig = _made(cls, migrated(values))
        if stored != fingerprint(values):
            raise _EditedError
        return config


class _EditedError(Exception):
    """The file no longer holds what was written."""


def current_versions(*packages: str) -> dict[str, str]:
    """Versions of smoothcert, Python and the installed ones of ``packages``; imports none of them."""
    installed = {distribution.name for distribution in distributions()}
    found = {"smoothcert": __version__, "python": platform.python_version()}
    return found | {package: version(package) for package in packages if package in installed}


def evenly_spaced(indices: Sequence[int]) -> tuple[int, int, int] | None:
    """First index, the one behind the last, and their step; None for indices that are not evenly spaced.

    Example:
        >>> evenly_spaced([5, 8, 11]), evenly_spaced([7]), evenly_spaced([1, 2, 4])
        ((5, 12, 3), (7, 8, 1), None)
    """
    if not indices:
        return None
    step = indices[1] - indices[0] if len(indices) > 1 else 1
    spaced = range(indices[0], indices[-1] + 1, step) if step > 0 else range(0)
    return (spaced.start, spaced.stop, spaced.step) if list(spaced) == [*map(int, indices)] else None


def now() -> str:
    """Time in UTC to the second, ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _sha256(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _are_tables(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(value, dict) for value in values)


def _made(cls: type[Any], values: Mapping[str, Any]) -> Any:
    """An instance from what JSON holds; its fields check themselves."""
    known = {one.name for one in fields(cls)}
    if unknown := sorted(values.keys() - known):
        raise InvalidArgumentError(f"it has fields this smoothcert does not know: {', '.join(unknown)}")
    try:
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
    except TypeError as error:
        raise InvalidArgumentError(f"it lacks fields: {error}") from error
