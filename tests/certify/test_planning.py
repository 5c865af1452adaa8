from __future__ import annotations

import json

import numpy as np
import pytest

from command_line import ask, refused
from runs.synthetic import ArraySource
from smoothcert.certify import RunSpec
from smoothcert.certify.planning import STORED_PER_SECOND, Estimate, mean_until_decided, plan_run, spread
from smoothcert.data import Dataset
from smoothcert.errors import DataError, InvalidArgumentError

from .tiny_model import tiny_model


def plan(data=None, *, seconds=0.2, **options):
    spec = RunSpec.of(**{"sigma": 0.25, "n": 200, "n0": 20, "device": "cpu", **options})
    return plan_run(spec, seconds=seconds, model=tiny_model(), data=data or Dataset(ArraySource()))


@pytest.mark.parametrize("count", [1, 2, 7, 64, 1_000])
def test_every_beginning_of_the_order_is_spread_over_the_data(count):
    order = list(spread(count))
    assert sorted(order) == list(range(count))
    for taken in (8, 50):
        if taken < count:
            gaps = np.diff(sorted([-1, *order[:taken], count]))
            assert gaps.max() <= 2.01 * count / taken + 1


def heavy(generator, inputs: int, most: int = 100_000):
    """Samples of inputs whose distances from the threshold are all equally frequent: 1/4 take more than 500."""
    return np.minimum(np.maximum(32, 500 / (4 * generator.uniform(size=inputs)) ** 2), most).astype(np.int64)


@pytest.mark.parametrize(("cap", "inputs"), [(1_000, 100), (10_000, 100), (100_000, 100), (1_000, 10**5)])
def test_the_mean_of_a_heavy_tail_is_within_its_range(cap, inputs):
    generator, inside, values = np.random.default_rng(0), 0, []
    expected = heavy(generator, 10**6).mean()
    for _ in range(100):
        n = heavy(generator, 60)
        found = mean_until_decided(np.minimum(n, cap), n <= cap, cap=cap, most=100_000, inputs=inputs)
        assert found.low <= found.value <= found.high
        inside += found.low <= heavy(generator, inputs).mean() <= found.high
        values.append(found.value)
    assert inside >= 80  # of 100: about 95%, less what the law of the tail is off
    assert np.mean(values) == pytest.approx(expected, rel=0.15)


def test_inputs_that_are_all_settled_at_once_still_may_have_a_tail():
    settled = np.ones(20, bool)
    found = mean_until_decided(np.full(20, 32), settled, cap=100_000, most=100_000, inputs=10_000)
    assert (found.value, found.low) == (32.0, 32.0)
    assert 50 < found.high < 1_000
    alone = mean_until_decided(np.array([1_000]), np.array([False]), cap=1_000, most=100_000, inputs=1)
    assert alone.value == pytest.approx(2 * (1_000 * 100_000) ** 0.5 - 1_000)


def test_a_plan_says_what_the_run_takes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = plan()
    assert list(tmp_path.iterdir()) == []
    fixed, decided = found.fixed, found.decided
    assert (found.model, found.device, found.failed) == ("tiny", "cpu", 0)
    assert (fixed.question, decided.question) == (None, "score:0.5@0.25")
    assert (fixed.inputs, decided.inputs) == (12, 12)
    assert fixed.samples == Estimate(220, 220, 220)
    assert 21 <= fixed.most <= 220
    assert 132 <= decided.samples.low <= decided.samples.value <= decided.samples.high <= 100_100
    for cost in (fixed, decided):
        assert 1 <= cost.looked_at <= 12
        assert 0 < cost.rate.low <= cost.rate.value <= cost.rate.high
        assert 0 < cost.seconds.low <= cost.seconds.value <= cost.seconds.high
        assert 200 < cost.record.value < 20_000
        assert cost.device_hours.value == pytest.approx(12 * cost.seconds.value / 3600)
        assert cost.wall_seconds(1).value == pytest.approx(max(12 * cost.seconds.value, 12 / STORED_PER_SECOND))
        assert cost.wall_seconds(10**6).value == pytest.approx(12 / STORED_PER_SECOND)


def test_a_question_that_is_given_is_planned_beside_the_usual_number():
    found = plan(n=None, n0=None, decide="margin:0.2@0.1", max_n=500)
    assert (found.fixed.samples.value, found.decided.question) == (10_000, "margin:0.2@0.1")
    assert found.decided.most <= 600


def test_without_the_score_the_class_is_asked_about():
    assert plan(measure=["margin"]).decided.question == "class@0.25"


def test_inputs_that_cannot_be_read_are_counted():
    assert plan(Dataset(ArraySource(unreadable=range(0, 12, 3)))).failed >= 1


def test_nothing_that_can_be_read_is_an_error():
    with pytest.raises(DataError, match="no input of arrays can be read"):
        plan(Dataset(ArraySource(unreadable=range(12))))


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_the_time_must_be_one(seconds):
    with pytest.raises(InvalidArgumentError, match="seconds must be a positive number"):
        plan_run(RunSpec.of(sigma=0.25), seconds=seconds)


def test_on_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text("model: digits\ndata: digits\nsigma: 0.25\nn: 400\nn0: 100\n")
    asked = ("plan", "--config", "run.yaml", "--limit", 40, "--seconds", 0.3)
    told = ask(capsys, *asked, "--for-workers", "1,16")
    assert "digits on digits, 40 inputs, sigma 0.25, on cpu" in told
    assert "score:0.5@0.25 decided" in told
    rows = {line.split("  ")[0].strip(): line.split()[-1] for line in told.splitlines() if line}
    assert {"samples per input", "device-hours", "time, 1 worker", "time, 16 workers", "disk"} <= rows.keys()
    found = json.loads(ask(capsys, *asked, "--format", "json"))
    fixed, decided = found["ways"]
    assert (fixed["samples"]["value"], decided["question"]) == (500, "score:0.5@0.25")
    assert set(fixed["wall_seconds"]) == {"1", "8", "64"}
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]
    for workers in ("0", "1.5", "many"):
        assert "--for-workers must be" in refused(capsys, *asked, "--for-workers", workers)


def test_however_short_the_time_one_input_is_looked_at():
    assert plan(seconds=1e-9).fixed.looked_at == 1


@pytest.mark.parametrize("measures", [("vote",), ("lead",)])
def test_runs_without_histograms_of_measures_are_planned(measures):
    assert plan(measure=measures).fixed.looked_at >= 1
