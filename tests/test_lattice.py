from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from smoothcert.errors import InvalidArgumentError
from smoothcert.lattice import IMAGE_STEP, Lattice, is_8_bit_image

PIXELS = np.arange(256)
IMAGE = PIXELS.astype(np.float32) / np.float32(255)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 255, 1_000, 32_768, 65_535, 2**24])
def test_a_step_within_rounding_of_a_fraction_is_that_fraction(n):
    lattice = Lattice(1 / n)
    assert (lattice.divisor, lattice.exact_step) == (n, Fraction(1, n))
    assert Lattice(np.nextafter(1 / n, 1)).divisor == n


@pytest.mark.parametrize("step", [0.3, 0.00392, 2.0, 5, 1e-9, 1 / 255 + 1e-12])
def test_any_other_step_is_the_number_that_was_given(step):
    lattice = Lattice(step)
    assert (lattice.divisor, lattice.exact_step) == (None, Fraction(step))


def test_points_of_the_image_lattice_are_what_loading_an_image_gives_bit_for_bit():
    lattice = Lattice(IMAGE_STEP)
    assert np.array_equal(lattice.values(PIXELS), IMAGE)
    assert np.array_equal(lattice.values(PIXELS), torch.arange(256, dtype=torch.uint8).float().div(255).numpy())
    points, offset = lattice.nearest(IMAGE)
    assert np.array_equal(points, PIXELS)
    assert offset == 0.0


def test_the_conversion_goes_on_below_black_and_above_white():
    points = np.arange(-1_000, 1_500)
    values = Lattice(IMAGE_STEP).values(points)
    assert values.min() == np.float32(-1_000 / 255)
    assert np.all(np.diff(values) > 0)
    assert np.array_equal(values, np.float32(points / 255))  # correctly rounded


@pytest.mark.parametrize(
    ("step", "values"),
    [(0.5, [-1.5, 0.0, 2.0]), (1.0, [-3.0, 7.0]), (0.3, [0.3, 0.9, -2.7]), (1 / 32_768, [-1.0, 3 / 32_768])],
)
def test_inputs_on_other_lattices_have_no_offset(step, values):
    lattice = Lattice(step)
    x = np.array(values, dtype=np.float32)
    points, offset = lattice.nearest(x)
    assert offset == 0.0
    assert np.array_equal(lattice.values(points), x)


def test_the_offset_is_the_distance_and_never_less():
    rng = np.random.default_rng(0)
    for step in (1 / 255, 0.3, 1 / 32_768):
        lattice = Lattice(step)
        x = rng.uniform(0, 1, (3, 16, 16)).astype(np.float32)
        points, offset = lattice.nearest(x)
        apart = [
            Fraction(float(v)) - int(k) * lattice.exact_step for v, k in zip(x.ravel(), points.ravel(), strict=True)
        ]
        exact = sum(a * a for a in apart)
        assert exact <= Fraction(offset) ** 2 <= exact * (1 + Fraction(1, 10**6))
        assert max(abs(a) for a in apart) <= lattice.exact_step / 2 * (1 + Fraction(1, 10**9))
        assert offset <= step * np.sqrt(x.size) / 2


def test_a_value_one_rounding_off_the_lattice_counts():
    x = np.nextafter(IMAGE[1:], np.float32(2))
    _, offset = Lattice(IMAGE_STEP).nearest(x)
    assert 0.0 < offset < 1e-6


def test_images_are_told_from_other_inputs():
    rng = np.random.default_rng(0)
    image = IMAGE[rng.integers(0, 256, (3, 32, 32))]
    assert is_8_bit_image(image)
    assert is_8_bit_image(rng.integers(0, 256, 10).astype(np.float32) * np.float32(1 / 255))  # scaled another way
    assert is_8_bit_image(np.array([0.0, 1.0], dtype=np.float32))
    assert not is_8_bit_image(image - np.float32(1 / 255))
    assert not is_8_bit_image(image + np.float32(1 / 255))
    assert not is_8_bit_image(image * np.float32(0.999))
    one_off = image.copy()
    one_off[0, 0, 0] = 0.5
    assert not is_8_bit_image(one_off)


@pytest.mark.parametrize("step", [0.0, -0.1, float("nan"), float("inf"), "1/255", True, None, [0.1]])
def test_steps_that_are_none(step):
    with pytest.raises(InvalidArgumentError, match="lattice must be"):
        Lattice(step)


def test_values_too_far_out():
    with pytest.raises(InvalidArgumentError, match=r"within 1,073,741,824 steps of 0 .* got a value of 1e\+08"):
        Lattice(1 / 255).nearest(np.array([0.5, -1e8], dtype=np.float32))
