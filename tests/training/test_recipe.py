from __future__ import annotations

import json
import math

import numpy as np
import pytest

from smoothcert.errors import InvalidArgumentError
from smoothcert.training import Recipe


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sigma": 0.0}, "sigma must be a positive finite"),
        ({"sigma": math.nan}, "sigma must be a positive finite"),
        ({"width": 0}, "width must be an integer, at least 1; got 0"),
        ({"epochs": 1.5}, r"epochs must be an integer, at least 1; got 1\.5"),
        ({"batch_size": True}, "batch_size must be an integer"),
        ({"draws": 1}, "draws must be an integer, at least 2; got 1"),
        ({"seed": -1}, "seed must be an integer, at least 0; got -1"),
        ({"seed": 2**63}, r"seed must be less than 2\*\*63; got 9223372036854775808"),
        ({"learning_rate": 0.0}, r"learning_rate must be a number, above 0 and finite; got 0\.0"),
        ({"learning_rate": math.inf}, "learning_rate must be a number, above 0 and finite; got inf"),
        ({"weight_decay": -1e-310}, "weight_decay must be a number, at least 0 and finite; got -1e-310"),
        ({"consistency": "10"}, "consistency must be a number, at least 0 and finite; got '10'"),
        ({"consistency": True}, "consistency must be a number, at least 0 and finite; got True"),
        ({"entropy": math.nan}, "entropy must be a number, at least 0 and finite; got nan"),
        ({"warmup": 1.0}, r"warmup must be a number, at least 0 and below 1; got 1\.0"),
        ({"momentum": 0.0}, r"momentum must be a number, above 0 and below 1; got 0\.0"),
        ({"augment": "no"}, "augment must be True or False; got 'no'"),
    ],
)
def test_a_value_outside_its_domain_is_named(change, message):
    with pytest.raises(InvalidArgumentError, match=message):
        Recipe(**({"sigma": 0.25} | change))


def test_the_ends_of_the_domains_are_in():
    recipe = Recipe(sigma=1e-3, weight_decay=0, consistency=0.0, entropy=0, warmup=0, seed=2**63 - 1)
    assert (recipe.weight_decay, recipe.warmup, recipe.copies) == (0.0, 0.0, 1)


def test_numbers_of_other_kinds_are_the_same_recipe():
    other = Recipe(sigma=np.float64(0.25), epochs=np.int64(30), learning_rate=np.float32(0.5), consistency=10)
    plain = Recipe(sigma=0.25, epochs=30, learning_rate=0.5, consistency=10.0)
    assert other.to_json() == plain.to_json()
    assert repr(other.sigma) == "0.25"
    assert json.loads(plain.to_json())["consistency"] == 10.0


def test_copies_are_drawn_only_where_there_is_consistency():
    assert Recipe(sigma=0.5, draws=4).copies == 1
    assert Recipe(sigma=0.5, draws=4, consistency=0.1).copies == 4


@pytest.mark.parametrize(("warmup", "steps"), [(0.15, 1000), (0.0, 7), (0.9, 10), (0.5, 1), (0.3, 11)])
def test_the_learning_rate_rises_to_its_peak_and_falls_to_zero_in_straight_lines(warmup, steps):
    recipe = Recipe(sigma=0.25, learning_rate=0.4, warmup=warmup)
    rates = [recipe.rate(step, steps=steps) for step in range(steps)]
    rising = int(warmup * steps)
    corners = [0.0, 0.4, 0.0] if rising else [0.4, 0.0]
    at = [-1.0, rising - 1.0, float(steps)] if rising else [0.0, float(steps)]
    # At its peak for the last step that rises and the first that falls.
    expected = [
        np.interp(step, at[:2], corners[:2]) if step < rising else 0.4 * (steps - step) / (steps - rising)
        for step in range(steps)
    ]
    np.testing.assert_allclose(rates, expected, rtol=1e-12)
    assert max(rates) == pytest.approx(0.4)
    assert min(rates) > 0.0
