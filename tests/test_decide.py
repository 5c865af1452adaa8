"""Deciding one question through the whole sampler: rarely wrong, quick, and whatever the batches."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import binom, norm

import smoothcert as sc
from sampling.networks import Probit
from smoothcert.decision import Decision, Question, doubling_looks, looks
from smoothcert.errors import InvalidArgumentError, ModelError

SIGMA, TAU, U = 0.25, 0.25, 0.4
X = torch.full((20,), 0.5)


def probit(u: float = U, *, tau: float = TAU, levels: int = 10_000, batch_size: int | None = None):
    """A linear classifier with a probit score at distance ``u`` from its boundary; theory known exactly."""
    network = Probit((20,), tau=tau, bias=0.0)
    network.bias = u - float(network.u(X[None]))
    return sc.SmoothedClassifier(
        network, sigma=SIGMA, num_classes=2, input_ndim=1, levels=levels, batch_size=batch_size
    )


def truth(radius: float, *, u: float = U, tau: float = TAU) -> float:
    return float(norm.cdf((u - radius) / np.hypot(tau, SIGMA)))


def too_often(wrong: int, repeats: int, alpha: float) -> bool:
    return bool(binom.sf(wrong - 1, repeats, alpha) < 1e-4)


@pytest.mark.parametrize(
    ("radius", "hair", "wrong"), [(0.0, 1e-9, "certified"), (0.25, 1e-9, "certified"), (0.25, -1e-9, "refuted")]
)
def test_at_the_truth_the_wrong_answer_is_rare(radius, hair, wrong):
    alpha, repeats = 0.1, 200
    g = probit(levels=1_000)
    answers = []
    for seed in range(repeats):
        decision = g.decide(X, threshold=truth(radius) + hair, radius=radius, alpha=alpha, n0=30, max_n=160, seed=seed)
        assert decision.prediction == 0
        answers.append(decision.answer)
    assert not too_often(answers.count(wrong), repeats, alpha)


@pytest.mark.parametrize(("threshold", "answer"), [(truth(0.25) - 0.15, "certified"), (truth(0.25) + 0.1, "refuted")])
def test_away_from_the_truth_the_right_answer_is_quick(threshold, answer):
    decisions = [probit().decide(X, threshold=threshold, radius=0.25, seed=seed) for seed in range(5)]
    assert [d.answer for d in decisions] == [answer] * 5
    assert max(d.samples for d in decisions) < 2_500


def test_a_decision_says_what_it_is_about():
    decision = probit().decide(X, threshold=0.2, radius=0.25, measure="margin", alpha=0.01, n0=70, seed=4)
    assert decision == Decision("certified", 0, "margin", 0.2, 0.25, 0.01, 70, decision.n)
    assert decision.samples == 70 + decision.n
    assert decision.n in list(looks(100_000))


def test_the_margin_of_two_classes_is_decided_like_the_score():
    for seed in range(3):
        score = probit().decide(X, threshold=0.6, radius=0.1, seed=seed)
        margin = probit().decide(X, threshold=0.2, radius=0.1, measure="margin", seed=seed)
        assert (margin.answer, margin.prediction) == (score.answer, score.prediction)


@pytest.mark.parametrize("max_n", [1, 20, 64, 70])
def test_undecided_at_the_cap(max_n):
    decision = probit().decide(X, threshold=truth(0.25) + 1e-3, radius=0.25, max_n=max_n, seed=1)
    assert (decision.answer, decision.n) == ("undecided", max_n)


def many(count: int) -> torch.Tensor:
    return torch.rand(count, 20, generator=torch.Generator().manual_seed(5))


def test_the_batch_size_and_the_company_change_nothing():
    asked = {"threshold": 0.5, "radius": 0.1, "max_n": 400, "seed": 9}
    alone = [probit(0.1).decide(x, **asked) for x in many(6)]
    assert len({d.answer for d in alone}) > 1
    assert len({d.n for d in alone}) > 2
    assert probit(0.1, batch_size=7).decide(many(6), **asked) == alone
    g = probit(0.1, batch_size=5_000)
    assert g.decide(many(6).flip(0), **asked) == alone[::-1]
    assert g.decide(iter(many(6).numpy()), **asked) == alone
    assert g.decide(many(0), **asked) == []


def test_the_answer_is_that_of_the_numbered_samples():
    """The same test fed by hand: looks at fixed counts, each a prefix of the estimation samples."""
    from smoothcert.bounds import SequentialTest

    g, threshold = probit(), truth(0.25) - 0.03
    decision = g.decide(X, threshold=threshold, radius=0.25, n0=100, seed=3)
    assert decision.n > 200
    pilot = g.sample(X, n0=100, n=1, seed=3).score.pilot
    test, before = SequentialTest(threshold=threshold, r=1.0, alpha=0.001, pilot=pilot), None
    for n in looks(100_000):
        counts = g.sample(X, n0=100, n=n, seed=3).score.sample.counts
        test.update(sc.ScoreHistogram(counts if before is None else counts - before, 0.0, 1.0))
        before = counts
        if test.answer != "undecided":
            break
    assert (decision.answer, decision.n) == (test.answer, n)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": 1.0}, r"threshold must lie in \[0, 1\) for the score; got 1.0"),
        ({"threshold": -0.1}, r"threshold must lie in \[0, 1\)"),
        ({"threshold": -1.1, "measure": "margin"}, r"threshold must lie in \[-1, 1\) for the margin"),
        ({"threshold": math.nan}, "threshold must be finite"),
        ({"threshold": "high"}, "threshold must be a number"),
        ({"radius": -0.1}, "at least 0; got -0.1"),
        ({"radius": math.inf}, "must be finite"),
        ({"radius": [0.1, 0.2]}, "radius must be one number"),
        ({"measure": "loss"}, "measure must be one of score, margin; got 'loss'"),
        ({"max_n": 0}, "max_n must be an integer, at least 1; got 0"),
        ({"n0": 0}, "n0 must be an integer, at least 1; got 0"),
        ({"alpha": 0.6}, "alpha must be"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_arguments_of_decide(arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        probit().decide(X, **{"threshold": 0.5, "radius": 0.25} | arguments)


def test_errors_name_the_input():
    with pytest.raises(InvalidArgumentError, match=r"^input 1 of the batch: x must lie"):
        probit().decide(torch.stack([X, X + 1]), threshold=0.5, radius=0.1)

    def rarely_wrong(batch):
        return torch.stack([batch[:, 0], -batch[:, 0]], 1).where(batch[:, :1] < 1.0, torch.nan)

    g = sc.SmoothedClassifier(rarely_wrong, sigma=0.1, num_classes=2, input_ndim=1)
    with pytest.raises(ModelError, match=r"^input 2 of the batch: the base classifier .* during the pilot samples"):
        g.decide(torch.stack([X * 0, X, X * 0 + 0.95]), threshold=0.5, radius=0.1)


@pytest.mark.parametrize(
    "text", ["score:0.5@0.25", " margin:-0.25@0 ", "score:.9@1e-1", "class@0.5", "my-own:3@0", "vote:0.7@1"]
)
def test_questions_are_read_as_they_are_written(text):
    question = Question.parse(text)
    assert Question.parse(str(question)) == question


@pytest.mark.parametrize(
    "text", ["score", "score:0.5", "score@0.25", "score:a@0.25", "score:0.5@b", "", "class@", "class@b", "class:0.5"]
)
def test_other_forms_of_a_question_are_refused(text):
    with pytest.raises(InvalidArgumentError, match=r"measure:threshold@radius, such as score:0\.5@0\.25"):
        Question.parse(text)


def test_a_question_about_the_class_is_one_about_its_votes():
    assert Question.parse("class@0.25") == Question("vote", 0.5, 0.25)
    assert str(Question("vote", 0.5, 0.25)) == "class@0.25"
    assert str(Question("vote", 0.6, 0.25)) == "vote:0.6@0.25"
    with pytest.raises(InvalidArgumentError, match="the lead is made of several"):
        Question("lead", 0.0, 0.25)
    with pytest.raises(InvalidArgumentError, match=r"threshold must lie in \[0, 1\) for the vote"):
        Question("vote", 1.0, 0.25)


@pytest.mark.parametrize(("radius", "answer"), [(0.25, "certified"), (1.5, "refuted")])
def test_the_class_is_decided_by_votes(radius, answer):
    g = probit()
    found = g.decide(X, threshold=0.5, radius=radius, measure="vote", seed=4)
    assert (found.answer, found.measure, found.threshold) == (answer, "vote", 0.5)
    whole = g.certify(X, n0=100, n=20_000, seed=5)
    assert (whole.class_radius > radius) == (answer == "certified")
    assert found.samples < 2_000


@pytest.mark.parametrize(("radius", "wrong"), [(U + 1e-9, "certified"), (U - 1e-9, "refuted")])
def test_deciding_the_class_is_rarely_wrong_at_its_true_radius(radius, wrong):
    """A linear classifier attains the certificate: its class can be changed at distance U and not before."""
    alpha, repeats, g = 0.2, 60, probit()
    answers = [
        g.decide(X, threshold=0.5, radius=radius, measure="vote", alpha=alpha, n0=30, max_n=160, seed=seed).answer
        for seed in range(repeats)
    ]
    assert not too_often(answers.count(wrong), repeats, alpha)


@pytest.mark.parametrize("max_n", [1, 31, 32, 33, 1_000, 100_000])
def test_looks_are_a_fixed_sequence_that_ends_at_the_cap(max_n):
    counts = list(looks(max_n))
    assert counts[-1] == max_n
    assert counts[:-1] == [n for n in looks(10**6) if n < max_n]
    assert len(counts) <= 35


# --- certify_until


def test_bounds_at_any_look_are_rarely_wrong():
    alpha, repeats, wrong = 0.2, 100, 0
    radii = [0.0, 0.25]
    g = probit(levels=500)
    for seed in range(repeats):
        certificate = g.certify_until(
            X, radii=radii, tolerance=0.05, n0=50, first_n=50, max_n=800, alpha=alpha, seed=seed
        )
        assert certificate.alpha == alpha / 5
        wrong += certificate.score.lower(0.25)[0] > truth(0.25)
    assert not too_often(wrong, repeats, alpha)


def test_sampling_stops_when_the_bounds_hardly_move():
    asked = {"radii": [0.0, 0.25, 0.5], "first_n": 100, "max_n": 12_800, "n0": 200, "seed": 2}
    for bound, tolerance in (("dual", 0.02), ("cdf", 0.05)):
        certificate = probit().certify_until(X, **asked, tolerance=tolerance, bound=bound)
        assert certificate.n in doubling_looks(100, 12_800)[1:-1]

        def bounds_at(n, bound=bound):
            whole = probit().certify(X, n0=200, n=n, alpha=0.001 / 8, seed=2)
            return whole.score.lower(asked["radii"], bound)

        assert np.array_equal(certificate.score.lower(asked["radii"], bound), bounds_at(certificate.n))
        moves = [np.abs(bounds_at(n) - bounds_at(n // 2)).max() for n in doubling_looks(200, certificate.n)]
        assert all(move >= tolerance for move in moves[:-1])
        assert moves[-1] < tolerance


@pytest.mark.parametrize("max_n", [100, 150, 199])
def test_one_look_costs_nothing(max_n):
    certificate = probit().certify_until(X, radii=0.25, tolerance=1.0, first_n=100, max_n=max_n, alpha=0.01)
    assert (certificate.n, certificate.alpha) == (100, 0.01)


def test_the_last_look_ends_it():
    certificate = probit().certify_until(X, radii=[0.25], tolerance=1e-9, first_n=100, max_n=1_000, n0=50)
    assert (certificate.n, certificate.n0, certificate.alpha) == (800, 50, 0.001 / 4)


def test_many_inputs_are_certified_until_each_is_stable():
    asked = {"radii": [0.1], "tolerance": 0.05, "first_n": 50, "max_n": 3_200, "n0": 100, "measure": "margin"}
    g = probit(0.1)
    alone = [g.certify_until(x, **asked) for x in many(6)]
    together = g.certify_until(many(6), **asked)
    assert [c.n for c in together] == [c.n for c in alone]
    assert [c.margin.lower(0.1) for c in together] == [c.margin.lower(0.1) for c in alone]
    assert len({c.n for c in alone}) > 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tolerance": 0.0}, "tolerance must be a number above 0, such as 0.005; got 0.0"),
        ({"tolerance": math.nan}, "tolerance must be"),
        ({"radii": [-1.0]}, "radii must be"),
        ({"measure": "loss"}, "measure must be one of"),
        ({"bound": "best"}, "bound must be one of"),
        ({"first_n": 0}, "first_n must be"),
        ({"max_n": 10}, "max_n must be an integer, at least 1000; got 10"),
        ({"n0": 0}, "n0 must be"),
        ({"alpha": 0.0}, "alpha must be"),
    ],
)
def test_arguments_of_certify_until(arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        probit().certify_until(X, **{"radii": [0.25], "tolerance": 0.01} | arguments)
