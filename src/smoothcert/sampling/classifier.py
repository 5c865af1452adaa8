"""The base classifier as the sampler sees it: float32 batches in, checked float32 class scores out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from smoothcert._check import check_choice, check_count
from smoothcert.errors import InvalidArgumentError, ModelError
from smoothcert.models.guard import is_out_of_memory
from smoothcert.outputs import OUTPUTS, as_scores
from smoothcert.sampling._threads import one_thread

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_SUM_TOLERANCE = 1e-2  # bfloat16 probabilities of many classes sum to one only about this well


class BaseClassifier:
    """Runs a module on noisy batches, in eval mode and without gradients, and distrusts what it returns.

    Args:
        module: Maps a float32 batch ``(batch, *input_shape)`` to ``(batch, num_classes)``. A plain function
            works too.
        num_classes: Number of classes it tells apart, at least 2.
        outputs: One of :data:`smoothcert.outputs.OUTPUTS`: ``"logits"``, turned into scores by a float32 softmax,
            ``"probabilities"``, used as they are, ``"logit"``, of the second of two classes, or ``"labels"``, a logit
            each, turned into scores by a sigmoid.
        precision: ``"float32"``, or ``"bfloat16"`` or ``"float16"`` for autocast of the forward pass.
        device: Where to run; the module is moved there. ``None`` runs where its parameters are.

    Raises:
        InvalidArgumentError: If an argument is outside its domain.
    """

    def __init__(
        self,
        module: Callable[[Tensor], Tensor],
        *,
        num_classes: int,
        outputs: str = "logits",
        precision: str = "float32",
        device: torch.device | str | None = None,
    ) -> None:
        if not callable(module):
            raise InvalidArgumentError(
                f"base_classifier must be a torch module or a function of a batch; got {type(module).__name__}"
            )
        self.module = module
        self.num_classes = check_count("num_classes", num_classes, at_least=2)
        self.outputs = check_choice("outputs", outputs, OUTPUTS)
        if outputs == "logit" and num_classes != 2:
            raise InvalidArgumentError(f"one logit tells two classes apart; got num_classes={num_classes}")
        self.precision = check_choice("precision", precision, tuple(PRECISIONS))
        self.device = _place(module, device)

    @property
    def has_convolutions(self) -> bool:
        """Whether a two-dimensional convolution is among its layers."""
        return isinstance(self.module, nn.Module) and any(isinstance(m, nn.Conv2d) for m in self.module.modules())

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Eval mode inside; afterwards every submodule is as it was."""
        if not isinstance(self.module, nn.Module):
            yield
            return
        before = [(m, getattr(m, "training", False)) for m in self.module.modules()]  # a frozen program's has none
        self.module.eval()
        try:
            yield
        finally:
            for submodule, training in before:
                # By its own method, which may undo what its eval did, such as merged weights; parents come first.
                if submodule.training != training:
                    submodule.train(training)

    @torch.inference_mode()
    def scores(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Class scores of a batch, without waiting for the device: :meth:`require_valid` does that.

        Args:
            batch: Shape ``(batch, *input_shape)``, float32.

        Returns:
            Scores, shape ``(batch, num_classes)``, float32, by :func:`smoothcert.outputs.as_scores`. And which rows
            are what was declared, shape ``(batch,)``, boolean.

        Raises:
            ModelError: If the output is not a floating-point tensor of this shape.
        """
        values = self._forward(batch)
        with one_thread(values):
            scores = as_scores(values, self.outputs)
            # What was returned may be a buffer that the module writes its next answer to.
            return scores.clone() if scores is values else scores, self._valid(values)

    @torch.inference_mode()
    def probe(self, batch: Tensor) -> None:
        """Run a few samples and check everything that can be known before the many follow.

        Raises:
            ModelError: If the module fails on the batch, or returns something that is not what was declared.
        """
        try:
            values = self._forward(batch)
        except Exception as error:
            if isinstance(error, ModelError) or is_out_of_memory(error):
                raise
            raise ModelError(
                f"the base classifier failed on a float32 batch of shape {tuple(batch.shape)} on "
                f"{batch.device}: {error}"
            ) from error
        self.require_valid(self._valid(values), "the first batch")
        if self.outputs == "logits" and bool(_are_probabilities(values).all()):
            raise ModelError(
                "the base classifier must return logits; got rows in [0, 1] that sum to one. Remove its "
                'softmax, or declare outputs="probabilities"'
            )

    @torch.inference_mode()
    def looks_squashed(self, batch: Tensor) -> bool:
        """Whether everything it returns as logits lies in ``[0, 1]``, as behind a sigmoid."""
        if self.outputs == "probabilities":
            return False
        values = self._forward(batch)
        return bool(((values >= 0.0) & (values <= 1.0)).all() & (values != values.flatten()[0]).any())

    def require_valid(self, valid: Tensor, stage: str) -> None:
        """Wait for the device and raise unless everything is what was declared.

        Args:
            valid: Booleans from :meth:`scores`, any shape.
            stage: What the samples were for.

        Raises:
            ModelError: Naming the stage.
        """
        if not bool(valid.all()):
            are_logits = self.outputs != "probabilities"
            wanted = (
                "finite logits, or -inf for classes it rules out"
                if are_logits
                else "probabilities: rows in [0, 1] that sum to one"
            )
            came = "NaN or infinite values" if are_logits else "something else"
            hint = "; float16 overflows above 65504, try bfloat16" if self.precision == "float16" else ""
            raise ModelError(f"the base classifier must return {wanted}; got {came} during {stage}{hint}")

    def _forward(self, batch: Tensor) -> Tensor:
        """Output of the module as float32, its shape checked."""
        with torch.autocast(self.device.type, PRECISIONS[self.precision], enabled=self.precision != "float32"):
            raw: Any = self.module(batch)
        if not isinstance(raw, Tensor):
            raise ModelError(f"the base classifier must return a tensor; got {type(raw).__name__}")
        if raw.layout != torch.strided:
            raise ModelError(f"the base classifier must return a dense tensor; got one that is {raw.layout}")
        returned: Tensor = raw
        expected = (batch.shape[0], self.num_classes)
        if self.outputs == "logit":
            expected = (batch.shape[0], 1)
            returned = returned.reshape(-1, 1) if tuple(returned.shape) == expected[:1] else returned
        if tuple(returned.shape) != expected or not returned.is_floating_point():
            right_rows = (
                self.outputs != "logit"
                and returned.ndim == 2
                and returned.shape[0] == expected[0]
                and returned.shape[1] not in {0, 1, self.num_classes}
            )
            hint = f"; set num_classes={returned.shape[1]} if that is right" if right_rows else ""
            named = "(batch, 1)" if self.outputs == "logit" else "(batch, num_classes)"
            raise ModelError(
                f"the base classifier must return {self.outputs} of shape {named} = {expected}; "
                f"got shape {tuple(returned.shape)}, {returned.dtype}{hint}"
            )
        return returned.float()

    def _valid(self, values: Tensor) -> Tensor:
        """Which rows are what was declared, shape ``(batch,)``."""
        if self.outputs == "probabilities":
            return _are_probabilities(values)
        # NaN if any is; far cheaper than looking at each. Classes that a model rules out have -inf and the score 0.
        return values.amax(dim=1).isfinite()


def _are_probabilities(values: Tensor) -> Tensor:
    sums_to_one = (values.sum(dim=1) - 1.0).abs() <= _SUM_TOLERANCE  # False for NaN
    return sums_to_one & (values.amin(dim=1) >= 0.0) & (values.amax(dim=1) <= 1.0 + 1e-6)


def _place(module: object, device: torch.device | str | None) -> torch.device:
    """The device to sample on; a module is moved there if one is asked for."""
    if device is not None:
        try:
            place = torch.empty(0, device=device).device  # with its index, and it exists
        except (RuntimeError, AssertionError, TypeError) as error:
            raise InvalidArgumentError(
                f"device must be one that PyTorch can use here; got {device!r}: {str(error).split('. ')[0]}"
            ) from error
        if place.type == "meta":
            raise InvalidArgumentError("device must be one that computes; got 'meta'")
        if isinstance(module, nn.Module):
            module.to(place)
        return place
    if isinstance(module, nn.Module):
        for tensor in chain(module.parameters(), module.buffers()):
            return tensor.device
    return torch.device("cpu")
