"""Bytes an input on disk, and inputs a second written and read: ``python bench/storage.py [--inputs 50000]``.

Histograms are of Beta-distributed scores at n = 10,000, from sure to unsure, on the default grid of 10,000 levels.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from smoothcert.files import write_atomically
from smoothcert.histogram import ScoreHistogram
from smoothcert.runs import Record, Run, RunConfig, RunStore
from smoothcert.runs.part import encode_part, part_name
from smoothcert.runs.records import to_table
from smoothcert.runs.store import MERGE_EVERY
from smoothcert.samples import Samples, StageHistograms
from smoothcert.scores import MARGIN, SCORE, Measure
from smoothcert.spec import RunSpec

N0, N, CLASSES = 500, 10_000, 10
CONFIG = RunConfig(spec=RunSpec.of(sigma=0.25, n0=N0, n=N), model="bench", data="bench", num_classes=CLASSES)
SHAPES = {"sure": (60.0, 0.5), "fairly sure": (20.0, 1.0), "unsure": (5.0, 1.0), "torn": (0.5, 0.2)}


def make_samples(shape: tuple[float, float], seed: int) -> Samples:
    generator = np.random.default_rng(seed)
    scores = generator.beta(*shape, size=N0 + N)

    def stages(measure: Measure) -> StageHistograms:
        values = measure.lower + (measure.upper - measure.lower) * scores
        return StageHistograms(
            *(
                ScoreHistogram.from_samples(stage, lower=measure.lower, upper=measure.upper)
                for stage in (values[:N0], values[N0:])
            )
        )

    votes = [np.bincount((part < 0.5).astype(int), minlength=CLASSES) for part in (scores[:N0], scores[N0:])]
    return Samples(
        0, 0.25, 0, f"{generator.integers(2**63):064x}", *votes, {m.name: stages(m) for m in (SCORE, MARGIN)}
    )


@contextmanager
def timed(what: str, inputs: int) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds = time.perf_counter() - start
    print(f"{what:<44} {inputs / seconds:>12,.0f} inputs/s {seconds:>9.2f} s for {inputs:,}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=50_000, help="inputs of the run that is read")
    parser.add_argument("--appended", type=int, default=1_024, help="inputs appended one by one")
    arguments = parser.parse_args()

    print(f"bytes an input, n0 = {N0:,}, n = {N:,}, both measures")
    for name, shape in SHAPES.items():
        records = [Record(i, f"test.parquet:{i}", 0, 1.0, make_samples(shape, i)) for i in range(MERGE_EVERY)]
        merged = len(encode_part(to_table(records), CONFIG)) / len(records)
        single = len(encode_part(to_table(records[:1]), CONFIG, compact=False))
        print(f"  {name:<12} Beta{shape}: {merged:,.0f} merged, {single:,} on its own")

    pool = [make_samples(shape, seed) for seed in range(16) for shape in SHAPES.values()]
    chosen = itertools.cycle(pool)
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "small", Path(folder) / "large"
        with RunStore(small, CONFIG) as store, timed("append, each durable, merges included", arguments.appended):
            for index in range(arguments.appended):
                store.append(Record(index, f"test.parquet:{index}", 0, 1.0, next(chosen)))

        RunStore(large, CONFIG).close()
        for first in range(0, arguments.inputs, MERGE_EVERY):
            indices = range(first, min(first + MERGE_EVERY, arguments.inputs))
            records = [Record(i, f"test.parquet:{i}", 0, 1.0, next(chosen)) for i in indices]
            part = large / "parts" / part_name(indices[0], indices[-1])
            write_atomically(part, encode_part(to_table(records), CONFIG))
        size = sum(path.stat().st_size for path in (large / "parts").iterdir())
        print(f"a run of {arguments.inputs:,} inputs takes {size / 1e6:,.0f} MB")
        run = Run.open(large)
        with timed("count", arguments.inputs):
            len(run)
        with timed("read index, label, prediction", arguments.inputs):
            few_columns = sum(table.nbytes for table in run.tables(["index", "label", "prediction"]))
        with timed("read all columns", arguments.inputs):
            every_column = sum(table.nbytes for table in run.tables())
        print(f"in memory: {few_columns / 1e6:,.1f} MB of these columns, {every_column / 1e6:,.0f} MB of all")
        few = min(arguments.inputs, 5_000)
        with timed("read as records", few):
            for _ in itertools.islice(run.iter_records(), few):
                pass
        with timed("read one record", 1):
            run.record(arguments.inputs // 2)


if __name__ == "__main__":
    main()
