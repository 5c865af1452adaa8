from __future__ import annotations

import math

import numpy as np
import pytest

from published_logs import COHEN, KUMAR, MARGIN, cohen_accuracy, kumar_accuracy, write
from smoothcert.analysis import bounds_table, certified_accuracy, class_certified_accuracy, summary
from smoothcert.errors import DataError, InvalidArgumentError, RunError
from smoothcert.report import write_report
from smoothcert.runs import Run, RunConfig, RunStore, import_log
from smoothcert.spec import RunSpec

SHARED = (
    "cohen2019/cifar10-resnet110-sigma_0.25",
    "cohen2019/cifar10-resnet110-sigma_0.50",
    "cohen2019/imagenet-resnet50-sigma_0.25",
    "cohen2019/imagenet-resnet50-sigma_0.50",
    "kumar2020/cifar10-margin-noise_0.25",
    "kumar2020/cifar10-pred_score-noise_0.25",
    "kumar2020/cifar10-pred_score-noise_0.50",
    "kumar2020/imagenet-margin-noise_0.25",
    "kumar2020/imagenet-pred_score-noise_0.25",
    "kumar2020/imagenet-pred_score-noise_0.50",
)
THRESHOLDS = [*(round(0.05 * i, 2) for i in range(-20, 21)), 0.501, 0.1234]
HELD = "it holds cdf and hoeffding lower bounds on the score at radii 0, 0.25, 1, all at alpha=0.001"


@pytest.fixture
def kumar(tmp_path) -> Run:
    return import_log(write(tmp_path, "cifar10-pred_score-noise_0.25.tsv", KUMAR), out=tmp_path / "run")


@pytest.fixture
def cohen(tmp_path) -> Run:
    return import_log(write(tmp_path, "cifar10-resnet110-sigma_0.25.tsv", COHEN), out=tmp_path / "run")


@pytest.mark.parametrize("name", SHARED)
def test_certified_accuracies_are_those_of_the_authors_scripts(shared, tmp_path, name):
    log = shared / "reference" / f"{name}.tsv"
    table = bounds_table(import_log(log, out=tmp_path / "run"))
    assert any(table.inputs.abstained)
    if table.answers.class_radius:
        radii = [0.01 * i for i in range(200)]
        found = class_certified_accuracy(table, radii=radii)
        assert [share.value for share in found] == [cohen_accuracy(log, radius=radius) for radius in radii]
        return
    measure = "margin" if "margin" in name else "score"
    assert table.answers.measures == (measure,)
    assert table.answers.radii == (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
    found = certified_accuracy(
        table, measures=[measure], bounds=["cdf", "hoeffding"], radii=table.answers.radii, thresholds=THRESHOLDS
    )
    assert len(found) == 2 * 7 * len(THRESHOLDS)
    for row in found:
        column = f"exp_{'cdf_' if row.bound == 'cdf' else ''}{round(100 * row.radius):02d}"
        assert row.certified_accuracy == kumar_accuracy(log, column=column, threshold=row.threshold)


def test_a_tiny_log_by_hand(kumar):
    found = certified_accuracy(kumar, measures=["score"], bounds=["cdf"], radii=[0.0, 0.25], thresholds=[0.52, 0.0])
    # Threshold 0.52: 0.52 itself is not above it. Threshold 0: the abstention counts as wrong.
    assert [row.certified_accuracy for row in found] == [0.5, 0.25, 0.5, 0.5]
    assert found[0].inputs == 4


def test_an_abstention_is_no_certificate(tmp_path):
    run = import_log(write(tmp_path, "margin-noise_0.25.tsv", MARGIN), out=tmp_path / "run", data="cifar10")
    table = bounds_table(run)
    assert table.lower(measure="margin", bound="cdf", radii=[0.0, 0.25]).tolist() == [[0.3, -0.4], [-1.0, -1.0]]
    assert table.inputs.abstained.tolist() == [False, True]
    below = certified_accuracy(table, measures=["margin"], bounds=["cdf"], radii=0.0, thresholds=-0.9)
    assert below[0].certified_accuracy == 0.5


def test_radii_of_a_threshold_are_those_of_the_log(kumar):
    table = bounds_table(kumar)
    assert table.radius(measure="score", bound="cdf", threshold=0.55).tolist() == [0.0, 0.0, 1.0, 0.25]
    assert table.radius(measure="score", bound="cdf", threshold=0.55, at_most=1).tolist() == [0.0]
    assert table.radius(measure="score", bound="cdf", threshold=-0.1)[0] == math.inf
    assert table.lower(measure="score", bound="cdf", radii=0.1 + 0.15).shape == (4, 1)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda t: t.lower(measure="score", bound="cdf", radii=0.3), f"does not hold radius 0.3; {HELD}"),
        (lambda t: t.lower(measure="score", bound="dual", radii=0.0), f"holds no dual bound on the score; {HELD}"),
        (lambda t: t.lower(measure="margin", bound="cdf", radii=0.0), f"holds no cdf bound on the margin; {HELD}"),
        (lambda t: t.radius(measure="score", bound="dual", threshold=0.5), "holds no dual bound"),
        (lambda t: t.upper(measure="score", bound="cdf", radii=0.0), f"holds no upper bounds; {HELD}"),
        (lambda t: t.smoothed("score"), f"does not hold the smoothed score itself; {HELD}"),
        (lambda t: t.class_radius(), f"holds no class radii; {HELD}"),
        (lambda t: bounds_table(t, alpha=0.01), "made at alpha=0.001 and cannot answer alpha=0.01"),
    ],
)
def test_what_a_log_of_bounds_cannot_answer_is_refused(kumar, ask, message):
    with pytest.raises(DataError, match=message):
        ask(bounds_table(kumar))


def test_what_a_log_of_radii_cannot_answer_is_refused(cohen):
    with pytest.raises(DataError, match="no cdf bound on the score; it holds class radii, which answer the measure"):
        bounds_table(cohen).lower(measure="score", bound="cdf", radii=0.0)
    with pytest.raises(DataError, match="alpha"):
        bounds_table(cohen, alpha=0.01)
    with pytest.raises(InvalidArgumentError, match="bound"):
        bounds_table(cohen).lower(measure="score", bound="best", radii=0.0)
    with pytest.raises(RunError, match="imported log: it holds published bounds and no samples"):
        cohen.records()


def test_class_radii_of_a_tiny_log(cohen):
    assert bounds_table(cohen).class_radius().tolist() == [0.378, 0.0, 0.95, 0.25]
    assert [p.value for p in class_certified_accuracy(cohen, radii=[0.0, 0.378, 0.5])] == [0.5, 0.5, 0.25]


def test_summary_leaves_out_what_is_not_held(kumar, tmp_path):
    found = summary(kumar)
    assert (found.inputs, found.accuracy.value, found.abstention.value) == (4, 0.5, 0.25)
    assert found.mean_class_radius is None
    assert found.means == {}
    assert found.n == 100_000
    run = import_log(write(tmp_path, "sigma_0.25.tsv", COHEN), out=tmp_path / "cohen", data="cifar10")
    assert summary(run).mean_class_radius.value == pytest.approx((0.378 + 0.95 + 0.25) / 4)


def test_an_interrupted_import_says_so(kumar, tmp_path):
    for part in (kumar.path / "parts").iterdir():
        part.unlink()
    with pytest.raises(DataError, match="import was interrupted; import the log again"):
        bounds_table(kumar)


def test_a_report_of_both_kinds(kumar, tmp_path):
    cohen = import_log(write(tmp_path, "sigma_0.25.tsv", COHEN), out=tmp_path / "cohen", data="cifar10")
    page = write_report([kumar, cohen], tmp_path / "report.html").read_text()
    assert "1 of 4 inputs are abstentions" in page
    assert "The log stops after 4 of 500 rows" in page
    assert "keep their" in page
    assert "smoothed score</th>" not in page
    assert "score ≥ at 0.25" in page
    assert "levels of the score grid" not in page
    with pytest.raises(DataError, match="holds none of the measures and bounds asked for; it holds the cdf and"):
        write_report([kumar], tmp_path / "report.html", bounds=["dual"])


def test_sampled_tables_answer_everything(tmp_path):
    config = RunConfig(spec=RunSpec.of(sigma=0.25, n0=1, n=1), model="m", data="d", num_classes=2)
    with RunStore(tmp_path / "run", config):
        pass
    answers = bounds_table(Run.open(tmp_path / "run")).answers
    assert answers.radii is None
    assert answers.upper
    assert answers.smoothed
    assert np.all(np.array(answers.measures) == ["score", "margin"])
