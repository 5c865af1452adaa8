"""The lead, pairs of votes and the vote as a measure: rarely wrong, no worse than what they replace, priced right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import norm

from bounds.truth import Atoms
from bounds.validity import ROUNDING, too_often
from smoothcert.bounds import (
    BOUNDS,
    LeadCertificate,
    ScoreCertificate,
    TopVotes,
    class_radius,
    clopper_pearson_lower,
    clopper_pearson_upper,
    lower_bounds,
    pairwise_class_radius,
    upper_bounds,
)
from smoothcert.errors import InvalidArgumentError
from smoothcert.histogram import ScoreHistogram

LEVELS = 200
SHIFTS = np.array([0.0, 0.5, 1.5])


@dataclass(frozen=True)
class Classes:
    """Score vectors that occur, and how often; class 0 is the prediction, 1 and 2 its rivals, the others the rest."""

    scores: tuple[tuple[float, ...], ...]
    masses: tuple[float, ...]

    def differences(self) -> np.ndarray:
        """``f_0 - f_1``, ``f_0 - f_2`` and ``f_0 - max`` of the rest, shape ``(3, outcomes)``."""
        s = np.asarray(self.scores)
        return np.stack([s[:, 0] - s[:, 1], s[:, 0] - s[:, 2], s[:, 0] - s[:, 3:].max(axis=1)])

    def laws(self) -> list[Atoms]:
        return [Atoms(tuple(d), self.masses, lower=-1.0) for d in self.differences()]

    def truth(self, r: float) -> float:
        """Least that any shift leaves of the lead, as far as the distribution of each difference says."""
        return min(law.theta(r) for law in self.laws())

    def drawn(self, rng: np.random.Generator, n: int) -> list[ScoreHistogram]:
        counts = rng.multinomial(n, self.masses)
        return [law.counted(counts, LEVELS) for law in self.laws()]


CLASSES = {
    "one strong rival": Classes(((0.9, 0.1, 0.0, 0.0), (0.3, 0.6, 0.1, 0.0), (0.4, 0.2, 0.4, 0.0)), (0.8, 0.15, 0.05)),
    "rivals alike": Classes(
        ((0.9, 0.05, 0.05, 0.0), (0.3, 0.7, 0.0, 0.0), (0.3, 0.0, 0.7, 0.0), (0.3, 0.0, 0.0, 0.7)),
        (0.7, 0.1, 0.1, 0.1),
    ),
    "the rest is stronger than the pilot saw": Classes(
        ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)), (0.9, 0.03, 0.07)
    ),
}


def lead_of(pilot: list[ScoreHistogram], sample: list[ScoreHistogram], alpha: float, seed: int) -> LeadCertificate:
    parts = [
        ScoreCertificate(p, s, 1.0, alpha, seed=3 * seed + i)
        for i, (p, s) in enumerate(zip(pilot, sample, strict=True))
    ]
    return LeadCertificate(tuple(parts[:2]), parts[2])


@pytest.mark.parametrize("name", CLASSES)
def test_the_lead_is_rarely_wrong(name: str) -> None:
    classes, alpha, repeats = CLASSES[name], 0.2, 120
    rng = np.random.default_rng([41, list(CLASSES).index(name)])
    least = np.array([classes.truth(r) for r in SHIFTS])
    most = np.array([min(law.theta(-r) for law in classes.laws()[:2]) for r in SHIFTS])
    drawn = [(classes.drawn(rng, 30), classes.drawn(rng, 200)) for _ in range(repeats)]
    lowers, uppers = [], []
    for part in range(3):  # what LeadCertificate does, many inputs at once
        pilots, samples = ([stage[part] for stage in stages] for stages in zip(*drawn, strict=True))
        asked = {"radii": SHIFTS, "sigma": 1.0, "alpha": alpha, "seeds": range(part, 3 * repeats, 3)}
        lowers.append(lower_bounds(pilots, samples, **asked))
        uppers.append(upper_bounds(pilots, samples, **asked))
    low = (np.min(lowers, axis=0) > least + ROUNDING).sum(axis=0)
    high = (uppers[0] < most - ROUNDING).sum(axis=0)
    assert not too_often(int(low.max()), repeats, alpha), low
    assert not too_often(int(high.max()), repeats, alpha), high
    few = 20
    found = [lead_of(*drawn[seed], alpha, seed).radius(classes.truth(0.7)) for seed in range(few)]
    assert not too_often(int(np.sum(np.array(found) > 0.7 + ROUNDING)), few, alpha)
    assert lead_of(*drawn[5], alpha, 5).lower(SHIFTS).tolist() == np.min(lowers, axis=0)[5].tolist()


def test_the_least_upper_bound_of_all_rivals_is_not_one() -> None:
    """Planted: from above there is a choice, and the choice of the least has to be paid for."""
    rivals, alpha, repeats, n = 40, 0.2, 60, 100
    law = Atoms((-1.0, 1.0), (0.3, 0.7), lower=-1.0)
    rng, wrong, paid = np.random.default_rng(42), 0, 0
    for _ in range(repeats):
        parts = tuple(
            ScoreCertificate(law.histogram(rng, 20, 2_000), law.histogram(rng, n, 2_000), 1.0, alpha)
            for _ in range(rivals)
        )
        wrong += min(part.upper(0.0, "cdf")[0] for part in parts) < law.theta(0.0) - ROUNDING
        paid += LeadCertificate(parts).upper(0.0, "cdf")[0] < law.theta(0.0) - ROUNDING
    assert too_often(wrong, repeats, alpha)
    assert not too_often(paid, repeats, alpha)


@pytest.mark.parametrize("bound", BOUNDS)
def test_the_lead_is_the_least_of_its_parts(bound: str) -> None:
    rng = np.random.default_rng(43)
    classes = CLASSES["one strong rival"]
    lead = lead_of(classes.drawn(rng, 50), classes.drawn(rng, 2_000), 0.01, 0)
    parts = (*lead.pairs, lead.rest)
    for joint in (False, True):
        lower = np.min([part.lower(SHIFTS, bound, joint=joint) for part in parts], axis=0)
        np.testing.assert_array_equal(lead.lower(SHIFTS, bound, joint=joint), lower)
        np.testing.assert_array_equal(
            lead.upper(SHIFTS, bound, joint=joint), parts[0].upper(SHIFTS, bound, joint=joint)
        )
        low, high = lead.interval(SHIFTS, bound, joint=joint)
        half = lead.with_alpha(0.005)
        np.testing.assert_array_equal(low, half.lower(SHIFTS, bound, joint=joint))
        np.testing.assert_array_equal(high, half.upper(SHIFTS, bound, joint=joint))
    assert lead.radius(0.1, bound) == min(part.radius(0.1, bound) for part in parts)
    assert lead.radius(-1.5, bound) == float("inf")
    assert (lead.sigma, lead.alpha, lead.mean) == (1.0, 0.01, min(part.mean for part in parts))


def test_the_lead_is_above_the_margin_where_rivals_differ() -> None:
    """The margin of 20 CIFAR-10 images is .48, their lead .50: averages are apart where different samples err."""
    classes = CLASSES["rivals alike"]
    rng = np.random.default_rng(44)
    counts = rng.multinomial(10_000, classes.masses)
    margins = Atoms(tuple(classes.differences().min(axis=0)), classes.masses, lower=-1.0).counted(counts, LEVELS)
    margin = ScoreCertificate(margins, margins, 1.0, 0.001)
    pairs = [law.counted(counts, LEVELS) for law in classes.laws()]
    lead = lead_of(pairs, pairs, 0.001, 0)
    assert np.all(lead.lower(SHIFTS) > margin.lower(SHIFTS) + 0.05)


def test_parts_that_make_no_lead() -> None:
    h = ScoreHistogram.from_samples([0.1, 0.5], lower=-1.0, upper=1.0, levels=10)
    one = ScoreCertificate(h, h, 1.0, 0.1)
    with pytest.raises(InvalidArgumentError, match="at least one rival"):
        LeadCertificate(())
    for other in (ScoreCertificate(h, h, 2.0, 0.1), one.with_alpha(0.2), ScoreCertificate(h, h, 1.0, 0.1, offset=0.1)):
        with pytest.raises(InvalidArgumentError, match="share sigma, alpha"):
            LeadCertificate((one, other))
        with pytest.raises(InvalidArgumentError, match="share sigma, alpha"):
            LeadCertificate((one,), other)


# --- votes

SHARES = {
    "one rival": (0.8, 0.2, 0.0, 0.0),
    "rivals alike": (0.7, 0.1, 0.1, 0.1),
    "no majority": (0.4, 0.2, 0.2, 0.2),
    "barely ahead": (0.34, 0.33, 0.33, 0.0),
    "behind": (0.3, 0.4, 0.3, 0.0),
    "sure": (0.99, 0.004, 0.003, 0.003),
    "where the choice is close": (0.8, 0.185, 0.0075, 0.0075),
}


@pytest.mark.parametrize(("n0", "n", "alpha"), [(20, 100, 0.1), (100, 1_000, 0.05), (5, 30, 0.3)])
@pytest.mark.parametrize("name", SHARES)
def test_class_radii_are_rarely_too_large_whichever_way_the_pilot_chose(
    name: str, n0: int, n: int, alpha: float
) -> None:
    shares, repeats, rng = SHARES[name], 20_000, np.random.default_rng(45)
    true = max(float(norm.ppf(shares[0]) - norm.ppf(max(shares[1:]))) / 2.0, 0.0)
    pilot, sample = rng.multinomial(n0, shares, repeats), rng.multinomial(n, shares, repeats)
    top = TopVotes(
        pilot=pilot[:, 0],
        pilot_rival=pilot[:, 1:].max(axis=1),
        n0=n0,
        sample=sample[:, 0],
        sample_rival=sample[:, 1:].max(axis=1),
        n=n,
    )
    found = top.class_radius(sigma=1.0, alpha=alpha)
    assert not too_often(int((found > true + 1e-12).sum()), repeats, alpha)
    pairs = pairwise_class_radius(top.sample, top.sample_rival, n=n, sigma=1.0, alpha=alpha)
    assert not too_often(int((pairs > true + 1e-12).sum()), repeats, alpha)
    if name == "rivals alike" and n0 > 5:
        assert top.by_pairs(alpha=alpha).mean() > 0.9
        assert found.mean() > 1.1 * class_radius(top.sample, n=n, sigma=1.0, alpha=alpha).mean()
    if name == "one rival":
        assert not top.by_pairs(alpha=alpha).any()


def test_pairs_certify_a_class_without_a_majority() -> None:
    assert class_radius(450, n=1_000, sigma=1.0, alpha=0.001) == 0.0
    assert pairwise_class_radius(450, 200, n=1_000, sigma=1.0, alpha=0.001) > 0.2
    assert pairwise_class_radius(200, 450, n=1_000, sigma=1.0, alpha=0.001) == 0.0
    assert pairwise_class_radius([0, 1_000, 0], [1_000, 0, 0], n=1_000, sigma=1.0, alpha=0.001)[1] > 2.4
    assert pairwise_class_radius(0, 0, n=1, sigma=1.0, alpha=0.5) == 0.0


def test_without_a_pilot_the_class_stands_alone() -> None:
    top = TopVotes(pilot=0, pilot_rival=0, n0=0, sample=700, sample_rival=100, n=1_000)
    assert top.class_radius(sigma=0.5, alpha=0.01) == class_radius(700, n=1_000, sigma=0.5, alpha=0.01)


def test_a_class_radius_shrinks_by_the_offset_and_not_below_zero() -> None:
    top = TopVotes(pilot=90, pilot_rival=5, n0=100, sample=900, sample_rival=50, n=1_000)
    whole = float(top.class_radius(sigma=1.0, alpha=0.001))
    assert float(top.class_radius(sigma=1.0, alpha=0.001, offset=0.3)) == pytest.approx(whole - 0.3)
    assert float(top.class_radius(sigma=1.0, alpha=0.001, offset=5.0)) == 0.0


@pytest.mark.parametrize(("own", "n"), [(990, 1_000), (510, 1_000), (1_000, 1_000), (20, 30), (400, 1_000), (0, 50)])
def test_the_radius_of_a_vote_is_cohens(own: int, n: int) -> None:
    votes = ScoreHistogram(np.array([n - own, own]), 0.0, 1.0, exact=True)
    certificate = ScoreCertificate(votes, votes, 0.25, 0.001)
    found = certificate.radius(0.5, "clopper_pearson")
    assert found == pytest.approx(float(class_radius(own, n=n, sigma=0.25, alpha=0.001)), abs=1e-9)
    assert certificate.lower(0.0, "clopper_pearson") == clopper_pearson_lower(own, n=n, alpha=0.001)
    assert certificate.upper(0.0, "clopper_pearson") == clopper_pearson_upper(own, n=n, alpha=0.001)
    for bound in BOUNDS:
        low, high = certificate.interval([0.0, 0.1], bound)
        assert np.all(low <= own / n)
        assert np.all(own / n <= high)


# --- offset and price, in every bound


@pytest.mark.parametrize("bound", BOUNDS)
def test_an_offset_moves_every_radius(bound: str) -> None:
    rng = np.random.default_rng(46)
    law = Atoms((0.0, 0.5, 1.0), (0.02, 0.1, 0.88))
    pilot, sample = law.histogram(rng, 100, LEVELS), law.histogram(rng, 2_000, LEVELS)
    at, near = (ScoreCertificate(pilot, sample, 0.5, 0.01, offset=offset) for offset in (0.0, 0.125))
    radii = np.array([0.0, 0.25, 0.5])
    np.testing.assert_array_equal(near.lower(radii, bound), at.lower(radii + 0.125, bound))
    np.testing.assert_array_equal(near.upper(radii, bound), at.upper(radii + 0.125, bound))
    assert near.radius(0.6, bound) == pytest.approx(max(at.radius(0.6, bound) - 0.125, 0.0), abs=1e-12)
    assert ScoreCertificate(pilot, sample, 0.5, 0.01, offset=50.0).radius(0.6, bound) == 0.0
    assert ScoreCertificate(pilot, sample, 0.5, 0.01, offset=50.0).radius(-0.1, bound) == float("inf")


@pytest.mark.parametrize("bound", BOUNDS)
def test_a_price_is_subtracted_from_alpha_once_per_statement(bound: str) -> None:
    rng = np.random.default_rng(47)
    law = Atoms((0.0, 0.5, 1.0), (0.02, 0.1, 0.88))
    pilot, sample = law.histogram(rng, 100, LEVELS), law.histogram(rng, 2_000, LEVELS)
    free, priced = ScoreCertificate(pilot, sample, 0.5, 0.006), ScoreCertificate(pilot, sample, 0.5, 0.01, price=0.004)
    radii = np.array([0.0, 0.25])
    for joint in (False, True):
        np.testing.assert_array_equal(priced.lower(radii, bound, joint=joint), free.lower(radii, bound, joint=joint))
        np.testing.assert_array_equal(priced.interval(radii, bound), free.interval(radii, bound))
    assert priced.radius(0.6, bound) == free.radius(0.6, bound)
    assert priced.alpha == 0.01


@pytest.mark.parametrize(
    "given",
    [{"offset": -1.0}, {"offset": np.inf}, {"offset": "far"}, {"price": -0.1}, {"price": 0.1}, {"price": np.nan}],
)
def test_offsets_and_prices_that_are_none(given: dict[str, float]) -> None:
    h = ScoreHistogram.from_samples([0.1, 0.5], lower=0.0, upper=1.0, levels=10)
    with pytest.raises(InvalidArgumentError, match=next(iter(given))):
        ScoreCertificate(h, h, 1.0, 0.1, **given)
