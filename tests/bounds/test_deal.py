"""The deal of the samples to groups does not look at them: exact failure rates, and what happens if it does.

With two atoms the probability of a wrong bound, for one deal, is a finite sum over the number of samples at the low
atom. Averaged over deals it must be at most alpha whatever the distribution, so distributions are scanned for the worst
as an adversary would, who may know the deals scanned but not those that are tested afterwards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.special import rel_entr
from scipy.stats import binom

from bounds.truth import Atoms, Beta
from bounds.validity import ROUNDING, SIGNIFICANCE
from smoothcert.bounds import ScoreCertificate, deal_seed, dual_lower, lower_bounds, mirrored_seed, upper_bounds
from smoothcert.bounds import deal as deal_module
from smoothcert.bounds.deal import in_groups
from smoothcert.bounds.stack import HistogramStack
from smoothcert.errors import InvalidArgumentError
from smoothcert.histogram import ScoreHistogram

SeedOf = Callable[[int, int], int]


@dataclass(frozen=True)
class Case:
    """Two atoms, of which the low one's probability is free, and everything that may be fixed against the bound."""

    n: int
    alpha: float
    r: float
    pilot: tuple[int, int]  # samples at the low and the high atom
    low: float = 0.0
    high: float = 1.0
    levels: int = 1_000

    @property
    def seen(self) -> np.ndarray:
        """Numbers of samples at the low atom; with more the bound is below every truth that is likely to show them."""
        return np.arange(min(self.n, 14) + 1)

    @property
    def scanned(self) -> np.ndarray:
        """Probabilities of the low atom."""
        q = np.concatenate((np.linspace(0.05, min(self.n, 14.0), 400), np.geomspace(1e-3, 0.05, 30))) / self.n
        return q[q < 0.95]

    def rates(self, seed_of: SeedOf, deals: range, q: np.ndarray, *, upper: bool = False) -> np.ndarray:
        """Probability of a wrong bound for each deal and each probability of the low atom, ``(deals, len(q))``."""
        atoms = Atoms((self.low, self.high), (0.5, 0.5))
        one_deal = [atoms.counted((k, self.n - k), self.levels) for k in self.seen]
        samples = one_deal * len(deals)
        pilots = [atoms.counted(self.pilot, self.levels)] * len(samples)
        seeds = [seed_of(int(k), d) for d in deals for k in self.seen]
        bound, sign = (upper_bounds, -1.0) if upper else (lower_bounds, 1.0)
        found = bound(pilots, samples, radii=[self.r], sigma=1.0, alpha=self.alpha, seeds=seeds)
        found = found.reshape(len(deals), self.seen.size)
        truth = np.array([Atoms((self.low, self.high), (x, 1.0 - x)).theta(sign * self.r) for x in q])
        wrong = sign * found[:, None, :] > sign * truth[:, None] + ROUNDING
        return np.asarray((wrong * binom.pmf(self.seen, self.n, q[:, None])).sum(axis=-1))


CASES = {
    "a lucky deal each time its histogram comes": Case(1000, 0.001, 0.0, (0, 10), low=0.0825, levels=10_000),
    "three samples": Case(3, 0.5, 0.0, (4, 292)),
    "eight samples": Case(8, 0.5, 0.0, (1, 19)),
    "a long pilot": Case(20, 0.2, 0.0, (0, 156)),
    "a radius": Case(30, 0.05, 1.0, (0, 35)),
    "a pilot of the opposite distribution": Case(20, 0.1, 0.0, (20, 0)),
    "no pilot": Case(60, 0.5, 1.0, (0, 0), high=0.868),
    "a pilot that saw no tail": Case(100, 0.1, 0.0, (0, 200), levels=100),
    "a pilot of one": Case(30, 0.1, 0.0, (0, 1), levels=100),
    "a low pilot": Case(60, 0.05, 0.0, (1, 0), high=0.0716),
    "a rare tail": Case(300, 0.1, 0.0, (0, 200), levels=10_000),
    "atoms close together": Case(20, 0.1, 0.5, (1, 49), low=0.36, high=0.42),
}


def above(rates: np.ndarray, alpha: float) -> bool:
    """Whether failure rates of independent deals contradict a mean of at most ``alpha``.

    Hoeffding's form of the binomial test, for variables in ``[0, largest]``: at most this often under the claim.
    """
    largest = max(float(rates.max()), alpha)
    mean, claimed = float(rates.mean()) / largest, alpha / largest
    if mean <= claimed or claimed == 1.0:
        return False
    divergence = rel_entr(mean, claimed) + rel_entr(1.0 - mean, 1.0 - claimed)
    return bool(np.exp(-rates.size * divergence) < SIGNIFICANCE)


def hashed(k: int, salt: int) -> int:
    """A deal that follows from the histogram."""
    return int.from_bytes(hashlib.sha256(f"{salt}:{k}".encode()).digest()[:8], "big")


@pytest.mark.parametrize(
    ("name", "upper"), [*((name, False) for name in CASES), ("eight samples", True), ("a radius", True)]
)
def test_no_two_atom_law_makes_the_bound_wrong_more_often_than_alpha(name: str, upper: bool) -> None:
    case, q = CASES[name], CASES[name].scanned
    worst = np.argmax(case.rates(lambda k, d: d, range(32), q, upper=upper).mean(axis=0))
    rates = case.rates(lambda k, d: d, range(1_000, 1_096), q[[worst]], upper=upper)
    assert not above(rates, case.alpha)
    assert rates.mean() <= case.alpha  # not only not significantly above it


def test_the_case_that_failed_ten_times_too_often() -> None:
    case = CASES["a lucky deal each time its histogram comes"]
    rates = case.rates(lambda k, d: d, range(160), np.array([1.0 - 0.98904531]))
    assert rates.mean() < 0.6 * case.alpha
    assert not above(rates, case.alpha)


def test_a_deal_that_looks_at_the_samples_fails() -> None:
    """The planted bug: with a hash of the histogram for a seed there is one deal, and an adversary finds its law."""
    case = CASES["a lucky deal each time its histogram comes"]
    q = case.scanned[200:400:2]
    rates = case.rates(hashed, range(60), q)  # another salt is another grid, or another way to hash
    salt, worst = np.unravel_index(np.argmax(rates), rates.shape)
    # The rate of this law is exact: every repetition with the same histogram has the same deal.
    again = case.rates(lambda k, d: hashed(k, int(salt)), range(1), q[[worst]])
    assert again[0, 0] > 3.0 * case.alpha
    independent = case.rates(lambda k, d: d, range(96), q[[worst]])
    assert independent.mean() < 0.6 * case.alpha


def test_the_test_can_tell() -> None:
    rng = np.random.default_rng(0)
    assert above(0.03 * rng.random(400), 0.01)
    assert not above(0.018 * rng.random(400), 0.01)
    assert not above(np.full(5, 0.01), 0.01)


def test_the_seed_of_a_deal_is_a_hash_of_what_determines_the_noise() -> None:
    digest = hashlib.sha256(b"7:abc:deal:margin").digest()
    assert deal_seed(7, "abc", "margin") == int.from_bytes(digest[:16], "big")
    others = {deal_seed(s, c, m) for s in (0, 7) for c in ("abc", "abd") for m in ("score", "margin")} | {
        mirrored_seed(deal_seed(7, "abc", "margin"))
    }
    assert len(others) == 9


def test_samples_are_dealt_as_documented() -> None:
    """One byte of ``PCG64(seed)`` for each sample, ascending; shares in 256ths."""
    shares = (0.3, 0.5, 0.2)
    sample = Beta(2, 2).histogram(np.random.default_rng(0), 1_000, 5)  # few levels: every cell is a knot
    pilot = ScoreHistogram.empty(lower=0.0, upper=1.0, levels=5)
    stack = [HistogramStack.of([h]) for h in (pilot, sample)]
    dealt = in_groups(*stack, shares=shares, seeds=[12345])
    words = np.random.PCG64(12345).random_raw(125)
    stream = [(int(word) >> (8 * byte)) & 255 for word in words for byte in range(8)]
    expected = np.zeros((3, 6), dtype=np.int64)
    for cell, byte in zip(np.repeat(np.arange(6), sample.counts), stream, strict=True):
        expected[0 if byte < 77 else 1 if byte < 205 else 2, cell] += 1
    knots = np.rint(dealt.positions[0] * 5).astype(np.int64)
    for group in range(3):
        found = np.zeros(6)
        np.add.at(found, knots, dealt.samples[group][0, 0])
        np.testing.assert_allclose(found, expected[group], atol=1e-9)


def test_many_samples_are_dealt_cell_by_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deal_module, "MANY_SAMPLES", 100)
    sample = Beta(2, 2).histogram(np.random.default_rng(0), 1_000, 300)
    dealt = in_groups(HistogramStack.of([sample]), HistogramStack.of([sample]), shares=(0.25, 0.75), seeds=[3])
    each = np.random.Generator(np.random.PCG64(3)).multinomial(sample.counts[sample.counts > 0], (0.25, 0.75))
    assert [group.sum() for group in dealt.samples] == pytest.approx(each.sum(axis=0).tolist())
    assert sum(group.sum() for group in dealt.samples) == pytest.approx(1_000)


def test_only_the_dual_bound_depends_on_the_seed_and_both_sides_do() -> None:
    rng = np.random.default_rng(1)
    pilot, sample = Beta(8, 1).histogram(rng, 100, 400), Beta(8, 1).histogram(rng, 1_000, 400)
    one, same, other = (ScoreCertificate(pilot, sample, 0.25, 0.01, seed=seed) for seed in (1, 1, 2))
    assert one.lower([0.1]) == same.lower([0.1])
    assert one.lower([0.1]) != other.lower([0.1])
    assert one.upper([0.1]) != other.upper([0.1])
    for bound in ("cdf", "hoeffding", "clopper_pearson"):
        assert one.lower([0.1], bound) == other.lower([0.1], bound)
    assert one.radius(0.7) == same.radius(0.7)
    assert one.lower([0.1]) == dual_lower(pilot, sample, r=np.array([0.4]), alpha=0.01, seed=1)
    assert abs(one.lower([0.1]) - other.lower([0.1])) < 0.02


@pytest.mark.parametrize("seeds", [[0], [0, 1, 2], [0, -1], [0, 0.5], [0, True], [0, None]])
def test_seeds_that_are_none(seeds: list[int]) -> None:
    h = Beta(2, 2).histogram(np.random.default_rng(2), 50, 20)
    with pytest.raises(InvalidArgumentError, match="seed"):
        lower_bounds([h, h], [h, h], radii=[0.0], sigma=1.0, alpha=0.1, seeds=seeds)
    if len(seeds) == 2:
        with pytest.raises(InvalidArgumentError, match="seed"):
            ScoreCertificate(h, h, 1.0, 0.1, seed=seeds[1])
