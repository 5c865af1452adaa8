"""The ground truth is right: closed forms, quadrature and finite sums agree."""

from __future__ import annotations

import numpy as np
import pytest

from bounds.truth import Atoms, Beta, Law, Mixture, Probit, survival_integral
from smoothcert.bounds.shift import shifted_probability

SHIFTS = (-3.0, -1.0, 0.0, 0.5, 1.0, 2.0, 4.0)


@pytest.mark.parametrize("law", [Probit(0.7, 0.5), Probit(2.5, 1.0), Probit(-1.0, 0.2)])
def test_quadrature_reproduces_the_attained_certificate(law: Probit) -> None:
    for r in SHIFTS:
        assert Law.theta(law, r) == pytest.approx(law.theta(r), abs=1e-9)
        assert law.baseline(abs(r)) <= law.theta(abs(r)) + 1e-12


@pytest.mark.parametrize("law", [Beta(20, 1), Beta(5, 1), Beta(0.5, 0.2), Beta(60, 0.5), Beta(2, 2)])
def test_quadrature_reproduces_the_mean(law: Beta) -> None:
    assert law.theta(0.0) == pytest.approx(law.a / (law.a + law.b), abs=1e-9)


@pytest.mark.parametrize(
    "law",
    [Atoms((0.0, 1.0), (0.001, 0.999)), Atoms((0.2, 0.5, 0.9), (0.1, 0.3, 0.6)), Atoms((-1.0, 1.0), (0.5, 0.5), -1.0)],
)
def test_quadrature_reproduces_the_finite_sum(law: Atoms) -> None:
    for r in SHIFTS:
        assert Law.theta(law, r) == pytest.approx(law.theta(r), abs=1e-9)


def test_one_certain_class_is_the_shift_of_its_probability() -> None:
    law = Atoms((0.0, 1.0), (0.01, 0.99))
    for r in SHIFTS:
        assert law.theta(r) == pytest.approx(float(shifted_probability(0.99, r)), abs=1e-12)


def test_mixture_of_equals_is_itself() -> None:
    law = Mixture((Beta(5, 1), Beta(5, 1)), (0.3, 0.7))
    assert law.theta(1.0) == pytest.approx(Beta(5, 1).theta(1.0), abs=1e-9)


def test_draws_follow_the_stated_tails() -> None:
    rng = np.random.default_rng(1)
    for law in (
        Probit(0.7, 0.5),
        Beta(5, 1),
        Atoms((0.2, 0.5, 0.9), (0.1, 0.3, 0.6)),
        Mixture((Beta(20, 1), Atoms((0.0,), (1.0,))), (0.8, 0.2)),
    ):
        draws = law.draw(rng, 40_000)
        t = np.array([0.1, 0.4, 0.5, 0.8, 0.95])
        above, below = law.tails(t)
        np.testing.assert_allclose(above + below, 1.0, atol=1e-12)
        np.testing.assert_allclose((draws[:, None] >= t).mean(axis=0), above, atol=0.015)


def test_paper_sum_of_a_step_function_is_exact() -> None:
    law = Atoms((0.2, 0.9), (0.25, 0.75))
    total = survival_integral(lambda p: float(shifted_probability(p, 1.0)), [1.0, 0.75], [0.0, 0.2, 0.9])
    assert total == pytest.approx(law.theta(1.0), abs=1e-12)
