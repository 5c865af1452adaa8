from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from smoothcert.analysis import (
    BoundsTable,
    CertifiedAccuracy,
    Inputs,
    bounds_table,
    certified_accuracy,
    class_certified_accuracy,
    population_lower,
    proportion_interval,
)
from smoothcert.analysis.imported_bounds import ImportedBounds
from smoothcert.bounds import clopper_pearson_lower
from smoothcert.certificate import Certificate
from smoothcert.errors import DataError, InvalidArgumentError
from synthetic_runs import SyntheticRun, mixed_run, synthetic_run


@pytest.fixture(scope="module")
def run():
    return mixed_run(25, skipped=[("broken.png", "not an image")])


def stored(lower: list[list[float]], *, radii: list[float], labels: list[int], predictions: list[int]) -> BoundsTable:
    count = len(labels)
    inputs = Inputs(
        indices=np.arange(count),
        ids=tuple(f"row {i}" for i in range(count)),
        labels=np.array(labels),
        predictions=np.array(predictions),
        abstained=np.array([prediction < 0 for prediction in predictions]),
        sizes=np.full(count, 1_000),
    )
    at = dict(zip(radii, np.array(lower).T, strict=True))
    return ImportedBounds(
        inputs, lower={("score", "cdf"): at, ("margin", "cdf"): at}, class_radius=None, alpha=0.001, sigma=0.25
    )


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


def test_without_labels_fractions_are_of_inputs_certified():
    run = synthetic_run([(20.0, 1.0)] * 3 + [(1.0, 9.0)], labels=[None] * 4)
    (row,) = certified_accuracy(run, measures=["score"], bounds=["cdf"], radii=[0.1], thresholds=[0.5])
    assert (row.certified_accuracy, row.inputs, row.labelled) == (0.75, 4, False)
    (low,) = certified_accuracy(run, measures=["score"], bounds=["cdf"], radii=[0.1], thresholds=[0.0])
    assert low.certified_accuracy == 0.75  # what is abstained on is not certified, however low the threshold
    assert [share.count for share in class_certified_accuracy(run, radii=[0.0, 9.0])] == [3, 0]


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


def test_fraction_certified_is_at_least_the_accuracy(run):
    asked = {"measures": ["score"], "bounds": ["dual"], "radii": [0.0, 0.25], "thresholds": [0.3, 0.6]}
    accuracy = certified_accuracy(run, **asked)
    unlabelled = SyntheticRun(run.config, [replace(row, label=None) for row in run.rows])
    fraction = certified_accuracy(unlabelled, **asked)
    assert all(f.certified_accuracy >= a.certified_accuracy for f, a in zip(fraction, accuracy, strict=True))
    assert any(f.certified_accuracy > a.certified_accuracy for f, a in zip(fraction, accuracy, strict=True))


def test_the_statement_about_the_population_is_true_as_often_as_it_says():
    """Inputs of four kinds; each certificate that is not deserved is given as often as it may be."""
    generator = np.random.default_rng(0)
    for alpha, deserving, inputs in ((0.05, 0.6, 60), (0.2, 0.0, 40), (0.001, 0.95, 300), (0.5, 0.3, 25)):
        truly = generator.uniform(size=(3_000, inputs)) < deserving
        wrong = generator.uniform(size=truly.shape) < alpha
        found = population_lower((truly | wrong).sum(axis=1), inputs, alpha)
        missed = int(np.sum(found > deserving))
        assert stats.binomtest(missed, 3_000, 0.05, alternative="greater").pvalue > 0.001, (alpha, deserving, inputs)
        # With the wrong ones taken as deserved it would be missed far more often.
        if alpha >= 0.05:
            naive = clopper_pearson_lower((truly | wrong).sum(axis=1), n=inputs, alpha=0.05)
            assert np.mean(naive > deserving) > 0.06
        assert np.mean(found) > deserving - 6.0 * np.sqrt(0.25 / inputs)


def test_the_statement_about_the_population_in_rows_and_at_the_edges(run):
    (row,) = certified_accuracy(run, measures=["score"], bounds=["cdf"], radii=[0.1], thresholds=[0.5])
    count = round(row.certified_accuracy * row.inputs)
    low = stats.beta.ppf(0.05, count, row.inputs - count + 1)
    assert row.population_lower == pytest.approx((low - row.alpha) / (1.0 - row.alpha))
    assert row.population_lower < row.certified_accuracy
    assert population_lower([0, 10], 10, 0.5).tolist() == pytest.approx([0.0, 2 * (0.05**0.1 - 0.5)])
    for bad in ({"alpha": 0.0}, {"alpha": 0.1, "confidence": 1.0}, {"alpha": 0.1, "inputs": 0}):
        with pytest.raises(InvalidArgumentError):
            population_lower(0, **({"inputs": 5} | bad))


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
    with pytest.raises(DataError, match=r"does not hold radius 0.3; it holds .* radii 0, 0.25"):
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


@pytest.fixture(scope="module")
def more():
    return synthetic_run([(60.0, 1.0), (20.0, 3.0), (3.0, 2.0), (1.0, 4.0)], more=True)


def test_every_stored_measure_and_the_lead_can_be_asked(more):
    table = bounds_table(more)
    assert table.answers.measures == ("score", "margin", "swing", "lead")
    assert [table.ends(measure) for measure in ("swing", "lead")] == [(-2.0, 3.0), (-1.0, 1.0)]
    certificates = [Certificate.from_samples(record.samples, alpha=0.001) for record in more.records()]
    radii = [0.0, 0.2]
    for measure in table.answers.measures:
        for bound in ("dual", "cdf"):
            lower, upper = (side(measure=measure, bound=bound, radii=radii) for side in (table.lower, table.upper))
            own = [certificate.measure(measure) for certificate in certificates]
            assert np.allclose(lower, [c.lower(radii, bound=bound) for c in own], atol=1e-12)
            assert np.allclose(upper, [c.upper(radii, bound=bound) for c in own], atol=1e-12)
            radius = table.radius(measure=measure, bound=bound, threshold=0.2)
            assert np.allclose(radius, [c.radius(0.2, bound=bound) for c in own], atol=1e-9)
        assert np.allclose(table.smoothed(measure), [c.mean for c in own])
    assert {row.measure for row in certified_accuracy(more, bounds=["cdf"], radii=0.1, thresholds=0.2)} == set(
        table.answers.measures
    )


def test_votes_are_a_measure_where_they_were_asked_for(more):
    spec = more.config.spec.vary(measure=("score", "vote"))
    run = SyntheticRun(replace(more.config, spec=spec), more.rows)
    table = bounds_table(run)
    assert "vote" in table.answers.measures
    assert "vote" not in bounds_table(more).answers.measures
    own = [Certificate.from_samples(record.samples, alpha=0.001).vote for record in more.records()]
    for bound in ("dual", "clopper_pearson"):
        asked = {"measure": "vote", "bound": bound}
        assert np.allclose(table.lower(radii=[0.0, 0.2], **asked), [c.lower([0.0, 0.2], bound=bound) for c in own])
        assert np.allclose(table.upper(radii=[0.2], **asked), [c.upper([0.2], bound=bound) for c in own])
        assert np.allclose(table.radius(threshold=0.5, **asked), [c.radius(0.5, bound=bound) for c in own])
    assert table.smoothed("vote").tolist() == [c.mean for c in own]


def test_the_lead_is_never_below_the_margin_by_much(more):
    table = bounds_table(more)
    lead, margin = (table.lower(measure=measure, bound="dual", radii=[0.0, 0.25]) for measure in ("lead", "margin"))
    assert np.all(lead >= margin - 0.01)


def test_a_measure_the_run_lacks_is_named_with_those_it_has(run):
    with pytest.raises(InvalidArgumentError, match="measure must be one of score, margin; got 'lead'"):
        certified_accuracy(run, measures=["lead"], radii=0.0, thresholds=0.5)
