"""The test of votes: rarely wrong whenever it stops, the mixture it says it is, and quick."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

from bounds.validity import too_often
from smoothcert.bounds import SequentialTest, VoteTest
from smoothcert.decision import VOTE_N0, Question
from smoothcert.errors import InvalidArgumentError
from smoothcert.histogram import ScoreHistogram


def votes(against: int, for_: int) -> ScoreHistogram:
    return ScoreHistogram(np.array([against, for_]), 0.0, 1.0, exact=True)


def decide(
    kind: type[SequentialTest | VoteTest],
    p: float,
    *,
    r: float,
    rng: np.random.Generator,
    threshold: float = 0.5,
    alpha: float = 0.001,
    n0: int = 32,
    cap: int = 10_000,
    pilot_p: float | None = None,
) -> tuple[str, int]:
    """Answer and number of votes at the looks of a question about the class, pilot not counted."""
    pilot = int(rng.binomial(n0, p if pilot_p is None else pilot_p))
    test = kind(threshold=threshold, r=r, alpha=alpha, pilot=votes(n0 - pilot, pilot))
    for n in Question.parse("class@0.25").looks(cap):
        new = n - test.n
        agreed = int(rng.binomial(new, p))
        test.update(votes(new - agreed, agreed))
        if test.answer != "undecided":
            break
    return test.answer, test.n


@pytest.mark.parametrize(("wrong", "hair"), [("certified", 0.0), ("refuted", 1e-9)])
@pytest.mark.parametrize(
    ("threshold", "r", "n0", "pilot_p"),
    [(0.5, 1.0, 32, None), (0.5, 2.5, 32, None), (0.5, 0.0, 0, None), (0.9, 0.3, 100, 1.0), (0.1, 0.5, 100, 0.0)],
)
def test_at_the_threshold_the_wrong_answer_is_rare(
    wrong: str, hair: float, threshold: float, r: float, n0: int, pilot_p: float | None
) -> None:
    rng, alpha, repeats = np.random.default_rng([31, n0, round(10 * r)]), 0.1, 200
    p = float(norm.cdf(norm.ppf(threshold) + r)) + hair
    settings = {"threshold": threshold, "r": r, "alpha": alpha, "n0": n0, "cap": 1_000, "pilot_p": pilot_p}
    answers = [decide(VoteTest, p, rng=rng, **settings)[0] for _ in range(repeats)]
    assert not too_often(answers.count(wrong), repeats, alpha)
    assert answers.count("undecided") < repeats, "the level is not used"


def test_its_bets_are_fair_at_the_threshold() -> None:
    """Summed over everything that n votes can be, the capital has mean 1 there, and less further from the claim."""
    from scipy.stats import binom

    from smoothcert.bounds.vote_test import _Bets

    p0, n = 0.8, 12
    bets = _Bets(math.log(p0), math.log1p(-p0), 9, 1)
    capital = np.exp([bets.log_capital(happened, n - happened) for happened in range(n + 1)])
    assert capital @ binom.pmf(np.arange(n + 1), n, p0) == pytest.approx(1.0, abs=1e-12)
    assert capital @ binom.pmf(np.arange(n + 1), n, 0.7) < 0.9
    assert capital @ binom.pmf(np.arange(n + 1), n, 0.95) > 2.0
    assert (np.diff(capital) > 0).all()


@pytest.mark.parametrize(
    ("p", "r", "answer", "at_most"),
    [(1.0, 1.0, "certified", 56), (0.9, 0.5, "certified", 120), (0.9, 2.0, "refuted", 150), (0.3, 1.0, "refuted", 16)],
)
def test_it_needs_few_votes_and_fewer_than_the_test_of_any_score(p: float, r: float, answer: str, at_most: int) -> None:
    found = [decide(VoteTest, p, r=r, rng=np.random.default_rng([33, k])) for k in range(20)]
    other = [decide(SequentialTest, p, r=r, rng=np.random.default_rng([33, k]))[1] for k in range(20)]
    assert {one for one, _ in found} == {answer}
    mean = np.mean([n for _, n in found])
    assert mean <= at_most
    assert mean <= 1.02 * np.mean(other)


def test_without_room_for_doubt_it_claims_nothing() -> None:
    for threshold, r in ((0.0, 1e6), (0.0, 0.0), (1e-300, 1e200)):
        test = VoteTest(threshold=threshold, r=r, alpha=0.2, pilot=votes(100, 0))
        test.update(votes(50_000, 0))
        assert test.answer != "certified"
    for threshold in (1.0, 1e300):
        test = VoteTest(threshold=threshold, r=0.0, alpha=0.2, pilot=votes(0, 100))
        test.update(votes(0, 50_000))
        assert test.answer == "undecided"
    test = VoteTest(threshold=-1e300, r=1e6, alpha=0.2, pilot=votes(50, 50))
    test.update(votes(500, 500))
    assert test.answer == "certified"
    test = VoteTest(threshold=0.5, r=1e6, alpha=0.001, pilot=votes(0, 100))
    test.update(votes(1, 500))
    assert test.answer == "refuted"


def test_an_answer_is_final_and_scores_are_no_votes() -> None:
    test = VoteTest(threshold=0.5, r=0.5, alpha=0.2, pilot=votes(0, 50))
    test.update(votes(0, 100))
    with pytest.raises(InvalidArgumentError, match="answered"):
        test.update(votes(0, 1))
    scores = ScoreHistogram.from_samples([0.2, 0.9], lower=0.0, upper=1.0, levels=1)
    with pytest.raises(InvalidArgumentError, match="grid of one step"):
        VoteTest(threshold=0.5, r=0.5, alpha=0.2, pilot=scores)
    with pytest.raises(InvalidArgumentError, match="one number"):
        VoteTest(threshold=0.5, r=[0.5], alpha=0.2, pilot=votes(0, 5))  # type: ignore[arg-type]


def test_a_question_about_the_class_looks_often_after_a_small_pilot() -> None:
    question = Question.parse("class@0.25")
    assert question.pilot_samples == VOTE_N0
    assert list(question.looks(60)) == [8, 16, 24, 32, 40, 48, 56, 60]
    assert Question.parse("score:0.5@0.25").pilot_samples == 100
