"""From the name of a backend to a function that runs the classifier that way, checked against the module."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from smoothcert._check import check_choice, check_count
from smoothcert.backends.agreement import Classifier, ScoreDifference, class_scores, compare_scores, tolerance
from smoothcert.backends.names import BACKENDS, EXPORTED
from smoothcert.errors import InvalidArgumentError, ModelError, SmoothcertError

_SEED = 0x5EED
_BATCHES = (8, 3)  # two sizes, so that a batch that is not dynamic shows
_SIGMA = 0.25


def check_backend(backend: str, *, precision: str = "float32", device_type: str = "cpu") -> str:
    """Return the name of a backend that can run at this precision on this device.

    Raises:
        InvalidArgumentError: If the name is unknown, or it cannot.

    Example:
        >>> check_backend("openvino")
        'openvino'
    """
    check_choice("backend", backend, BACKENDS)
    if backend in EXPORTED:
        precisions = ("float32", "bfloat16") if backend == "openvino" else ("float32",)
        if precision not in precisions or device_type != "cpu":
            raise InvalidArgumentError(
                f"backend {backend!r} runs in {' or '.join(precisions)} on the CPU only; got precision {precision!r} "
                f"on {device_type!r}"
            )
    if backend == "torch-cuda-graphs" and device_type != "cuda":
        raise InvalidArgumentError(f"backend {backend!r} needs a CUDA device; got {device_type!r}")
    return backend


def with_backend(
    module: nn.Module,
    backend: str,
    *,
    example_shape: tuple[int, ...],
    precision: str = "float32",
    outputs: str = "logits",
    device: torch.device | str | None = None,
    num_threads: int | None = None,
) -> Classifier:
    """Make what runs ``module`` by another backend, and check that it returns the same scores.

    It is compared with the module itself, at the same precision, on random noisy inputs in batches of two sizes. What
    is certified afterwards is the classifier as the backend runs it.

    Args:
        module: Maps a float32 batch ``(batch, *example_shape)`` to ``(batch, num_classes)``. It is put into eval mode.
        backend: One of :data:`BACKENDS`. ``"torch"`` returns the module itself.
        example_shape: Shape of one input, without the batch.
        precision: What the sampler is going to run it at.
        outputs: What the module returns, one of :data:`smoothcert.outputs.OUTPUTS`.
        device: Where to run; the module is moved there. ``None`` stays where its parameters are.
        num_threads: Threads of ONNX Runtime and OpenVINO; ``None`` takes as many as PyTorch.

    Returns:
        A base classifier for the sampler.

    Raises:
        InvalidArgumentError: If an argument is outside its domain, or the backend cannot run at this precision or on
            this device, or this processor.
        MissingDependencyError: If the backend's packages are absent.
        ModelError: If the backend cannot run the module, or a score differs by more than :func:`tolerance`: 1e-4 for
            float32 on a CPU; below float32, by more than twice what the precision moves the module's own scores, if
            that is larger.
    """
    place = _device(module, device)
    check_backend(backend, precision=precision, device_type=place.type)
    threads = torch.get_num_threads() if num_threads is None else check_count("num_threads", num_threads)
    module.to(place).eval()
    if backend == "torch":
        return module
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # exporters and compilers warn about their own internals
            classifier = _make(module, backend, example_shape, threads, precision)
            difference, allowed = _compare(
                module, classifier, example_shape, place, precision=precision, outputs=outputs
            )
    except SmoothcertError:
        raise
    except Exception as error:  # compilers raise many kinds, and all of them on the first batch
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ModelError(f"backend {backend!r} cannot run this model here: {reason}") from error
    if not difference.largest <= allowed:
        raise ModelError(
            f"backend {backend!r} must return the module's scores within {allowed:g}; on random inputs {difference}"
        )
    return classifier


def _make(module: nn.Module, backend: str, shape: tuple[int, ...], threads: int, precision: str) -> Classifier:
    if backend == "torch-folded":
        from smoothcert.backends.fold import fold_batch_norms

        return fold_batch_norms(module).eval()
    if backend == "torch-compile":
        from smoothcert.backends.compiled import CompiledClassifier

        convolutions = any(isinstance(inner, nn.Conv2d) for inner in module.modules())
        return CompiledClassifier(module, channels_last=convolutions and len(shape) == 3).eval()
    if backend == "torch-cuda-graphs":
        from smoothcert.backends.cuda_graphs import GraphedClassifier

        return GraphedClassifier(module).eval()
    from smoothcert.backends.runtimes import OnnxRuntimeClassifier, OpenVinoClassifier

    if backend == "onnxruntime":
        return OnnxRuntimeClassifier(module, shape, num_threads=threads)
    return OpenVinoClassifier(module, shape, num_threads=threads, precision=precision)


def _compare(
    module: nn.Module,
    classifier: Classifier,
    shape: tuple[int, ...],
    device: torch.device,
    *,
    precision: str,
    outputs: str,
) -> tuple[ScoreDifference, float]:
    """How far scores move, and how far rounding may move them."""

    def scores(of: Classifier, at: str = precision) -> Iterator[Tensor]:
        return (class_scores(of, batch.clone(), precision=at, outputs=outputs) for batch in batches)

    generator = torch.Generator().manual_seed(_SEED)
    batches = [
        (torch.rand(size, generator=generator) + _SIGMA * torch.randn(size, generator=generator)).to(device)
        for size in ((count, *shape) for count in _BATCHES)
    ]
    difference, allowed = compare_scores(scores(module), scores(classifier)), tolerance(precision, device.type)
    if precision != "float32" and not difference.largest <= allowed:
        # Each of two that round differently is about as far from float32 as the module itself.
        allowed = max(allowed, 2 * compare_scores(scores(module, "float32"), scores(module)).largest)
    return difference, allowed


def _device(module: nn.Module, device: torch.device | str | None) -> torch.device:
    if device is not None:
        return torch.device(device)
    return next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
