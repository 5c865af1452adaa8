"""What loading a base classifier yields: the module and what is known about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from smoothcert.errors import ModelError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class LoadedModel:
    """A base classifier and what is known about it; None where nothing is known.

    Args:
        module: In eval mode; a float32 batch, such as images ``(batch, C, H, W)`` in ``[0, 1]``, to class scores
            ``(batch, num_classes)``.
        name: The name it was loaded by.
        num_classes: Number of columns it returns.
        class_names: One name per column.
        input_size: Shape of one input it was made for: ``(C, H, W)`` for images, ``(features,)`` for tables.
        channels: Number of channels of an image, where that is known and the size is not.
        resize: Recommended size of the shorter side, in pixels, before the centre crop to ``input_size``.
        interpolation: Recommended filter to scale with, one of ``smoothcert.data.preprocess.INTERPOLATIONS``.
        outputs: What it returns, one of :data:`smoothcert.outputs.OUTPUTS`.
        weights_hash: SHA-256 of the weights file, or of the state dict where there is no file.
        identity: What else decides which function it is: hashes of its source files and of the files they name, its
            class, versions of the packages that supply it.
        metadata: What the safetensors header says about the weights, such as the training sigma.
        notes: What a reader of the run must know about how it is run, a sentence each, without its full stop.
    """

    module: nn.Module
    name: str
    num_classes: int | None = None
    class_names: tuple[str, ...] | None = None
    input_size: tuple[int, ...] | None = None
    channels: int | None = None
    resize: int | None = None
    interpolation: str | None = None
    outputs: str | None = None
    weights_hash: str | None = None
    identity: Mapping[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def settle_outputs(self, declared: str | None) -> str:
        """What the module returns: as declared, unless the model knows better.

        Args:
            declared: One of :data:`smoothcert.outputs.OUTPUTS`, or None where nothing was declared.

        Raises:
            ModelError: The model says that it returns something else.

        Example:
            >>> from torch import nn
            >>> LoadedModel(nn.Identity(), "sklearn:forest.skops", outputs="probabilities").settle_outputs(None)
            'probabilities'
        """
        if declared is not None and self.outputs is not None and declared != self.outputs:
            raise ModelError(
                f"model {self.name!r} returns {_RETURNS[self.outputs]}, not {_RETURNS.get(declared, declared)}; "
                f"declare it with --outputs {self.outputs}"
            )
        settled = declared or self.outputs or "logits"
        if self.num_classes == 1 and settled in ("logits", "probabilities"):
            raise ModelError(
                f"model {self.name!r} returns one number per input, not {settled} of several classes; "
                "if it is the logit of a sigmoid, declare it with --outputs logit"
            )
        if settled == "logit" and self.num_classes not in (None, 1):
            raise ModelError(
                f"model {self.name!r} returns {self.num_classes} numbers per input, not {_RETURNS[settled]}; several "
                "labels that may apply together are declared with --outputs labels"
            )
        return settled


_RETURNS = {
    "logits": "logits of a softmax",
    "probabilities": "probabilities",
    "logit": "the one logit of a sigmoid",
    "labels": "one logit per label, of which several may hold at once (a multi-label head)",
}
