"""What the default sizes certify beside ten times as many samples: ``python bench/sizes.py``.

Prints the table of docs/explanation/choosing.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from distributions import Distribution, real, synthetic

from smoothcert.bounds import cdf_lower, dual_lower
from smoothcert.histogram import DEFAULT_N, DEFAULT_PILOT, ScoreHistogram

ALPHA = 0.001
TIMES = 10
DRAWS = 40
SHIFTS = np.array([0.5, 1.0, 2.0, 3.0])


def bounds(source: Distribution) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The dual bound at the default sizes, the paper's from ten times as many, the dual from those; mean of draws."""
    rng = np.random.default_rng(0)
    rows = []
    for draw in range(DRAWS):
        few, few_pilot, many, many_pilot = (
            ScoreHistogram(source.draw(times * n, rng), source.lower, source.upper)
            for times in (1, TIMES)
            for n in (DEFAULT_N, DEFAULT_PILOT)
        )
        rows.append(
            (
                dual_lower(few_pilot, few, r=SHIFTS, alpha=ALPHA, seed=draw),
                cdf_lower(many.merge(many_pilot), r=SHIFTS, alpha=ALPHA),
                dual_lower(many_pilot, many, r=SHIFTS, alpha=ALPHA, seed=draw),
            )
        )
    found = np.mean(rows, axis=0)
    return found[0], found[1], found[2]


def main() -> int:
    """Print a row per distribution: the three bounds at each radius."""
    few, many = DEFAULT_PILOT + DEFAULT_N, TIMES * (DEFAULT_PILOT + DEFAULT_N)
    print(f"dual from {few:,} / the paper's CDF from {many:,} / dual from {many:,}, R in sigma, alpha {ALPHA:g}\n")
    print("| scores | " + " | ".join(f"R = {shift:g}" for shift in SHIFTS) + " |")
    print("|---" * (1 + len(SHIFTS)) + "|")
    ahead = behind = 0
    for source in (*synthetic(), *real()):
        ours, theirs, more = bounds(source)
        ahead, behind = ahead + int((ours > theirs).sum()), behind + int((ours < theirs).sum())
        cells = (" / ".join(f"{value:.3f}" for value in row) for row in zip(ours, theirs, more, strict=True))
        print(f"| {source.name} | " + " | ".join(cells) + " |")
    print(f"\nahead of the paper's at {ahead} of {ahead + behind}, behind at {behind}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
