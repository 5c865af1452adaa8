"""A small denoiser for photographs, a thirteenth of FFDNet's cost, as a denoiser for smoothcert.

``--denoiser python:studies/small_denoiser.py:denoiser --denoiser-weights FILE``; ``train_denoiser.py`` makes the file.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

_FOLD, _WIDTH, _DEEP, _BLOCKS = 4, 64, 96, 3


class _Block(nn.Module):
    """Two convolutions around which the input goes on."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x).relu())


class SmallDenoiser(nn.Module):
    """Convolutions at a quarter and an eighth of the resolution, told the noise level.

    They return the picture itself, not the noise to take away: so much noise would not pass through so few channels.

    Args:
        sigma: Standard deviation of the noise, in input units: one, or one per image where it is trained.
    """

    sigma: Tensor

    def __init__(self, sigma: float = 0.25) -> None:
        super().__init__()
        self.register_buffer("sigma", torch.tensor([float(sigma)]), persistent=False)
        inside = 3 * _FOLD**2
        self.level = nn.Linear(1, _WIDTH)
        self.enter = nn.Conv2d(inside, _WIDTH, 3, padding=1)
        self.before = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)
        self.down = nn.Conv2d(_WIDTH, _DEEP, 2, stride=2)
        self.deep = nn.Sequential(*(_Block(_DEEP) for _ in range(_BLOCKS)))
        self.up = nn.Conv2d(_DEEP, 4 * _WIDTH, 1)
        self.after = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)
        self.leave = nn.Conv2d(_WIDTH, inside, 3, padding=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        for block in self.deep.children():
            nn.init.zeros_(block.get_submodule("second").weight)
        nn.init.normal_(self.leave.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Denoise ``x``, shape ``(batch, 3, H, W)`` with height and width multiples of 8."""
        level = self.level(self.sigma[:, None])[:, :, None, None]
        y = pixel_unshuffle(x - 0.5, _FOLD)
        y = (self.enter(y) + level).relu()
        y = self.before(y).relu()
        z = self.deep(self.down(y).relu())
        y = y + pixel_shuffle(self.up(z), 2)
        y = self.after(y.relu()).relu()
        return 0.5 + pixel_shuffle(self.leave(y), _FOLD)


def denoiser(sigma: float) -> nn.Module:
    """What ``--denoiser`` calls."""
    return SmallDenoiser(sigma)
