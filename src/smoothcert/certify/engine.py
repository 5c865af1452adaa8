"""A run from its arguments: names are resolved, the config is settled, and the missing inputs are sampled."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from smoothcert._check import check_alpha, check_choice, check_count, check_sigma
from smoothcert.certify.filling import fill
from smoothcert.certify.forward import choose_classifier, score_difference
from smoothcert.certify.prepare import choose_device, choose_scaling, class_names, count_classes
from smoothcert.certify.provenance import training_notes
from smoothcert.decision import DEFAULT_MAX_N, DEFAULT_N0, Question
from smoothcert.errors import InvalidArgumentError
from smoothcert.histogram import DEFAULT_LEVELS
from smoothcert.progress import Reporter
from smoothcert.runs.config import DECIDED, SAMPLED, RunConfig, current_versions, now
from smoothcert.runs.run import Run
from smoothcert.runs.store import RunStore, check_folder

if TYPE_CHECKING:
    from smoothcert.data import Dataset
    from smoothcert.models import LoadedModel

ON_UNREADABLE = ("fail", "skip")
DEFAULT_N, DEFAULT_PILOT = 95_000, 5_000


def certify_run(
    model: str | LoadedModel,
    data: str | Dataset,
    *,
    out: Path | str,
    sigma: float,
    n: int | None = None,
    n0: int | None = None,
    decide: Question | str | None = None,
    max_n: int | None = None,
    alpha: float = 0.001,
    seed: int = 0,
    weights: Path | str | None = None,
    denoiser: str | None = None,
    denoiser_weights: Path | str | None = None,
    limit: int | None = None,
    stride: int = 1,
    split: str | None = None,
    image_size: int | None = None,
    resize: int | None = None,
    interpolation: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    levels: int = DEFAULT_LEVELS,
    batch_size: int | None = None,
    device: str | None = None,
    precision: str = "float32",
    backend: str = "torch",
    verify_precision: bool = False,
    outputs: str | None = None,
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
        n: Number of estimation samples an input; None for 95,000.
        n0: Number of pilot samples an input; None for 5,000, or 100 where a question is decided.
        decide: The one question to answer for every input, such as ``"score:0.5@0.25"``, with as few samples as it
            takes each; the run can answer no other. None to sample for any later question.
        max_n: Largest number of estimation samples to decide with; None for 100,000.
        alpha: Probability that a certificate is wrong, used when a query names no other.
        seed: Seed of the noise.
        weights: File with the weights, where the model needs one.
        denoiser: Name of a denoiser to put before the model, told ``sigma``; one of
            ``smoothcert.models.denoised.DENOISER_NAMES``.
        denoiser_weights: File with its weights, where it needs one.
        limit: Largest number of inputs, or None for all.
        stride: Take every stride-th input.
        split: Split of the data set.
        image_size: Side to crop images to; None for what the model says of itself.
        resize: Size of the shorter side before the crop; None for what the model says of itself.
        interpolation: Filter the images are scaled with, such as ``"bicubic"``; None for what the model says of itself.
        image_column: Column of the images, where the data have several.
        label_column: Column of the labels, where the data have several.
        levels: Number of steps of the score grid.
        batch_size: Noisy copies in a batch; None finds one. It changes no result.
        device: Such as ``"cpu"`` or ``"cuda"``; None takes a GPU if there is one.
        precision: Arithmetic of the forward pass.
        backend: What runs the forward pass, one of ``smoothcert.backends.BACKENDS``; part of what is certified.
        verify_precision: Whether to measure, on noisy samples of the first inputs, how far backend and precision move
            scores away from PyTorch in float32; noted, and stored with the run.
        outputs: Whether the base classifier returns ``"logits"`` or ``"probabilities"``; None for what the model
            says of itself, else logits.
        on_unreadable: What to do with an input that cannot be read: ``"fail"``, so that no result quietly
            stands for fewer inputs than asked, or ``"skip"`` to store the reason and go on.
        reporter: Shows notes and progress; None shows nothing.

    Returns:
        The finished run.

    Raises:
        InvalidArgumentError: If an argument is outside its domain, or the backend cannot run at this precision.
        MissingDependencyError: If the backend's packages are absent.
        ModelError: If the model cannot be loaded, or cannot be run by the backend, or does not return class scores.
        DataError: If the data cannot be loaded, a label is outside the classes, or an input cannot be read.
        RunError: If the folder holds another run or cannot be written.
    """
    reporter = reporter or Reporter()
    check_sigma(sigma)
    check_alpha(alpha)
    question = Question.parse(decide) if isinstance(decide, str) else decide
    n, n0 = _sizes(question, n=n, n0=n0, max_n=max_n)
    check_count("levels", levels)
    _check_seed(seed)
    check_choice("on_unreadable", on_unreadable, ON_UNREADABLE)
    check_folder(Path(out))

    from smoothcert.backends.names import EXPORTED
    from smoothcert.data import load_data
    from smoothcert.data.preprocess import BILINEAR
    from smoothcert.models import code_warning, resolve_model
    from smoothcert.sampling import Sampler, warn_if_too_few
    from smoothcert.stopping import UntilDecided

    until = None if question is None else UntilDecided(question=question, n0=n0, max_n=n, alpha=alpha)
    if until is None:
        warn_if_too_few(n=n, alpha=alpha)
    device = choose_device(device)
    if isinstance(model, str):
        if (said := code_warning(model)) is not None:
            reporter.note(said)
        model = resolve_model(model, weights=weights)
    classifier_name, header = model.name, model.metadata
    if denoiser is not None:
        from smoothcert.models.denoised import behind_denoiser

        if (said := code_warning(denoiser)) is not None:
            reporter.note(said)
        model = behind_denoiser(model, denoiser, sigma=sigma, weights=denoiser_weights)
    elif denoiser_weights is not None:
        raise InvalidArgumentError("denoiser_weights needs a denoiser; none was given")
    scaling = choose_scaling(model, image_size=image_size, resize=resize, interpolation=interpolation)
    if isinstance(data, str):
        data = load_data(
            data,
            limit=limit,
            stride=stride,
            split=split,
            image_size=scaling.image_size,
            resize=scaling.resize,
            interpolation=scaling.interpolation,
            image_column=image_column,
            label_column=label_column,
        )
    outputs = model.settle_outputs(outputs)
    notes = model.notes + training_notes(
        header, name=classifier_name, sigma=sigma if denoiser is None else None, data=data
    )
    for note in notes:
        reporter.note(note)
    num_classes = count_classes(model, data)
    data.check_labels(num_classes)
    classifier = choose_classifier(model, data, backend=backend, precision=precision, outputs=outputs, device=device)
    sampler = Sampler(
        classifier,
        sigma=sigma,
        num_classes=num_classes,
        levels=levels,
        batch_size=batch_size,
        device=device,
        precision=precision,
        outputs=outputs,
    )
    if verify_precision:
        moved = f"{backend} in {precision} against PyTorch in float32: {score_difference(model, sampler, data)}"
        reporter.note(moved)
        notes += (moved,)
    config = RunConfig(
        kind=SAMPLED if question is None else DECIDED,
        model=model.name,
        weights_hash=model.weights_hash,
        weights=None if weights is None else str(weights),
        data=data.name,
        data_fingerprint=data.fingerprint,
        limit=limit,
        stride=stride,
        split=split,
        image_size=scaling.image_size,
        resize=scaling.resize,
        interpolation=None if scaling.interpolation == BILINEAR else scaling.interpolation,
        sigma=float(sigma),
        n0=int(n0),
        n=int(n),
        question=None if question is None else str(question),
        alpha=float(alpha),
        seed=int(seed),
        levels=int(levels),
        num_classes=num_classes,
        class_names=class_names(model, data, num_classes=num_classes),
        precision=precision,
        backend=None if backend == "torch" else backend,
        outputs=outputs,
        device=sampler.device.type,
        notes=notes,
        inputs=len(data),
        versions=current_versions("torch", "numpy", "scipy", *([backend] if backend in EXPORTED else [])),
        created=now(),
    )
    with RunStore(out, config) as store:
        fill(store, sampler, data, until=until, skip=on_unreadable == "skip", reporter=reporter)
    return Run.open(out)


def _sizes(question: Question | None, *, n: int | None, n0: int | None, max_n: int | None) -> tuple[int, int]:
    """Estimation samples, at most so many where a question is decided, and pilot samples."""
    if question is None:
        if max_n is not None:
            raise InvalidArgumentError(f"max_n is for a run that decides a question; got {max_n!r} and no question")
        most, pilot = ("n", DEFAULT_N if n is None else n), DEFAULT_PILOT
    else:
        if n is not None:
            raise InvalidArgumentError(f"n is for a run without a question; limit its samples by max_n; got n={n!r}")
        most, pilot = ("max_n", DEFAULT_MAX_N if max_n is None else max_n), DEFAULT_N0
    return check_count(*most), check_count("n0", pilot if n0 is None else n0)


def _check_seed(seed: int) -> None:
    if check_count("seed", seed, at_least=0) >= 2**63:
        raise InvalidArgumentError(f"seed must be less than 2**63; got {seed}")
