from __future__ import annotations

import numpy as np
import pytest

from published_logs import COHEN, KUMAR, write
from smoothcert.analysis import (
    Inputs,
    Sweep,
    SweepPoint,
    bounds_table,
    certified_accuracy,
    paired_difference,
    sweep,
    threshold_placement,
)
from smoothcert.analysis.imported_bounds import ImportedBounds
from smoothcert.errors import DataError, InvalidArgumentError, RunError
from smoothcert.runs import import_log
from synthetic_runs import mixed_run, synthetic_run


class Streaming:
    """A synthetic run that is read input by input."""

    def __init__(self, run) -> None:
        self.config, self.iter_records = run.config, run.records


@pytest.fixture(scope="module")
def tables():
    """Less noise, surer scores: what is traded for reach."""
    return [
        bounds_table(synthetic_run([(6.0, 1.0)] * 4, sigma=0.5)),
        bounds_table(synthetic_run([(60.0, 0.5)] * 4 + [(1.0, 9.0)], sigma=0.12)),
    ]


def test_points_are_certified_accuracies_and_the_best_of_them(tables):
    radii = [0.0, 0.6, 0.1, 9.0]
    found = sweep(tables, radii=radii, bound="cdf", threshold=0.7)
    assert found.sigmas == (0.12, 0.5)
    assert [point.radius for point in found.points] == sorted(radii)
    for point in found.points:
        for sigma, share in zip(found.sigmas, point.accuracies, strict=True):
            table = next(table for table in tables if table.sigma == sigma)
            (row,) = certified_accuracy(table, measures=["score"], bounds=["cdf"], radii=point.radius, thresholds=0.7)
            assert (share.value, share.ci_low, share.inputs) == (row.certified_accuracy, row.ci_low, row.inputs)
    best = [point.best for point in found.points]
    assert best[-1] is None
    assert best == [
        None if not any(share.value for share in point.accuracies) else 0.5 * (low < high) + 0.12 * (low >= high)
        for point in found.points
        for low, high in [[share.value for share in point.accuracies]]
    ]


@pytest.mark.parametrize(
    ("best", "grows", "rule"),
    [
        (
            [0.12, 0.12, 0.5, None],
            True,
            "the best sigma grows with the radius: sigma 0.12 from radius 0 to 0.5, sigma 0.5",
        ),
        ([0.5, 0.12], False, "the best sigma does not simply grow with the radius: sigma 0.5 at radius 0, sigma 0.12"),
        (
            [0.12, 0.12],
            None,
            "one sigma is the best at every radius that is certified: sigma 0.12 from radius 0 to 0.5",
        ),
        ([None, None], None, "no sigma certifies an input at any of these radii"),
    ],
)
def test_the_rule_of_thumb_in_words(best, grows, rule):
    points = tuple(SweepPoint(0.5 * position, (), sigma) for position, sigma in enumerate(best))
    found = Sweep("score", "cdf", 0.5, (0.12, 0.5), points)
    assert found.grows is grows
    assert found.rule.startswith(rule)


@pytest.mark.parametrize(
    ("best", "level", "grows"),
    [
        ([0.25, 0.12, 0.5], [(), (0.25,), ()], True),  # 0.25, 0.25, 0.5
        ([0.12, 0.25, 0.12], [(0.25,), (0.12,), ()], True),  # 0.12 all along
        ([0.25, 0.12, 0.5], [(), (0.5,), (0.25,)], True),  # 0.25, 0.5, 0.5
        ([0.5, 0.25, 0.12], [(0.25,), (), (0.5,)], True),
        ([0.25, 0.5, 0.12], [(), (0.12,), (0.5, 0.25)], True),
        ([0.25, 0.12], [(0.12, 0.5), ()], True),
        ([0.5, 0.25, 0.12], [(), (0.5,), (0.25,)], False),
        ([0.25, 0.12], [(0.5,), ()], False),
    ],
)
def test_the_best_sigma_grows_as_far_as_the_inputs_tell(best, level, grows):
    rows = enumerate(zip(best, level, strict=True))
    found = Sweep(
        "score", "cdf", 0.5, (0.12, 0.25, 0.5), tuple(SweepPoint(0.1 * i, (), own, others) for i, (own, others) in rows)
    )
    assert found.grows is grows
    assert found.rule.startswith(
        "the best sigma grows with the radius, as far as these inputs tell: "
        if grows
        else "the best sigma does not simply grow with the radius: "
    )


def test_sigmas_are_told_apart_by_paired_intervals():
    """30 inputs that all keep the class to the radius in ``reach``; wrong from 20 on."""

    def table(sigma, reach, *, indices=range(30), labels=0):
        inputs = Inputs(
            indices=np.arange(30) + min(indices),
            ids=tuple(f"x{min(indices)}-{i}" for i in range(30)),
            labels=np.full(30, labels),
            predictions=np.where(np.arange(30) < 20, labels, labels + 1),
            abstained=np.zeros(30, dtype=bool),
            sizes=np.full(30, 1_000),
        )
        return ImportedBounds(inputs, lower={}, class_radius=np.asarray(reach, float), alpha=0.001, sigma=sigma)

    far, near = np.full(30, 1.0), np.where(np.arange(30) < 16, 1.0, 0.2)
    (point,) = sweep([table(0.25, far), table(0.5, near)], radii=0.5, measure="class").points
    assert [share.count for share in point.accuracies] == [20, 16]
    assert (point.best, point.tied) == (0.25, ())
    difference = paired_difference(only_first=0, only_second=4, inputs=30)
    assert difference.ci_low > 0.0  # as pairs they differ, as strangers they need not
    (point,) = sweep([table(0.25, far), table(0.5, near, indices=[5])], radii=0.5, measure="class").points
    assert (point.best, point.tied) == (0.25, (0.5,))
    (point,) = sweep([table(0.25, far), table(0.5, far)], radii=0.5, measure="class").points
    assert (point.best, point.tied) == (0.25, (0.5,))


def test_imported_logs_are_swept_by_what_they_hold(tmp_path):
    tables = {}
    for name, text in (("pred_score-noise", KUMAR), ("sigma", COHEN)):
        for sigma in ("0.25", "0.50"):
            log = write(tmp_path, f"{name}_{sigma}.tsv", text)
            tables[name, sigma] = bounds_table(import_log(log, out=tmp_path / f"{name}{sigma}", data="cifar10"))
    scores = [tables["pred_score-noise", sigma] for sigma in ("0.25", "0.50")]
    assert sweep(scores, radii=[0.0, 1.0]).bound == "cdf"
    by_class = sweep([tables["sigma", sigma] for sigma in ("0.50", "0.25")], radii=[0.0, 0.5], measure="class")
    assert [[share.value for share in point.accuracies] for point in by_class.points] == [[0.5, 0.5], [0.25, 0.25]]
    assert by_class.threshold is None
    with pytest.raises(DataError, match=r"does not hold radius 0\.3"):
        sweep(scores, radii=[0.3])


def test_a_sweep_needs_different_sigmas(tables):
    with pytest.raises(InvalidArgumentError, match=r"at least two, each at another sigma; got sigma 0.5, 0.5"):
        sweep([tables[0], tables[0]], radii=0.0)
    with pytest.raises(InvalidArgumentError, match="got sigma of no run"):
        sweep([], radii=0.0)


@pytest.mark.parametrize("measure", ["score", "margin"])
def test_more_thresholds_never_lose_and_all_is_the_limit(measure):
    run = mixed_run(6, n=3_000)
    rows = threshold_placement(Streaming(run), measure=measure, radii=[0.0, 0.25], thresholds=[10, 100, 1_000])
    assert len(rows) == (1 + 2 * 3) * 2
    table = bounds_table(run)
    for radius in (0.0, 0.25):
        own = [row for row in rows if row.radius == radius]
        every = own[0]
        assert (every.placement, every.thresholds, every.mean_loss, every.inputs) == ("all", None, 0.0, 6)
        # The bound of the table has 10,000 thresholds on a grid of 1,000: all of them.
        assert every.mean_lower == pytest.approx(table.lower(measure=measure, bound="cdf", radii=radius).mean())
        for placement in ("equal_mass", "uniform"):
            losses = [row.mean_loss for row in own if row.placement == placement]
            assert losses[0] > 0.001
            assert losses == sorted(losses, reverse=True)
            assert all(row.largest_loss >= row.mean_loss >= -1e-12 for row in own)
        uniform = [row for row in own if row.placement == "uniform"]
        assert uniform[-1].mean_loss == pytest.approx(0.0, abs=1e-12)  # every point of the grid
        assert np.allclose([row.mean_lower + row.mean_loss for row in own], every.mean_lower)


def test_placement_needs_samples(tmp_path):
    log = import_log(write(tmp_path, "pred_score-noise_0.25.tsv", KUMAR), out=tmp_path / "run")
    with pytest.raises(RunError, match="no samples"):
        threshold_placement(log, radii=0.0)
    empty = mixed_run(1)
    empty.rows.clear()
    with pytest.raises(DataError, match="no certified input yet"):
        threshold_placement(Streaming(empty), radii=0.0)
    with pytest.raises(InvalidArgumentError, match="thresholds"):
        threshold_placement(Streaming(mixed_run(1)), radii=0.0, thresholds=[0])
