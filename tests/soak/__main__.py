"""``python -m soak --seconds 600``: every attack in turn for as long as asked, then the table."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from .soaking import soak


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="how long (600)")
    parser.add_argument("--seed", type=int, help="decides what is tried (another each time)")
    arguments = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        found = soak(Path(folder), seconds=arguments.seconds, seed=seed)
    print(found.table())
    print(f"\n{time.monotonic() - start:,.0f} s, seed {seed}, Python {sys.version.split()[0]}, {sys.platform}")
    for example in found.examples:
        print(example, file=sys.stderr)
    return 1 if found.examples else 0


if __name__ == "__main__":
    raise SystemExit(main())
