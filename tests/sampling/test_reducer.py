from __future__ import annotations

import numpy as np
import pytest
import torch

from smoothcert.errors import InvalidArgumentError
from smoothcert.histogram import ScoreHistogram, grid_points
from smoothcert.sampling.reducer import Histograms, Lead, MeanScores, Votes, float32_edges
from smoothcert.scores import MARGIN, MEASURES, SCORE, Measure

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
    cells = (
        torch.bucketize(torch.from_numpy(values), float32_edges(measure.lower, measure.upper, levels), right=True) - 1
    )
    counts = np.bincount(cells.numpy(), minlength=levels + 1)
    expected = ScoreHistogram.from_samples(values, lower=measure.lower, upper=measure.upper, levels=levels)
    assert np.array_equal(counts, expected.counts)


def counted(measures, levels=500):
    return Histograms(measures, levels=levels, device=CPU)


@pytest.mark.parametrize("num_classes", [2, 5, 21_841])
def test_histograms_are_those_of_the_scores(num_classes):
    scores, last = softmax(50, num_classes), num_classes - 1
    named = [(SCORE, 0), (MARGIN, 0), (Measure("last", 0, 1, SCORE.compute), last)]
    histograms = counted(named)
    for part in scores.split([1, 19, 30]):
        histograms.add(part)
    histograms.require_valid("the pilot samples")
    for measure, label in named:
        values = measure.compute(scores, torch.tensor([label]))[:, 0].numpy()
        expected = ScoreHistogram.from_samples(values, lower=measure.lower, upper=measure.upper, levels=500)
        assert histograms.histograms()[measure.name] == expected


def test_margins_below_zero_are_counted():
    histograms = counted([(SCORE, 1), (MARGIN, 1)], levels=4)
    histograms.add(torch.tensor([[1.0, 0.0], [0.75, 0.25], [0.5, 0.5], [0.0, 1.0]]))
    assert histograms.histograms()["margin"].counts.tolist() == [1, 1, 1, 0, 1]
    assert histograms.histograms()["score"].counts.tolist() == [1, 1, 1, 0, 1]


def test_invalid_scores_do_not_leave_the_grid():
    histograms, votes = counted([(m, label) for m in MEASURES.values() for label in (0,)], levels=4), Votes(2, CPU)
    lead = Lead(0, [1], num_classes=2, levels=4, device=CPU)
    scores = torch.tensor([[float("nan"), 0.0], [7.0, -3.0], [float("inf"), 0.5]])
    for reducer in (histograms, votes, lead):
        reducer.add(scores)
    found = histograms.histograms()
    assert found["score"].n == found["margin"].n == votes.counts().sum() == lead.histograms()[0].n == 3


@pytest.mark.parametrize(("num_classes", "rivals"), [(2, [1]), (4, [3, 1, 0]), (5, [1, 4, 0]), (100, [7, 3, 99])])
def test_the_lead_is_over_each_rival_and_the_best_of_the_rest(num_classes, rivals):
    label, scores = 2 if num_classes > 2 else 0, softmax(60, num_classes)
    lead = Lead(label, rivals, num_classes=num_classes, levels=500, device=CPU)
    for part in scores.split([1, 19, 40]):
        lead.add(part)
    rest = [j for j in range(num_classes) if j not in (label, *rivals)]
    expected = [scores[:, label] - scores[:, j] for j in rivals]
    expected += [scores[:, label] - scores[:, rest].amax(dim=1)] if rest else []
    assert lead.histograms() == [
        ScoreHistogram.from_samples(values, lower=-1, upper=1, levels=500) for values in expected
    ]


def entropy(scores, classes):
    return torch.special.entr(scores).sum(dim=1, keepdim=True).expand(-1, len(classes))


def test_a_measure_of_any_range_is_counted():
    measure = Measure("entropy", 0.0, float(np.log(5)), entropy)
    histograms, scores = counted([(measure, 3)]), softmax(50, 5)
    scores[0] = 0.2  # as large as it can be, and a rounding beyond in float32
    histograms.add(scores)
    histograms.require_valid("the pilot samples")
    values = np.minimum(entropy(scores, [3]).double().numpy(), measure.upper)
    assert histograms.histograms()["entropy"] == ScoreHistogram.from_samples(
        values, lower=0.0, upper=measure.upper, levels=500
    )


@pytest.mark.parametrize(("value", "shown"), [(1.01, "to 1.01"), (-0.5, "from -0.5"), (float("nan"), "nan")])
def test_a_measure_that_leaves_its_range_is_named_with_the_stage(value, shown):
    returned = torch.full((40, 1), 0.25)
    returned[7] = value
    histograms = counted([(Measure("own", 0.0, 1.0, lambda scores, _: returned[: len(scores)]), 0)])
    histograms.add(softmax(7, 3))
    histograms.require_valid("the pilot samples")
    histograms.add(softmax(40, 3))
    histograms.add(softmax(3, 3))
    with pytest.raises(
        InvalidArgumentError, match=rf"measure own must return values in \[0, 1\]; got .*{shown}.*pilot"
    ):
        histograms.require_valid("the pilot samples")


@pytest.mark.parametrize(
    ("returned", "came"),
    [
        (torch.zeros(7), r"\(7,\), torch.float32"),
        (torch.zeros(7, 1, dtype=torch.int64), r"\(7, 1\), torch.int64"),
        (3.0, "float$"),
    ],
)
def test_a_measure_that_returns_something_else_is_named(returned, came):
    histograms = counted([(Measure("own", 0.0, 1.0, lambda scores, classes: returned), 0)])
    with pytest.raises(InvalidArgumentError, match=rf"measure own must return a floating.* = \(7, 1\); got {came}"):
        histograms.add(softmax(7, 3))


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
