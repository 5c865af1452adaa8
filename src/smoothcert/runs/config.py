"""What defines a run: stored beside its records, compared on resume, quoted in every report."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timezone
from importlib.metadata import distributions, version
from typing import Any, NamedTuple

from smoothcert._version import __version__
from smoothcert.errors import RunError

SCHEMA = 2
"""Number of the layout of a run folder, raised when a reader of the old one would misread the new one."""

SAMPLED, DECIDED, IMPORTED = "sampled", "decided", "imported"
_INFORMATION = {"defines": False}
_UNLESS_NONE = {"unless_none": True}  # defines a run only where there is a value: older runs keep their fingerprint
_EXPLAIN_DATA = ("data", "split")  # the fingerprint decides; these tell a person why it differs


class Difference(NamedTuple):
    """One defining field in which two runs differ."""

    field: str
    ours: Any
    theirs: Any


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that decides what a run's records say, and what is worth knowing beside it.

    Two runs with the same :attr:`fingerprint` draw the same noise for the same inputs through the same
    classifier, so their records are interchangeable and one can continue the other. What is only information
    (how the data were named, where the weights lay, class names, versions, the time) is stored and shown but
    does not count.

    Args:
        kind: ``"sampled"`` for a run made here, ``"decided"`` for one that answers a single question, ``"imported"``
            for a published log.
        model: Name of the base classifier, as given on the command line.
        weights_hash: SHA-256 of the weights, if known.
        data: Name of the data set, as given on the command line.
        data_fingerprint: Fingerprint of the data source.
        limit: Largest number of inputs, or None for all.
        stride: Every stride-th input of the source is taken.
        split: Split of the data set, if one was named.
        image_size: Side the images are cropped to, or height and width, if any.
        resize: Size of the shorter side before the crop, if any.
        interpolation: Filter the images are scaled with; None for bilinear, as always in runs from before there was
            another.
        sigma: Standard deviation of the noise, in input units.
        n0: Number of pilot samples an input.
        n: Number of estimation samples an input; in a decided run the most an input may take.
        question: What a decided run decides, such as ``"score:0.5@0.25"``.
        alpha: Probability that a certificate is wrong, used when a query names no other.
        seed: Seed of the noise.
        levels: Number of steps of the score grid.
        num_classes: Number of classes of the base classifier.
        precision: Arithmetic of the forward pass: part of the certified function.
        backend: What ran the forward pass, part of it too; None for PyTorch with the module as it is.
        outputs: Whether the base classifier returns ``"logits"`` or ``"probabilities"``.
        device: Type of the device that drew the noise, such as ``"cpu"``; generators differ between types.
        class_names: Names of the classes, for people.
        weights: Where the weights were read from.
        inputs: Number of inputs the finished run holds, if known.
        notes: What a reader of the numbers must know, a sentence each.
        versions: Versions of Python and of the libraries that took part.
        created: Time of the start, ISO 8601 in UTC.
        schema: Layout of the folder.

    Example:
        >>> from dataclasses import replace
        >>> config = RunConfig(
        ...     model="digits", data="digits", sigma=0.25, n0=100, n=1000, alpha=0.001, num_classes=10
        ... )
        >>> RunConfig.from_json(config.to_json()) == config
        True
        >>> config.difference(replace(config, sigma=0.5, created=""))
        [Difference(field='sigma', ours=0.25, theirs=0.5)]
    """

    kind: str = SAMPLED
    model: str
    weights_hash: str | None = None
    data: str = field(metadata=_INFORMATION)
    data_fingerprint: str | None = None
    limit: int | None = None
    stride: int = 1
    split: str | None = field(default=None, metadata=_INFORMATION)
    image_size: int | tuple[int, int] | None = None
    resize: int | None = None
    interpolation: str | None = field(default=None, metadata=_UNLESS_NONE)
    sigma: float
    n0: int
    n: int
    question: str | None = field(default=None, metadata=_UNLESS_NONE)
    alpha: float
    seed: int = 0
    levels: int = 10_000
    num_classes: int
    precision: str = "float32"
    backend: str | None = field(default=None, metadata=_UNLESS_NONE)
    outputs: str = "logits"
    device: str = "cpu"
    class_names: tuple[str, ...] | None = field(default=None, metadata=_INFORMATION)
    weights: str | None = field(default=None, metadata=_INFORMATION)
    inputs: int | None = field(default=None, metadata=_INFORMATION)
    notes: tuple[str, ...] = field(default=(), metadata=_INFORMATION)
    versions: Mapping[str, str] = field(default_factory=dict, hash=False, metadata=_INFORMATION)
    created: str = field(default="", metadata=_INFORMATION)
    schema: int = SCHEMA

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON of the defining fields, 64 hexadecimal digits."""
        values = {name: getattr(self, name) for name in _defining()}
        for f in fields(self):
            if f.metadata.get("unless_none") and values[f.name] is None:
                del values[f.name]
        text = json.dumps(values, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def difference(self, other: RunConfig) -> list[Difference]:
        """Defining fields in which the two differ, with this config's value and the other's.

        Where the data differ, so do the names they were given, if those tell them apart.
        """
        names = _defining()
        if self.data_fingerprint != other.data_fingerprint:
            names = [*_EXPLAIN_DATA, *names]
        pairs = ((name, getattr(self, name), getattr(other, name)) for name in names)
        return [Difference(name, ours, theirs) for name, ours, theirs in pairs if ours != theirs]

    def to_json(self) -> str:
        """Readable JSON of all fields and the fingerprint."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["versions"] = dict(self.versions)
        return json.dumps({"fingerprint": self.fingerprint, **values}, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, *, source: str = "config.json") -> RunConfig:
        """Read what :meth:`to_json` wrote.

        Args:
            text: The JSON.
            source: Name of the file, for errors.

        Raises:
            RunError: If it is not the configuration of a run, was written by a newer smoothcert, or was
                edited.
        """
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise RunError(f"{source} is not the configuration of a run: {error}") from error
        if not isinstance(values, dict) or not isinstance(values.get("schema"), int):
            raise RunError(f"{source} is not the configuration of a run: it has no schema number")
        if values["schema"] > SCHEMA:
            raise RunError(
                f"{source} was written by a newer smoothcert (schema {values['schema']}, this one reads "
                f"up to {SCHEMA}): upgrade to read this run"
            )
        stored = values.pop("fingerprint", None)
        known = {f.name for f in fields(cls)}
        if unknown := sorted(values.keys() - known):
            raise RunError(f"{source} has fields this smoothcert does not know: {', '.join(unknown)}")
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        try:
            config = cls(**values)
        except TypeError as error:
            raise RunError(f"{source} lacks fields of a run's configuration: {error}") from error
        if stored != config.fingerprint:
            raise RunError(f"{source} was changed after the run was started: its fields do not match its fingerprint")
        return config


def current_versions(*packages: str) -> dict[str, str]:
    """Versions of smoothcert, Python and the installed ones of ``packages``; imports none of them."""
    installed = {distribution.name for distribution in distributions()}
    found = {"smoothcert": __version__, "python": platform.python_version()}
    return found | {package: version(package) for package in packages if package in installed}


def now() -> str:
    """Time in UTC to the second, ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _defining() -> list[str]:
    return [f.name for f in fields(RunConfig) if f.metadata.get("defines", True)]
