"""Runs on disk: what defines one, its records, how it is written safely, resumed and read.

Reading a run needs no torch; only :func:`certify_run` imports the parts that sample.
"""

from smoothcert.runs.config import RunConfig
from smoothcert.runs.engine import certify_run
from smoothcert.runs.imported import import_log
from smoothcert.runs.records import Record
from smoothcert.runs.run import Run
from smoothcert.runs.store import RunStore

__all__ = ["Record", "Run", "RunConfig", "RunStore", "certify_run", "import_log"]
