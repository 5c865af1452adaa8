"""FFDNet for colour images: a small convolutional denoiser that is told the noise level."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from smoothcert.errors import ModelError
from smoothcert.models.weights import Weights, load_weights

_LAYERS, _WIDTH, _CHANNELS, _SCALE = 12, 96, 3, 2


class FFDNet(nn.Module):
    """Twelve 3x3 convolutions at half resolution, with one channel that holds the noise level.

    Args:
        sigma: Standard deviation of the noise, in input units; the published weights were trained up to 75/255.

    References:
        Zhang, Zuo and Zhang (2018), https://arxiv.org/abs/1710.04026.
    """

    sigma: Tensor

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.register_buffer("sigma", torch.tensor(float(sigma)), persistent=False)
        inside = _CHANNELS * _SCALE**2
        widths = [inside + 1, *[_WIDTH] * (_LAYERS - 1), inside]
        for layer in range(_LAYERS):
            self.add_module(f"conv{layer}", nn.Conv2d(widths[layer], widths[layer + 1], 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """Denoise ``x``, shape ``(batch, 3, H, W)`` with even height and width.

        Raises:
            ModelError: ``x`` has another shape.
        """
        if x.ndim != 4 or x.shape[1] != _CHANNELS or x.shape[2] % _SCALE or x.shape[3] % _SCALE:
            raise ModelError(f"ffdnet takes images of shape (batch, 3, even, even); got {tuple(x.shape)}")
        y = pixel_unshuffle(x, _SCALE)
        y = torch.cat([y, self.sigma.to(y.dtype).expand(y.shape[0], 1, *y.shape[2:])], dim=1)
        for layer in range(_LAYERS):
            y = self.get_submodule(f"conv{layer}")(y)
            if layer < _LAYERS - 1:
                y = y.relu()
        return pixel_shuffle(y, _SCALE)

    def extra_repr(self) -> str:
        """Show the noise level when the module is printed."""
        return f"sigma={float(self.sigma):g}"


def load_denoiser(
    target: str, *, name: str, sigma: float, weights: Weights | None
) -> tuple[nn.Module, Mapping[str, str]]:
    """``ffdnet``, with a file of weights named ``conv0`` to ``conv11``.

    Raises:
        ModelError: There are no weights, or they do not fit.
    """
    if weights is None:
        raise ModelError(f"denoiser {name!r} needs a file of weights")
    network = FFDNet(sigma)
    load_weights(network, weights)
    return network, {"class": "FFDNet"}
