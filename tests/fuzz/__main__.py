"""``python -m fuzz --seconds 3600``: every target in turn for as long as asked."""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import tempfile
import time
from pathlib import Path

from .fuzzing import CORPUS, Report, fuzz
from .targets import TARGETS


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600.0, help="how long (3600); 0 for one round")
    parser.add_argument("--examples", type=int, default=300, help="files of a target per round (300)")
    parser.add_argument("--seed", type=int, help="decides what is tried (another each time)")
    parser.add_argument("--targets", nargs="+", choices=list(TARGETS), default=list(TARGETS))
    parser.add_argument("--keep", type=Path, default=CORPUS, help="where files that go wrong are kept")
    arguments = parser.parse_args()
    number = random.SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    print(f"seed {number}", flush=True)
    start, failed = time.monotonic(), False
    left = list(arguments.targets)
    while left:
        for name in list(left):
            with tempfile.TemporaryDirectory(prefix=f"fuzz-{name}-") as folder:
                report = fuzz(TARGETS[name], Path(folder), examples=arguments.examples, number=number)
            print(report, flush=True)
            if report.wrong:
                failed = True
                left.remove(name)  # until it is mended, it would find the same again
                _keep(report, arguments.keep / name)
        number += 1
        if time.monotonic() - start >= arguments.seconds:
            break
    return 1 if failed else 0


def _keep(report: Report, folder: Path) -> None:
    for told, content in report.wrong:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{hashlib.sha256(content).hexdigest()[:12]}.bin"
        path.write_bytes(content)
        print(f"{told}\nkept as {path} ({len(content):,} bytes)", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
