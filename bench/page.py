"""The report of runs of many inputs: time to write it, its size, and time to open it: ``make bench-page``.

Runs are those of :mod:`bench.scale`. Writing is timed in processor seconds of one process, and by the clock with all
processors. Opening is timed in Chromium, from the navigation to the moment the table of inputs can be used.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from bench.processes import in_own_process
from bench.scale import write_run
from bench.table import Table
from smoothcert.analysis import set_workers
from smoothcert.report import write_report
from smoothcert.runs import Run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))


def written(folder: Path, page: Path) -> dict[str, float]:
    """Seconds that a page takes to be written: of one processor, and by the clock with all."""
    set_workers(1)
    start = time.process_time()
    write_report(Run.open(folder), page)
    one = time.process_time() - start
    set_workers(os.cpu_count() or 1)
    start = time.perf_counter()
    write_report(Run.open(folder), page)
    return {"one": one, "all": time.perf_counter() - start}


def opened(page: Path) -> float:
    """Seconds until a browser has the table of inputs ready, the median of five."""
    from browsing import Visit, browsing

    seconds = []
    with browsing() as browser:
        for _ in range(5):
            start = time.perf_counter()
            with Visit(browser, page):
                seconds.append(time.perf_counter() - start)
    return sorted(seconds)[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, nargs="+", default=[500, 10_000, 50_000])
    parser.add_argument("--written", type=Path, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.written:
        print(json.dumps(written(*arguments.written)))
        return
    processors = os.cpu_count() or 1
    columns = ("inputs", "write, processor s", f"write by {processors}, s", "page, MB", "open, s")
    table = Table("A report, score and margin", columns)
    for count in arguments.inputs:
        with tempfile.TemporaryDirectory() as folder:
            run, page = write_run(Path(folder) / "run", count), Path(folder) / "report.html"
            done = in_own_process("bench.page", "--written", str(run.path), str(page), threads=1)
            found = json.loads(done.stdout)
            table.rows.append([count, found["one"], found["all"], page.stat().st_size / 1e6, opened(page)])
    print(table.markdown())


if __name__ == "__main__":
    main()
