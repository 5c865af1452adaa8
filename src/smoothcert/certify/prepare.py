"""From a spec to what a run needs: the classifier as it will run, the inputs, a sampler, and the run's config."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch

from smoothcert._check import check_choice, check_device, check_price
from smoothcert.certify.forward import choose_classifier, score_difference
from smoothcert.certify.inputs import first_readable, naming, readable
from smoothcert.certify.provenance import training_notes
from smoothcert.certify.witness import take_witness
from smoothcert.decision import Question, check_within
from smoothcert.errors import DataError, InvalidArgumentError, ModelError, SmoothcertError
from smoothcert.models.guard import guarded
from smoothcert.runs.config import DECIDED, SAMPLED, RunConfig, current_versions, evenly_spaced, now
from smoothcert.runs.records import Record
from smoothcert.sampling.probe import Behaviour, Watch, probe, steady_scores
from smoothcert.scores import VOTE, Measure, load_measure
from smoothcert.spec import DataSpec, RunSpec
from smoothcert.stopping import UntilDecided

if TYPE_CHECKING:
    from smoothcert.data import Dataset, Example
    from smoothcert.models import LoadedModel
    from smoothcert.progress import Reporter
    from smoothcert.sampling import Sampler

_PROBED = 4  # rows
_LOOKED_AT = 16  # inputs, for some that the classifier works on
_SEED = 0x5EED  # nothing drawn here enters a record


@dataclass(frozen=True, eq=False)
class Prepared:
    """A run that can begin: whoever samples needs this and positions in ``data``.

    Args:
        config: What defines it.
        sampler: Holds the classifier on its device.
        data: The inputs.
        watch: To look at while sampling.
    """

    config: RunConfig
    sampler: Sampler
    data: Dataset
    watch: Watch

    @property
    def until(self) -> UntilDecided | None:
        """What each input is sampled until; None for as many samples as the config says."""
        question = self.config.spec.sampling.question
        if question is None:
            return None
        return UntilDecided(question=question, n0=self.config.n0, max_n=self.config.n, alpha=self.config.alpha)

    @property
    def skips(self) -> bool:
        """Whether the run goes on without inputs that fail."""
        return self.config.spec.execution.on_unreadable == "skip"

    def failed(self, position: int, error: str) -> Record:
        """The record of an input that could not be sampled."""
        data = self.data
        return Record(data.indices[position], data.id(position), data.label(position), 0.0, None, error)

    def stopping(self, position: int, error: SmoothcertError) -> SmoothcertError:
        """The error that ends a run which does not go on without the input at a position."""
        option, where = "--on-unreadable", ""  # an error about data names the input itself
        if not isinstance(error, DataError):
            option, where = "--on-error", f"input {self.data.indices[position]} ({self.data.id(position)}): "
        return type(error)(
            f"{where}{error}; what is stored so far is kept, and {option} skip goes on without this input"
        )


def prepare(spec: RunSpec, *, model: object | None, data: object | None, reporter: Reporter) -> Prepared:
    """Load what is named, see that it fits together, and settle what the spec leaves open.

    Args:
        spec: The run; without names of what is loaded.
        model: The base classifier, where it is loaded or made in Python.
        data: The inputs, where they are.
        reporter: Shows notes.

    Raises:
        InvalidArgumentError: If something is neither named nor loaded, or both, or the backend cannot run it.
        MissingDependencyError: If a package is absent.
        ModelError: If the model cannot be loaded or run, or is not what certificates assume.
        DataError: If the data cannot be loaded, or a label is outside the classes.
    """
    from smoothcert.models.denoised import behind_denoiser
    from smoothcert.sampling import Sampler, warn_if_too_few

    sampling = spec.sampling
    if sampling.decide is None:
        warn_if_too_few(n=sampling.estimation_samples, alpha=sampling.alpha)
    device = choose_device(spec.execution.device)
    found = bare = _model(spec, model, reporter)
    if spec.model.denoiser is not None:
        found = behind_denoiser(bare, spec.model.denoiser, sigma=sampling.sigma, weights=spec.model.denoiser_weights)
    for name in (*sampling.measures, *([str(spec.data.name)] if data is None else [])):
        if name.startswith("python:"):
            reporter.note(f"{name} runs code of your own")
    inputs, spec = _data(spec, data, found)
    trained_under = None if spec.model.denoiser else sampling.sigma
    notes = [*found.notes, *training_notes(bare.metadata, name=bare.name, sigma=trained_under, data=inputs)]
    columns = count_classes(found, inputs)
    outputs = replace(found, num_classes=columns).settle_outputs(spec.model.outputs)
    num_classes = 2 if outputs == "logit" else columns
    names = found.class_names if outputs != "logit" or len(found.class_names or ()) == num_classes else None
    inputs = inputs.with_classes(names, num_classes)
    notes += inputs.notes
    lattice = sampling.lattice or inputs.lattice if sampling.noise == "lattice" else None
    spec = replace(spec, sampling=sampling.settled()).vary(device=device, lattice=lattice, outputs=outputs)
    measures = [load_measure(name) if name.startswith("python:") else name for name in sampling.measures]
    sampler = Sampler(
        choose_classifier(found, inputs, spec),
        sigma=sampling.sigma,
        num_classes=num_classes,
        levels=sampling.levels,
        batch_size=spec.execution.batch_size,
        device=device,
        precision=sampling.precision,
        outputs=outputs,
        input_range=inputs.input_range,
        lattice="auto" if lattice is None and sampling.noise == "lattice" else lattice,
        measures=measures,
    )
    _require_answerable(sampling.question, sampler)
    working = _working(sampler, inputs, spec)
    if working:
        samples = sampling.pilot_samples + sampling.estimation_samples
        check_price(sampler.noisy(working[0].x, seed=_SEED).price(samples), alpha=sampling.alpha)
    if sampler.device.type != "cpu" and spec.execution.batch_size is None and sampler.planned_batch_size is not None:
        # Found by measurement, which may find another the next time: and then the last bits may be others.
        sampler.fix_batch_size(sampler.planned_batch_size)
        spec = spec.vary(batch_size=sampler.batch_size)
    behaviour, watch = _probed(sampler, working, spec, inputs=len(inputs))
    notes += () if behaviour is None else behaviour.notes()
    if spec.execution.verify_precision:
        moved = score_difference(found, sampler, inputs)
        notes.append(f"{sampling.backend} in {sampling.precision} against PyTorch in float32: {moved}")
    for note in notes:
        reporter.note(note)
    witness = None
    if working:
        witness = take_witness(sampler, working[0], n0=sampling.pilot_samples, seed=sampling.seed)
    config = RunConfig(
        spec=spec,
        kind=SAMPLED if sampling.decide is None else DECIDED,
        model=found.name,
        weights_hash=found.weights_hash,
        identity={**found.identity, **_code_of(measures)},
        data=inputs.name,
        data_fingerprint=inputs.fingerprint,
        num_classes=num_classes,
        device=sampler.device.type,
        inputs=len(inputs),
        indices=evenly_spaced(inputs.indices),
        # A folder's name need not be UTF-8, and everything that is written of a run is.
        class_names=inputs.class_names
        and tuple(name.encode("utf-8", "backslashreplace").decode() for name in inputs.class_names),
        notes=tuple(notes),
        witness=witness,
        versions=current_versions(
            "torch", "numpy", "scipy", *([] if sampling.backend == "torch" else [sampling.backend])
        ),
        created=now(),
    )
    return Prepared(config, sampler, inputs, watch)


def _require_answerable(question: Question | None, sampler: Sampler) -> None:
    """Refuse a question about a measure that is not sampled, or a value it cannot be above or below.

    Raises:
        InvalidArgumentError: If it is one.
    """
    ranges = {VOTE: (0.0, 1.0), **{one.name: (one.lower, one.upper) for one in sampler.counted.measures}}
    if question is not None:
        check_choice("the measure of decide", question.measure, list(ranges))
        check_within(question.measure, question.threshold, *ranges[question.measure])


def choose_device(device: str | None) -> str:
    """The device asked for, or a GPU if there is one.

    Raises:
        InvalidArgumentError: If it is unknown, or PyTorch cannot use it here.
    """
    if device is not None:
        check_device(device)
    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=device)
    except Exception as error:  # builds of PyTorch without a device raise many kinds
        reason = str(error).strip().partition("\n")[0]
        raise InvalidArgumentError(f"device must be one that PyTorch can use here; got {device!r}: {reason}") from error
    return device


def count_classes(model: LoadedModel, data: Dataset) -> int:
    """Number of columns the model returns: as it says of itself, else of its output for a readable input.

    Raises:
        ModelError: If it fails, or does not return rows of class scores.
        DataError: If no input can be read.
    """
    if model.num_classes is not None:
        return model.num_classes
    found = _columns(model, first_readable(data))
    for example in islice(readable(data), 1, _LOOKED_AT):
        if isinstance(found, int):
            break
        found = _columns(model, example)  # what becomes of inputs it fails on is for the run to say
    if isinstance(found, ModelError):
        raise found
    return found


def _columns(model: LoadedModel, example: Example) -> int | ModelError:
    try:
        with torch.inference_mode(), guarded(f"model {model.name}"):
            returned = model.module(torch.tensor(example.x)[None])  # a copy, which a module may write to
    except ModelError as error:
        return error
    if not isinstance(returned, torch.Tensor) or returned.ndim != 2:
        came = tuple(returned.shape) if isinstance(returned, torch.Tensor) else type(returned).__name__
        return ModelError(f"model {model.name} must return class scores of shape (batch, num_classes); got {came}")
    return int(returned.shape[1])


def _model(spec: RunSpec, loaded: object | None, reporter: Reporter) -> LoadedModel:
    """The base classifier, without a denoiser."""
    from smoothcert.models import LoadedModel, code_warning, resolve_model
    from smoothcert.models.identity import identify
    from smoothcert.models.python_code import describe

    asked = spec.model
    for name in (asked.name, asked.denoiser):
        if name is not None and (said := code_warning(name)) is not None:
            reporter.note(said)
    if loaded is not None:
        _require_alone("model", loaded, {"model": asked.name, "weights": asked.weights})
        if not isinstance(loaded, LoadedModel):
            return describe(loaded, name=type(loaded).__name__)
        return loaded if loaded.identity else replace(loaded, identity=identify(loaded.module))
    if asked.name is None:
        raise InvalidArgumentError("model must be given: a name such as digits or torchvision:resnet50")
    return resolve_model(asked.name, weights=asked.weights)


def _data(spec: RunSpec, loaded: object | None, model: LoadedModel) -> tuple[Dataset, RunSpec]:
    """The inputs; and the spec with the sizes and the filter that were taken from the model."""
    from smoothcert.data import as_dataset, load_data

    if loaded is not None:
        defaults = RunSpec(sampling=spec.sampling).options(all=True, parts=("data",))
        asked = spec.options(all=True, parts=("data",))
        _require_alone("data", loaded, {name: asked[name] for name in asked if asked[name] != defaults[name]})
        return as_dataset(loaded), spec
    if spec.data.name is None:
        raise InvalidArgumentError("data must be given: a name such as cifar10 or imagefolder:PATH")
    spec = spec.vary(**_scaling(spec.data, model))
    options = {name: value for name, value in vars(spec.data).items() if name != "name" and value is not None}
    return load_data(str(spec.data.name), **options), spec


def _require_alone(what: str, loaded: object, given: dict[str, Any]) -> None:
    """Refuse a name in place of something loaded, and what names or prepares it beside it."""
    if isinstance(loaded, str):
        raise InvalidArgumentError(f"{what} must be loaded; its name belongs into the spec; got {loaded!r}")
    if useless := [name for name, value in given.items() if value is not None]:
        raise InvalidArgumentError(f"{', '.join(useless)} must not be given beside loaded {what}, which is as it is")


def _code_of(measures: list[str | Measure]) -> dict[str, str]:
    """What identifies the measures that were loaded."""
    own = (measure for measure in measures if isinstance(measure, Measure))
    return {f"code of measure {measure.name}": measure.source_hash or measure.name for measure in own}


def _scaling(asked: DataSpec, model: LoadedModel) -> dict[str, Any]:
    """Sizes, channels and filter as asked, else as the model says; its resize belongs to its own image size only."""
    from smoothcert.data.preprocess import BILINEAR

    used: dict[str, Any] = {"interpolation": asked.interpolation or model.interpolation or BILINEAR}
    taken = model.input_size[0] if model.input_size is not None and len(model.input_size) == 3 else model.channels
    if asked.channels is None and taken in (1, 3):
        used["channels"] = taken
    if asked.image_size is not None or model.input_size is None or len(model.input_size) != 3:
        return used
    height, width = model.input_size[1:]
    return used | {
        "image_size": height if height == width else (height, width),
        "resize": asked.resize or model.resize,
    }


def _working(sampler: Sampler, data: Dataset, spec: RunSpec) -> list[Example]:
    """A few readable inputs of one shape on which the classifier works.

    Raises:
        ModelError: If it fails on one of them and the run does not go on without such inputs, or on all of them.
    """
    found: list[Example] = []
    failure: SmoothcertError | None = None
    for example in islice(readable(data), _LOOKED_AT):
        try:
            with naming(example):
                one = sampler.noisy(example.x, seed=_SEED)
                steady_scores(sampler.classifier, one.copies("pilot", 0, 1))
        except ModelError as error:
            if spec.execution.on_unreadable == "fail":
                raise
            failure = error
            continue
        if not found or example.x.shape == found[0].x.shape:
            found.append(example)
        if len(found) == _PROBED:
            break
    if not found and failure is not None:
        raise failure
    return found


def _probed(
    sampler: Sampler, examples: Sequence[Example], spec: RunSpec, *, inputs: int
) -> tuple[Behaviour | None, Watch]:
    """How the classifier behaves on a few noisy inputs; and the watch over it.

    Raises:
        ModelError: If rows of a batch depend on each other or on batches before, and that was not allowed.
    """
    if not examples:
        return None, Watch(sampler.classifier, None)
    # Of a single input several copies: a batch of one row says nothing about rows.
    copies = -(-_PROBED // len(examples))
    noisy = [sampler.noisy(example.x, seed=_SEED).copies("pilot", 0, copies) for example in examples]
    rows = torch.cat(noisy)[:_PROBED]
    samples = inputs * (spec.sampling.pilot_samples + spec.sampling.estimation_samples)
    found = probe(sampler.classifier, rows, most=sampler.largest_batch(tuple(rows.shape[1:]), samples=samples))
    if not spec.execution.allow_unstable:
        found.require_stable()
    return found, Watch(sampler.classifier, None if spec.execution.allow_unstable else rows)
