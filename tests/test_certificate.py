"""The certificate of one input: which samples it uses for what, and that nothing in it disagrees."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

from smoothcert import Certificate, Samples, ScoreHistogram
from smoothcert.bounds import class_radius, pairwise_class_radius
from smoothcert.errors import InvalidArgumentError
from smoothcert.samples import StageHistograms

N0, N = 100, 1000


def histograms(rng: np.random.Generator, lower: float, a: float = 20.0) -> StageHistograms:
    pilot, sample = (
        ScoreHistogram.from_samples(lower + (1.0 - lower) * rng.beta(a, 1, n), lower=lower, upper=1.0, levels=1000)
        for n in (N0, N)
    )
    return StageHistograms(pilot, sample)


def samples(votes: tuple[int, ...] = (5, 990, 5), prediction: int = 1) -> Samples:
    rng = np.random.default_rng(0)
    return Samples(
        prediction=prediction,
        sigma=0.5,
        seed=0,
        content_hash="0" * 64,
        pilot_votes=np.array([1, 99, 0]),
        votes=np.array(votes),
        measures={"score": histograms(rng, 0.0), "margin": histograms(rng, -1.0)},
    )


def test_the_parts_come_from_the_samples() -> None:
    drawn = samples()
    certificate = Certificate.from_samples(drawn, alpha=0.01)
    assert (certificate.prediction, certificate.n0, certificate.n) == (1, N0, N)
    assert (certificate.sigma, certificate.alpha, certificate.abstained) == (0.5, 0.01, False)
    for name in ("score", "margin"):
        part = certificate.measure(name)
        assert part is getattr(certificate, name)
        assert part.pilot == drawn.measure(name).pilot
        assert part.sample == drawn.measure(name).sample
        assert (part.sigma, part.alpha) == (0.5, 0.01)
    np.testing.assert_array_equal(certificate.votes, drawn.votes)


def test_the_class_radius_is_cohens_with_the_estimation_votes() -> None:
    p = proportion_confint(990, N, alpha=0.02, method="beta")[0]
    certificate = Certificate.from_samples(samples(), alpha=0.01)
    assert certificate.class_radius == pytest.approx(0.5 * norm.ppf(p), abs=1e-9)


@pytest.mark.parametrize("votes", [(500, 500, 0), (0, 510, 490), (1000, 0, 0)])
def test_it_abstains_where_the_class_is_not_certified(votes: tuple[int, int, int]) -> None:
    certificate = Certificate.from_samples(samples(votes), alpha=0.01)
    assert certificate.abstained
    assert certificate.class_radius == 0.0
    # The bounds of the measures are statements about the predicted class all the same.
    assert certificate.score.lower(0.0)[0] > 0.5


def test_the_lower_bound_at_the_class_radius_of_a_vote_is_above_one_half() -> None:
    """Scores that are votes: the dual and Clopper-Pearson certificates are close to Cohen's, never far above it."""
    counts = np.zeros(1001, dtype=np.int64)
    counts[[0, 1000]] = 10, 990
    pilot = np.zeros(1001, dtype=np.int64)
    pilot[[0, 1000]] = 1, 99
    stages = StageHistograms(ScoreHistogram(pilot, 0.0, 1.0), ScoreHistogram(counts, 0.0, 1.0))
    changed = dataclasses.replace(samples(), measures={**samples().measures, "score": stages})
    certificate = Certificate.from_samples(changed, alpha=0.01)
    cohen = certificate.class_radius
    assert cohen == pytest.approx(float(class_radius(990, n=N, sigma=0.5, alpha=0.01)))
    assert 0.8 * cohen < certificate.score.radius(0.5, "dual") < 1.1 * cohen
    assert 0.8 * cohen < certificate.score.radius(0.5, "clopper_pearson") <= cohen


@pytest.mark.parametrize("alpha", [0.0, 0.6, -1.0, float("nan")])
def test_alpha_is_checked(alpha: float) -> None:
    with pytest.raises(InvalidArgumentError, match="alpha"):
        Certificate.from_samples(samples(), alpha=alpha)


def test_samples_that_disagree_with_each_other_are_refused() -> None:
    good = samples()
    for change in (
        {"votes": np.array([5, 900, 5])},
        {"votes": np.array([500, 500])},
        {"prediction": 3},
        {"prediction": -1},
        {"pilot_votes": np.array([1, 98, 0])},
        {"measures": {"margin": StageHistograms(good.margin.sample, good.margin.pilot)}},
        {"rivals": (0, 2), "lead": (good.margin,)},
        {"rivals": (0,), "lead": (StageHistograms(good.margin.sample, good.margin.pilot),)},
    ):
        with pytest.raises(InvalidArgumentError, match=r"votes|histograms|lead"):
            dataclasses.replace(good, **change)


def test_unknown_measures_of_samples_list_the_known_ones() -> None:
    with pytest.raises(InvalidArgumentError, match="score, margin"):
        samples().measure("entropy")


def test_counts_follow_from_the_votes() -> None:
    drawn = samples()
    assert (drawn.n0, drawn.n, drawn.num_classes) == (N0, N, 3)


def test_unknown_measures_of_a_certificate_list_the_known_ones() -> None:
    with pytest.raises(InvalidArgumentError, match="score, margin"):
        Certificate.from_samples(samples(), alpha=0.01).measure("entropy")


def with_lead() -> Samples:
    rng = np.random.default_rng(3)
    more = {**samples().measures, "entropy": histograms(rng, 0.5, a=2.0)}
    lead = tuple(histograms(rng, -1.0, a=a) for a in (9.0, 15.0, 30.0))
    return dataclasses.replace(
        samples(),
        votes=np.array([5, 980, 10, 5]),
        pilot_votes=np.array([1, 98, 1, 0]),
        measures=more,
        rivals=(2, 0),
        lead=lead,
    )


def test_every_measure_is_certified_by_its_name() -> None:
    drawn = with_lead()
    certificate = Certificate.from_samples(drawn, alpha=0.01)
    assert list(certificate.measures) == ["score", "margin", "entropy"]
    assert certificate.measure("entropy").lower(0.0)[0] > 0.5
    assert certificate.measure("vote") is certificate.vote
    assert certificate.measure("lead") is certificate.lead
    assert certificate.rivals == (2, 0)
    assert [part.sample for part in certificate.lead.pairs] == [stages.sample for stages in drawn.lead[:2]]
    assert certificate.lead.rest.sample == drawn.lead[2].sample
    parts = [*certificate.measures.values(), certificate.vote, *certificate.lead.pairs, certificate.lead.rest]
    assert len({part.seed for part in parts}) == len(parts)  # each is dealt on its own
    with pytest.raises(InvalidArgumentError, match="score, margin, entropy, vote, lead; got 'loss'"):
        certificate.measure("loss")
    with pytest.raises(InvalidArgumentError, match="score, margin, vote; got 'lead'"):
        Certificate.from_samples(samples(), alpha=0.01).measure("lead")


def test_the_vote_is_made_of_votes() -> None:
    certificate = Certificate.from_samples(samples(), alpha=0.01)
    assert certificate.vote.mean == 0.99
    cohen = float(class_radius(990, n=N, sigma=0.5, alpha=0.01))
    assert certificate.vote.radius(0.5, "clopper_pearson") == pytest.approx(cohen, abs=1e-8)
    assert certificate.vote.upper(0.0, "clopper_pearson")[0] < 1.0


def test_seeds_offset_and_price_reach_every_statement() -> None:
    drawn = dataclasses.replace(with_lead(), offset=0.05, price=0.002)
    plain, paid = (Certificate.from_samples(one, alpha=0.01) for one in (with_lead(), drawn))
    cheaper = Certificate.from_samples(with_lead(), alpha=0.008)
    for name in ("score", "margin", "entropy", "vote", "lead"):
        assert paid.measure(name).lower(0.1) == cheaper.measure(name).lower(0.1 + 0.05)
        assert paid.measure(name).radius(0.4) == pytest.approx(max(cheaper.measure(name).radius(0.4) - 0.05, 0.0))
        assert paid.measure(name).alpha == 0.01
    assert paid.class_radius == pytest.approx(cheaper.class_radius - 0.05)
    assert (paid.offset, paid.alpha) == (0.05, 0.01)
    assert Certificate.from_samples(drawn, alpha=0.01, price=0.0).class_radius == pytest.approx(
        plain.class_radius - 0.05
    )
    other = Certificate.from_samples(dataclasses.replace(with_lead(), seed=1), alpha=0.01)
    assert other.score.seed != plain.score.seed
    with pytest.raises(InvalidArgumentError, match="price"):
        Certificate.from_samples(drawn, alpha=0.001)


def test_an_offset_beyond_the_class_radius_abstains() -> None:
    certificate = Certificate.from_samples(dataclasses.replace(samples(), offset=5.0), alpha=0.01)
    assert certificate.abstained
    assert certificate.class_radius == 0.0


def test_pairs_of_classes_where_the_pilot_promises_more_of_them() -> None:
    spread = dataclasses.replace(samples(votes=(100, 800, 100)), pilot_votes=np.array([10, 80, 10]))
    pairs = float(pairwise_class_radius(800, 100, n=N, sigma=0.5, alpha=0.01))
    assert Certificate.from_samples(spread, alpha=0.01).class_radius == pairs
    assert pairs > class_radius(800, n=N, sigma=0.5, alpha=0.01)
    misled = dataclasses.replace(spread, pilot_votes=np.array([20, 80, 0]))
    assert Certificate.from_samples(misled, alpha=0.01).class_radius == class_radius(800, n=N, sigma=0.5, alpha=0.01)


def test_a_certificate_as_plain_numbers() -> None:
    certificate = Certificate.from_samples(with_lead(), alpha=0.01)
    found = json.loads(json.dumps(certificate.to_dict([0.0, 0.2], thresholds=[0.3, -2.0], bound="cdf")))
    assert list(found["measures"]) == ["score", "margin", "entropy", "vote", "lead"]
    for name, part in found["measures"].items():
        own = certificate.measure(name)
        assert part["lower"] == own.lower([0.0, 0.2], "cdf").tolist()
        assert part["upper"] == own.upper([0.0, 0.2], "cdf").tolist()
        radius = own.radius(0.3, "cdf")
        assert part["radius"] == [None if np.isinf(radius) else radius, None]
    assert (found["prediction"], found["votes"]) == (1, [5, 980, 10, 5])
