"""Published logs as text: tiny ones in the forms of both papers, and the arithmetic of the authors' scripts."""

from __future__ import annotations

import csv
from pathlib import Path

COHEN = """idx\tlabel\tpredict\tradius\tcorrect\ttime
0\t3\t3\t0.378\t1\t15.4
20\t7\t-1\t0.0\t0\t0:00:15.600000
40\t8\t8\t0.95\t1\t15.7
60\t0\t1\t0.25\t0\t15.7
"""
KUMAR = """idx\tlabel\tpredict\texp_cdf_00\texp_cdf_25\texp_cdf_100\texp_00\texp_25\texp_100\tcorrect\ttime
0\t3\t3\t0.704\t0.52\t5.15e-05\t0.704\t0.321\t2.32e-08\t1\t0:00:36.422521
20\t7\t-1\t0.0\t0.0\t0.0\t0.0\t0.0\t0.0\t0\t0:00:22.537412
40\t8\t8\t0.95\t0.9\t0.6\t0.95\t0.7\t0.5\t1\t0:00:36.4
60\t0\t1\t0.9\t0.8\t0.1\t0.9\t0.7\t0.05\t0\t1 day, 1:00:36.4
"""
MARGIN = """idx\tlabel\tpredict\texp_cdf_00\texp_cdf_25\texp_00\texp_25\tcorrect\ttime
0\t3\t3\t0.3\t-0.4\t0.3\t-0.6\t1\t0:00:01
20\t7\t-1\t0.0\t0.0\t0.0\t0.0\t0\t0:00:01
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def kumar_accuracy(path: Path, *, column: str, threshold: float) -> float:
    """Certified accuracy as the authors' script has it: correct rows whose printed bound is above, over all rows."""
    certified = 0
    total = 0
    for row in rows(path):
        total += 1
        if float(row[column]) > threshold:
            certified += int(row["correct"])
    return certified / total


def cohen_accuracy(path: Path, *, radius: float) -> float:
    """The same for class radii: correct rows whose printed radius is at least this, over all rows."""
    total = certified = 0
    for row in rows(path):
        total += 1
        if float(row["radius"]) >= radius:
            certified += int(row["correct"])
    return certified / total
