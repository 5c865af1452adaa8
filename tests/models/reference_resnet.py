"""The CIFAR ResNet written a second time, from its published description: names, shapes and functional forward."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

MEAN = torch.tensor([0.4914, 0.4822, 0.4465]).view(3, 1, 1)
STD = torch.tensor([0.2023, 0.1994, 0.2010]).view(3, 1, 1)


def random_state(depth: int, *, width: int = 16, classes: int = 10, seed: int = 0) -> dict[str, Tensor]:
    """A state dict with the names and shapes of the network, and weights for which signals neither die nor explode."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        return scale * torch.randn(*shape, generator=generator)

    state: dict[str, Tensor] = {}

    def conv(name: str, into: int, out: int, kernel: int) -> None:
        state[f"{name}.weight"] = normal(out, into, kernel, kernel, scale=(2 / (into * kernel**2)) ** 0.5)

    def norm(name: str, channels: int) -> None:
        state[f"{name}.weight"] = 1 + normal(channels, scale=0.1)
        state[f"{name}.bias"] = normal(channels, scale=0.1)
        state[f"{name}.running_mean"] = normal(channels, scale=0.1)
        state[f"{name}.running_var"] = 1 + normal(channels).abs()
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    conv("conv1", 3, width, 3)
    norm("bn1", width)
    channels = width
    for stage in (1, 2, 3):
        out = width * 2 ** (stage - 1)
        for block in range((depth - 2) // 6):
            prefix = f"layer{stage}.{block}"
            conv(f"{prefix}.conv1", channels, out, 3)
            norm(f"{prefix}.bn1", out)
            conv(f"{prefix}.conv2", out, out, 3)
            norm(f"{prefix}.bn2", out)
            if stage > 1 and block == 0:
                conv(f"{prefix}.downsample.0", channels, out, 1)
                norm(f"{prefix}.downsample.1", out)
            channels = out
    state["fc.weight"], state["fc.bias"] = normal(classes, channels, scale=0.1), normal(classes)
    return state


def logits(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """Forward pass of images (batch, 3, 32, 32) in [0, 1], normalization first."""

    def norm(name: str, x: Tensor) -> Tensor:
        names = ("running_mean", "running_var", "weight", "bias")
        mean, var, weight, bias = (state[f"{name}.{n}"].view(-1, 1, 1) for n in names)
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias

    def conv(name: str, x: Tensor, stride: int, padding: int) -> Tensor:
        return functional.conv2d(x, state[f"{name}.weight"], stride=stride, padding=padding)

    x = norm("bn1", conv("conv1", (x - MEAN) / STD, 1, 1)).clamp(min=0)
    blocks = sorted(
        {tuple(key.split(".")[:2]) for key in state if key.startswith("layer")}, key=lambda b: (b[0], int(b[1]))
    )
    for stage, block in blocks:
        prefix = f"{stage}.{block}"
        stride = 2 if stage != "layer1" and block == "0" else 1
        out = norm(f"{prefix}.bn1", conv(f"{prefix}.conv1", x, stride, 1)).clamp(min=0)
        out = norm(f"{prefix}.bn2", conv(f"{prefix}.conv2", out, 1, 1))
        if f"{prefix}.downsample.0.weight" in state:
            x = norm(f"{prefix}.downsample.1", conv(f"{prefix}.downsample.0", x, stride, 0))
        x = (out + x).clamp(min=0)
    pooled = functional.avg_pool2d(x, 8).flatten(1)
    return pooled @ state["fc.weight"].T + state["fc.bias"]
