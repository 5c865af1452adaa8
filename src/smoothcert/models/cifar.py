"""``cifar:resnetDEPTH``: the residual network for 32x32 images, of any depth and width, with its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from smoothcert.errors import ModelError
from smoothcert.models.loaded import LoadedModel
from smoothcert.models.normalize import normalized
from smoothcert.models.weights import Weights, fit_weights, require_fitting

CIFAR_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR_STD = (0.2023, 0.1994, 0.2010)
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, and a shortcut: a 1x1 convolution where shapes change."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = (
            nn.Sequential(nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))
            if stride != 1 or in_channels != channels
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's features, shape ``(batch, channels, H / stride, W / stride)``."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        features: Tensor = self.relu(self.bn2(self.conv2(out)) + shortcut)
        return features


def _stage(in_channels: int, channels: int, blocks: int, *, stride: int) -> nn.Sequential:
    first = BasicBlock(in_channels, channels, stride)
    return nn.Sequential(first, *(BasicBlock(channels, channels, 1) for _ in range(blocks - 1)))


class CifarResNet(nn.Module):
    """The ResNet of ``6 n + 2`` layers for 32x32 colour images, without normalization.

    Args:
        depth: Number of layers, ``6 n + 2``: 20, 32, 44, 56, 110, ...
        width: Channels of the first stage; the next two have twice and four times as many.
        num_classes: Number of logits.

    References:
        He, Zhang, Ren, Sun (2016), section 4.2, https://arxiv.org/abs/1512.03385; with 1x1 convolutions as
        shortcuts, as in Cohen et al. (2019), https://arxiv.org/abs/1902.02918.
    """

    def __init__(self, depth: int, *, width: int = 16, num_classes: int = 10) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise ModelError(f"depth must be 6 n + 2, such as 20, 32, 44, 56 or 110; got {depth}")
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = _stage(width, width, blocks, stride=1)
        self.layer2 = _stage(width, 2 * width, blocks, stride=2)
        self.layer3 = _stage(2 * width, 4 * width, blocks, stride=2)
        self.fc = nn.Linear(4 * width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, shape ``(batch, num_classes)``, for normalized images ``(batch, 3, 32, 32)``."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.layer3(self.layer2(self.layer1(out)))
        logits: Tensor = self.fc(out.mean(dim=(2, 3)))
        return logits


def cifar_resnet(depth: int, state: Mapping[str, Tensor], *, source: str) -> CifarResNet:
    """Build the ResNet of this depth, with the width and classes of ``state``, and load it.

    Memory for a network of that width is asked for only after every shape was seen to fit.

    Raises:
        ModelError: ``state`` is not of this network.
    """
    first, last = state.get("conv1.weight"), state.get("fc.weight")
    # Without these two the defaults stand, and fitting says what is missing.
    width = first.shape[0] if first is not None and first.ndim == 4 else 16
    num_classes = last.shape[0] if last is not None and last.ndim == 2 else 10
    with torch.device("meta"):
        shapes = CifarResNet(depth, width=width, num_classes=num_classes).state_dict()
    require_fitting(shapes, state, source=source)
    network = CifarResNet(depth, width=width, num_classes=num_classes)
    fit_weights(network, state, source=source)
    return network


def cifar_names(depth: int) -> list[str]:
    """Names of the tensors of the ResNet of this depth."""
    with torch.device("meta"):
        return list(CifarResNet(depth).state_dict())


def cifar_network(arch: str, *, width: int = 16, num_classes: int = 10) -> CifarResNet:
    """Build ``resnetDEPTH`` with random weights.

    Raises:
        ModelError: ``arch`` is not that, or the depth is not ``6 n + 2``.
    """
    match = re.fullmatch(r"resnet(\d+)", arch)
    if match is None:
        raise ModelError(
            f"arch must be resnet20, resnet32, resnet44, resnet56, resnet110 or another depth 6 n + 2; got {arch!r}"
        )
    return CifarResNet(int(match[1]), width=width, num_classes=num_classes)


def load(target: str, *, name: str, weights: Weights | None) -> LoadedModel:
    """Load ``resnetDEPTH`` behind CIFAR's normalization; the weights file gives its width and classes.

    Raises:
        ModelError: The depth is not ``6 n + 2``, or there are no weights, or they do not fit.
    """
    match = re.fullmatch(r"resnet(\d+)", target)
    if match is None:
        raise ModelError(
            f"unknown model {name!r}; cifar: takes resnet20, resnet32, resnet44, resnet56, resnet110 "
            "or another depth 6 n + 2"
        )
    if weights is None:
        raise ModelError(f"model {name!r} has no bundled weights; pass a weights file (--weights FILE)")
    depth = int(match[1])
    state = weights.state_dict(cifar_names(depth))
    network = cifar_resnet(depth, state, source=f"weights file {weights.path}")
    return describe_cifar(network, name=name, weights=weights)


def describe_cifar(network: CifarResNet, *, name: str, weights: Weights) -> LoadedModel:
    """Return the loaded network behind CIFAR's normalization."""
    num_classes = network.fc.out_features
    return LoadedModel(
        module=normalized(network, CIFAR_MEAN, CIFAR_STD, name=f"model {name!r}"),
        name=name,
        num_classes=num_classes,
        class_names=CIFAR10_CLASSES if num_classes == len(CIFAR10_CLASSES) else None,
        input_size=_image_shape(weights.metadata),
        weights_hash=weights.sha256,
        identity={"class": "CifarResNet", "normalization": f"mean {CIFAR_MEAN}, std {CIFAR_STD}"},
        metadata=weights.metadata,
    )


def _image_shape(metadata: Mapping[str, str]) -> tuple[int, int, int]:
    """Shape the header says the network was trained on, ``3xHxW``; without a header that of CIFAR."""
    found = re.fullmatch(r"3x([1-9]\d{0,3})x([1-9]\d{0,3})", metadata.get("image_shape", ""))
    return (3, int(found[1]), int(found[2])) if found else (3, 32, 32)
