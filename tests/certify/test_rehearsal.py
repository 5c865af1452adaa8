from __future__ import annotations

import math

import numpy as np
import pytest

from runs.synthetic import ArraySource
from smoothcert.certify import rehearsal
from smoothcert.certify.rehearsal import chance_message, rehearse
from smoothcert.data import Dataset, Example
from smoothcert.histogram import ScoreHistogram
from smoothcert.samples import Samples, StageHistograms
from smoothcert.sampling import Sampler

from .tiny_model import Brightness


def look(label, votes, score=0.9):
    """One input that was looked at."""
    votes = np.array(votes, dtype=np.int64)
    n = int(votes.sum())
    stages = [
        StageHistograms(*[ScoreHistogram.from_samples([score] * n, lower=low, upper=1.0, levels=100)] * 2)
        for low in (0.0, -1.0)
    ]
    samples = Samples(
        int(votes.argmax()), 0.25, 0, "", votes, votes, dict(zip(("score", "margin"), stages, strict=True))
    )
    return Example(0, "x", label, np.zeros((1, 2, 2), np.float32)), samples


GOOD = [look(k % 4, [8 if j == k % 4 else 1 for j in range(4)]) for k in range(16)]
CHANCE = [look(k % 4, [8 if j == (k // 4) else 1 for j in range(4)]) for k in range(16)]
ONE_CLASS = [look(k % 2, [7, 3, 0, 0]) for k in range(16)]
ONE_LABEL = [look(2, [1, 1, 8, 0]) for _ in range(16)]


def unlabelled(looked, score):
    return [look(None, samples.votes, score) for _, samples in looked]


def test_a_good_classifier_is_not_warned_of():
    assert chance_message(GOOD, num_classes=4) is None
    assert chance_message(ONE_LABEL, num_classes=4) is None
    assert chance_message(unlabelled(GOOD, 0.8), num_classes=4) is None


def test_guessing_is_warned_of():
    assert "right 27.1% of the time and guessing would be 25.0%" in chance_message(
        [look(k % 4, [3, 3, 3, 3] if k % 4 else [4, 3, 3, 2]) for k in range(16)], num_classes=4
    )
    assert "guessing would be 25.0%" in chance_message(CHANCE, num_classes=4)


def test_one_class_for_all_is_warned_of():
    assert "says class 0 for every one" in chance_message(ONE_CLASS, num_classes=4)


def test_without_labels_uniform_scores_are_warned_of():
    assert "hardly prefers any class" in chance_message(unlabelled(GOOD, 0.3), num_classes=4)
    assert "says class 0" in chance_message(unlabelled(ONE_CLASS, 0.9), num_classes=4)


def test_few_inputs_tell_nothing():
    assert chance_message(ONE_CLASS[:7], num_classes=4) is None


@pytest.fixture
def sampler():
    return Sampler(Brightness(), sigma=0.25, num_classes=3, device="cpu")


def test_the_look_measures_rate_and_accuracy(sampler):
    found = rehearse(sampler, Dataset(ArraySource(40)), num_classes=3, n=10_000, samples=100_000)
    assert found.rate > 1.0
    assert found.accuracy > 0.9
    assert found.inputs == 32


def test_the_look_costs_a_small_share_of_a_long_run(sampler, monkeypatch):
    drawn = []
    real = Sampler.sample

    def counting(self, x, *, n0, n, **options):
        drawn.append(n0 + n)
        return real(self, x, n0=n0, n=n, **options)

    monkeypatch.setattr(Sampler, "sample", counting)
    rehearse(sampler, Dataset(ArraySource(40)), num_classes=3, n=10_000, samples=1_000_000)
    assert sum(drawn) < 0.03 * 1_000_000


def test_the_rate_is_not_that_of_small_calls(sampler, monkeypatch):
    clock = [0.0]

    def sample(self, x, *, n0, n, **options):
        clock[0] += 0.1 + (n0 + n) / 1_000  # a tenth of a second goes into the call itself
        return look(0, [n, 0, 0])[1]

    monkeypatch.setattr(Sampler, "sample", sample)
    monkeypatch.setattr(rehearsal.time, "perf_counter", lambda: clock[0])
    found = rehearse(sampler, Dataset(ArraySource(3)), num_classes=3, n=500, samples=1_500)
    assert 600 < found.rate < 1_000


def test_unreadable_inputs_are_passed_over(sampler):
    found = rehearse(sampler, Dataset(ArraySource(4, unreadable=[0, 2])), num_classes=3, n=10_000, samples=1_000)
    assert found.inputs == 2
    nothing = rehearse(sampler, Dataset(ArraySource(2, unreadable=[0, 1])), num_classes=3, n=10_000, samples=1_000)
    assert (nothing.inputs, nothing.accuracy) == (0, None)
    assert math.isnan(nothing.rate)


@pytest.mark.parametrize(("n", "score", "said"), [(9_500, 0.95, True), (9_500, 0.8, False), (95_000, 0.95, False)])
def test_more_samples_are_praised_where_they_help(n, score, said):
    words = rehearsal.Rehearsal(100.0, 0.9, 8, score).worth_of_more(n)
    assert (f"(--n {10 * n}) would certify half a sigma further" in words) == said
    assert said or words == ""
