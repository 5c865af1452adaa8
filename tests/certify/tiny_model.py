"""A classifier of a few numbers, for tests that sample."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from smoothcert.models import LoadedModel


class Brightness(nn.Module):
    """Logits of the classes dark, medium and bright, from the mean of the image."""

    def __init__(self, scale: float = 40.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))
        self.register_buffer("centres", torch.tensor([0.05, 0.5, 0.95]))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.flatten(1).mean(dim=1, keepdim=True)
        return -self.scale * (mean - self.centres).square()


class Refusing(Brightness):
    """Fails on any batch that holds a marked input; see ``runs.synthetic.MarkedSource``."""

    def forward(self, x: Tensor) -> Tensor:
        if bool((x[:, 0, 0, 0] > 3.0).any()):
            raise RuntimeError("this one I do not like")
        return super().forward(x)


class Constant(nn.Module):
    """The same logits for every image."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits.expand(x.shape[0], -1)


def tiny_model(module: nn.Module | None = None) -> LoadedModel:
    """The classifier as the loaders give one, without a number of classes."""
    return LoadedModel(module=(module or Brightness()).eval(), name="tiny", weights_hash="cd" * 32)
