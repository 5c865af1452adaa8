"""Speed and memory, as ratios measured side by side: ``python -m bench``, or ``make bench``.

python -m bench                   everything this machine can measure: half an hour on two cores
python -m bench --quick           a minute; no figure to quote
python -m bench --only resnet20   one part: a network, noise, growth, memory, breakdown, allocator, gpu
python -m bench --save            keep the tables and the machine under bench/results/
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import torch

from bench.outcome import Report
from bench.rounds import CLOCKS
from bench.suite import FULL, QUICK, run_suite

FOLDER = Path(__file__).resolve().parent


def main(arguments: list[str] | None = None) -> Report:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a minute instead of thirty")
    parser.add_argument("--only", action="append", metavar="PART", help="may be given several times")
    parser.add_argument("--save", action="store_true", help="write Markdown and JSON under bench/results/")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall", help="cpu: for a machine that is busy")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    warnings.simplefilter("ignore")  # of the libraries that are compared
    suite = QUICK if args.quick else FULL
    report = run_suite(suite, only=args.only, threads=args.threads, clock=args.clock, show=print)
    if args.save:
        for path in report.save(FOLDER / "results"):
            print(f"saved {path.relative_to(FOLDER.parent)}")
    return report


if __name__ == "__main__":
    main()
