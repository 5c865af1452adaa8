"""Measurements that hold for a whole process: each in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def in_own_process(
    module: str, *arguments: str, threads: int, check: bool = True, timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m module`` with this many threads; its output is kept."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        cwd=ROOT,
        check=check,
    )
