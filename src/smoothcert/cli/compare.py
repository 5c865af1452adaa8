"""``smoothcert compare``: certified accuracies of several runs and logs, with differences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smoothcert.cli.options import Bounds, Format, Numbers, PlaceOrNone, Runs, open_runs, run_names
from smoothcert.console import say

if TYPE_CHECKING:
    from smoothcert.analysis import Compared, Comparison
    from smoothcert.cli.printing import Row


def compare(
    runs: Runs,
    /,
    *,
    measure: str = "score",
    bound: Bounds | None = None,
    radii: Numbers | None = None,
    thresholds: Numbers | None = None,
    alpha: float | None = None,
    format: Format = "table",
    out: PlaceOrNone = None,
) -> None:
    """Compare runs and imported logs; the first one by its first bound is what the others are compared with.

    Differences carry 95% intervals over the inputs: paired (Tango 1998) over the inputs two runs share, found by their
    content, else by id or index; unpaired (Newcombe 1998) where the data differ. It is said which.

    For example:

        smoothcert compare RUN kumar --bound dual,cdf --radii 0,0.25

    Args:
        runs: Run folders.
        measure: What must be kept: score, margin or another measure of the runs, or class, at no threshold.
        bound: Some of dual, cdf, hoeffding, clopper_pearson. Default: the first three.
        radii: L2 radii, in input units. Default: 0,0.25,0.5.
        thresholds: Values the measure must stay above; of no use to class. Default: 0.5,0.7,0.9.
        alpha: Probability that one certificate is wrong. Default: each run's own.
        format: A table for people, or csv or json with exact numbers.
        out: Draw a figure, too: .png, .svg or .pdf.
    """
    from smoothcert import analysis
    from smoothcert.cli import printing
    from smoothcert.cli.asking import fitting_radii, fitting_thresholds, ranges_of

    if out is not None:
        from smoothcert.report import comparison_figure, figure_format, save_figure

        figure_format(out)  # before any work
    opened = open_runs(runs)
    tables = [analysis.bounds_table(run, alpha=alpha) for run in opened]
    found = analysis.compare(
        tables,
        run_names(opened),
        measure=measure,
        bounds=bound,
        radii=fitting_radii(radii, sigma=max(table.sigma for table in tables)),
        thresholds=fitting_thresholds(thresholds, ranges_of(opened[0], tables[0], [measure])),
    )
    if format == "table":
        say(_text(found))
    else:
        say(printing.as_json(_rows(found)) if format == "json" else printing.as_csv(_rows(found)))
        for note in found.notes:
            say(f"note: {note}", err=True)
    if out is not None:
        say(f"figure: {save_figure(comparison_figure(found), out).resolve()}", err=format != "table")


def _rows(found: Compared) -> list[Row]:
    """One flat row a threshold, radius and contender; nothing in the columns of the difference for the first."""
    return [
        {
            "run": row.contender.run,
            "bound": row.contender.bound,
            "measure": row.measure,
            "threshold": row.threshold,
            "radius": row.radius,
            "certified_accuracy": row.accuracy.value,
            "ci_low": row.accuracy.ci_low,
            "ci_high": row.accuracy.ci_high,
            "inputs": row.accuracy.inputs,
            "difference": row.difference.value if row.difference else None,
            "difference_low": row.difference.ci_low if row.difference else None,
            "difference_high": row.difference.ci_high if row.difference else None,
            "difference_inputs": row.difference.inputs if row.difference else None,
            "interval": row.difference.method if row.difference else None,
        }
        for row in found.rows
    ]


def _text(found: Compared) -> str:
    """One line a threshold, radius and contender."""
    from smoothcert.cli.printing import number_text, proportion_text, table_text

    body = [
        [
            number_text(row.threshold),
            number_text(row.radius),
            row.contender.run,
            row.contender.bound,
            proportion_text(row.accuracy.count, row.accuracy.inputs, row.accuracy.ci_low, row.accuracy.ci_high),
            *_difference(row),
        ]
        for row in found.rows
    ]
    kept = f"{found.measure} >" if found.rows[0].threshold is not None else found.measure
    headers = [kept, "radius", "run", "bound", "certified accuracy", "difference", "interval"]
    lines = [
        f"certified accuracy and its difference from {found.contenders[0]}, with 95% intervals over the inputs",
        *(f"note: {note}" for note in found.notes),
        table_text(headers, body, numeric_from=4),
    ]
    return "\n".join(lines)


def _difference(row: Comparison) -> list[str]:
    from smoothcert.bounds import ceil_decimals, floor_decimals

    if row.difference is None:
        return ["", ""]
    found = row.difference
    kind = f"{found.method}, {found.inputs} pairs" if found.method == "tango" else found.method
    return [f"{found.value:+.3f} [{floor_decimals(found.ci_low, 3)}, {ceil_decimals(found.ci_high, 3)}]", kind]
