"""The local loop: every input that is not stored yet is read, sampled and stored, one after the other."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

from smoothcert._check import check_alpha, check_choice, check_count, check_sigma
from smoothcert.errors import DataError, InvalidArgumentError
from smoothcert.histogram import DEFAULT_LEVELS
from smoothcert.runs.config import RunConfig, current_versions, now
from smoothcert.runs.prepare import choose_device, choose_sizes, class_names, count_classes, naming
from smoothcert.runs.progress import Reporter, duration
from smoothcert.runs.records import Record
from smoothcert.runs.rehearsal import rehearse
from smoothcert.runs.run import Run
from smoothcert.runs.store import RunStore, check_folder

if TYPE_CHECKING:
    from smoothcert.data import Dataset
    from smoothcert.models import LoadedModel
    from smoothcert.sampling import Sampler

ON_UNREADABLE = ("fail", "skip")


def certify_run(
    model: str | LoadedModel,
    data: str | Dataset,
    *,
    out: Path | str,
    sigma: float,
    n: int = 95_000,
    n0: int = 5_000,
    alpha: float = 0.001,
    seed: int = 0,
    weights: Path | str | None = None,
    limit: int | None = None,
    stride: int = 1,
    split: str | None = None,
    image_size: int | None = None,
    resize: int | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    levels: int = DEFAULT_LEVELS,
    batch_size: int | None = None,
    device: str | None = None,
    precision: str = "float32",
    outputs: str = "logits",
    on_unreadable: str = "fail",
    reporter: Reporter | None = None,
) -> Run:
    """Sample every input of a data set under noise and store what was sampled, for any later question.

    Records are stored one by one. A run that was interrupted, even by a kill, goes on where it stopped when
    this is called again with the same arguments, and ends with the same records.

    Args:
        model: Name of the base classifier, or one that is loaded.
        data: Name of the data set, or one that is loaded; then limit, stride, split, sizes and columns are
            only noted.
        out: The run folder.
        sigma: Standard deviation of the noise, in input units.
        n: Number of estimation samples an input.
        n0: Number of pilot samples an input.
        alpha: Probability that a certificate is wrong, used when a query names no other.
        seed: Seed of the noise.
        weights: File with the weights, where the model needs one.
        limit: Largest number of inputs, or None for all.
        stride: Take every stride-th input.
        split: Split of the data set.
        image_size: Side to crop images to; None for what the model says of itself.
        resize: Size of the shorter side before the crop; None for what the model says of itself.
        image_column: Column of the images, where the data have several.
        label_column: Column of the labels, where the data have several.
        levels: Number of steps of the score grid.
        batch_size: Noisy copies in a batch; None finds one. It changes no result.
        device: Such as ``"cpu"`` or ``"cuda"``; None takes a GPU if there is one.
        precision: Arithmetic of the forward pass.
        outputs: Whether the base classifier returns ``"logits"`` or ``"probabilities"``.
        on_unreadable: What to do with an input that cannot be read: ``"fail"``, so that no result quietly
            stands for fewer inputs than asked, or ``"skip"`` to store the reason and go on.
        reporter: Shows notes and progress; None shows nothing.

    Returns:
        The finished run.

    Raises:
        InvalidArgumentError: If an argument is outside its domain.
        ModelError: If the model cannot be loaded, or does not return class scores.
        DataError: If the data cannot be loaded, a label is outside the classes, or an input cannot be read.
        RunError: If the folder holds another run or cannot be written.
    """
    reporter = reporter or Reporter()
    check_sigma(sigma)
    check_alpha(alpha)
    for name, count in (("n", n), ("n0", n0), ("levels", levels)):
        check_count(name, count)
    _check_seed(seed)
    check_choice("on_unreadable", on_unreadable, ON_UNREADABLE)
    check_folder(Path(out))

    from smoothcert.data import load_data
    from smoothcert.models import resolve_model
    from smoothcert.sampling import Sampler, warn_if_too_few

    warn_if_too_few(n=n, alpha=alpha)
    device = choose_device(device)
    if isinstance(model, str):
        if model.startswith("python:"):
            reporter.note(f"{model} runs code of your own")
        model = resolve_model(model, weights=weights)
    sizes = choose_sizes(model, image_size=image_size, resize=resize)
    if isinstance(data, str):
        data = load_data(
            data,
            limit=limit,
            stride=stride,
            split=split,
            image_size=sizes.image_size,
            resize=sizes.resize,
            image_column=image_column,
            label_column=label_column,
        )
    _note_training_sigma(model, sigma, reporter)
    num_classes = count_classes(model, data)
    data.check_labels(num_classes)
    sampler = Sampler(
        model.module,
        sigma=sigma,
        num_classes=num_classes,
        levels=levels,
        batch_size=batch_size,
        device=device,
        precision=precision,
        outputs=outputs,
    )
    config = RunConfig(
        model=model.name,
        weights_hash=model.weights_hash,
        weights=None if weights is None else str(weights),
        data=data.name,
        data_fingerprint=data.fingerprint,
        limit=limit,
        stride=stride,
        split=split,
        image_size=sizes.image_size,
        resize=sizes.resize,
        sigma=float(sigma),
        n0=int(n0),
        n=int(n),
        alpha=float(alpha),
        seed=int(seed),
        levels=int(levels),
        num_classes=num_classes,
        class_names=class_names(model, data, num_classes=num_classes),
        precision=precision,
        outputs=outputs,
        device=sampler.device.type,
        inputs=len(data),
        versions=current_versions("torch", "numpy", "scipy"),
        created=now(),
    )
    with RunStore(out, config) as store:
        _fill(store, sampler, data, skip=on_unreadable == "skip", reporter=reporter)
    return Run.open(out)


def _fill(store: RunStore, sampler: Sampler, data: Dataset, *, skip: bool, reporter: Reporter) -> None:
    """Sample and store the inputs that are missing."""
    config = store.config
    present = store.present
    missing = [position for position, index in enumerate(data.indices) if index not in present]
    if present:
        reporter.note(f"{store.path} already holds {len(data) - len(missing)} of {len(data)} inputs")
    if not missing:
        return
    each = config.n0 + config.n
    look = rehearse(sampler, data, num_classes=config.num_classes, n=config.n, samples=each * len(missing))
    reporter.note(_forecast(config, look.rate, inputs=len(missing)))
    with reporter.sampling(inputs=len(missing), samples=each * len(missing)):
        for position in missing:
            record = _record(sampler, data, position, config=config, skip=skip, reporter=reporter)
            store.append(record)
            if record.samples is None:
                reporter.skip(each)
            else:
                reporter.finish()


def _record(
    sampler: Sampler, data: Dataset, position: int, *, config: RunConfig, skip: bool, reporter: Reporter
) -> Record:
    """Sample one input, or say why it was skipped."""
    index, name, label = data.indices[position], data.id(position), data.label(position)
    start = time.perf_counter()
    try:
        example = data.load(position)
    except DataError as error:
        if not skip:
            raise DataError(
                f"{error}; what is stored so far is kept, and --on-unreadable skip goes on without this input"
            ) from error
        return Record(index, name, label, time.perf_counter() - start, None, str(error))
    with naming(f"input {index} ({name})"):
        samples = sampler.sample(example.x, n0=config.n0, n=config.n, seed=config.seed, progress=reporter.advance)
    return Record(index, name, label, time.perf_counter() - start, samples)


def _check_seed(seed: int) -> None:
    if check_count("seed", seed, at_least=0) >= 2**63:
        raise InvalidArgumentError(f"seed must be less than 2**63; got {seed}")


def _note_training_sigma(model: LoadedModel, sigma: float, reporter: Reporter) -> None:
    """Say so if the weights tell that they were trained under other noise."""
    trained = model.metadata.get("sigma")
    if trained is not None and float(trained) != sigma:
        reporter.note(f"{model.name} was trained under noise of sigma {trained}, not {sigma:g}")


def _forecast(config: RunConfig, rate: float, *, inputs: int) -> str:
    each = config.n0 + config.n
    plan = f"{inputs:,} inputs x {each:,} samples on {config.device}"
    if math.isnan(rate):
        return plan
    return f"{plan}: about {duration(inputs * each / rate)} at {rate:,.0f} samples/s"
