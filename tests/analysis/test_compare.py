from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar
from statsmodels.stats.proportion import confint_proportions_2indep

from published_logs import COHEN, KUMAR, write
from smoothcert.analysis import bounds_table, certified_accuracy, compare, paired_difference, unpaired_difference
from smoothcert.errors import DataError, InvalidArgumentError
from smoothcert.runs import import_log
from synthetic_runs import mixed_run, synthetic_run

Z = 1.959963984540054


def slow_interval(only_first: int, only_second: int, n: int) -> tuple[float, float]:
    """Tango's interval with the likelihood maximized by search instead of in closed form."""

    def statistic(d: float) -> float:
        def negative_log_likelihood(p: float) -> float:
            cells = ((only_second, p + d), (only_first, p), (n - only_first - only_second, 1 - d - 2 * p))
            return -sum(count * math.log(max(q, 1e-300)) for count, q in cells if count)

        grid = np.linspace(max(0.0, -d), (1 - d) / 2, 2001)
        at = int(np.argmin([negative_log_likelihood(p) for p in grid]))
        ends = (grid[max(at - 1, 0)], grid[min(at + 1, grid.size - 1)])
        p = minimize_scalar(negative_log_likelihood, bounds=ends, method="bounded", options={"xatol": 1e-12}).x
        return (only_second - only_first - n * d) / math.sqrt(n * (2 * p + d * (1 - d)))

    value = (only_second - only_first) / n
    low = brentq(lambda d: statistic(d) - Z, -0.999, value - 1e-9, xtol=1e-8)
    return low, brentq(lambda d: statistic(d) + Z, value + 1e-9, 0.999, xtol=1e-8)


@pytest.mark.parametrize("counts", [(2, 12, 50), (5, 5, 30), (7, 0, 100), (0, 1, 500)])
def test_paired_intervals_against_the_likelihood(counts):
    found = paired_difference(only_first=counts[0], only_second=counts[1], inputs=counts[2])
    assert (found.ci_low, found.ci_high) == pytest.approx(slow_interval(*counts), abs=1e-6)
    assert found.method == "tango"


@pytest.mark.parametrize("counts", [(48, 80, 56, 70), (0, 30, 0, 20), (30, 30, 0, 12), (1, 7, 6, 7)])
def test_unpaired_intervals_against_statsmodels(counts):
    first, m, second, n = counts
    found = unpaired_difference(first, m, second, n)
    expected = confint_proportions_2indep(second, n, first, m, compare="diff", method="newcomb")
    assert (found.ci_low, found.ci_high) == pytest.approx([max(expected[0], -1), min(expected[1], 1)], abs=1e-9)


@pytest.mark.parametrize(("first", "second", "n"), [(0, 0, 50), (50, 0, 50), (0, 50, 50), (0, 0, 1), (1, 0, 1)])
def test_paired_intervals_at_the_edges(first, second, n):
    found = paired_difference(only_first=first, only_second=second, inputs=n)
    mirrored = paired_difference(only_first=second, only_second=first, inputs=n)
    assert -1.0 <= found.ci_low <= found.value <= found.ci_high <= 1.0
    assert found.ci_low < found.ci_high
    assert (found.ci_low, found.ci_high) == pytest.approx((-mirrored.ci_high, -mirrored.ci_low), abs=1e-9)


def test_paired_intervals_cover():
    generator = np.random.default_rng(0)
    for p_first, p_second in ((0.02, 0.1), (0.0, 0.05), (0.2, 0.2)):
        draws = generator.multinomial(60, [p_first, p_second, 1 - p_first - p_second], size=400)
        found = [paired_difference(only_first=int(a), only_second=int(b), inputs=60) for a, b, _ in draws]
        covered = np.mean([d.ci_low <= p_second - p_first <= d.ci_high for d in found])
        assert covered > 0.92
        if p_first == 0.0:
            assert np.mean([d.ci_high - d.ci_low for d in found]) < 0.2


@pytest.mark.parametrize(
    "ask",
    [
        lambda: paired_difference(only_first=3, only_second=3, inputs=5),
        lambda: paired_difference(only_first=-1, only_second=3, inputs=5),
        lambda: unpaired_difference(6, 5, 1, 5),
    ],
)
def test_impossible_counts_are_refused(ask):
    with pytest.raises(InvalidArgumentError):
        ask()


@pytest.fixture(scope="module")
def tables():
    return [bounds_table(mixed_run(30, seed=seed, n=n)) for seed, n in ((0, 1_000), (1, 4_000))]


def test_rows_are_certified_accuracies_and_paired_differences(tables):
    found = compare(tables, ["few", "many"], bounds=["cdf", "hoeffding"], radii=[0.0, 0.25], thresholds=[0.5, 0.7])
    assert [str(line) for line in found.contenders] == [
        "few (cdf)",
        "few (hoeffding)",
        "many (cdf)",
        "many (hoeffding)",
    ]
    assert found.notes == (
        "many and few are paired on 30 of 30 inputs, by id, though the classifiers saw them prepared in different ways",
    )
    assert len(found.rows) == 2 * 2 * 4
    by_name = dict(zip(("few", "many"), tables, strict=True))
    first = None
    for row in found.rows:
        table = by_name[row.contender.run]
        (expected,) = certified_accuracy(
            table, measures=["score"], bounds=[row.contender.bound], radii=row.radius, thresholds=row.threshold
        )
        assert row.accuracy.value == expected.certified_accuracy
        if row.contender == found.contenders[0]:
            assert row.difference is None
            first = table, row
            continue
        kept = []
        for one, line in ((first[0], found.contenders[0]), (table, row.contender)):
            lower = one.lower(measure="score", bound=line.bound, radii=row.radius)[:, 0]
            kept.append(one.inputs.right & (lower > row.threshold))
        both = paired_difference(
            only_first=int(np.sum(kept[0] & ~kept[1])), only_second=int(np.sum(kept[1] & ~kept[0])), inputs=30
        )
        assert row.difference == both
        assert row.difference.value == pytest.approx(row.accuracy.value - first[1].accuracy.value)


def test_other_inputs_are_unpaired_and_said_so(tables):
    other = bounds_table(synthetic_run([(20.0, 1.0)] * 12, labels=[3] * 12))
    found = compare([tables[0], other], ["a", "b"], bounds=["cdf"], radii=0.0, thresholds=0.5)
    assert found.rows[1].difference.method == "newcombe"
    assert found.notes[0].startswith("b and a are unpaired: their inputs are not known to be the same")


def test_a_part_of_the_inputs_is_paired_over_that_part(tables):
    part = mixed_run(30)
    del part.rows[7], part.rows[20:]
    found = compare([tables[0], bounds_table(part)], ["a", "b"], bounds=["cdf"], radii=0.0, thresholds=0.5)
    assert found.rows[1].difference.inputs == 20
    assert found.rows[1].accuracy.inputs == 20
    assert found.notes == ("b and a are paired on 20 of 30 inputs, by content",)


def test_few_agreeing_labels_are_no_proof(tables):
    few = synthetic_run([(20.0, 1.0)] * 3, ids=["x", "y", "z"], seed=1)
    first = synthetic_run([(20.0, 1.0)] * 3)
    found = compare([bounds_table(first), bounds_table(few)], ["a", "b"], bounds=["cdf"], radii=0.0, thresholds=0.5)
    assert found.rows[1].difference.method == "newcombe"


def test_logs_and_runs_side_by_side(tables, tmp_path):
    score = import_log(write(tmp_path, "cifar10-pred_score-noise_0.25.tsv", KUMAR), out=tmp_path / "kumar")
    radii = import_log(write(tmp_path, "cifar10-sigma_0.25.tsv", COHEN), out=tmp_path / "cohen", alpha=0.01)
    logs = [bounds_table(score), bounds_table(radii)]
    found = compare([tables[0], *logs], ["run", "kumar", "cohen"], bounds=["dual", "cdf"], radii=0.25, thresholds=0.5)
    assert [str(line) for line in found.contenders] == ["run (dual)", "run (cdf)", "kumar (cdf)"]
    assert found.notes[0].startswith("kumar and run are unpaired")
    assert found.notes[1:3] == (
        "kumar does not hold the dual bound on the score",
        "cohen is left out: it does not hold the dual or cdf bound on the score",
    )
    by_class = compare([tables[0], *logs], ["run", "kumar", "cohen"], measure="class", radii=[0.0, 0.3], thresholds=0.5)
    assert [str(line) for line in by_class.contenders] == ["run (clopper_pearson)", "cohen (clopper_pearson)"]
    assert {row.threshold for row in by_class.rows} == {None}
    assert [row.accuracy.value for row in by_class.rows if row.contender.run == "cohen"] == [0.5, 0.5]
    assert by_class.notes[-1] == "the failure probabilities alpha differ: run 0.001, cohen 0.01"
    with pytest.raises(DataError, match="none of kumar holds the dual bound on the score"):
        compare(logs[:1], ["kumar"], bounds=["dual"], radii=0.0, thresholds=0.5)
    with pytest.raises(DataError, match=r"does not hold radius 0\.1"):
        compare(logs[:1], ["kumar"], radii=0.1, thresholds=0.5)


@pytest.mark.parametrize("options", [{"names": ["a", "a"]}, {"names": ["a"]}, {"bounds": ["best"]}, {"radii": -1.0}])
def test_bad_questions_are_refused(tables, options):
    asked = {"names": ["a", "b"], "radii": 0.0, "thresholds": 0.5} | options
    with pytest.raises(InvalidArgumentError):
        compare(tables, asked.pop("names"), **asked)
