"""Runs on disk: what defines one, its records, how it is written safely, resumed and read. Storage only, no torch."""

from smoothcert.runs.config import RunConfig
from smoothcert.runs.imported import import_log
from smoothcert.runs.merging import merge_runs
from smoothcert.runs.records import Record
from smoothcert.runs.run import Run
from smoothcert.runs.state import RunState, set_aside
from smoothcert.runs.store import RunStore

__all__ = ["Record", "Run", "RunConfig", "RunState", "RunStore", "import_log", "merge_runs", "set_aside"]
