"""Base classifiers that look for what noise in floating point gives away: it certifies falsely, a lattice does not.

References:
    Voracek and Hein (2023), Sound Randomized Smoothing in Floating-Point Arithmetics, https://arxiv.org/abs/2207.07209.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor, nn

import smoothcert as sc

SIGMA = 0.25
ALPHA = 0.05
SEEDS = range(2)


class TailWatcher(nn.Module):
    """Class 0 unless a value lies more than 5.7682 sigma from 128/255.

    PyTorch's noise ends at ``sqrt(2 ln 2^24)`` = 5.7681 sigma: it is the logarithm of one of 2^24 numbers.
    """

    reach = 5.7682 * SIGMA
    centre = 128 / 255

    def forward(self, x: Tensor) -> Tensor:
        far = (x.amax(dim=1) > self.centre + self.reach) | (x.amin(dim=1) < self.centre - self.reach)
        return torch.stack([~far, far], dim=1).float()


SIZE, COUNT = 2**17, 3_200
MIDDLE = torch.full((SIZE,), 128 / 255)


def truth_about_tails(step: float | None) -> float:
    """The probability of class 0: that no value is far out."""
    if step is None:
        return float((1 - 2 * norm.sf(5.7682)) ** SIZE)
    nearest = np.ceil(TailWatcher.reach / step)  # noise of so many steps is far out
    return float((1 - 2 * norm.sf((nearest - 0.5) * step / SIGMA)) ** SIZE)


def bound_from_tails(lattice: float | None) -> float:
    """The lower bound on that probability behind the class radius."""
    options = {"input_ndim": 1, "outputs": "probabilities", "lattice": lattice}
    g = sc.SmoothedClassifier(TailWatcher(), SIGMA, 2, **options)
    return float(norm.cdf(g.certify(MIDDLE, n0=1, n=COUNT, alpha=ALPHA).class_radius / SIGMA))


def test_noise_of_floating_point_has_no_tails_and_certifies_a_radius_that_is_too_large():
    # Always. Of 419 million values 3.3 are far out in real arithmetic, and none is 4 times in a hundred.
    bound = bound_from_tails(None)
    assert bound == pytest.approx(ALPHA ** (1 / COUNT), abs=1e-4)  # no sample was of class 1
    assert bound > truth_about_tails(None)


def test_noise_on_the_lattice_has_them():
    assert bound_from_tails(1 / 255) <= truth_about_tails(1 / 255)


class RoundingWatcher(nn.Module):
    """Class 0 where every value that noise brought into (-1/2, -1/4) is the expected pixel plus a multiple of 2^-24.

    Noise in (-3/4, -1/2) is such a multiple, because float32 holds nothing finer there, and adding it to the pixel is
    exact: the last bits of the sum are those of the pixel. They are others for the next pixel.
    """

    def __init__(self, expected: Tensor) -> None:
        super().__init__()
        self.expected = expected.double()

    def forward(self, x: Tensor) -> Tensor:
        told = (x > -0.5) & (x < -0.25)
        steps = (x.double() - self.expected) * 2**24
        fits = ((steps == steps.round()) | ~told).flatten(1).all(dim=1)
        return torch.stack([fits, ~fits], dim=1).float()


PIXELS = torch.full((3, 16, 16), 64 / 255)
BESIDE = torch.full((3, 16, 16), 63 / 255)
DISTANCE = float(np.sqrt(768) / 255)


def certified_and_beside(lattice: float | str | None, seed: int) -> tuple[sc.Certificate, int | np.ndarray]:
    g = sc.SmoothedClassifier(RoundingWatcher(PIXELS), SIGMA, 2, outputs="probabilities", lattice=lattice)
    return g.certify(PIXELS, n0=20, n=1_000, alpha=0.001, seed=seed), g.predict(BESIDE, n=1_000, seed=seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_rounding_tells_an_image_from_the_next_one_within_the_certified_radius(seed):
    certificate, beside = certified_and_beside(None, seed)
    assert certificate.class_radius > 0.6 > 5 * DISTANCE
    assert (certificate.prediction, beside) == (0, 1)  # and so the certificate is false


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("lattice", ["auto", 1 / 255])
def test_nothing_tells_them_apart_on_the_lattice(seed, lattice):
    certificate, beside = certified_and_beside(lattice, seed)
    assert certificate.class_radius > DISTANCE
    assert certificate.prediction == beside
