"""``smoothcert report``: runs to one HTML page."""

from __future__ import annotations

from pathlib import Path

from smoothcert.cli.options import Runs, open_runs
from smoothcert.console import say


def report(runs: Runs, /, *, out: Path = Path("report.html"), alpha: float | None = None) -> None:
    """Write one self-contained HTML page with the figures and tables of one or more runs.

    For example:

        smoothcert report RUN --out report.html

    Args:
        runs: Run folders.
        out: The page to write.
        alpha: Probability that one certificate is wrong. Default: each run's own. To claim several statements together,
            divide it by their number.
    """
    from smoothcert.report import write_report

    say(f"report: {write_report(open_runs(runs), out, alpha=alpha).resolve()}")
