from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.calibration import calibration_curve

from smoothcert.analysis import bounds_table, calibration, radius_correlation, summary
from smoothcert.analysis.bootstrap import bootstrap_estimate
from smoothcert.certificate import Certificate
from smoothcert.errors import DataError, InvalidArgumentError
from synthetic_runs import mixed_run, synthetic_run


@pytest.fixture(scope="module")
def run():
    return mixed_run(80, skipped=[("broken.png", "not an image"), ("empty.png", "no bytes")])


def test_summary_counts(run):
    found = summary(run)
    certificates = [Certificate.from_samples(r.samples, alpha=0.001) for r in run.records() if r.samples]
    labels = [r.label for r in run.records() if r.samples]
    right = sum(c.prediction == y and not c.abstained for c, y in zip(certificates, labels, strict=True))
    assert (found.inputs, found.unlabelled, found.accuracy.count) == (80, 0, right)
    assert [(s.id, s.reason) for s in found.skipped] == [("broken.png", "not an image"), ("empty.png", "no bytes")]
    assert found.abstention.count == sum(c.abstained for c in certificates) > 0
    assert found.mean_class_radius.value == pytest.approx(np.mean([c.class_radius for c in certificates]))
    assert found.median_class_radius.value == pytest.approx(np.median([c.class_radius for c in certificates]))
    assert found.mean_score.ci_low < found.mean_score.value < found.mean_score.ci_high
    assert (found.n0, found.n, found.seconds) == (100, 1_000, 40.0)
    assert found.samples_per_second == 80 * 1_100 / 40.0


def test_summary_without_labels_has_no_accuracy():
    found = summary(synthetic_run([(20.0, 1.0)] * 3, labels=[None] * 3))
    assert (found.accuracy, found.unlabelled, found.abstention.count) == (None, 3, 0)


def test_summary_of_one_input_has_no_bootstrap_interval():
    found = summary(synthetic_run([(20.0, 1.0)]))
    assert (found.mean_score.ci_low, found.mean_score.ci_high) == (None, None)
    assert found.accuracy.ci_low == pytest.approx(0.025)  # of 1 of 1


def test_summary_of_nothing_is_refused():
    with pytest.raises(DataError, match="no certified input yet"):
        summary(synthetic_run([]))


def test_summary_follows_alpha(run):
    assert summary(run, alpha=1e-12).abstention.count > summary(run, alpha=0.5).abstention.count


def test_bootstrap_interval_of_a_mean_is_the_normal_one():
    values = np.random.default_rng(3).normal(size=400)
    wanted = 1.96 * values.std() / 20
    for interval in ("percentile", "standard"):
        found = bootstrap_estimate(lambda i: float(values[i].mean()), inputs=400, interval=interval)
        assert found.ci_high - found.ci_low == pytest.approx(2 * wanted, rel=0.1)
        assert found == bootstrap_estimate(lambda i: float(values[i].mean()), inputs=400, interval=interval)


def test_bootstrap_of_the_undefined():
    assert bootstrap_estimate(lambda i: math.nan, inputs=5) is None
    with pytest.raises(InvalidArgumentError, match="inputs must be an integer, at least 1"):
        bootstrap_estimate(lambda i: 0.0, inputs=0)


@pytest.mark.parametrize("measure", ["score", "margin"])
def test_correlations_are_scipys(run, measure):
    found = radius_correlation(run, measure=measure)
    assert found.pearson.value == pytest.approx(stats.pearsonr(found.values, found.class_radius).statistic)
    assert found.spearman.value == pytest.approx(stats.spearmanr(found.values, found.class_radius).statistic)
    assert found.pearson.ci_low < found.pearson.value < found.pearson.ci_high
    assert found.values.size == 80 - summary(run).abstention.count
    assert found.class_radius.min() > 0.0
    assert found.at_largest == np.sum(found.class_radius == found.class_radius.max())


def test_correlation_of_constants_is_not_a_number_but_none():
    one = radius_correlation(synthetic_run([(20.0, 1.0)]))
    assert (one.pearson, one.spearman, one.values.size) == (None, None, 1)
    none = radius_correlation(synthetic_run([(1.0, 9.0)] * 3))
    assert (none.pearson, none.values.size, none.at_largest) == (None, 0, 0)


@pytest.mark.parametrize(("binning", "strategy"), [("equal_width", "uniform"), ("equal_mass", "quantile")])
def test_reliability_bins_are_scikit_learns(run, binning, strategy):
    table = bounds_table(run)
    found = calibration(table, binning=binning, bins=8)
    right, score = calibration_curve(table.inputs.predicted_right, table.smoothed("score"), n_bins=8, strategy=strategy)
    assert [held.accuracy.value for held in found.bins] == pytest.approx(right)
    assert [held.mean_score for held in found.bins] == pytest.approx(score)
    weights = np.array([held.accuracy.inputs for held in found.bins])
    assert weights.sum() == found.inputs == 80
    assert found.error.value == pytest.approx(weights @ np.abs(right - score) / 80)
    assert found.error.ci_low <= found.error.value <= found.error.ci_high


def test_a_calibrated_score_looks_calibrated_and_a_sure_wrong_one_does_not():
    generator = np.random.default_rng(0)
    means = generator.uniform(0.05, 0.95, size=150)
    shapes = [(60 * m, 60 * (1 - m)) for m in means]
    drawn = [i % 10 if generator.uniform() < m else (i + 1) % 10 for i, m in enumerate(means)]
    honest = calibration(synthetic_run(shapes, labels=drawn, n=300))
    assert honest.error.value < 2 * honest.calibrated_error
    wrong = calibration(synthetic_run([(60.0, 1.0)] * 30, labels=[(i + 1) % 10 for i in range(30)]))
    assert wrong.error.value > 0.95 > 10 * wrong.calibrated_error


def test_calibration_needs_labels_and_known_bins():
    with pytest.raises(DataError, match="calibration needs labels"):
        calibration(synthetic_run([(20.0, 1.0)], labels=[None]))
    with pytest.raises(InvalidArgumentError, match="binning must be one of equal_width, equal_mass; got 'best'"):
        calibration(synthetic_run([(20.0, 1.0)]), binning="best")


def test_no_torch_is_imported(tmp_path):
    import subprocess
    import sys

    code = "import sys, smoothcert.analysis, smoothcert.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
