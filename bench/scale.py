"""Runs of many inputs: time to open one and to answer a query, and peak memory: ``make bench-scale``.

Histograms are drawn from the scores of real CIFAR-10 images in ``bench/data``, n0 = 500 and n = 10,000, on the default
grid. Every row is a process of its own. Times of one process are of the processor, which depend less than the clock
on what else the machine is doing; those of several are by the clock, and include opening the run.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from bench.distributions import REAL_SCORES
from bench.memory import peak_of_this_process
from bench.processes import in_own_process
from bench.table import Table
from smoothcert.analysis import bounds_table, certified_accuracy, set_workers
from smoothcert.files import write_atomically
from smoothcert.histogram import ScoreHistogram
from smoothcert.runs import Record, Run, RunConfig, RunStore
from smoothcert.runs.part import encode_part, part_name
from smoothcert.runs.records import to_table
from smoothcert.runs.store import MERGE_EVERY
from smoothcert.samples import Samples, StageHistograms
from smoothcert.scores import MEASURES
from smoothcert.spec import RunSpec

N0, N, CLASSES, SIGMA = 500, 10_000, 10, 0.25
RADII = [0.0, 0.1, 0.25, 0.375, 0.5, 0.75, 1.0]
THRESHOLDS = [0.5, 0.7, 0.9]
BOUNDS = ("dual", "cdf", "hoeffding")


def drawn_samples(image: str, stored: dict[str, np.ndarray], rng: np.random.Generator) -> Samples:
    """What a run would hold of one image, drawn from its distributions."""
    stages = {}
    for name, measure in MEASURES.items():
        masses = stored[f"{name}_{image}"] / stored[f"{name}_{image}"].sum()
        pair = (ScoreHistogram(rng.multinomial(n, masses), measure.lower, measure.upper) for n in (N0, N))
        stages[name] = StageHistograms(*pair)
    votes = []
    for histogram in (stages["margin"].pilot, stages["margin"].sample):
        right = int(histogram.counts[histogram.points > 0.0].sum())
        votes.append(np.array([right, histogram.n - right, *[0] * (CLASSES - 2)]))
    return Samples(0, SIGMA, 0, f"{rng.integers(2**63):064x}", *votes, stages)


def write_run(folder: Path, inputs: int) -> Run:
    """A finished run; its parts hold the same histograms, each part's inputs different ones."""
    stored = dict(np.load(REAL_SCORES))
    images = sorted({key.split("_", 1)[1] for key in stored})
    rng = np.random.default_rng(0)
    samples = [drawn_samples(images[i % len(images)], stored, rng) for i in range(min(MERGE_EVERY, inputs))]
    table = to_table([Record(i, "", int(rng.random() < 0.1), 1.0, one) for i, one in enumerate(samples)])
    config = RunConfig(spec=RunSpec.of(sigma=SIGMA, n0=N0, n=N), model="bench", data="bench", num_classes=CLASSES)
    RunStore(folder, config).close()
    for first in range(0, inputs, MERGE_EVERY):
        part = table.slice(0, inputs - first)
        indices = np.arange(first, first + part.num_rows)
        for position, column in (("index", pa.array(indices)), ("id", pa.array([f"test:{i}" for i in indices]))):
            at = part.schema.get_field_index(position)
            part = part.set_column(at, part.schema.field(at), column)
        write_atomically(folder / "parts" / part_name(first, int(indices[-1])), encode_part(part, config))
    return Run.open(folder)


def answer(folder: Path) -> dict[str, float]:
    """Processor seconds of each step, seconds by the clock with all processors, and megabytes at the peak of one."""
    found: dict[str, float] = {}

    def timed(what: str, step: Callable[[], object]) -> object:
        start = time.process_time()
        result = step()
        found[what] = time.process_time() - start
        return result

    table = timed("open", lambda: bounds_table(Run.open(folder)))
    asked = {"measures": ["score"], "radii": RADII, "thresholds": THRESHOLDS}
    for bound in BOUNDS:
        timed(bound, lambda bound=bound: certified_accuracy(table, bounds=[bound], **asked))
    peak = peak_of_this_process()
    set_workers(os.cpu_count() or 1)
    for what, bounds in (("dual by all", ["dual"]), ("every by all", BOUNDS)):
        start = time.perf_counter()
        certified_accuracy(bounds_table(Run.open(folder)), bounds=bounds, **asked)
        found[what] = time.perf_counter() - start
    return {**found, "peak": peak}


def scale(counts: list[int]) -> Table:
    """One row a number of inputs."""
    columns = (
        "inputs",
        "on disk, MB",
        "open, s",
        *(f"{bound}, s" for bound in BOUNDS),
        "dual, ms an input",
        f"dual by {os.cpu_count()} processes, s",
        f"all three by {os.cpu_count()}, s",
        "peak, MB",
    )
    table = Table(f"Certified accuracy at {len(RADII)} radii, processor time", columns)
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            run = write_run(Path(folder) / "run", count)
            size = sum(path.stat().st_size for path in (run.path / "parts").iterdir()) / 1e6
            done = in_own_process("bench.scale", "--answer", str(run.path), threads=1)
        found = json.loads(done.stdout)
        each = 1e3 * found["dual"] / count
        by_all = [found["dual by all"], found["every by all"]]
        table.rows.append([count, size, found["open"], *(found[b] for b in BOUNDS), each, *by_all, found["peak"]])
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, nargs="+", default=[1_000, 10_000, 50_000])
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.answer:
        print(json.dumps(answer(arguments.answer)))
    else:
        print(scale(arguments.inputs).markdown())


if __name__ == "__main__":
    main()
