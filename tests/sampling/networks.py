"""Small base classifiers whose smoothed scores are known, or that misbehave on purpose."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Probit(nn.Module):
    """Two classes whose softmax is ``Phi(u / tau)`` and ``Phi(-u / tau)``, with ``u = w.x + b`` and ``|w| = 1``."""

    def __init__(self, shape: tuple[int, ...], *, tau: float, bias: float, seed: int = 0) -> None:
        super().__init__()
        direction = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        self.register_buffer("weight", (direction / direction.norm()).flatten())
        self.tau, self.bias = tau, bias

    def u(self, x: Tensor) -> Tensor:
        # In float64, so that the order of the sum, which may depend on the batch, does not reach float32.
        return (x.flatten(1).double() * self.weight).sum(dim=1) + self.bias

    def forward(self, x: Tensor) -> Tensor:
        u = self.u(x)
        logits = torch.stack([torch.special.log_ndtr(u / self.tau), torch.special.log_ndtr(-u / self.tau)], 1)
        return logits.float()


class Corners(nn.Module):
    """Logits read off the input's first values: as many classes as wanted, no arithmetic to go wrong."""

    def __init__(self, num_classes: int, *, gain: float = 4.0) -> None:
        super().__init__()
        self.num_classes, self.gain = num_classes, gain
        self.sizes: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.sizes.append(len(x))
        return self.gain * x.flatten(1)[:, : self.num_classes]


class SmallConvolutions(nn.Module):
    """Convolution, batch norm and dropout, for the mode and the precision."""

    def __init__(self, num_classes: int = 5) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(8 * 16, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        features = nn.functional.adaptive_avg_pool2d(torch.relu(self.norm(self.conv(x))), 4)
        return self.fc(self.drop(features.flatten(1)))
