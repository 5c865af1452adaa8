"""FFDNet on the 2x2 averages of an image, which carry half the noise: for more of it than FFDNet was trained with.

``--denoiser python:studies/half_size_ffdnet.py:denoiser --denoiser-weights ffdnet_color.safetensors``. It costs a
quarter of FFDNet and gives back a picture of half the resolution.
"""

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from smoothcert.models.ffdnet import FFDNet


class HalfSizeFFDNet(FFDNet):
    """Average, denoise, enlarge. Height and width must be multiples of 4.

    Args:
        sigma: Standard deviation of the noise before the average.
    """

    def __init__(self, sigma: float) -> None:
        super().__init__(sigma / 2.0)

    def forward(self, x: Tensor) -> Tensor:
        """Denoise ``x``, shape ``(batch, 3, H, W)``."""
        return interpolate(super().forward(avg_pool2d(x, 2)), scale_factor=2.0, mode="bilinear")


def denoiser(sigma: float) -> nn.Module:
    """What ``--denoiser`` calls."""
    return HalfSizeFFDNet(sigma)
