"""Decides a question for tiny data until it ends or is killed: ``python killed_decision.py FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from certify.tiny_model import tiny_model
from runs.synthetic import ArraySource
from smoothcert.certify import RunSpec, certify_run
from smoothcert.data import Dataset

ASKED = {"sigma": 0.25, "decide": "score:0.95@0.2", "n0": 50, "max_n": 2_000, "levels": 500, "device": "cpu"}


def decide_tiny(out: Path | str) -> None:
    """The run: long enough to be killed; small batches, so that few inputs are in flight."""
    certify_run(RunSpec.of(batch_size=64, **ASKED), out=out, model=tiny_model(), data=Dataset(ArraySource(40)))


if __name__ == "__main__":
    decide_tiny(sys.argv[1])
