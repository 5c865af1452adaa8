"""What a cluster costs beside the sampling: per input, per worker, and in the one process that stores.

python -m bench.engines                  a few minutes; on a machine that does nothing else
python -m bench.engines --inputs 500     less of everything
"""

from __future__ import annotations

import argparse
import os
import pickle
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import ray
import torch

from bench import machine
from bench.storage import CONFIG, SHAPES, make_samples
from bench.table import Table
from smoothcert.certify import RunSpec, certify_run
from smoothcert.certify.engine import Engine, LocalEngine, Task
from smoothcert.certify.prepare import prepare
from smoothcert.progress import Reporter
from smoothcert.runs import Record, RunStore

SPEC = RunSpec.of(sigma=0.25, n0=16, n=48, batch_size=64, device="cpu", noise="float")
HEAVY = SPEC.vary(n0=64, n=448)
TOGETHER = 64
"""Records that a worker sends at once at most."""


class Free(torch.nn.Module):
    """A classifier that costs nothing."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack((x.flatten(1)[:, 0], x.flatten(1)[:, 1]), dim=1)


class Sleeping(Free):
    """One that leaves the processor alone for a while, as a GPU does."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(0.02)
        return super().forward(x)


class Busy(Free):
    """One that keeps a processor busy for a while."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        until = time.thread_time() + 0.02
        while time.thread_time() < until:
            torch.ones(1000).sum()
        return super().forward(x)


@dataclass(frozen=True)
class Cost:
    """Seconds: by the clock, of this process's processor time, and of that of others."""

    wall: float
    cpu: float
    others: float


@contextmanager
def timed(others: Sequence[int] = ()) -> Iterator[Callable[[], Cost]]:
    wall, cpu, theirs = time.perf_counter(), time.process_time(), sum(map(processor_time, others))
    yield lambda: Cost(time.perf_counter() - wall, time.process_time() - cpu, sum(map(processor_time, others)) - theirs)


def processor_time(pid: int) -> float:
    """Of another process, in seconds; Linux only."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def inputs(count: int) -> np.ndarray:
    return np.random.default_rng(0).random((count, 1, 2, 2), dtype=np.float32)


def engine_of(spec: RunSpec, module: torch.nn.Module, count: int) -> Engine:
    given = {"model": module, "data": inputs(count), "reporter": Reporter()}
    if spec.execution.engine == "local":
        return LocalEngine(prepare(spec, **given))
    from smoothcert.certify.ray_engine import RayEngine

    return RayEngine(spec, **given)


def sampled(spec: RunSpec, module: torch.nn.Module, count: int, *, store: bool) -> Cost:
    """One pass over inputs by an engine whose workers are all ready."""
    with closing(engine_of(spec, module, count)) as engine, tempfile.TemporaryDirectory() as folder:
        await_workers(engine)
        for _ in engine.finished(map(Task, range(8 * engine.workers)), progress=lambda drawn: None):
            pass  # warms up
        with timed(processes(engine)) as cost, RunStore(Path(folder) / "run", engine.config) as target:
            done = 0
            for records in engine.finished(map(Task, range(count)), progress=lambda drawn: None):
                done += len(records)
                if store:
                    target.append(*records)
            if done != count:
                raise RuntimeError(f"{count} inputs gave {done} records")
            return cost()


def processes(engine: Engine) -> list[int]:
    """Of the workers."""
    crew = getattr(engine, "_crew", None)
    return [] if crew is None else [int(re.search(r"process (\d+)", m.outline.where)[1]) for m in crew.ready]


def await_workers(engine: Engine) -> None:
    crew = getattr(engine, "_crew", None)
    while crew is not None and len(crew.ready) < len(crew.members):
        for member, news in crew.poll():
            crew.take(member, news)


def overhead(count: int) -> Table:
    """Milliseconds per input with a classifier that costs nothing."""
    table = Table(
        f"Milliseconds per input, of {count:,} inputs with a classifier that costs nothing",
        ("engine", "stored", "by the clock", "processor time, all", "of it in the storing process"),
    )
    found = {}
    for name, spec in (("local", SPEC), ("ray, 1 worker", SPEC.vary(engine="ray", workers=1))):
        for store in (False, True):
            cost = found[name, store] = sampled(spec, Free(), count, store=store)
            cells = (cost.wall, cost.cpu + cost.others, cost.cpu)
            table.rows.append([name, "yes" if store else "no", *(1e3 * seconds / count for seconds in cells)])
    local, ray = (found[name, False] for name in ("local", "ray, 1 worker"))
    added = 1e3 * (ray.cpu + ray.others - local.cpu) / count
    table.notes.append(
        f"Beside sampling, the Ray engine takes {added:.2f} ms of processor time per input in all processes (target: "
        "at most 3), and by the clock what is not done at the same time as the sampling."
    )
    return table


def start_ray(cpus: int, *, tries: int = 5) -> None:
    """On this machine, which may be so busy that it takes several tries."""
    try:
        ray.init("local", num_cpus=cpus, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    except Exception:
        ray.shutdown()
        if tries == 1:
            raise
        start_ray(cpus, tries=tries - 1)


def scaling(count: int) -> Table:
    """How much faster several workers are than one."""
    table = Table(
        "Workers against one worker, same inputs",
        ("classifier", "workers", "seconds", "times as fast", "of the ideal"),
        notes=[
            "The first classifier waits, as for a GPU, so that workers do not compete for processors; the second keeps "
            "one busy, of which this machine has as many as said above, with the storing process beside them."
        ],
    )
    for module, name, crews in ((Sleeping(), "waits", (1, 2, 4)), (Busy(), "computes", (1, 2))):
        first = 0.0
        for workers in crews:
            start_ray(workers)
            try:
                wall = sampled(HEAVY.vary(engine="ray", workers=workers), module, count, store=True).wall
            finally:
                ray.shutdown()
            first = first or wall
            table.rows.append([name, workers, wall, first / wall, f"{first / wall / workers:.0%}"])
    return table


def storing(count: int) -> Table:
    """What one process can store, whoever samples: records as workers send them, at n = 10,000."""
    table = Table(
        "What the storing process can take, records at n0 + n = 10,500",
        ("records at a time", "records/s by the clock", "records/s of processor time"),
    )
    shapes = list(SHAPES.values())
    distinct = [Record(at, f"image {at}", 1, 0.1, make_samples(shapes[at % 4], at)) for at in range(64)]
    for together in (1, TOGETHER):
        sent = [
            pickle.dumps([replace(distinct[at % 64], index=at) for at in range(start, min(count, start + together))])
            for start in range(0, count, together)
        ]
        with tempfile.TemporaryDirectory() as folder, timed() as cost:
            with RunStore(Path(folder) / "run", CONFIG) as store:
                for content in sent:
                    store.append(*pickle.loads(content))
            spent = cost()
        table.rows.append([together, count / spent.wall, count / spent.cpu])
    size = len(pickle.dumps(distinct)) / len(distinct)
    table.notes.append(
        f"A record travels as {size / 1e3:.0f} kB. Forced to the disk of this machine, merged and sealed."
    )
    return table


def whole(count: int) -> Table:
    """A run from its beginning to its end, with the start of Ray and of the workers."""
    table = Table("A whole run from nothing, 2 workers", ("engine", "seconds"))
    for name, spec in (("local", SPEC), ("ray", SPEC.vary(engine="ray", workers=2))):
        with tempfile.TemporaryDirectory() as folder, timed() as cost:
            certify_run(spec, out=Path(folder) / "run", model=Free(), data=inputs(count))
            table.rows.append([name, cost().wall])
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=2_000)
    parser.add_argument("--only", choices=("overhead", "scaling", "storing", "whole"), action="append")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name, value in machine.describe(1).items():
        print(f"- {name}: {value}")
    print(f"- load at the start: {machine.load()}\n")
    parts = {
        "storing": lambda: storing(args.inputs),
        "overhead": lambda: overhead(args.inputs),
        "scaling": lambda: scaling(max(16, args.inputs // 20)),
        "whole": lambda: whole(args.inputs // 10),
    }
    for name, part in parts.items():
        if not args.only or name in args.only:
            print(part().markdown())


if __name__ == "__main__":
    main()
