"""``smoothcert demo``: everything bundled, nothing downloaded, a report at the end."""

from __future__ import annotations

from pathlib import Path

from smoothcert.cli.options import Device, Place, Quiet
from smoothcert.console import say

# A minute on two cores.
SIGMA = 0.25
LIMIT = 300
N0 = 500
N = 9_500


def demo(*, out: Place = Path("smoothcert-demo"), device: Device = None, quiet: Quiet = False) -> None:
    """Certify handwritten digits with a small bundled network and write a report: a minute on two cores.

    For example:

        smoothcert demo --out RUN

    Args:
        out: Run folder to write; one that holds the demo already is continued.
    """
    from smoothcert.certify import RunSpec, certify_run
    from smoothcert.cli.sampling import sampling_session
    from smoothcert.report import write_report

    with sampling_session(out, quiet=quiet) as reporter:
        digits = RunSpec.of(model="digits", data="digits", split="test", limit=LIMIT, sigma=SIGMA, n0=N0, n=N)
        run = certify_run(digits.vary(device=device), out=out, reporter=reporter)
    say(f"{len(run)} inputs in {out}; ask it: smoothcert query {out} --radii 0,0.25 --thresholds 0.5,0.9")
    say(f"report: {write_report([run], out / 'report.html').resolve()}")
