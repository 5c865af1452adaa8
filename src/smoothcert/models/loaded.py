"""What loading a base classifier yields: the module and what is known about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class LoadedModel:
    """A base classifier and what is known about it; None where nothing is known.

    Args:
        module: In eval mode; images ``(batch, C, H, W)`` in ``[0, 1]`` to logits ``(batch, num_classes)``.
        name: The name it was loaded by.
        num_classes: Number of logits.
        class_names: One name per logit.
        input_size: ``(C, H, W)`` of the images it was made for.
        resize: Recommended size of the shorter side, in pixels, before the centre crop to ``input_size``.
        interpolation: Recommended filter to scale with, one of ``smoothcert.data.preprocess.INTERPOLATIONS``.
        weights_hash: SHA-256 of the weights file, or of the state dict where there is no file.
        metadata: What the safetensors header says about the weights, such as the training sigma.
        identity: What else identifies the code that runs: hashes of its source files, versions of its packages, by what
            they are of, such as ``"source of model.py"``.
    """

    module: nn.Module
    name: str
    num_classes: int | None = None
    class_names: tuple[str, ...] | None = None
    input_size: tuple[int, ...] | None = None
    resize: int | None = None
    interpolation: str | None = None
    weights_hash: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    identity: Mapping[str, str] = field(default_factory=dict)
