"""What is measured at which size: the full suite, and a quick one that only shows that everything runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from bench import growth, machine
from bench.allocator import allocator
from bench.breakdown import breakdown
from bench.contenders import Round
from bench.networks import missing
from bench.noise import noise_distribution, noise_speed
from bench.outcome import Report
from bench.rounds import CLOCKS
from bench.speed import Plan, speed
from bench.table import Table
from bench.targets import Check, targets_table

EXPORTED = [("onnxruntime", "float32"), ("openvino", "float32")]
EAGER, HALF, OPENVINO_HALF = ("torch", "float32"), ("torch", "bfloat16"), ("openvino", "bfloat16")
# Noise is drawn in chunks of fixed size; rounds take whole ones, as a real n does but for the last.
CPU = [EAGER, ("torch-folded", "float32"), *EXPORTED]
GPU = [
    EAGER,
    ("torch-folded", "float32"),
    HALF,
    ("torch", "float16"),
    ("torch-compile", "bfloat16"),
    ("torch-cuda-graphs", "bfloat16"),
]
GPU_TARGET = 3.0


@dataclass(frozen=True)
class Suite:
    """Sizes of everything that is measured."""

    name: str
    cpu: Sequence[Plan]
    gpu: Sequence[Plan]
    counts: Sequence[int]
    sides: Sequence[int]
    classes: Sequence[int]
    inputs: Sequence[int]
    batch_sizes: Sequence[int]
    growth_samples: int
    memory_counts: Sequence[int]
    profiled: Round
    backends: Sequence[str]
    """Whose time is broken down, and which batch size suits whom."""
    kept: Sequence[tuple[str, str, int, int]]
    """What freed memory is kept for: network, backend, batch size, samples."""
    repeats: int
    noise_repeats: int
    noise_draws: int
    with_memory: bool


FULL = Suite(
    name="full",
    cpu=(
        Plan(
            "resnet20",
            Round(256, 768, 256),
            [*CPU, ("torch-compile", "float32"), HALF, OPENVINO_HALF],
            15,
            overhead=0.98,
            best_backend=1.5,
        ),
        Plan("resnet110", Round(256, 256, 64), [EAGER, EXPORTED[0], OPENVINO_HALF], 9),
        Plan("efficientnet-lite0", Round(64, 192, 8), [EAGER, EXPORTED[0], OPENVINO_HALF], 7, overhead=0.98),
    ),
    gpu=(
        Plan("resnet110", Round(2048, 30_720, 2048, "cuda"), GPU, 5),
        Plan("resnet50", Round(256, 3_840, 256, "cuda"), GPU, 5, best_backend=GPU_TARGET),
    ),
    counts=(1_000, 10_000, 100_000),
    sides=(32, 64, 96),
    classes=(10, 100, 1_000, 21_841),
    inputs=(1, 10, 100),
    batch_sizes=(16, 64, 256, 1024),
    growth_samples=512,
    memory_counts=(1_000, 10_000, 40_000),
    profiled=Round(256, 768, 256),
    backends=("torch", "onnxruntime", "openvino"),
    kept=(
        ("resnet20", "torch", 256, 1024),
        ("efficientnet-lite0", "torch", 8, 64),
    ),
    repeats=3,
    noise_repeats=21,
    noise_draws=10**8,
    with_memory=True,
)
QUICK = Suite(
    name="quick",
    cpu=(Plan("resnet20", Round(256, 256, 256), CPU, 2, best_backend=1.5),),
    gpu=(Plan("resnet50", Round(64, 192, 64, "cuda"), [EAGER, HALF], 2, best_backend=GPU_TARGET),),
    counts=(1_000, 4_000),
    sides=(32, 64),
    classes=(10, 21_841),
    inputs=(1, 10),
    batch_sizes=(64, 256),
    growth_samples=256,
    memory_counts=(1_000, 4_000),
    profiled=Round(256, 256, 256),
    backends=("torch", "onnxruntime"),
    kept=(("resnet20", "torch", 256, 512),),
    repeats=2,
    noise_repeats=5,
    noise_draws=10**6,
    with_memory=False,
)


def run_suite(
    suite: Suite, *, only: Sequence[str] | None, threads: int, clock: str, show: Callable[[str], object]
) -> Report:
    """Measure, and show each table when it is done."""
    report = Report(
        machine.describe(threads),
        {"suite": suite.name, "clock": clock, "load at the start": machine.load()},
    )
    tick = CLOCKS[clock]

    def add(table: Table, checks: Sequence[Check] = ()) -> None:
        report.tables.append(table)
        report.checks.extend(checks)
        show(table.markdown())

    def wanted(part: str) -> bool:
        return not only or part in only

    show("\n".join(f"- {name}: {value}" for name, value in (*report.machine.items(), *report.settings.items())) + "\n")
    if wanted("noise"):
        for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
            add(*noise_speed(repeats=suite.noise_repeats, clock=tick, device=device))
        add(*noise_distribution(suite.noise_draws))
    for plan in suite.cpu:
        if wanted(plan.network):
            add(*speed(plan, clock=tick, threads=threads, with_memory=suite.with_memory))
    if wanted("breakdown"):
        add(breakdown("resnet20", suite.profiled, suite.backends, clock=tick))
    if wanted("growth"):
        add(*growth.with_n(suite.counts, repeats=suite.repeats, clock=tick))
        sizes = {"samples": suite.growth_samples, "repeats": suite.repeats, "clock": tick}
        add(growth.with_image_size(suite.sides, **sizes))
        add(growth.with_classes(suite.classes, **sizes))
        add(growth.with_batch_size(suite.batch_sizes, suite.backends, **{**sizes, "samples": 2 * suite.growth_samples}))
        add(growth.with_inputs(suite.inputs, n=256, repeats=suite.repeats, clock=tick))
    if wanted("allocator"):
        add(allocator([c for c in suite.kept if not missing(c[0])], repeats=suite.repeats, threads=threads))
    if wanted("memory"):
        add(*growth.memory_with_n(suite.memory_counts, threads=threads))
    for plan in suite.gpu:
        if wanted("gpu"):
            add(*_on_gpu(plan, threads=threads, with_memory=suite.with_memory))
    show(targets_table(report.checks).markdown())
    return report


def _on_gpu(plan: Plan, *, threads: int, with_memory: bool) -> tuple[Table, list[Check]]:
    """The same table on a GPU, or a row that says that there is none."""
    if torch.cuda.is_available():
        return speed(plan, clock=CLOCKS["wall"], threads=threads, with_memory=with_memory)
    table = Table(f"{plan.network} on a GPU", ("row", "samples/s"), [["not measured: no CUDA device", None]])
    return table, [Check(f"{plan.network} on a GPU", None, "not measured: no CUDA device")]
