from __future__ import annotations

from pathlib import Path

import pytest

from smoothcert.certify import RunSpec, certify_run
from smoothcert.runs import Run

SPEC = {"model": "digits", "data": "digits", "sigma": 0.25, "n0": 50, "n": 200, "limit": 6, "device": "cpu"}


@pytest.fixture(scope="session")
def shared_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A small run that no test changes."""
    return certify_run(RunSpec.of(**SPEC), out=Path(tmp_path_factory.mktemp("runs")) / "digits")
