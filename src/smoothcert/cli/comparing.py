"""A comparison as rows of exact numbers and as a table for people."""

from __future__ import annotations

from collections.abc import Sequence

from smoothcert.analysis import Compared, Comparison
from smoothcert.bounds import ceil_decimals, floor_decimals
from smoothcert.cli.answers import Row
from smoothcert.cli.printing import proportion_text, table_text
from smoothcert.runs import Run


def run_names(runs: Sequence[Run]) -> list[str]:
    """The last part of each path, or all of it where several runs share that; a run named twice gets a number."""
    short = [run.path.resolve().name for run in runs]
    names = [name if short.count(name) == 1 else str(run.path) for name, run in zip(short, runs, strict=True)]
    return [
        name if names.count(name) == 1 else f"{name} #{names[:position].count(name) + 1}"
        for position, name in enumerate(names)
    ]


def rows(found: Compared) -> list[Row]:
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


def text(found: Compared) -> str:
    """One line a threshold, radius and contender."""
    body = [
        [
            "—" if row.threshold is None else f"{row.threshold:g}",
            f"{row.radius:g}",
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
    if row.difference is None:
        return ["", ""]
    found = row.difference
    kind = f"{found.method}, {found.inputs} pairs" if found.method == "tango" else found.method
    return [f"{found.value:+.3f} [{floor_decimals(found.ci_low, 3)}, {ceil_decimals(found.ci_high, 3)}]", kind]
