from __future__ import annotations

import numpy as np
import pytest
import torch

from smoothcert.histogram import ScoreHistogram, grid_points
from smoothcert.sampling.reducer import Histograms, MeanScores, Votes, float32_edges
from smoothcert.scores import MARGIN, MEASURES, SCORE

CPU = torch.device("cpu")


def softmax(rows, classes, seed=0, scale=3.0):
    generator = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(rows, classes, generator=generator)).softmax(dim=1)


@pytest.mark.parametrize("levels", [1, 2, 3, 7, 1_000, 10_000, 99_991])
@pytest.mark.parametrize("measure", [SCORE, MARGIN])
def test_float32_cells_are_the_float64_cells(measure, levels):
    points = grid_points(measure.lower, measure.upper, levels).astype(np.float32)
    random = np.random.default_rng(0).uniform(measure.lower, measure.upper, 20_000).astype(np.float32)
    values = np.concatenate([points, np.nextafter(points, -2), np.nextafter(points, 2), random]).astype(np.float32)
    values = values[(values >= measure.lower) & (values <= measure.upper)]
    cells = torch.bucketize(torch.from_numpy(values), float32_edges(measure, levels), right=True) - 1
    counts = np.bincount(cells.numpy(), minlength=levels + 1)
    expected = ScoreHistogram.from_samples(values, lower=measure.lower, upper=measure.upper, levels=levels)
    assert np.array_equal(counts, expected.counts)


@pytest.mark.parametrize("num_classes", [2, 5, 21_841])
def test_histograms_are_those_of_the_scores(num_classes):
    scores = softmax(50, num_classes)
    classes = torch.tensor([0, num_classes - 1])
    histograms = Histograms(classes, levels=500)
    for part in scores.split([1, 19, 30]):
        histograms.add(part)
    for at, label in enumerate(classes.tolist()):
        for name, measure in MEASURES.items():
            values = measure.compute(scores, classes)[:, at].numpy()
            expected = ScoreHistogram.from_samples(values, lower=measure.lower, upper=measure.upper, levels=500)
            assert histograms.of(label)[name] == expected
    assert 0 in histograms
    assert 1 not in histograms or num_classes == 2


def test_margins_below_zero_are_counted():
    histograms = Histograms(torch.tensor([1]), levels=4)
    histograms.add(torch.tensor([[1.0, 0.0], [0.75, 0.25], [0.5, 0.5], [0.0, 1.0]]))
    assert histograms.of(1)["margin"].counts.tolist() == [1, 1, 1, 0, 1]
    assert histograms.of(1)["score"].counts.tolist() == [1, 1, 1, 0, 1]


def test_invalid_scores_do_not_leave_the_grid():
    histograms, votes = Histograms(torch.tensor([0, 1]), levels=4), Votes(2, CPU)
    scores = torch.tensor([[float("nan"), 0.0], [7.0, -3.0], [float("inf"), 0.5]])
    histograms.add(scores)
    votes.add(scores)
    assert histograms.of(0)["score"].n == histograms.of(1)["margin"].n == votes.counts().sum() == 3


def test_votes_go_to_the_first_of_the_highest():
    votes = Votes(3, CPU)
    votes.add(torch.tensor([[0.1, 0.2, 0.7], [0.4, 0.4, 0.2], [1 / 3, 1 / 3, 1 / 3]]))
    votes.add(torch.tensor([[0.0, 1.0, 0.0]]))
    assert votes.counts().tolist() == [2, 1, 1]


def test_mean_scores_do_not_depend_on_the_order_of_the_batches():
    scores = softmax(999, 6, scale=0.01)
    sums = []
    for parts in ([999], [1] * 999, [500, 499]):
        means = MeanScores(6, CPU)
        for part in scores.split(parts):
            means.add(part)
        sums.append(means._sums)
    assert torch.equal(sums[0], sums[1])
    assert torch.equal(sums[0], sums[2])
    assert np.allclose(sums[0].numpy() / 2**32, scores.double().sum(dim=0).numpy(), rtol=0, atol=999 * 2**-32)
    assert means.winner() == int(scores.double().mean(dim=0).argmax())
    assert means.highest(6).tolist() == scores.double().mean(dim=0).argsort(descending=True).tolist()


def test_equal_means_select_the_first_class():
    means = MeanScores(10, CPU)
    for _ in range(7):
        means.add(torch.full((13, 10), 0.1))
    assert means.winner() == 0
