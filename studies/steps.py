"""What the studies share: commands shown as they run, and tables as Markdown and CSV."""

import csv
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from smoothcert.bounds import ceil_decimals, floor_decimals
from smoothcert.cli import main

HERE = Path(__file__).parent
RESULTS = HERE / "results"
BOUNDS = {"dual": "dual", "cdf": "CDF", "hoeffding": "baseline"}
"""The bounds compared, and what tables call them."""


def smoothcert(*arguments: object) -> None:
    """Run a command of smoothcert, shown first, as the shell would."""
    words = [str(argument) for argument in arguments]
    print(f"$ smoothcert {shlex.join(words)}", flush=True)
    try:
        main(words)
    except SystemExit as end:
        if end.code:
            raise


def in_a_process(*arguments: object) -> None:
    """The same in a process of its own, beside which others may run."""
    words = [str(argument) for argument in arguments]
    print(f"$ smoothcert {shlex.join(words)}", flush=True)
    subprocess.run([sys.executable, "-m", "smoothcert", *words], check=True)


def markdown(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """The same for programs, numbers in full."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def fraction(value: float) -> str:
    """A fraction of inputs for people: ``.630``."""
    return f"{value:.3f}".removeprefix("0")


def between(low: float, high: float) -> str:
    """An interval for people, rounded outwards."""
    return f"{floor_decimals(low).removeprefix('0')} to {ceil_decimals(high).removeprefix('0')}"
