"""Accuracy of a classifier on noisy images."""

from __future__ import annotations

import torch
from torch import nn

from smoothcert.training.images import Images
from smoothcert.training.streams import Purpose, stream

_BATCH = 500


@torch.inference_mode()
def noisy_accuracy(classifier: nn.Module, images: Images, *, sigma: float, seed: int) -> float:
    """Fraction of images classified right under one draw of the noise each, in float32.

    Args:
        classifier: Images in [0, 1] to logits; put in eval mode.
        images: The images, on its device.
        sigma: Standard deviation of the noise.
        seed: Of the noise; the same images then meet the same noise.
    """
    classifier.eval()
    device = images.pixels.device
    generator = stream(seed, Purpose.TEST, 0, device)
    right = torch.zeros((), dtype=torch.int64, device=device)
    for pixels, labels in zip(*(torch.split(part, _BATCH) for part in (images.pixels, images.labels)), strict=True):
        clean = pixels.float().div_(255).contiguous(memory_format=torch.channels_last)
        noise = torch.empty_like(clean).normal_(0.0, sigma, generator=generator)
        right += (classifier(clean.add_(noise)).argmax(dim=1) == labels).sum()
    return right.item() / len(images)
