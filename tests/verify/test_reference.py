"""The reference stands by itself, agrees with the fast code where both are exact, and is never below it elsewhere."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from bounds.truth import Atoms, Beta, Law, Probit
from bounds.validity import ROUNDING, too_often
from smoothcert.bounds import (
    BOUNDS,
    ScoreCertificate,
    TopVotes,
    deal_seed,
    mirrored_seed,
)
from smoothcert.histogram import ScoreHistogram
from smoothcert.verify import counted, reference, reference_dual

LAWS: dict[str, Law] = {
    "Beta(20, 1)": Beta(20, 1),
    "Beta(.5, .2)": Beta(0.5, 0.2),
    "probit": Probit(0.8, 0.4),
    "rare zero": Atoms((0.0, 1.0), (0.01, 0.99)),
    "margin": Atoms((-1.0, 0.2, 1.0), (0.05, 0.25, 0.7), lower=-1.0),
    "nothing": Atoms((-1.0, 1.0), (1.0, 0.0), lower=-1.0),
}
SIZES = [(0, 40, 20), (60, 600, 400), (500, 3_000, 10_000), (10, 200, 1)]
RADII = [0.0, 1.0, 4.0]
CLOSE = 1e-9  # sums in another order; what is claimed in files is safe by far more


def scores(histogram: ScoreHistogram) -> counted.Scores:
    h = histogram
    return counted.Scores(h.lower, h.upper, h.levels, *h.to_sparse(), h.exact)


def test_it_shares_no_code() -> None:
    """NumPy, SciPy and its own files: nothing of the bounds, of histograms, or of what checks arguments."""
    for module in (counted, reference, reference_dual):
        tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
        names = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        names += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        own = [name for name in names if name.startswith("smoothcert")]
        assert set(own) <= {"smoothcert.verify.counted", "smoothcert.verify.reference_dual"}
        assert {name.split(".")[0] for name in names} <= {"numpy", "scipy", "smoothcert", *sys.stdlib_module_names}


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("bound", BOUNDS)
def test_it_finds_what_the_fast_code_claims(bound: str, name: str) -> None:
    law, rng = LAWS[name], np.random.default_rng([51, list(LAWS).index(name)])
    for n0, n, levels in SIZES:
        pilot, sample = law.histogram(rng, n0, levels), law.histogram(rng, n, levels)
        certificate = ScoreCertificate(pilot, sample, 1.0, 0.001, seed=n)
        asked = (bound, scores(pilot), scores(sample))
        low = np.array([reference.lower(*asked, r, 0.001, n) for r in RADII])
        high = np.array([reference.upper(*asked, r, 0.001, n) for r in RADII])
        lower, upper = certificate.lower(RADII, bound), certificate.upper(RADII, bound)
        slack = CLOSE if bound == "dual" else 1e-12
        assert np.all(lower <= low + slack)
        assert np.all(upper >= high - slack)
        if bound != "dual" and len(sample.to_sparse()[0]) <= 10_000:
            np.testing.assert_allclose(lower, low, atol=1e-12)
            np.testing.assert_allclose(upper, high, atol=1e-12)
        if bound == "dual" and n > 300:  # samples where they lie win a little more than on knots
            np.testing.assert_allclose(lower, low, atol=0.004)
        threshold = law.theta(0.8) - 0.03
        found, claimed = reference.radius(*asked, threshold, 0.001, n), certificate.radius(threshold, bound)
        assert claimed <= found + CLOSE or claimed == found


def test_it_deals_by_the_same_seeds() -> None:
    for seed, content, measure in ((0, "ab", "score"), (2**62, "ff" * 32, "lead_3")):
        deal = deal_seed(seed, content, measure)
        assert counted.deal_seed(seed, content, measure) == deal
        assert counted.mirrored_seed(deal) == mirrored_seed(deal)


def test_mirroring_is_that_of_a_histogram() -> None:
    rng = np.random.default_rng(52)
    for histogram in (
        Beta(2, 2).histogram(rng, 100, 7),
        Atoms((0.0, 1.0), (0.5, 0.5)).histogram(rng, 10, 3),
        ScoreHistogram(np.array([3, 7]), 0.0, 1.0, exact=True),
    ):
        own, its = scores(histogram).mirrored(), scores(histogram.mirrored())
        assert own.cells.tolist() == its.cells.tolist()
        assert own.counts.tolist() == its.counts.tolist()


@pytest.mark.parametrize(
    ("pilot", "votes"),
    [
        ([10, 80, 10], [100, 800, 100]),
        ([0, 100, 0], [5, 990, 5]),
        ([1, 0, 0], [300, 200, 500]),
        ([0, 0, 0], [900, 50, 50]),
        ([40, 30, 30], [400, 300, 300]),
    ],
)
def test_class_radii(pilot: list[int], votes: list[int]) -> None:
    for prediction in range(3):
        other = [k for k in range(3) if k != prediction]
        top = TopVotes(
            pilot=pilot[prediction],
            pilot_rival=max(pilot[k] for k in other),
            n0=sum(pilot),
            sample=votes[prediction],
            sample_rival=max(votes[k] for k in other),
            n=sum(votes),
        )
        found = reference.class_radius(np.array(pilot), np.array(votes), prediction, 0.01)
        assert found == pytest.approx(float(top.class_radius(sigma=1.0, alpha=0.01)), abs=1e-9)
    low, high = proportion_confint(votes[0], sum(votes), alpha=0.02, method="beta")
    assert reference.binomial_lower(votes[0], sum(votes), 0.01) == pytest.approx(low)
    assert reference.binomial_upper(votes[0], sum(votes), 0.01) == pytest.approx(high)


def test_the_reference_itself_is_rarely_wrong() -> None:
    """It may claim more than the fast code, since it bounds the capital by nothing: still at most alpha are wrong."""
    law, alpha, repeats, rng = Atoms((0.0, 0.3, 1.0), (0.03, 0.1, 0.87)), 0.2, 60, np.random.default_rng(53)
    truth = law.theta(0.5)
    wrong = 0
    for seed in range(repeats):
        pilot, sample = law.histogram(rng, 20, 200), law.histogram(rng, 150, 200)
        wrong += reference_dual.dual_lower(scores(pilot), scores(sample), 0.5, alpha, seed) > truth + ROUNDING
    assert not too_often(wrong, repeats, alpha)


def test_the_account_of_the_capital_is_below_the_capital() -> None:
    rng = np.random.default_rng(54)
    for _ in range(200):
        deficit, weights = np.sort(rng.random(20))[::-1], rng.random(20)
        u = float(rng.random() * 1.5)
        stake = float(rng.random() * reference_dual.BOLDEST / max(1.0 - u, 1e-9)) if u < 1 else float(rng.random() * 5)
        exact = float(weights @ np.log(1.0 + stake * (u - deficit)))
        assert reference_dual._account(stake, u, deficit, weights) <= exact + 1e-12
