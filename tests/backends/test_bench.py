"""The benchmark runs and fills its tables; what it measures is no matter of tests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def bench_on_path(monkeypatch) -> None:
    if not (ROOT / "bench").is_dir():
        pytest.skip("needs the benchmarks beside the tests, which an installed package does not have")
    monkeypatch.syspath_prepend(str(ROOT))


def tiny_suite():
    from bench.contenders import Round
    from bench.speed import Plan
    from bench.suite import Suite

    size = Round(8, 24, 16)
    return Suite(
        name="tiny",
        cpu=[Plan("digits", size, [("torch", "float32"), ("torch", "bfloat16")], repeats=1, best_backend=1.5)],
        gpu=[Plan("digits", Round(8, 24, 16, "cuda"), [("torch", "float32")], repeats=1)],
        counts=[40],
        sides=[8],
        classes=[10],
        inputs=[2],
        batch_sizes=[4],
        growth_samples=8,
        memory_counts=[20],
        profiled=size,
        backends=["torch"],
        kept=[("digits", "torch", 8, 32)],
        repeats=1,
        noise_repeats=1,
        noise_draws=200_000,
        with_memory=False,
    )


def test_a_whole_report_is_made_and_saved(tmp_path) -> None:
    from bench.suite import run_suite

    shown: list[str] = []
    report = run_suite(
        tiny_suite(),
        only=["digits", "breakdown", "growth", "allocator", "gpu"],
        threads=1,
        clock="wall",
        show=shown.append,
    )
    titles = [table.title for table in report.tables]
    assert titles[0].startswith("digits")
    assert len(titles) == 9
    for table in report.tables:
        assert table.rows
        assert all(len(row) == len(table.columns) for row in table.rows)
        assert table.markdown() in shown
    speed = report.tables[0]
    labels = [row[0] for row in speed.rows]
    assert "bare loop, torch, float32" in labels
    assert "smoothcert, torch, bfloat16, channels-last" in labels
    assert all(row[1] > 0 for row in speed.rows if row[0].startswith(("bare", "smoothcert")))
    assert "row against itself: " in speed.notes[-1]
    markdown, values = report.save(tmp_path)
    assert json.loads(values.read_text())["tables"][0]["rows"] == speed.rows
    assert "## Benchmark of" in markdown.read_text()


def test_the_saved_machine_has_no_names_of_hosts_or_paths() -> None:
    import platform

    from bench.machine import describe

    text = json.dumps(describe(2))
    assert str(Path.home()) not in text
    assert platform.node() not in text


def test_rounds_take_turns_and_a_slow_row_sits_out() -> None:
    from bench.rounds import ratio, take_turns

    calls: list[str] = []
    now = [0.0]

    def row(name: str, seconds: float):
        def run() -> None:
            calls.append(name)
            now[0] += seconds

        return run

    seconds = take_turns(
        {"fast": row("fast", 1.0), "slow": row("slow", 10.0)}, repeats=3, clock=lambda: now[0], slow=15
    )
    assert seconds == {"fast": [1.0] * 3, "slow": [10.0]}
    assert calls == ["slow", "fast", "slow", "fast", "fast", "fast"]
    assert ratio(seconds["slow"], seconds["fast"]) == 10.0


def test_the_interval_of_a_ratio_leaves_out_as_many_rounds_as_the_sign_test_allows() -> None:
    from bench.rounds import interval

    ratios = [float(value) for value in range(1, 16)]
    assert interval(ratios, [1.0] * 15) == (4.0, 12.0)  # misses the median with probability 3.5%
    assert interval([2.0, 3.0], [1.0, 1.0]) == (2.0, 3.0)


def test_what_is_compared_runs_next_to_each_other() -> None:
    from bench.contenders import BASELINE, Contender
    from bench.speed import _neighbours

    kinds = [("torch", True), ("onnxruntime", False)]
    samplers = [Contender("sampler", backend, channels_last=layout) for backend, layout in kinds]
    rows = [BASELINE, *(s.counterpart for s in samplers), *samplers, Contender("art")]
    assert _neighbours({row.label: row for row in rows}) == [
        BASELINE.label,
        samplers[0].counterpart.label,
        samplers[0].label,
        Contender("art").label,
        samplers[1].counterpart.label,
        samplers[1].label,
    ]


def test_noise_is_timed_beside_normal_and_has_its_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench import noise
    from bench.suite import run_suite

    monkeypatch.setattr(noise, "SHAPES", ((1, 8, 8),))
    report = run_suite(tiny_suite(), only=["noise"], threads=1, clock="cpu", show=lambda text: None)
    speed, distribution = report.tables
    assert [row[:2] for row in speed.rows][:2] == [["1x8x8", "normal_"], ["1x8x8", "step 1/255, sigma 0.25"]]
    assert len(speed.rows) == 1 + len(noise.LATTICES)
    assert [row[2] for row in distribution.rows] == [1_163, 2_323, 4_643]
    assert [check.met for check in report.checks][1:] == [True] * 3


def test_missed_targets_say_so() -> None:
    from bench.targets import Check, targets_table

    text = targets_table([Check("a", True, "1"), Check("b", False, "2"), Check("c", None, "")]).markdown()
    assert [line.split("|")[3].strip() for line in text.splitlines()[4:]] == ["met", "MISSED", "not measured"]


def test_the_overhead_target_compares_with_the_same_forward_pass() -> None:
    from bench.contenders import BASELINE, Contender, Round
    from bench.speed import Plan, _checks

    sampler = Contender("sampler", channels_last=True)
    art = Contender("art")
    seconds = {BASELINE.label: [3.0], sampler.counterpart.label: [0.9], sampler.label: [1.0], art.label: [0.5]}
    checks = _checks(
        Plan("net", Round(1, 1, 1), [("torch", "float32")], 1, best_backend=1.5),
        {c.label: c for c in (BASELINE, sampler.counterpart, sampler, art)},
        seconds,
    )
    assert [check.met for check in checks] == [False, False, True]  # 90% of its loop, slower than ART, 3 times eager


def test_the_peak_of_a_row_is_not_that_of_the_process_that_measures_it() -> None:
    from bench.contenders import Contender, Round
    from bench.memory import peak

    held = np.ones(250_000_000)  # 2 GB, in this process only
    used = peak("linear", Contender("sampler"), Round(8, 8, 8), threads=1)
    assert used is not None
    assert 50 < used < held.nbytes / 2**20
    assert peak("no such network", Contender("sampler"), Round(8, 8, 8), threads=1) is None
