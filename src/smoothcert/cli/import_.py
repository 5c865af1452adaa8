"""``smoothcert import``: a published log as a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from smoothcert.cli.options import Place
from smoothcert.console import one_line, say


def import_(
    log: Annotated[Path, Parameter(name="LOG")],
    /,
    *,
    out: Place,
    measure: Literal["score", "margin"] | None = None,
    sigma: float | None = None,
    data: str | None = None,
    model: str | None = None,
    alpha: float = 0.001,
    n: int = 100_000,
    n0: int = 100,
    rows: int | None = None,
) -> None:
    """Read a published log into a run that query, report and compare treat like any other.

    It answers what it holds: class radii (Cohen et al.), or the cdf and hoeffding lower bounds on one measure at its
    own radii (Kumar et al.), at its own alpha. The rest is refused.

    For example:

        smoothcert import cifar10-pred_score-noise_0.25.tsv --out kumar

    Args:
        log: A log published by Cohen et al. or Kumar et al., tab-separated.
        out: Run folder to write.
        measure: Measure the bounds of the log are on. Default: from its name.
        sigma: Standard deviation of the noise, in input units. Default: from the name of the log.
        data: Data set. Default: from the name of the log.
        model: Base classifier. Default: from the name of the log.
        alpha: Probability that one of its certificates is wrong.
        n: Estimation samples per input it was made with.
        n0: Pilot samples per input, which selected the class.
        rows: Rows of the complete log. Default: from the data set.
    """
    from smoothcert.runs import import_log

    run = import_log(
        log, out=out, measure=measure, sigma=sigma, data=data, model=model, alpha=alpha, n=n, n0=n0, rows=rows
    )
    say(f"{len(run)} inputs in {out}, sigma {run.config.sigma:g}, alpha {run.config.alpha:g}")
    for note in run.config.notes:
        say(f"note: {one_line(note)}")
