"""Certifies tiny data on a Ray cluster until it ends or is killed: ``killed_ray_run ADDRESS FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

from certify.ray_models import Slow
from certify.tiny_model import tiny_model
from runs.synthetic import ArraySource
from smoothcert.certify import RunSpec, certify_run
from smoothcert.cli.sampling import sampling_session
from smoothcert.data import Dataset

if __name__ == "__main__":
    out = Path(sys.argv[2])
    spec = RunSpec.of(
        sigma=0.25, n=900, n0=100, batch_size=100, device="cpu", engine="ray", address=sys.argv[1], workers=2
    )
    with sampling_session(out, quiet=False) as reporter:
        certify_run(spec, out=out, model=tiny_model(Slow(0.02)), data=Dataset(ArraySource(60)), reporter=reporter)
