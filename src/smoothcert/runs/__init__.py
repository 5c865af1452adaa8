"""Runs on disk: what defines one, its records, how it is written safely, resumed and read. Storage only, no torch."""

from smoothcert.runs.config import RunConfig
from smoothcert.runs.imported import import_log
from smoothcert.runs.records import Record
from smoothcert.runs.run import Run
from smoothcert.runs.store import RunStore

__all__ = ["Record", "Run", "RunConfig", "RunStore", "import_log"]
