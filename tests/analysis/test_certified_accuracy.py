from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from smoothcert.analysis import (
    BoundsTable,
    CertifiedAccuracy,
    Inputs,
    bounds_table,
    certified_accuracy,
    certified_fraction,
    class_certified_accuracy,
    proportion_interval,
)
from smoothcert.certificate import Certificate
from smoothcert.errors import DataError, InvalidArgumentError
from smoothcert.typing import FloatArray
from synthetic_runs import mixed_run, synthetic_run


@pytest.fixture(scope="module")
def run():
    return mixed_run(25, skipped=[("broken.png", "not an image")])


class StoredBounds(BoundsTable):
    """What an imported log will be: bounds at some radii, one alpha, nothing else."""

    def __init__(self, inputs: Inputs, radii: list[float], lower: FloatArray) -> None:
        super().__init__(inputs, alpha=0.001, sigma=0.25)
        self._stored = (radii, lower)

    def class_radius(self) -> FloatArray:
        raise DataError("the log holds no class radii")

    def smoothed(self, measure: str) -> FloatArray:
        raise DataError("the log holds no smoothed scores")

    def _bounds(self, side: str, measure: str, bounds: Sequence[str], radii: FloatArray) -> FloatArray:
        held, lower = self._stored
        missing = [radius for radius in radii if radius not in held]
        if missing or side != "lower":
            raise DataError(f"the log holds lower bounds at the radii {held}; asked for {missing}")
        return np.stack([lower[:, [held.index(radius) for radius in radii]] for _ in bounds])

    def _radius(self, measure: str, bound: str, threshold: float, rows: int) -> FloatArray:
        raise DataError("the log holds no radii of thresholds")


def stored(lower: list[list[float]], *, radii: list[float], labels: list[int], predictions: list[int]) -> StoredBounds:
    count = len(labels)
    inputs = Inputs(
        indices=np.arange(count),
        ids=tuple(f"row {i}" for i in range(count)),
        labels=np.array(labels),
        predictions=np.array(predictions),
        abstained=np.array([prediction < 0 for prediction in predictions]),
    )
    return StoredBounds(inputs, radii, np.array(lower))


def test_equals_a_slow_direct_loop(run):
    radii, thresholds = [0.0, 0.25], [-0.2, 0.3, 0.6]
    rows = certified_accuracy(
        run, measures=["score", "margin"], bounds=["cdf", "hoeffding"], radii=radii, thresholds=thresholds
    )
    wanted = []
    for measure in ("score", "margin"):
        for bound in ("cdf", "hoeffding"):
            for threshold in thresholds:
                for radius in radii:
                    count = total = 0
                    for record in run.records():
                        if record.samples is None or record.label is None:
                            continue
                        total += 1
                        certificate = Certificate.from_samples(record.samples, alpha=run.config.alpha)
                        lower = certificate.measure(measure).lower([radius], bound=bound)[0]
                        right = certificate.prediction == record.label and not certificate.abstained
                        count += int(right and lower > threshold)
                    wanted.append((measure, bound, threshold, radius, count / total, total))
    assert [(r.measure, r.bound, r.threshold, r.radius, r.certified_accuracy, r.inputs) for r in rows] == wanted
    assert len({row.certified_accuracy for row in rows}) > 5  # the comparison is not between zeros


def test_fields_are_the_contract():
    names = [field.name for field in dataclasses.fields(CertifiedAccuracy)]
    assert names[:8] == [
        "measure", "bound", "threshold", "radius", "certified_accuracy", "ci_low", "ci_high", "inputs",
    ]  # fmt: skip


def test_non_increasing_in_threshold_and_radius(run):
    radii, thresholds = np.linspace(0.0, 0.8, 9), np.linspace(-1.0, 1.0, 21)
    for measure in ("score", "margin"):
        for bound in ("cdf", "hoeffding"):
            rows = certified_accuracy(run, measures=[measure], bounds=[bound], radii=radii, thresholds=thresholds)
            values = np.array([row.certified_accuracy for row in rows]).reshape(21, 9)
            assert np.all(np.diff(values, axis=0) <= 0)
            assert np.all(np.diff(values, axis=1) <= 0)
            assert values.max() > values.min()


def test_a_threshold_equal_to_the_bound_is_not_passed():
    table = stored([[0.5], [0.5 + 1e-12]], radii=[0.25], labels=[0, 0], predictions=[0, 0])
    (row,) = certified_accuracy(table, measures=["score"], bounds=["cdf"], radii=[0.25], thresholds=[0.5])
    assert row.certified_accuracy == 0.5


def test_abstentions_count_as_wrong_and_stay_in_the_denominator():
    # As in the published logs: an abstention is prediction -1 with bounds written as zeros.
    table = stored([[0.9], [0.0], [0.9], [0.9]], radii=[0.0], labels=[3, 3, 3, 3], predictions=[3, -1, 4, 3])
    (row,) = certified_accuracy(table, measures=["margin"], bounds=["cdf"], radii=[0.0], thresholds=[-0.5])
    assert (row.certified_accuracy, row.inputs) == (0.5, 4)


def test_inputs_without_label_are_left_out():
    shapes = [(20.0, 1.0)] * 4
    run = synthetic_run(shapes, labels=[0, 1, None, None])
    (row,) = certified_accuracy(run, measures=["score"], bounds=["cdf"], radii=[0.0], thresholds=[0.5])
    assert (row.certified_accuracy, row.inputs) == (1.0, 2)


def test_skipped_inputs_are_not_in_the_denominator(run):
    (row,) = certified_accuracy(run, measures=["score"], bounds=["cdf"], radii=[0.0], thresholds=[0.5])
    assert row.inputs == 25


def test_no_labels_is_refused_with_a_way_out():
    run = synthetic_run([(20.0, 1.0)] * 3, labels=[None] * 3)
    with pytest.raises(DataError, match=r"needs labels, and none of the 3 inputs .* query RUN --input"):
        certified_accuracy(run, radii=[0.0], thresholds=[0.5])
    (share,) = certified_fraction(run, measure="score", bound="cdf", radii=[0.1], thresholds=[0.5])
    assert share.count == 3


def test_empty_run_is_refused():
    run = synthetic_run([], skipped=[("a.png", "broken")])
    with pytest.raises(DataError, match=r"no certified input yet.*1 were skipped"):
        certified_accuracy(run, radii=[0.0], thresholds=[0.5])


def test_everything_abstained_is_zero_with_an_interval():
    run = synthetic_run([(1.0, 5.0)] * 10)
    assert bounds_table(run).inputs.abstained.all()
    (row,) = certified_accuracy(run, measures=["score"], bounds=["cdf"], radii=[0.0], thresholds=[0.0])
    assert row.certified_accuracy == row.ci_low == 0.0
    assert 0.3 < row.ci_high < 0.31  # 1 - 0.025 ** (1 / 10)


def test_interval_is_statsmodels_clopper_pearson():
    for inputs in (1, 7, 500):
        counts = np.unique(np.linspace(0, inputs, 11).astype(int))
        low, high = proportion_interval(counts, inputs=inputs)
        for i, count in enumerate(counts):
            assert (low[i], high[i]) == pytest.approx(
                proportion_confint(count, inputs, alpha=0.05, method="beta"), abs=1e-10
            )


def test_alpha_tightens_the_claim(run):
    loose, strict = (
        certified_accuracy(run, measures=["score"], bounds=["cdf"], radii=[0.25], thresholds=[0.5], alpha=alpha)[0]
        for alpha in (0.4, 1e-9)
    )
    assert strict.certified_accuracy < loose.certified_accuracy
    assert (loose.alpha, strict.alpha) == (0.4, 1e-9)


def test_bounds_are_computed_once(run, monkeypatch):
    table = bounds_table(run)
    calls = []
    compute = table._bounds
    monkeypatch.setattr(table, "_bounds", lambda *a: calls.append(a[:3]) or compute(*a))
    for threshold in (0.1, 0.5):
        certified_accuracy(table, bounds=["cdf"], measures=["score"], radii=[0.0, 0.5], thresholds=[threshold])
    certified_fraction(table, bound="cdf", measure="score", radii=[0.0, 0.5], thresholds=[0.5])
    assert calls == [("lower", "score", ["cdf"])]


def test_several_bounds_take_one_pass_over_the_run(run, monkeypatch):
    asked = {"measure": "margin", "radii": [0.0, 0.5]}
    alone = [bounds_table(run).lower(bound=bound, **asked) for bound in ("dual", "cdf", "hoeffding")]
    table, passes, tables = bounds_table(run), [], run.tables
    table.lower(bound="cdf", **asked)
    monkeypatch.setattr(run, "tables", lambda columns: passes.append(columns) or tables(columns))
    together = table.lowers(bounds=("dual", "cdf", "hoeffding"), **asked)
    assert len(passes) == 1
    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))
    table.lower(bound="hoeffding", **asked)
    assert len(passes) == 1  # kept, each by its name


def test_fraction_is_at_least_the_accuracy(run):
    asked = {"radii": [0.0, 0.25], "thresholds": [0.3, 0.6]}
    accuracy = certified_accuracy(run, measures=["score"], bounds=["dual"], **asked)
    fraction = certified_fraction(run, measure="score", bound="dual", **asked)
    assert all(f.value >= a.certified_accuracy for f, a in zip(fraction, accuracy, strict=True))
    assert any(f.value > a.certified_accuracy for f, a in zip(fraction, accuracy, strict=True))


def test_class_certified_accuracy_equals_a_direct_loop(run):
    radii = [0.0, 0.1, 0.3, 2.0]
    found = class_certified_accuracy(run, radii=radii)
    for radius, share in zip(radii, found, strict=True):
        count = 0
        for record in run.records():
            if record.samples is not None:
                c = Certificate.from_samples(record.samples, alpha=0.001)
                count += int(c.prediction == record.label and not c.abstained and c.class_radius >= radius)
        assert (share.count, share.inputs) == (count, 25)
    assert found[0].count > found[2].count > found[3].count == 0


def test_upper_bounds_are_above_lower_ones_and_the_mean_between(run):
    table = bounds_table(run)
    for measure in ("score", "margin"):
        lower = table.lower(measure=measure, bound="cdf", radii=[0.0, 0.5])
        upper = table.upper(measure=measure, bound="cdf", radii=[0.0, 0.5])
        mean = table.smoothed(measure)
        assert np.all(lower[:, 0] <= mean)
        assert np.all(mean <= upper[:, 0])
        assert np.all(upper[:, 1] >= upper[:, 0])
        certificate = Certificate.from_samples(run.records()[3].samples, alpha=0.001).measure(measure)
        assert np.array_equal(lower[3], certificate.lower([0.0, 0.5], bound="cdf"))
        assert np.allclose(upper[3], certificate.upper([0.0, 0.5], bound="cdf"))


def test_radius_is_the_certificates(run):
    table = bounds_table(run)
    wanted = [
        Certificate.from_samples(r.samples, alpha=0.001).margin.radius(0.2, bound="cdf") for r in run.records()[:6]
    ]
    assert table.radius(measure="margin", bound="cdf", threshold=0.2, at_most=6).tolist() == wanted
    assert max(wanted) > 0.0


def test_a_stored_table_refuses_what_it_does_not_hold():
    table = stored([[0.9, 0.6]], radii=[0.0, 0.25], labels=[1], predictions=[1])
    with pytest.raises(DataError, match=r"radii \[0.0, 0.25\].*0.3"):
        certified_accuracy(table, measures=["score"], bounds=["cdf"], radii=[0.3], thresholds=[0.5])
    with pytest.raises(DataError, match=r"alpha=0.001 and cannot answer alpha=0.1"):
        certified_accuracy(table, radii=[0.0], thresholds=[0.5], alpha=0.1)
    with pytest.raises(DataError, match="no class radii"):
        class_certified_accuracy(table, radii=[0.0])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"measures": ["confidence"]}, "measure must be one of score, margin; got 'confidence'"),
        ({"bounds": ["best"]}, "bound must be one of dual, .*; got 'best'"),
        ({"radii": [-0.1]}, "radii must be finite and at least 0"),
        ({"thresholds": [float("nan")]}, "threshold must be finite; got"),
        ({"thresholds": []}, "thresholds must be one number or a flat, non-empty list"),
        ({"thresholds": ["high"]}, "threshold must be a number; got"),
        ({"alpha": 0.7}, r"alpha must be a failure probability in \(0, 0.5\]"),
    ],
)
def test_bad_arguments_are_named(run, changed, message):
    asked = {"measures": ["score"], "bounds": ["cdf"], "radii": [0.0], "thresholds": [0.5]} | changed
    with pytest.raises(InvalidArgumentError, match=message):
        certified_accuracy(run, **asked)
