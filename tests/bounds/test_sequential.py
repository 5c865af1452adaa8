"""The sequential test: rarely wrong whenever it stops, whatever the batches, and quick where the question is easy."""

from __future__ import annotations

import numpy as np
import pytest

from bounds.truth import Atoms, Beta, Law, Probit
from bounds.validity import too_often
from smoothcert.bounds import BOUNDS, ScoreCertificate, SequentialTest

LEVELS = 400


def decide(
    law: Law, *, threshold: float, r: float, alpha: float, n0: int, batch: int, cap: int, rng: np.random.Generator
) -> tuple[str, int]:
    """Answer and number of samples, pilot not counted."""
    test = SequentialTest(threshold=threshold, r=r, alpha=alpha, pilot=law.histogram(rng, n0, LEVELS))
    while test.answer == "undecided" and test.n < cap:
        test.update(law.histogram(rng, batch, LEVELS))
    return test.answer, test.n


#        law                                            r    n0  batch  cap   repeats
CASES = {
    "rare zero": (Atoms((0.0, 1.0), (0.05, 0.95)), 1.0, 20, 64, 448, 60),
    "rare zero, no radius": (Atoms((0.0, 1.0), (0.05, 0.95)), 0.0, 20, 64, 448, 60),
    "empty pilot": (Beta(5, 1), 1.0, 0, 64, 448, 40),
    "single samples": (Probit(0.8, 0.4), 0.5, 20, 1, 40, 50),
    "batches of seven": (Beta(0.5, 0.2), 1.0, 20, 7, 140, 50),
    "large radius": (Beta(20, 1), 3.0, 50, 64, 320, 50),
    "three atoms": (Atoms((0.0, 0.5, 1.0), (0.03, 0.27, 0.7)), 2.0, 20, 64, 448, 50),
}


@pytest.mark.parametrize("name", CASES)
def test_certified_is_rarely_answered_where_the_certificate_equals_the_threshold(name: str) -> None:
    law, r, n0, batch, cap, repeats = CASES[name]
    rng, alpha = np.random.default_rng([11, list(CASES).index(name)]), 0.2
    threshold = law.theta(r)  # not above it: "certified" is wrong
    answers = [
        decide(law, threshold=threshold, r=r, alpha=alpha, n0=n0, batch=batch, cap=cap, rng=rng)[0]
        for _ in range(repeats)
    ]
    assert not too_often(answers.count("certified"), repeats, alpha)


@pytest.mark.parametrize("name", CASES)
def test_refuted_is_rarely_answered_where_the_certificate_is_barely_above_the_threshold(name: str) -> None:
    law, r, n0, batch, cap, repeats = CASES[name]
    rng, alpha = np.random.default_rng([12, list(CASES).index(name)]), 0.2
    threshold = law.theta(r) - 1e-9  # above it: "refuted" is wrong
    answers = [
        decide(law, threshold=threshold, r=r, alpha=alpha, n0=n0, batch=batch, cap=cap, rng=rng)[0]
        for _ in range(repeats)
    ]
    assert not too_often(answers.count("refuted"), repeats, alpha)


@pytest.mark.parametrize(
    ("law", "r", "threshold", "answer", "at_most"),
    [
        (Beta(20, 1), 1.0, 0.5, "certified", 150),
        (Beta(20, 1), 2.0, 0.5, "certified", 600),
        (Beta(60, 0.5), 2.0, 0.5, "certified", 400),
        (Beta(2, 2), 0.5, 0.5, "refuted", 600),
        (Beta(2, 2), 2.0, 0.5, "refuted", 200),
        (Beta(5, 1), 2.0, 0.9, "refuted", 200),
    ],
)
def test_easy_questions_need_few_samples(law: Law, r: float, threshold: float, answer: str, at_most: int) -> None:
    rng, needed = np.random.default_rng(13), []
    for _ in range(5):
        got, n = decide(law, threshold=threshold, r=r, alpha=0.001, n0=100, batch=25, cap=20_000, rng=rng)
        assert got == answer
        needed.append(n)
    assert np.mean(needed) <= at_most, needed


def test_a_pilot_that_saw_another_distribution_may_cost_samples_but_not_truth() -> None:
    law, misleading = Atoms((0.0, 1.0), (0.1, 0.9)), Atoms((0.0, 1.0), (0.0, 1.0))
    rng, alpha, repeats = np.random.default_rng(14), 0.2, 60
    wrong = 0
    for _ in range(repeats):
        test = SequentialTest(
            threshold=law.theta(1.0), r=1.0, alpha=alpha, pilot=misleading.histogram(rng, 100, LEVELS)
        )
        while test.answer == "undecided" and test.n < 320:
            test.update(law.histogram(rng, 16, LEVELS))
        wrong += test.answer == "certified"
    assert not too_often(wrong, repeats, alpha)


def test_an_answer_is_final() -> None:
    rng = np.random.default_rng(15)
    law = Beta(20, 1)
    test = SequentialTest(threshold=0.2, r=0.5, alpha=0.2, pilot=law.histogram(rng, 50, LEVELS))
    while test.answer == "undecided":
        test.update(law.histogram(rng, 50, LEVELS))
    with pytest.raises(ValueError, match="answered"):
        test.update(law.histogram(rng, 50, LEVELS))


def test_a_batch_without_samples_changes_nothing() -> None:
    pilot = Beta(20, 1).histogram(np.random.default_rng(16), 50, LEVELS)
    test = SequentialTest(threshold=0.2, r=0.5, alpha=0.2, pilot=pilot)
    for _ in range(10):
        test.update(Beta(20, 1).histogram(np.random.default_rng(17), 0, LEVELS))
    assert (test.answer, test.n) == ("undecided", 0)


# --- thresholds at and near the ends of the range, radii far out: what is certified must not come from rounding

LOW = Atoms((-1.0, 1.0), (1.0, 0.0), lower=-1.0)  # its certificate is -1 at every radius
EVEN = Atoms((-1.0, 1.0), (0.5, 0.5), lower=-1.0)
HIGH = Atoms((0.0, 1.0), (0.0, 1.0))
FAR = [0.0, 1.0, 6.0, 9.0, 20.0, 40.0, 300.0, 1e6, 1e200]


@pytest.mark.parametrize("pilot", [0, 100])
@pytest.mark.parametrize("r", FAR)
@pytest.mark.parametrize(
    ("law", "threshold"),
    [
        (LOW, -1.0),
        (LOW, float(np.nextafter(-1.0, 0.0))),
        (LOW, -0.5),
        (Atoms((0.0, 1.0), (1.0, 0.0)), 0.0),
        (Atoms((0.0, 1.0), (1.0, 0.0)), 1e-300),
        (HIGH, 1.0),
        (HIGH, 1e300),
        (Atoms((-1.0, 1.0), (0.0, 1.0), lower=-1.0), 1.0),
    ],
)
def test_nothing_is_certified_at_the_end_of_the_range_by_rounding(
    law: Law, threshold: float, r: float, pilot: int
) -> None:
    rng = np.random.default_rng(18)
    test = SequentialTest(threshold=threshold, r=r, alpha=0.2, pilot=law.histogram(rng, pilot, LEVELS))
    while test.answer == "undecided" and test.n < 50_000:
        test.update(law.histogram(rng, 1_000 + test.n, LEVELS))
    assert test.answer != "certified"


@pytest.mark.parametrize(
    ("law", "threshold", "r"),
    [
        (EVEN, -1.0 + 1e-8, 6.0),  # the certificate is 2e-9 above -1
        (EVEN, -1.0 + 1e-12, 8.0),
        (Atoms((0.0, 1.0), (0.5, 0.5)), 1e-290, 40.0),  # the certificate is below every float64
        (Atoms((0.0, 1.0), (0.001, 0.999)), 1e-300, 1e3),
        (Beta(5, 1), 1e-280, 1e6),
    ],
)
def test_what_float64_cannot_tell_from_the_end_is_not_certified(law: Law, threshold: float, r: float) -> None:
    rng, alpha, repeats = np.random.default_rng(19), 0.2, 30
    answers = [
        decide(law, threshold=threshold, r=r, alpha=alpha, n0=50, batch=500, cap=4_000, rng=rng)[0]
        for _ in range(repeats)
    ]
    assert not too_often(answers.count("certified"), repeats, alpha)


@pytest.mark.parametrize("r", FAR)
@pytest.mark.parametrize("threshold", [-1.0, -1.0 - 1e-16, -1.5, -1e300])
def test_what_is_true_at_every_radius_is_not_refuted(threshold: float, r: float) -> None:
    rng = np.random.default_rng(20)
    answer, _ = decide(EVEN, threshold=threshold, r=r, alpha=0.2, n0=50, batch=500, cap=20_000, rng=rng)
    assert answer != "refuted"
    if threshold < -1.2:
        assert answer == "certified"


@pytest.mark.parametrize("r", [20.0, 300.0, 1e6])
def test_what_is_far_out_is_refuted_soon(r: float) -> None:
    rng = np.random.default_rng(21)
    for law, threshold in ((EVEN, 0.0), (Beta(2, 2), 0.5), (EVEN, -0.9)):
        answer, n = decide(law, threshold=threshold, r=r, alpha=0.001, n0=50, batch=100, cap=20_000, rng=rng)
        assert answer == "refuted"
        assert n <= 5_000


@pytest.mark.parametrize("bound", BOUNDS)
def test_the_radius_of_the_lowest_value_is_not_made_of_rounding(bound: str) -> None:
    rng = np.random.default_rng(22)
    for law in (LOW, Atoms((0.0, 1.0), (1.0, 0.0))):
        pilot, sample = law.histogram(rng, 100, LEVELS), law.histogram(rng, 5_000, LEVELS)
        certificate = ScoreCertificate(pilot, sample, 1.0, 0.2)
        for threshold in (law.lower, float(np.nextafter(law.lower, 1.0)), law.lower + 1e-9):
            assert certificate.radius(threshold, bound) == 0.0
        assert certificate.lower([0.0, 6.0, 40.0, 1e6], bound).tolist() == [law.lower] * 4
    even = ScoreCertificate(EVEN.histogram(rng, 100, LEVELS), EVEN.histogram(rng, 5_000, LEVELS), 1.0, 0.2)
    for r in (6.0, 8.0):
        radius = even.radius(float(EVEN.theta(r)), bound)
        assert radius <= r
