"""Distributions and pilots chosen to break the bounds: the worst that a search over atoms, pilots, n, alpha, r found.

The pilot may be anything that does not depend on the estimation samples: none, one that saw no tail, or one of another
distribution altogether. With two atoms the probability of a wrong bound is a finite sum for each deal of the samples to
groups, so it is computed and not simulated, and the search for the worst distribution is part of the test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import binom

from bounds.truth import Atoms, Beta, Law, Mixture
from bounds.validity import ROUNDING, drawn, lower_of, too_often, upper_of, wrong_lower, wrong_upper
from smoothcert.bounds.dual import dual_lower_many

DEALS = 24  # the dual bound deals samples to groups by a hash; the grid is part of it, so each grid is another deal


def worst_two_atom_rate(
    pilot: Sequence[int], *, n: int, alpha: float, r: float, low: float = 0.0, high: float = 1.0
) -> float:
    """Largest probability of a wrong dual bound over all two-atom laws on ``low`` and ``high``, over alpha.

    The probability is over samples and deals: a histogram has one deal, and where only a few histograms are likely a
    single deal may favour the truth or not.
    """
    seen = np.arange(min(n, 14) + 1)  # samples at the low atom; with more the bound is below every other one
    q = np.concatenate((np.linspace(0.05, min(n, 14.0), 400), np.geomspace(1e-3, 0.05, 30))) / n
    q = q[q < 0.95]
    truth = np.array([Atoms((low, high), (x, 1.0 - x)).theta(r) for x in q])
    chances = binom.pmf(seen, n, q[:, None])
    rates = []
    for deal in range(DEALS):
        atoms, levels = Atoms((low, high), (0.5, 0.5)), 100 * (deal + 1)
        samples = [atoms.counted((k, n - k), levels) for k in seen]
        pilots = [atoms.counted(pilot, levels)] * seen.size
        bounds = dual_lower_many(pilots, samples, r=np.array([r]), alpha=alpha)[:, 0]
        rates.append(np.sum(chances * (bounds > truth[:, None] + ROUNDING), axis=1))
    return float(np.mean(rates, axis=0).max()) / alpha


@pytest.mark.parametrize(
    ("n", "alpha", "r", "pilot"),
    [
        (3, 0.5, 0.0, (4, 292)),
        (8, 0.5, 0.0, (1, 19)),
        (20, 0.2, 0.0, (0, 156)),
        (30, 0.05, 1.0, (0, 35)),
        (40, 0.1, 0.0, (6, 371)),
        (20, 0.1, 0.0, (20, 0)),  # a pilot of the opposite distribution
        (20, 0.1, 0.0, (0, 0)),  # no pilot
        (300, 0.1, 1.0, (0, 1000)),  # a pilot that saw no tail
        (1000, 0.05, 0.0, (2, 198)),
    ],
)
def test_no_two_atom_law_makes_the_dual_bound_wrong_more_often_than_alpha(
    n: int, alpha: float, r: float, pilot: tuple[int, int]
) -> None:
    assert worst_two_atom_rate(pilot, n=n, alpha=alpha, r=r) <= 1.0


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.9), (0.36, 0.42), (0.99, 1.0)])
def test_wherever_the_two_atoms_are(low: float, high: float) -> None:
    assert worst_two_atom_rate((1, 49), n=20, alpha=0.1, r=0.5, low=low, high=high) <= 1.0


@dataclass(frozen=True)
class Case:
    law: Law
    pilot_law: Law
    n0: int
    n: int
    levels: int = 200
    shifts: tuple[float, ...] = (0.0, 0.5, 2.0)


SURE = Atoms((1.0,), (1.0,))
CASES = {
    "a pilot that saw no tail": Case(
        Mixture((Beta(30, 1), Atoms((0.0,), (1.0,))), (0.98, 0.02)), Beta(30, 1), 100, 150
    ),
    "a pilot without doubt": Case(Atoms((0.0, 1.0), (0.02, 0.98)), SURE, 1000, 150),
    "a pilot of the mirrored law": Case(Atoms((0.0, 0.9), (0.1, 0.9)), Atoms((0.1, 1.0), (0.9, 0.1)), 50, 100),
    "a pilot of one sample": Case(Beta(0.5, 0.2), Beta(0.5, 0.2), 1, 100),
    "three atoms close together": Case(Atoms((0.0, 0.36, 0.42), (0.16, 1e-4, 0.8399)), SURE, 2, 60),
    "mass just above the lowest score": Case(Atoms((0.0, 0.005, 1.0), (0.3, 0.3, 0.4)), Beta(2, 2), 50, 100),
    "almost constant": Case(Atoms((0.5, 0.505), (0.5, 0.5)), Atoms((0.5, 0.505), (0.5, 0.5)), 50, 200),
    "four atoms": Case(Atoms((0.0, 0.3, 0.6, 1.0), (0.01, 0.04, 0.15, 0.8)), Beta(5, 1), 30, 120),
}


@pytest.mark.parametrize("name", CASES)
def test_misleading_pilots_do_not_make_the_dual_bound_wrong(name: str) -> None:
    case = CASES[name]
    rng, alpha, repeats = np.random.default_rng([21, list(CASES).index(name)]), 0.2, 120
    pilots, samples = drawn(
        case.law, rng, n0=case.n0, n=case.n, repeats=repeats, levels=case.levels, pilot_law=case.pilot_law
    )
    low = wrong_lower(case.law, lower_of("dual", pilots, samples, alpha, case.shifts), case.shifts)
    high = wrong_upper(case.law, upper_of("dual", pilots, samples, alpha, case.shifts), case.shifts)
    assert not too_often(int(low.sum(axis=0).max()), repeats, alpha), low.mean(axis=0)
    assert not too_often(int(high.sum(axis=0).max()), repeats, alpha), high.mean(axis=0)


@pytest.mark.parametrize("n", [60, 300, 3000])
@pytest.mark.parametrize(
    "law",
    [Atoms((1e-4, 2e-4), (0.5, 0.5)), Atoms((0.0, 1e-4), (0.05, 0.95)), Atoms((1e-5, 2e-5), (0.5, 0.5))],
    ids=["first cells", "almost all in the first cell", "finer grid"],
)
def test_scores_within_a_few_grid_steps_of_the_lowest(law: Atoms, n: int) -> None:
    """Catches cancellation between powers of numbers near 1: the bets are then thousands, and so is the error."""
    alpha, repeats = 0.1, 150
    levels = 100_000 if law.values[0] == 1e-5 else 10_000
    pilots, samples = drawn(law, np.random.default_rng([22, n]), n0=50, n=n, repeats=repeats, levels=levels)
    wrong = wrong_lower(law, lower_of("dual", pilots, samples, alpha, (0.0,)), (0.0,))
    assert not too_often(int(wrong.sum()), repeats, alpha), wrong.mean()
