"""The paper's Figure 4 from published logs: a log of scores against the log of class radii of the same classifier."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from published_logs import COHEN, KUMAR, MARGIN, rows, write
from smoothcert.analysis import radius_correlation
from smoothcert.errors import DataError
from smoothcert.runs import import_log
from synthetic_runs import synthetic_run


def imported(folder, text, name):
    return import_log(write(folder, f"{name}.tsv", text), out=folder / name, data="cifar10")


@pytest.fixture
def pair(tmp_path):
    return imported(tmp_path, KUMAR, "pred_score-noise_0.25"), imported(tmp_path, COHEN, "sigma_0.25")


@pytest.mark.parametrize(
    ("bound", "named", "values"),
    [(None, "cdf", [0.704, 0.95, 0.9]), ("hoeffding", "hoeffding", [0.704, 0.95, 0.9])],
)
def test_the_certified_score_at_radius_0_against_the_class_radius(pair, bound, named, values):
    scores, radii = pair
    found = radius_correlation(scores, class_radii=radii, bound=bound)
    assert (found.measure, found.bound, found.named) == ("score", named, "certified score at radius 0")
    assert found.values.tolist() == values
    assert found.class_radius.tolist() == [0.378, 0.95, 0.25]
    assert found.right.tolist() == [True, True, False]
    assert (found.abstained, found.other_class, found.unshared, found.at_largest) == (1, 0, 0, 1)
    assert found.pearson.value == pytest.approx(pearsonr(values, [0.378, 0.95, 0.25])[0], abs=1e-12)
    assert found.spearman.value == pytest.approx(spearmanr(values, [0.378, 0.95, 0.25])[0], abs=1e-12)


def test_inputs_without_both_are_left_out_and_counted(tmp_path, pair):
    scores, _ = pair
    lines = COHEN.splitlines()
    other = "\n".join([lines[0], lines[1], lines[2], lines[3].replace("8\t8", "8\t5").replace("\t1\t", "\t0\t"), ""])
    found = radius_correlation(scores, class_radii=imported(tmp_path, other, "sigma_0.25-other"))
    assert (found.values.tolist(), found.abstained, found.other_class, found.unshared) == ([0.704], 1, 1, 1)
    assert found.pearson is None


def test_a_margin_log_and_one_that_abstains_alone(tmp_path, pair):
    found = radius_correlation(imported(tmp_path, MARGIN, "margin-noise_0.25"), measure="margin", class_radii=pair[1])
    assert (found.values.tolist(), found.named, found.abstained) == ([0.3], "certified margin at radius 0", 1)


def test_what_is_no_pair_is_refused(tmp_path, pair):
    scores, radii = pair
    with pytest.raises(DataError, match=r"holds no class radius to correlate the score with; .* as class_radii"):
        radius_correlation(scores)
    with pytest.raises(DataError, match="holds class radii"):
        radius_correlation(radii)
    with pytest.raises(DataError, match=r"at the run's sigma, 0\.25; got a run at 0\.5"):
        radius_correlation(scores, class_radii=imported(tmp_path, COHEN, "sigma_0.50"))
    other = imported(tmp_path, COHEN.replace("40\t8\t8\t0.95\t1", "40\t7\t8\t0.95\t0"), "sigma_0.25-labels")
    with pytest.raises(DataError, match="about the run's inputs; input 40 has another label"):
        radius_correlation(scores, class_radii=other)
    elsewhere = COHEN.replace("\n0\t", "\n1\t").replace("\n20\t", "\n21\t")
    elsewhere = imported(tmp_path, elsewhere.replace("\n40\t", "\n41\t").replace("\n60\t", "\n61\t"), "sigma_0.25-else")
    with pytest.raises(DataError, match="no index is in both"):
        radius_correlation(scores, class_radii=elsewhere)


def test_a_sampled_run_has_both_itself():
    run = synthetic_run([(20.0, 1.0), (6.0, 1.0), (4.0, 1.0), (1.0, 9.0)])
    itself = radius_correlation(run)
    assert (itself.bound, itself.named, itself.abstained, itself.unshared) == (None, "smoothed score", 1, 0)
    other = radius_correlation(run, class_radii=run)
    assert np.array_equal(other.values, itself.values)
    assert np.array_equal(other.class_radius, itself.class_radius)
    assert radius_correlation(run, bound="cdf").values.tolist() < itself.values.tolist()


@pytest.mark.parametrize(
    ("scores", "radii", "counts"),
    [
        ("cifar10-pred_score-noise_0.25", "cifar10-resnet110-sigma_0.25", (406, 94, 0)),
        ("cifar10-pred_score-noise_0.50", "cifar10-resnet110-sigma_0.50", (309, 191, 0)),
        ("cifar10-margin-noise_0.25", "cifar10-resnet110-sigma_0.25", (451, 49, 0)),
        ("imagenet-pred_score-noise_0.25", "imagenet-resnet50-sigma_0.25", (300, 127, 73)),
        ("imagenet-pred_score-noise_0.50", "imagenet-resnet50-sigma_0.50", (287, 213, 0)),
        ("imagenet-margin-noise_0.25", "imagenet-resnet50-sigma_0.25", (387, 40, 73)),
    ],
)
def test_published_logs_against_arithmetic_of_their_lines(shared, tmp_path, scores, radii, counts):
    files = [shared / "reference" / "kumar2020" / f"{scores}.tsv", shared / "reference" / "cohen2019" / f"{radii}.tsv"]
    runs = [import_log(file, out=tmp_path / file.stem) for file in files]
    measure = "margin" if "margin" in scores else "score"
    found = radius_correlation(runs[0], measure=measure, class_radii=runs[1])
    by_index = {row["idx"]: row for row in rows(files[1])}
    both = [(row, by_index[row["idx"]]) for row in rows(files[0]) if row["idx"] in by_index]
    kept = [(float(a["exp_cdf_00"]), float(b["radius"])) for a, b in both if "-1" not in (a["predict"], b["predict"])]
    values, class_radius = np.array(kept).T
    assert found.pearson.value == pytest.approx(pearsonr(values, class_radius)[0], abs=1e-12)
    assert found.spearman.value == pytest.approx(spearmanr(values, class_radius)[0], abs=1e-12)
    assert (found.values.size, found.abstained, found.unshared) == counts
    assert (found.other_class, found.bound) == (0, "cdf")
