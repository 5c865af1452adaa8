"""What a run is, described once: the command line, Python, ``config.json`` and ``--config FILE`` share these types.

An option of a run is one field of one of them: its name, type, default and domain are in the field, its help is its
line under ``Args``. Cyclopts reads flags and help from here, and pydantic checks every value against its field's type,
whichever way it came.
"""

# Without ``from __future__ import annotations``: a class derived in another module needs the types of its fields,
# and not their names, which mean nothing there.
import difflib
import json
import math
import re
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter

from smoothcert.decision import DEFAULT_MAX_N, Question
from smoothcert.errors import InvalidArgumentError
from smoothcert.fields import Checked, Count, Domain, File, integer, option_name, whole
from smoothcert.histogram import DEFAULT_LEVELS, DEFAULT_N, DEFAULT_PILOT
from smoothcert.scores import DEFAULT_MEASURES
from smoothcert.shard import Shard
from smoothcert.urls import AnyPath, to_path

Outputs = Literal["logits", "probabilities", "logit", "labels"]
Interpolation = Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"]
Precision = Literal["float32", "bfloat16", "float16"]
Backend = Literal["torch", "torch-folded", "torch-compile", "torch-cuda-graphs", "onnxruntime", "openvino"]
Noise = Literal["lattice", "float"]
OnUnreadable = Literal["fail", "skip"]
EngineName = Literal["local", "ray"]

PANELS = {
    name: Parameter(name="*", group=Group(name.capitalize(), sort_key=place))
    for place, name in enumerate(("model", "data", "sampling", "execution"), start=1)
}
"""Headings of ``--help``, below which the options of each part stand without its name."""


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


_SIZE = "a side in pixels, at least 1, or height and width such as 224x160"


def _size(value: object) -> object:
    """``224``, ``"224x160"`` or ``[224, 160]``."""
    if isinstance(value, str) and all(part.isdecimal() for part in value.split("x", 1)):
        sides = tuple(int(part) for part in value.split("x", 1))
        return sides if len(sides) == 2 else sides[0]
    return integer(_tuple(value))


def _range(value: object) -> object:
    """``"0,1"``, ``(0, 1)`` or ``"none"``."""
    from smoothcert.data.dataset import parse_input_range

    if value is None or not isinstance(value, (str, tuple, list)):
        return value
    ends = parse_input_range(value)
    return "none" if ends is None else f"{ends[0]!r},{ends[1]!r}"


def _question(value: object) -> object:
    return value if value is None else str(value if isinstance(value, Question) else Question.parse(str(value)))


def _is_size(value: int | tuple[int, int]) -> bool:
    return min(value if isinstance(value, tuple) else (value,)) >= 1


def _shard(value: object) -> object:
    return value if value is None else str(value if isinstance(value, Shard) else Shard.parse(str(value)))


def _is_positive(value: float) -> bool:
    return 0.0 < value < math.inf


def _are_names(names: tuple[str, ...]) -> bool:
    return len(names) > 0 and all(names) and len(set(names)) == len(names)


def _cli_size(_: object, tokens: Any) -> Any:
    found = _size(tokens[0].value)
    if isinstance(found, str):
        raise InvalidArgumentError(f"image_size must be {_SIZE}; got {found!r}")
    return found


def _workers(value: object) -> object:
    return None if value == "auto" else integer(value)


def _cli_workers(_: object, tokens: Any) -> int | None:
    text = tokens[0].value
    if text != "auto" and not text.isdecimal():
        raise InvalidArgumentError(f"workers must be auto or a number of workers, at least 1; got {text!r}")
    return None if text == "auto" else int(text)


def _cli_names(_: object, tokens: Any) -> tuple[str, ...]:
    return tuple(name.strip() for token in tokens for name in token.value.split(","))


SampleCount = Annotated[int, whole(most=10**12)]


@dataclass(frozen=True, kw_only=True)
class ModelSpec(Checked):
    """Which base classifier.

    Args:
        name: Such as digits, cifar:resnet20, torchvision:NAME, timm:NAME, hf:NAME or python:FILE.py:FACTORY.
        weights: File with the weights, where the model needs one.
        denoiser: Put before the model and told sigma: ffdnet, diffusers:NAME or python:FILE.py:FACTORY.
        denoiser_weights: File with its weights, where the denoiser needs one.
        outputs: What the model returns: logits, probabilities, logit (one number, of a sigmoid) or labels (one logit
            per label, several of which may be right). Default: what it says of itself, else logits.
    """

    name: Annotated[str | None, Parameter(name="--model")] = None
    weights: File | None = None
    denoiser: str | None = None
    denoiser_weights: File | None = None
    outputs: Outputs | None = None

    def __post_init__(self) -> None:
        """Check the fields, and that the denoiser's weights have a denoiser."""
        super().__post_init__()
        if self.denoiser_weights is not None and self.denoiser is None:
            raise InvalidArgumentError("denoiser_weights needs a denoiser; none was given")


@dataclass(frozen=True, kw_only=True)
class DataSpec(Checked):
    """Which inputs, and how they are prepared.

    Args:
        name: Such as digits, cifar10, imagefolder:PATH, parquet:PATH or hf:NAME.
        limit: At most so many inputs, after the stride.
        stride: Every so many-th input, beginning with the first.
        split: Split of the data, such as test.
        image_size: Crop images to this side, or HEIGHTxWIDTH. Default: what the model says of itself.
        resize: Shorter side before the crop. Default: what the model says of itself.
        interpolation: Filter images are scaled with. Default: what the model says of itself, else bilinear.
        image_column: Column of the images, where there are several.
        label_column: Column of the labels, where there are several.
        channels: 3 makes images coloured, 1 grey. Default: what the model takes, else coloured.
        input_range: Smallest and largest value an input may hold, LO,HI, or none. Default: 0,1 for images.
        classes: File that says which class is which: names in the model's order, one per line, or lines 'class of the
            data = class of the model'.
        label_offset: Added to every label of the data, which are then compared by number.
        allow_outside: Let paths that stand in the data lead out of the data's own folder.
    """

    name: Annotated[str | None, Parameter(name="--data")] = None
    limit: Count | None = None
    stride: Count = 1
    split: str | None = None
    image_size: Annotated[
        int | tuple[int, int] | None,
        Parameter(converter=_cli_size, n_tokens=1, accepts_keys=False, negative=()),
        Domain(_SIZE, read=_size, accepts=_is_size),
    ] = None
    resize: Count | None = None
    interpolation: Interpolation | None = None
    image_column: str | None = None
    label_column: str | None = None
    channels: Annotated[Literal[1, 3] | None, Domain("1 or 3", read=integer)] = None
    input_range: Annotated[
        str | None, Parameter(allow_leading_hyphen=True), Domain("two numbers LO,HI, or none", read=_range)
    ] = None
    classes: File | None = None
    label_offset: Annotated[int, whole(-(2**31), 2**31)] = 0
    allow_outside: Annotated[bool, Parameter(negative=())] = False


@dataclass(frozen=True, kw_only=True)
class SamplingSpec(Checked):
    """How inputs are sampled under noise: everything that decides the numbers, beside model and data.

    Args:
        sigma: Standard deviation of the noise, in input units; images lie in [0, 1].
        n: Estimation samples per input: the ones bounds are computed from. Default: 9,500.
        n0: Pilot samples per input: they select the class. Default: 500, with decide 100, of votes 32.
        decide: Answer one question only, MEASURE:THRESHOLD@RADIUS such as score:0.5@0.25, with as few samples as it
            takes.
        max_n: With decide, at most so many estimation samples per input. Default: 100,000.
        alpha: Probability that a certificate is wrong, used when a query names no other.
        seed: Seed of the noise.
        levels: Steps of the grid scores are counted on.
        measures: What is counted: score, margin, lead, vote or python:FILE.py:NAME.
        noise: On a lattice, so that what is certified is exact for 8-bit images, or rounded to float.
        lattice: Step of that lattice. Default: the data's own, 1/255 for images of 8 bits.
        precision: Arithmetic of the forward pass; part of what is certified.
        backend: What runs the forward pass; part of what is certified.
    """

    sigma: Annotated[
        float, Domain("a positive finite noise level in input units, for example 0.25", accepts=_is_positive)
    ]
    n: SampleCount | None = None
    n0: SampleCount | None = None
    decide: Annotated[str | None, Domain("a question such as score:0.5@0.25", read=_question)] = None
    max_n: SampleCount | None = None
    alpha: Annotated[
        float, Domain("a failure probability in (0, 0.5], for example 0.001", accepts=lambda alpha: 0.0 < alpha <= 0.5)
    ] = 0.001
    seed: Annotated[int, whole(0, 2**63 - 1)] = 0
    levels: Annotated[int, whole(most=10**6)] = DEFAULT_LEVELS
    measures: Annotated[
        tuple[str, ...],
        Parameter(name="--measure", converter=_cli_names, n_tokens=1, negative=()),
        Domain("names of measures, each once", read=_tuple, accepts=_are_names),
    ] = DEFAULT_MEASURES
    noise: Noise = "lattice"
    lattice: Annotated[float | None, Domain("a positive finite step", accepts=_is_positive)] = None
    precision: Precision = "float32"
    backend: Backend = "torch"

    def __post_init__(self) -> None:
        """Check the fields, and that sizes and question go together."""
        super().__post_init__()
        if self.decide is None and self.max_n is not None:
            raise InvalidArgumentError(f"max_n is for a run that decides a question; got {self.max_n} and no question")
        if self.decide is not None and self.n is not None:
            raise InvalidArgumentError(f"n is for a run without a question; limit its samples by max_n; got n={self.n}")
        if self.lattice is not None and self.noise != "lattice":
            raise InvalidArgumentError(
                f"lattice is for noise on a lattice; got {self.lattice:g} and noise={self.noise}"
            )

    @property
    def question(self) -> Question | None:
        """The question that is decided, if any."""
        return None if self.decide is None else Question.parse(self.decide)

    @property
    def pilot_samples(self) -> int:
        """Pilot samples per input."""
        return self.n0 or (DEFAULT_PILOT if self.question is None else self.question.pilot_samples)

    @property
    def estimation_samples(self) -> int:
        """Estimation samples per input; where a question is decided, the most of them."""
        return (self.n or DEFAULT_N) if self.decide is None else (self.max_n or DEFAULT_MAX_N)

    def settled(self) -> "SamplingSpec":
        """The same with the sizes that were left open."""
        if self.decide is None:
            return replace(self, n0=self.pilot_samples, n=self.estimation_samples)
        return replace(self, n0=self.pilot_samples, max_n=self.estimation_samples)


@dataclass(frozen=True, kw_only=True)
class ExecutionSpec(Checked):
    """How it is run; nothing here changes a result.

    Args:
        device: Such as cpu, cuda or cuda:1. Default: a GPU if there is one.
        batch_size: Noisy copies per batch. Default: found by size or measurement.
        on_unreadable: Whether an input that cannot be read, or that the model fails on, stops the run, or is skipped
            and counted.
        verify_precision: Measure on some inputs how far precision and backend move scores away from PyTorch in float32,
            and note it.
        allow_unstable: Go on although the model scores an input by its company in the batch, or drifts while it runs.
            Its certificates may then be wrong; the run says so.
        shard: Only a share of the inputs, such as 3/16 for the third of sixteen, each into a folder of its own; merge,
            query and report put them together.
        retry_failed: Sample inputs again whose record is an error.
        engine: Who samples: this process, or workers on a Ray cluster.
        address: With engine ray, the cluster: auto for the one on this machine, or HOST:PORT. Default: RAY_ADDRESS,
            else one is started on this machine for this run.
        workers: With engine ray, how many processes sample. Default: auto, as many as the cluster has room for.
        gpus_per_worker: With engine ray, GPUs of each; 0.5 lets two share one. Default: 1 where there are any.
        cpus_per_worker: With engine ray, CPUs of each, and threads it computes with.
    """

    device: str | None = None
    batch_size: Count | None = None
    on_unreadable: Annotated[OnUnreadable, Parameter(name=("--on-unreadable", "--on-error"))] = "fail"
    verify_precision: Annotated[bool, Parameter(negative=())] = False
    allow_unstable: Annotated[bool, Parameter(negative=())] = False
    shard: Annotated[str | None, Domain("a share of the inputs such as 3/16, the third of sixteen", read=_shard)] = None
    retry_failed: Annotated[bool, Parameter(negative=())] = False
    engine: EngineName = "local"
    address: str | None = None
    workers: Annotated[
        int | None,
        Parameter(converter=_cli_workers, n_tokens=1, accepts_keys=False, negative=()),
        Domain("auto or a number of workers, at least 1", read=_workers, accepts=lambda workers: workers >= 1),
    ] = None
    gpus_per_worker: Annotated[
        float | None, Domain("a number of GPUs, at least 0", accepts=lambda gpus: 0.0 <= gpus < math.inf)
    ] = None
    cpus_per_worker: Count = 1

    def __post_init__(self) -> None:
        """Check the fields, and that what is for a cluster has one."""
        super().__post_init__()
        defaults = {"address": None, "workers": None, "gpus_per_worker": None, "cpus_per_worker": 1}
        useless = [name for name, value in defaults.items() if getattr(self, name) != value]
        if self.engine == "local" and useless:
            raise InvalidArgumentError(f"{', '.join(useless)} must not be given without engine ray")


@dataclass(frozen=True, kw_only=True)
class RunSpec(Checked):
    """A run: which model, which data, how they are sampled, and how that is run.

    Args:
        model: The base classifier.
        data: The inputs.
        sampling: What decides the numbers.
        execution: What does not.

    Example:
        >>> spec = RunSpec.of(model="digits", data="digits", sigma=0.25, n=1_000)
        >>> spec.sampling.sigma, spec.vary(sigma=0.5).sampling.sigma
        (0.25, 0.5)
        >>> spec.options()
        {'model': 'digits', 'data': 'digits', 'sigma': 0.25, 'n': 1000}
        >>> RunSpec.of(**spec.options()) == spec
        True
    """

    model: Annotated[ModelSpec, PANELS["model"]] = field(default_factory=ModelSpec)
    data: Annotated[DataSpec, PANELS["data"]] = field(default_factory=DataSpec)
    sampling: Annotated[SamplingSpec, PANELS["sampling"]]
    execution: Annotated[ExecutionSpec, PANELS["execution"]] = field(default_factory=ExecutionSpec)

    @classmethod
    def of(cls, **options: Any) -> "RunSpec":
        """A run from its options, flat and by the names of their flags, such as ``model``, ``sigma`` and ``limit``.

        Raises:
            InvalidArgumentError: If an option is unknown or outside its domain, or ``sigma`` is missing.
        """
        parts = _by_part(options)
        if "sigma" not in parts["sampling"]:
            raise InvalidArgumentError("sigma must be given: the standard deviation of the noise, for example 0.25")
        return cls(**{part: _PARTS[part](**values) for part, values in parts.items()})

    @classmethod
    def load(cls, file: "AnyPath | str") -> "RunSpec":
        """A run from the options in a YAML, TOML or JSON file; ``config.json`` of a run is one.

        Raises:
            InvalidArgumentError: If it cannot be read, or an option in it is unknown or outside its domain.
        """
        return cls.of(**read_options(to_path(file)))

    def vary(self, **options: Any) -> "RunSpec":
        """The same run with other values of some options."""
        return replace(self, **{part: replace(getattr(self, part), **own) for part, own in _by_part(options).items()})

    def options(self, *, all: bool = False, parts: Collection[str] | None = None) -> dict[str, Any]:
        """Options by the names of their flags, as values that JSON has.

        Args:
            all: Whether to list those too that have their defaults.
            parts: Names of the fields whose options to list; None for all.
        """
        found = {}
        for name, (part, attribute) in _OPTIONS.items():
            value = getattr(getattr(self, part), attribute)
            if (parts is None or part in parts) and (all or value != _default(_PARTS[part], attribute)):
                found[name] = (
                    str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value
                )
        return found


_PARTS: dict[str, Any] = {"model": ModelSpec, "data": DataSpec, "sampling": SamplingSpec, "execution": ExecutionSpec}
_OPTIONS = {option_name(cls, one.name): (part, one.name) for part, cls in _PARTS.items() for one in fields(cls)}


def check_option(name: str) -> str:
    """Return the name of an option, dashes as underscores.

    Raises:
        InvalidArgumentError: If there is no such option; the message names it and the nearest one.
    """
    known = name.replace("-", "_")
    if known not in _OPTIONS:
        near = difflib.get_close_matches(known, _OPTIONS, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(_OPTIONS)}"
        raise InvalidArgumentError(f"there is no option {name!r}{hint}")
    return known


def read_options(file: AnyPath) -> dict[str, Any]:
    """The options in a YAML, TOML or JSON file, by name; those of its spec, if it is the ``config.json`` of a run.

    Raises:
        InvalidArgumentError: If it cannot be read, or an option in it is unknown; the message names the file.
    """
    read = _READERS.get(file.suffix.lower())
    if read is None:
        raise InvalidArgumentError(f"config must be a file that ends in {', '.join(_READERS)}; got {str(file)!r}")
    try:
        values = read(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidArgumentError(f"config {file} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # each format raises its own kinds
        raise InvalidArgumentError(f"config {file} cannot be read: {' '.join(str(error).split())}") from error
    if isinstance(values, dict) and isinstance(values.get("spec"), dict):
        values = values["spec"]
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise InvalidArgumentError(f"config {file} must hold options by name, such as sigma: 0.25")
    try:
        return {check_option(name): value for name, value in values.items()}
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"config {file}: {error}") from error


def _yaml(text: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML 1.2 has 1e-3 for a number, PyYAML for text."""

    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+"), list("-+0123456789")
    )
    return yaml.load(text, Loader)  # a SafeLoader


def _toml(text: str) -> Any:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    return tomllib.loads(text)


_READERS: dict[str, Callable[[str], Any]] = {".yaml": _yaml, ".yml": _yaml, ".toml": _toml, ".json": json.loads}


def _by_part(options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {part: {} for part in _PARTS}
    for name, value in options.items():
        part, attribute = _OPTIONS[check_option(name)]
        found[part][attribute] = value
    return found


def _default(cls: type, name: str) -> Any:
    return next(one.default for one in fields(cls) if one.name == name)
