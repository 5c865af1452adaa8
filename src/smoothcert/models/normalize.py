"""Per-channel normalization as the first layer of a classifier, so sigma and radii stay in input units."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from smoothcert.errors import ModelError
from smoothcert.models.adapt import Classifier


class Normalize(nn.Module):
    """``(x - mean) / std`` per channel; its constants are not part of the state dict.

    Args:
        mean: One value per channel, in input units.
        std: One positive value per channel, in input units.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).reshape(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(-1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``x``, shape ``(batch, C, H, W)``.

        Raises:
            ModelError: ``x`` has another number of channels; broadcasting would turn grey into colour
                silently.
        """
        channels = self.mean.shape[0]
        if x.ndim != 4 or x.shape[1] != channels:
            raise ModelError(
                f"this classifier takes images of {channels} channel{'s'[: channels > 1]}, "
                f"shape (batch, {channels}, H, W); got {tuple(x.shape)}"
            )
        return (x - self.mean) / self.std

    def extra_repr(self) -> str:
        """Show the constants when the module is printed."""
        return f"mean={self.mean.flatten().tolist()}, std={self.std.flatten().tolist()}"


def normalized(
    network: nn.Module, mean: Sequence[float], std: Sequence[float], *, name: str = "the base classifier"
) -> Classifier:
    """Return ``network`` behind a ``Normalize`` layer, in eval mode and in the guard of a classifier."""
    return Classifier(Normalize(mean, std), network, name=name).eval()
