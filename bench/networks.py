"""The networks that are timed. Weights are random unless they come with a package: they do not change the time."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

import torch
from torch import nn

from smoothcert.models import load_model
from smoothcert.models.cifar import CIFAR_MEAN, CIFAR_STD, CifarResNet
from smoothcert.models.normalize import normalized

NEEDS = {"efficientnet-lite0": "efficientnet_lite_pytorch", "resnet50": "torchvision"}


@dataclass(frozen=True)
class Network:
    """A base classifier with the shape of its inputs."""

    name: str
    module: nn.Module
    shape: tuple[int, ...]
    num_classes: int

    @property
    def has_convolutions(self) -> bool:
        return any(isinstance(layer, nn.Conv2d) for layer in self.module.modules())

    def input(self) -> torch.Tensor:
        """An 8-bit image."""
        return torch.randint(0, 256, self.shape, generator=torch.Generator().manual_seed(0)) / 255


def missing(name: str) -> str | None:
    """The package a network needs and that is absent."""
    package = NEEDS.get(name)
    return package if package and find_spec(package) is None else None


def build(name: str, *, side: int | None = None, num_classes: int | None = None) -> Network:
    """``linear``, ``digits``, ``resnet20``, ``resnet110``, ``efficientnet-lite0`` or ``resnet50``."""
    torch.manual_seed(0)
    if name == "linear":
        return Network(name, nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10)).eval(), (3, 32, 32), 10)
    if name == "digits":
        return Network(name, load_model("digits"), (1, 8, 8), 10)
    if name in ("resnet20", "resnet110"):
        width, depth, classes = (20, 20, num_classes or 10) if name == "resnet20" else (16, 110, num_classes or 10)
        module = normalized(CifarResNet(depth, width=width, num_classes=classes), CIFAR_MEAN, CIFAR_STD)
        return Network(name, module, (3, side or 32, side or 32), classes)
    if name == "efficientnet-lite0":
        from efficientnet_lite_pytorch import EfficientNet

        lite = EfficientNet.from_name("efficientnet-lite0")
        return Network(name, normalized(lite, (0.498,) * 3, (0.502,) * 3), (3, 224, 224), 1000)
    if name == "resnet50":
        from torchvision.models import resnet50

        module = normalized(resnet50(weights=None), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        return Network(name, module, (3, 224, 224), 1000)
    raise ValueError(f"no network {name!r}")
