from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.calibration import calibration_curve

from smoothcert.analysis import bounds_table, calibration, radius_correlation, summary
from smoothcert.analysis.bootstrap import bootstrap_estimate
from smoothcert.analysis.calibration import _cells, _gaps, calibration_error
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
    for measure in ("score", "margin"):
        mean = found.means[measure]
        assert mean.ci_low < mean.value < mean.ci_high
    assert (found.n0, found.n, found.seconds) == (100, 1_000, 40.0)
    assert found.samples_per_second == 80 * 1_100 / 40.0


def test_summary_without_labels_has_no_accuracy():
    found = summary(synthetic_run([(20.0, 1.0)] * 3, labels=[None] * 3))
    assert (found.accuracy, found.unlabelled, found.abstention.count) == (None, 3, 0)


def test_summary_of_one_input_has_no_bootstrap_interval():
    found = summary(synthetic_run([(20.0, 1.0)]))
    assert (found.means["score"].ci_low, found.means["score"].ci_high) == (None, None)
    assert found.accuracy.ci_low == pytest.approx(0.025)  # of 1 of 1


def test_summary_of_nothing_is_refused():
    with pytest.raises(DataError, match="no certified input yet"):
        summary(synthetic_run([]))


def test_summary_follows_alpha(run):
    assert summary(run, alpha=1e-12).abstention.count > summary(run, alpha=0.5).abstention.count


def test_bootstrap_interval_of_a_mean_is_the_normal_one():
    values = np.random.default_rng(3).normal(size=400)
    wanted = 1.96 * values.std() / 20
    found = bootstrap_estimate(lambda i: float(values[i].mean()), inputs=400)
    assert found.ci_high - found.ci_low == pytest.approx(2 * wanted, rel=0.1)
    assert found == bootstrap_estimate(lambda i: float(values[i].mean()), inputs=400)


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
    assert found.observed == pytest.approx(weights @ np.abs(right - score) / 80)
    assert found.error.ci_low <= found.error.value <= found.error.ci_high


def test_a_calibrated_score_looks_calibrated_and_a_sure_wrong_one_does_not():
    generator = np.random.default_rng(0)
    means = generator.uniform(0.05, 0.95, size=150)
    shapes = [(60 * m, 60 * (1 - m)) for m in means]
    drawn = [i % 10 if generator.uniform() < m else (i + 1) % 10 for i, m in enumerate(means)]
    honest = calibration(synthetic_run(shapes, labels=drawn, n=300))
    assert honest.error.value < honest.observed
    assert honest.error.ci_low == 0.0
    wrong = calibration(synthetic_run([(60.0, 1.0)] * 30, labels=[(i + 1) % 10 for i in range(30)]))
    assert wrong.error.value > 0.95
    assert wrong.error.ci_low > 0.9


CALIBRATED = [  # inputs, shape of the scores, how far right falls behind: true errors from 0 to .3
    (100, (6.0, 1.0), 0.0),
    (100, (60.0, 0.5), 0.0015),
    (500, (60.0, 0.5), 0.0015),
    (500, (6.0, 1.0), 0.01),
    (100, (2.0, 1.0), 0.05),
    (500, (60.0, 0.5), 0.05),
    (50, (60.0, 0.5), 0.3),
]


@pytest.mark.parametrize("binning", ["equal_width", "equal_mass"])
@pytest.mark.parametrize(("inputs", "shape", "behind"), CALIBRATED)
def test_the_interval_of_the_calibration_error_covers_it(inputs, shape, behind, binning):
    generator = np.random.default_rng(0)

    def rate(scores):
        return np.clip(scores - behind, 0.0, 1.0)

    many = generator.beta(*shape, size=400_000)
    cells, _ = _cells(many, binning, 10)
    true = np.abs(np.bincount(cells, weights=many - rate(many), minlength=10)).sum() / many.size
    rounds, covered, corrected, usual = 200, 0, 0.0, 0.0
    for _ in range(rounds):
        scores = generator.beta(*shape, size=inputs)
        right = generator.uniform(size=inputs) < rate(scores)
        gaps, deviations = _gaps(scores, right, _cells(scores, binning, 10)[0], 10)
        found = calibration_error(gaps, deviations)
        assert 0.0 <= found.ci_low <= found.value <= found.ci_high <= 1.0
        covered += found.ci_low <= true <= found.ci_high
        corrected += found.value / rounds
        usual += np.abs(gaps).sum() / rounds
    assert stats.binomtest(covered, rounds, 0.95, alternative="less").pvalue > 0.01
    if behind <= 0.01:  # what chance adds, and the correction takes away in part
        assert abs(corrected - true) < usual - true


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
