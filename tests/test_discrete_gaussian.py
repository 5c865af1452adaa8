from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import mpmath
import numpy as np
import pytest

from smoothcert.discrete_gaussian import DiscreteGaussian, discrete_gaussian, total_variation
from smoothcert.errors import InvalidArgumentError
from smoothcert.lattice import Lattice

CASES = [(1 / 255, 0.25), (1 / 255, 0.12), (1 / 255, 1.0), (1.0, 1.0), (0.3, 0.5), (1.0, 3.7), (1 / 32_768, 0.1)]


def exact_cumulative(step, sigma, k):
    """``P(m <= k)`` to 60 digits."""
    with mpmath.workdps(60):
        h = Lattice(step).exact_step
        return mpmath.ncdf((2 * k + 1) * mpmath.mpf(h.numerator) / h.denominator / (2 * mpmath.mpf(sigma)))


@pytest.mark.parametrize(("step", "sigma"), CASES)
def test_thresholds_are_the_probabilities_cut_to_64_bits(step, sigma):
    noise = DiscreteGaussian(step=step, sigma=sigma)
    assert len(noise.thresholds) == 2 * noise.largest == noise.cells - 1
    for at in np.unique(np.linspace(0, len(noise.thresholds) - 1, 400).astype(int)):
        exact = exact_cumulative(step, sigma, int(at) - noise.largest)
        with mpmath.workdps(60):
            assert int(noise.thresholds[at]) == int(mpmath.floor(exact * 2**64))


@pytest.mark.parametrize(("step", "sigma"), [case for case in CASES if case[1] / case[0] < 100])
def test_total_variation_is_within_its_price(step, sigma):
    noise = DiscreteGaussian(step=step, sigma=sigma)
    edges = [0, *(int(t) for t in noise.thresholds), 2**64]
    drawn = {k: b - a for k, (a, b) in enumerate(pairwise(edges), start=-noise.largest)}
    with mpmath.workdps(60):
        beyond = noise.largest + 40
        exact = {
            k: exact_cumulative(step, sigma, k) - exact_cumulative(step, sigma, k - 1) for k in range(-beyond, beyond)
        }
        apart = sum(abs(mpmath.mpf(drawn.get(k, 0)) / 2**64 - p) for k, p in exact.items()) / 2
        assert apart <= total_variation(1, step, sigma)


def test_total_variation_adds_up_and_is_rounded_up():
    one = Fraction(1_163, 2**64)
    for values in (1, 10**6, 100_000 * 3 * 224 * 224):
        assert (
            values * one <= Fraction(total_variation(values, 1 / 255, 0.25)) <= values * one * (1 + Fraction(1, 2**50))
        )
    assert total_variation(0, 1 / 255, 0.25) == 0.0
    assert total_variation(10**30, 1 / 255, 0.25) == 1.0


@pytest.mark.parametrize(("step", "sigma"), CASES)
def test_the_table_is_the_comparison_with_all_thresholds(step, sigma):
    noise = discrete_gaussian(step, sigma)
    table, rng = noise.table, np.random.default_rng(0)
    # Uniform numbers, and those at, beside and halfway to thresholds.
    near = rng.choice(noise.thresholds, 20_000)
    words = np.concatenate(
        [rng.integers(0, 2**64, 50_000, dtype=np.uint64), near, near - np.uint64(1), near + np.uint64(1)]
    )
    expected = np.searchsorted(noise.thresholds, words, side="right") - noise.largest
    bits, rest = (words >> np.uint64(48)).astype(np.uint16), words << np.uint64(16)
    settled = table.settled[bits]
    certain = settled != table.escape
    assert np.array_equal(settled[certain], expected[certain])
    assert np.array_equal(table.settle(bits[~certain], rest[~certain]), expected[~certain])
    assert certain.mean() > 0.1


def test_draws_fit_their_type():
    assert DiscreteGaussian(step=1 / 255, sigma=1.0).dtype == np.int16
    fine = DiscreteGaussian(step=1 / 32_768, sigma=0.25)
    assert fine.dtype == np.int32
    assert fine.largest == 74_548


@pytest.mark.parametrize(
    ("step", "sigma", "message"),
    [
        (0.5, 0.25, "step of the lattice must not be larger than sigma; got a step of 0.5 and sigma=0.25"),
        (1e-6, 0.25, "at least sigma / 65,536"),
        (0.0, 0.25, "lattice must be a finite step above 0"),
        (float("nan"), 0.25, "lattice must be"),
        (1 / 255, 0.0, "sigma must be"),
    ],
)
def test_arguments_out_of_their_domain(step, sigma, message):
    with pytest.raises(InvalidArgumentError, match=message):
        DiscreteGaussian(step=step, sigma=sigma)
