"""Certifies tiny data until it ends or is killed: ``python killed_run.py FOLDER [SAMPLES [INPUTS]]``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from certify.tiny_model import tiny_model
from runs.synthetic import ArraySource
from smoothcert.certify import RunSpec, certify_run
from smoothcert.data import Dataset


def certify_tiny(out: Path | str, n: int = 5_000, limit: int = 60) -> None:
    """The run: long enough to be killed."""
    spec = RunSpec.of(sigma=0.25, n0=100, n=n, device="cpu")
    certify_run(spec, out=out, model=tiny_model(), data=Dataset(ArraySource(60), limit=limit))


if __name__ == "__main__":
    certify_tiny(sys.argv[1], *map(int, sys.argv[2:]))
