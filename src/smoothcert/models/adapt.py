"""Any callable as a module: tensors or NumPy arrays, modules, estimators, and whatever shape their answer comes in."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from smoothcert.errors import InvalidArgumentError, ModelError, SmoothcertError
from smoothcert.models.guard import is_out_of_memory, is_users, place, reason

_NAMES = ("logits", "probabilities", "probs", "scores", "output", "out", "prediction", "predictions", "pred", "y")
_SIDES = (8, 16, 28, 32, 48, 64, 96, 128, 160, 192, 224, 240, 256, 299, 384)


def as_module(classifier: object, *, name: str = "the base classifier") -> Classifier:
    """Make a module of anything that classifies a batch.

    Args:
        classifier: A torch module; a function or callable object on tensors or NumPy arrays; an estimator with
            ``predict_proba``, as scikit-learn has them; or an exported program. It may return a tensor, an array, a
            dict, a tuple, or an output of transformers. Half and double precision modules get batches of their dtype.
        name: What errors call it.

    Returns:
        A module from a batch to floating-point class scores ``(batch, num_classes)``. What was a module is part of it,
        not copied.

    Raises:
        InvalidArgumentError: It is nothing that can be called.
        ModelError: It holds parameters without values.
    """
    if isinstance(classifier, Classifier):
        return classifier
    if isinstance(classifier, torch.export.ExportedProgram):
        classifier = classifier.module()
    if isinstance(classifier, nn.Module):
        return Classifier(*_around(classifier, name), ClassScores(), name=name)
    if hasattr(classifier, "predict_proba") and not isinstance(classifier, type):
        return Classifier(Estimator(classifier), name=name)
    if not callable(classifier) or isinstance(classifier, type):
        raise InvalidArgumentError(
            "base_classifier must be a torch module, a function of a batch (tensors or NumPy arrays) or an estimator "
            f"with predict_proba; got {classifier!r:.80}"
        )
    return Classifier(Function(classifier), ClassScores(), name=name)


def outputs_of(module: object) -> str | None:
    """What a module of :func:`as_module` is known to return: ``"probabilities"`` for an estimator; else None."""
    return "probabilities" if isinstance(module, Classifier) and any(isinstance(m, Estimator) for m in module) else None


class Classifier(nn.Sequential):
    """Stages from a batch to class scores, in one guard: what a stage raises becomes a sentence that says where.

    Running out of memory passes unchanged, because a smaller batch may do.

    Args:
        stages: Modules, run one after another.
        name: What errors call it.
    """

    def __init__(self, *stages: nn.Module, name: str = "the base classifier") -> None:
        super().__init__(*stages)
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        """Run a batch, shape ``(batch, *input_shape)``.

        Raises:
            ModelError: A stage failed.
        """
        if torch.compiler.is_compiling() or not isinstance(x, Tensor):  # traced: by torch.compile, or by torch.fx
            return self._run(x)
        try:
            scores = self._run(x)
            return scores if scores.device == x.device else scores.to(x.device)
        except (Exception, SystemExit) as error:
            if isinstance(error, SmoothcertError) or is_out_of_memory(error):
                raise
            where = place(error) or (_definition(self) if isinstance(error, TypeError) else "")
            raise ModelError(
                f"{self.name} failed on a batch of shape {tuple(x.shape)} with {reason(error)}{where}{self._advice(x)}"
            ) from error

    def _run(self, x: Tensor) -> Tensor:
        for stage in self:
            x = stage(x)
        return x

    def _advice(self, x: Tensor) -> str:
        """What shape it would take, if another helps: only asked when it has failed."""
        rows = min(len(x), 2)
        if len(x) > 1 and self._runs(x[:1]) and not self._runs(x[:rows]):
            return "; it must take batches of any size"
        if x.ndim != 4:
            return ""
        channels, height, width = x.shape[1:]

        def fitting(channels: int, *sides: tuple[int, int]) -> list[str]:
            tried = (x.new_zeros(rows, channels, *side) for side in sides)
            return ["x".join(map(str, zeros.shape[2:])) for zeros in tried if self._runs(zeros)]

        squares = [(side, side) for side in _SIDES]
        if sizes := fitting(channels, *squares):
            others = "" if len(sizes) == 1 else " and other sizes"
            return (
                f"; it does not take images of {height}x{width}, but of {sizes[0]}{others}: "
                f"--image-size {sizes[0].partition('x')[0]}"
            )
        other = 1 if channels != 1 else 3
        if sizes := fitting(other, (height, width), *squares):
            plural = "s" if other > 1 else ""
            only = f" and {sizes[0]} pixels" if sizes[0] != f"{height}x{width}" else ""
            return f"; it takes images of {other} channel{plural}{only}: --channels {other}"
        return ""

    @torch.inference_mode()
    def _runs(self, x: Tensor) -> bool:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._run(x)
        except (Exception, SystemExit):
            return False
        return True

    def grey(self) -> bool:
        """Whether it takes images of one channel and none of three, found by trying where its first layer says so."""
        first = next((m for m in self.modules() if isinstance(m, nn.Conv2d)), None)
        if first is None or first.in_channels != 1:
            return False
        like = next(self.parameters())
        sizes = [(s, s) for s in _SIDES]
        runs = next((s for s in sizes if self._runs(torch.zeros(2, 1, *s, device=like.device))), None)
        return runs is not None and not self._runs(torch.zeros(2, 3, *runs, device=like.device))


class ClassScores(nn.Module):
    """Finds the class scores in what a classifier returns; a module of its own, because tracing must not enter it."""

    def forward(self, returned: Any) -> Tensor:
        """Return the scores, shape ``(batch, num_classes)``.

        Raises:
            ModelError: There are none, or several and nothing tells which.
        """
        if isinstance(returned, Tensor) and returned.ndim == 2:
            return returned
        named = _entries(returned)
        if named is None:
            raise ModelError(f"the classifier must return class scores; it returned a {type(returned).__name__}")
        found = {key: scores for key, value in named.items() if (scores := _as_scores(value)) is not None}
        if not found:
            raise ModelError(
                f"the classifier must return class scores (batch, num_classes); it returned {_shown(named)}"
            )
        known = [key for key in _NAMES if key in found]
        if known:
            return found[known[0]]
        if len(found) > 1 and isinstance(returned, Mapping):
            raise ModelError(
                f"the classifier must return its class scores alone or as 'logits'; it returned {_shown(named)}"
            )
        scores = next(iter(found.values()))
        if len(found) > 1:
            columns = ", ".join(
                f"{key}: {one.shape[1]} columns" for key, one in found.items()
            )  # the same in each batch
            warnings.warn(
                f"the classifier returns several tables ({columns}); the first of them is taken as its class scores",
                UserWarning,
                stacklevel=2,
            )
        return scores


def _entries(returned: Any) -> dict[Any, Any] | None:
    """What was returned, by name or position."""
    if isinstance(returned, (Tensor, np.ndarray)):
        return {"it": returned}
    if isinstance(returned, Mapping):
        return dict(returned)
    if hasattr(returned, "_asdict"):
        return dict(returned._asdict())
    if isinstance(returned, (tuple, list)):
        return dict(enumerate(returned))
    if hasattr(returned, "logits"):
        return {"logits": returned.logits}
    return None


def _as_scores(value: Any) -> Tensor | None:
    """``value`` as ``(batch, columns)`` if it is floating point and of that form but for axes of one."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        value = torch.from_numpy(value)
    if not isinstance(value, Tensor) or value.ndim == 0 or not value.is_floating_point():
        return None
    if value.ndim == 1:
        return value[:, None]
    if value.ndim > 2 and any(size != 1 for size in value.shape[2:]):
        return None
    return value.flatten(1) if value.ndim > 2 else value


def _shown(named: Mapping[Any, Any]) -> str:
    parts = []
    for key, value in list(named.items())[:6]:
        what = f"{value.dtype} {tuple(value.shape)}" if hasattr(value, "shape") else type(value).__name__
        parts.append(what if key == "it" else f"{key}: {what}")
    return ", ".join(parts) or "nothing"


class Function(nn.Module):
    """A plain function of a batch, on tensors or on NumPy arrays.

    Which of the two it is for is read from its annotation; without one the first batch tells: a tensor is tried, then,
    if that fails or answers with something that is no tensor, an array.

    Args:
        function: From a batch to class scores.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function
        self._numpy = _annotated(function)

    def forward(self, x: Tensor) -> Any:
        """Call the function, and return its arrays as tensors on the batch's device."""
        if self._numpy is None:
            return self._first(x)
        return self._on_arrays(x) if self._numpy else _to_tensors(self.function(x), x)

    def _first(self, x: Tensor) -> Any:
        try:
            returned = self.function(x)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            try:
                answer = self._on_arrays(x)
            except Exception as other:
                meant_for_arrays = isinstance(error, (AttributeError, TypeError)) and "Tensor" in str(error)
                raise (other if meant_for_arrays else error) from None
            self._numpy = True
            return answer
        self._numpy = False
        return _to_tensors(returned, x)

    def _on_arrays(self, x: Tensor) -> Any:
        return _to_tensors(self.function(x.detach().cpu().numpy()), x)


def _annotated(function: Callable[..., Any]) -> bool | None:
    """Whether the first parameter is annotated as an array (True) or a tensor (False); None without either."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None
    said = str(parameters[0].annotation) if parameters else ""
    if "ndarray" in said or "ArrayLike" in said or "NDArray" in said:
        return True
    return False if "Tensor" in said else None


def _to_tensors(returned: Any, x: Tensor) -> Any:
    """What a function returned, its arrays as tensors on the device of ``x``."""
    if isinstance(returned, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(returned)).to(x.device)
    if isinstance(returned, Mapping):
        return {key: _to_tensors(value, x) for key, value in returned.items()}
    if isinstance(returned, (tuple, list)) and not hasattr(returned, "_asdict"):
        if returned and all(isinstance(row, (int, float, tuple, list)) for row in returned):
            return torch.as_tensor(returned, dtype=torch.float64, device=x.device)
        return type(returned)(_to_tensors(value, x) for value in returned)
    if isinstance(returned, nn.Module) or (callable(returned) and not isinstance(returned, Tensor)):
        raise ModelError(
            f"the function returned a {type(returned).__name__} for a batch: a factory must not require arguments"
        )
    return returned


class Estimator(nn.Module):
    """An estimator with ``predict_proba``, as scikit-learn has them, on flattened inputs; it runs on the CPU.

    Args:
        estimator: Fitted.
    """

    def __init__(self, estimator: Any) -> None:
        super().__init__()
        self.estimator = estimator

    def forward(self, x: Tensor) -> Tensor:
        """Return the probabilities, shape ``(batch, num_classes)``, in the order of ``classes_``.

        Raises:
            ModelError: It predicts several targets at once.
        """
        rows = x.detach().cpu().flatten(1).numpy()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*valid feature names")  # a pipeline fitted on a table's columns
            probabilities = self.estimator.predict_proba(rows)
        if not isinstance(probabilities, np.ndarray) or probabilities.ndim != 2:
            raise ModelError("an estimator must predict one target: predict_proba returned no (batch, classes) array")
        return torch.from_numpy(np.ascontiguousarray(probabilities)).to(x.device)


class Cast(nn.Module):
    """Hands on a batch in the dtype of the network behind it."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` in that dtype."""
        return x.to(self.dtype)


class Unswitchable(nn.Module):
    """A program whose mode was fixed when it was made, such as an exported one."""

    def __init__(self, program: nn.Module) -> None:
        super().__init__()
        self.program = program

    def train(self, mode: bool = True) -> Unswitchable:
        """Change nothing: the program refuses."""
        self.training = mode
        return self

    def forward(self, x: Tensor) -> Any:
        """Run the program."""
        return self.program(x)


class Spread(nn.Module):
    """A network whose parts lie on several devices: it stays there when the classifier around it is moved."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.held = [network]  # in a list, so that it is no submodule and is not moved

    def train(self, mode: bool = True) -> Spread:
        """Pass the mode on."""
        self.held[0].train(mode)
        return super().train(mode)

    def forward(self, x: Tensor) -> Any:
        """Run a batch where the first parameters lie."""
        [network] = self.held
        first = next(iter(network.parameters()))
        return network(x.to(first.device))


class FixedBatch(nn.Module):
    """A program made for one batch size: larger batches are split, and the last part is filled with copies of a row.

    Args:
        program: From exactly ``size`` rows to as many.
        size: That number.
    """

    def __init__(self, program: nn.Module, size: int) -> None:
        super().__init__()
        self.program = program
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """Run a batch of any size."""
        parts = []
        for part in torch.split(x, self.size):
            missing = self.size - len(part)
            full = torch.cat([part, part[-1:].expand(missing, *part.shape[1:])]) if missing else part
            parts.append(self.program(full.contiguous())[: len(part)])
        return torch.cat(parts)


def precision_note(module: nn.Module) -> str | None:
    """That a network of another dtype than float32 gets its batches in that dtype; None for all others."""
    cast = next((stage for stage in module.children() if isinstance(stage, Cast)), None)
    return None if cast is None else f"the model's parameters are {_bare(cast.dtype)}, and it runs in that precision"


def _bare(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _around(network: nn.Module, name: str) -> Iterable[nn.Module]:
    """The network and what has to stand before it."""
    require_values(network, name)
    dtypes = {p.dtype for p in network.parameters() if p.is_floating_point()}
    if len(dtypes) == 1 and dtypes != {torch.float32}:
        yield Cast(*dtypes)
    if len({p.device for p in network.parameters()}) > 1:
        yield Spread(network)
        return
    try:
        network.train(getattr(network, "training", False))  # a frozen TorchScript program has no mode
    except NotImplementedError:
        network = Unswitchable(network)
    yield network


def require_values(network: nn.Module, name: str) -> None:
    """Refuse a network whose parameters have no values yet.

    Raises:
        ModelError: They are lazy, or on the meta device.
    """
    for key, tensor in (*network.named_parameters(), *network.named_buffers()):
        if is_lazy(tensor):
            raise ModelError(
                f"{name}: parameter {key} has no shape yet (a lazy layer); run one batch through the network "
                "where it is made, or pass its weights (--weights FILE)"
            )
        if tensor.is_meta:
            raise ModelError(
                f"{name}: parameter {key} is on the meta device and has no values; pass weights for it (--weights FILE)"
            )


def _definition(module: nn.Module) -> str:
    """Where the forward pass of the first stage of the user's own is defined."""
    for stage in module.modules():
        try:
            code = type(stage).forward.__code__
        except AttributeError:
            continue
        if is_users(code.co_filename):
            return f" ({type(stage).__qualname__} in {Path(code.co_filename).name}, line {code.co_firstlineno})"
    return ""
