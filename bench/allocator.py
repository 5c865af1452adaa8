"""What it is worth to keep freed memory (``smoothcert.keep_freed_memory``): plain forward passes with and without.

The choice holds for a whole process, so both run in processes of their own, in turns.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

from bench.processes import in_own_process
from bench.rounds import interval, ratio
from bench.table import Table

ROUNDS = 2  # in each process, after one that is not counted


def allocator(cases: Sequence[tuple[str, str, int, int]], *, repeats: int, threads: int) -> Table:
    """Cases are a network, a backend, a batch size and the samples of a round."""
    columns = (
        "network",
        "backend",
        "as it comes, samples/s",
        "memory kept, samples/s",
        "x",
        "95% interval",
        "peak, MB",
    )
    table = Table("Freed memory kept by the process (a bare loop of forward passes)", columns)
    for network, backend, batch_size, samples in cases:
        seconds: dict[bool, list[float]] = {False: [], True: []}
        peaks: dict[bool, list[float]] = {False: [], True: []}
        for repeat in range(repeats):
            for keep in (False, True) if repeat % 2 else (True, False):
                task = {
                    "network": network,
                    "backend": backend,
                    "batch_size": batch_size,
                    "samples": samples,
                    "keep": keep,
                }
                done = in_own_process("bench.allocator", json.dumps(task), threads=threads)
                found = json.loads(done.stdout.splitlines()[-1])
                seconds[keep].append(found["seconds"])
                peaks[keep].append(found["peak"])
        rates = [samples / statistics.median(seconds[keep]) for keep in (False, True)]
        low, high = interval(seconds[False], seconds[True])
        memory = " to ".join(f"{statistics.median(peaks[keep]):,.0f}" for keep in (False, True))
        table.rows.append(
            [network, backend, *rates, ratio(seconds[False], seconds[True]), f"{low:.2f} to {high:.2f}", memory]
        )
    return table


def main(task: dict[str, Any]) -> dict[str, float]:
    import smoothcert

    if task["keep"]:
        smoothcert.keep_freed_memory()
    from bench.contenders import Round, Stand, sampler_contender
    from bench.memory import peak_of_this_process
    from bench.networks import build

    samples, network = task["samples"], build(task["network"])
    stand = Stand(network, Round(samples // 2, samples - samples // 2, task["batch_size"]))
    run = stand.round(sampler_contender(network, task["backend"], "float32", "cpu").counterpart)
    seconds = []
    for _ in range(1 + ROUNDS):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return {"seconds": statistics.median(seconds[1:]), "peak": peak_of_this_process()}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
