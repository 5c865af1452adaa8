"""``smoothcert merge``: shares of one run, made on several machines, to one folder."""

from __future__ import annotations

from smoothcert.cli.options import Place, Runs
from smoothcert.console import one_line, say


def merge(runs: Runs, /, *, out: Place) -> None:
    """Put several folders with shares of one run together, and say which inputs are missing.

    Their configurations must fit, and no input may be there twice with other samples.

    For example:

        smoothcert merge SHARE-1 SHARE-2 SHARE-3 --out RUN

    Args:
        runs: The run folders.
        out: The run folder to write; it may be one of them.
    """
    from smoothcert.runs import merge_runs
    from smoothcert.runs.state import ranges_text

    run = merge_runs(runs, out)
    stored, missing = len(run), run.missing_indices
    lines = [f"{stored:,} inputs in {out} from {len(runs)} runs"]
    if missing is not None and missing.size:
        lines.append(f"missing of {run.expected:,}: {ranges_text(missing.tolist())}")
    elif run.missing:
        lines.append(f"missing of {run.expected:,}: {run.missing:,} inputs")
    if run.short:
        lines.append(f"{run.short:,} hold fewer than {run.config.n:,} samples: the command that made the run goes on")
    say("\n".join(map(one_line, lines)))
