"""Distributions and pilots chosen to break the bounds: the worst that a search over atoms, pilots, n, alpha, r found.

The pilot may be anything that does not depend on the estimation samples: none, one that saw no tail, or one of another
distribution altogether. Distributions of two atoms, where the probability of a wrong bound is computed and not
simulated, are in ``test_deal.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from bounds.truth import Atoms, Beta, Law, Mixture
from bounds.validity import drawn, lower_of, too_often, upper_of, wrong_lower, wrong_upper


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
