"""Samples of a network whose smoothed scores are known: theory, section 8, through the whole sampler."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import binom, norm

from sampling.networks import Probit
from smoothcert.sampling import Sampler

N = 40_000
SIGMA = 0.25
SHAPE = (3, 4, 4)
X = torch.full(SHAPE, 0.5)


@pytest.fixture(scope="module", params=[(0.5, 0.3), (0.1, -0.05), (2.0, 1.0)], ids=["soft", "sharp", "smooth"])
def case(request):
    tau, wanted_u = request.param
    probit = Probit(SHAPE, tau=tau, bias=0.0)
    probit.bias = wanted_u - float(probit.u(X[None]))
    samples = Sampler(probit, sigma=SIGMA, num_classes=2).sample(X, n0=2_000, n=N, seed=11)
    # The prediction is class 1 where u is negative; its score is the probit of -u.
    u = wanted_u if samples.prediction == 0 else -wanted_u
    return samples, u, tau


def test_prediction_is_the_class_with_the_higher_mean(case):
    _, u, _ = case
    assert u > 0


def test_mean_of_the_score(case):
    samples, u, tau = case
    histogram = samples.score.sample
    truth = norm.cdf(u / np.hypot(tau, SIGMA))
    deviation = np.sqrt(histogram.counts @ (histogram.points - histogram.mean) ** 2 / N)
    assert truth - 1e-4 - 4 * deviation / np.sqrt(N) < histogram.mean < truth + 4 * deviation / np.sqrt(N)


def test_survival_function_of_the_score(case):
    samples, u, tau = case
    histogram = samples.score.sample
    t = histogram.points[1:-1]
    truth = norm.cdf((u - tau * norm.ppf(t)) / SIGMA)
    furthest = np.abs(histogram.survival_counts[1:-1] / N - truth).max()
    assert furthest < np.sqrt(np.log(2 / 1e-4) / (2 * N))  # Dvoretzky-Kiefer-Wolfowitz at 1e-4


def test_survival_function_of_the_margin(case):
    # With two classes the margin is 2 score - 1.
    samples, u, tau = case
    histogram = samples.margin.sample
    t = (histogram.points[1:-1] + 1) / 2
    truth = norm.cdf((u - tau * norm.ppf(t)) / SIGMA)
    assert np.abs(histogram.survival_counts[1:-1] / N - truth).max() < np.sqrt(np.log(2 / 1e-4) / (2 * N))
    if norm.sf(u / SIGMA) > 0.01:  # the other class wins some noisy copies, and they count with their sign
        assert histogram.survival_counts[5_000] < N
        assert histogram.counts[0] < N - histogram.survival_counts[5_000]


def test_votes_are_how_often_the_score_is_above_one_half(case):
    samples, u, _ = case
    votes = int(samples.votes[samples.prediction])
    low, high = binom.interval(1 - 1e-4, N, norm.cdf(u / SIGMA))
    assert low <= votes <= high


def test_pilot_and_estimation_agree(case):
    samples, _, _ = case
    pilot = samples.score.pilot.survival_counts / 2_000
    estimation = samples.score.sample.survival_counts / N
    assert np.abs(pilot - estimation).max() < np.sqrt(np.log(2 / 1e-4) / (2 * 2_000)) * (1 + np.sqrt(2_000 / N))
