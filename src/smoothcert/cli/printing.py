"""Rows as CSV and JSON with exact numbers, and as tables with lower bounds floored and upper ones ceiled."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from itertools import product
from typing import Any, TypeAlias

from rich import box
from rich.console import Console
from rich.table import Table

from smoothcert.bounds import ceil_decimals, floor_decimals
from smoothcert.runs import Run

Row: TypeAlias = dict[str, Any]
WIDE = 10_000  # a table is as wide as its content, also where the output is piped


def as_json(value: Any) -> str:
    """JSON, indented, with exact numbers."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)


def as_csv(rows: Sequence[Row]) -> str:
    """CSV with a header line, exact numbers, nothing where there is no value."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().rstrip("\n")


def accuracy_text(run: Run, rows: Sequence[Row]) -> str:
    """Certified accuracies for people: one line a measure, threshold and bound, one column a radius."""
    radii = list(dict.fromkeys(row["radius"] for row in rows))
    cells = {(row["measure"], row["threshold"], row["bound"], row["radius"]): _proportion(row) for row in rows}
    names = [list(dict.fromkeys(row[name] for row in rows)) for name in ("measure", "threshold", "bound")]
    lines = [line for line in product(*names) if (*line, radii[0]) in cells]
    body = [[m, _number(t), b, *(cells[m, t, b, radius] for radius in radii)] for m, t, b in lines]
    headers = ["measure", "threshold", "bound", *(f"radius {radius:g}" for radius in radii)]
    config, skipped = run.config, len(run.skipped)
    return "\n".join(
        [
            f"{run.path}: {rows[0]['inputs']} inputs"
            + (f" ({skipped} more skipped as unreadable)" if skipped else "")
            + f", sigma {config.sigma:g}, {_alpha_text(rows)}, n0 {config.n0:,}, n {config.n:,}",
            *(f"note: {note}" for note in config.notes),
            "certified accuracy [95% interval over the inputs]",
            table_text(headers, body, numeric_from=3),
        ]
    )


def _alpha_text(rows: Sequence[Row]) -> str:
    """What each statement is made at, and what all of them are together."""
    at = {row["bound"]: f"{row['alpha']:.3g}" for row in rows}
    if rows[0]["joint"] == "each":
        return f"alpha {rows[0]['alpha']:g}"
    whole = {"input": "an input", "dataset": "the data set"}[rows[0]["joint"]]
    return f"each bound's lines jointly for {whole} (alpha a statement: {', '.join(f'{b} {a}' for b, a in at.items())})"


def input_text(answer: Row) -> str:
    """One input's certificates for people."""
    named = f" ({answer['class_name']})" if answer["class_name"] else ""
    label = "" if answer["label"] is None else f", label {answer['label']}"
    radius = "no class radius" if answer["class_radius"] is None else f"class radius {_floored(answer['class_radius'])}"
    radius = "abstained" if answer["abstained"] else radius
    prediction = "none" if answer["prediction"] is None else answer["prediction"]
    bounds = [
        [
            row["measure"],
            row["bound"],
            f"{row['radius']:g}",
            _floored(row["lower"]),
            "—" if row["upper"] is None else ceil_decimals(row["upper"], 4),
        ]
        for row in answer["bounds"]
    ]
    radii = [
        [
            row["measure"],
            row["bound"],
            f"{row['threshold']:g}",
            "any" if row["radius"] is None else _floored(row["radius"]),
        ]
        for row in answer["radii"]
    ]
    return "\n".join(
        [
            f"{answer['run']}: input {answer['index']} ({answer['id']})",
            f"prediction {prediction}{named}{label}, {radius}, sigma {answer['sigma']:g}, "
            f"alpha {answer['alpha']:g}, n0 {answer['n0']:,}, n {answer['n']:,}",
            *([table_text(["measure", "bound", "radius", "lower", "upper"], bounds, numeric_from=2)] if bounds else []),
            *(
                [table_text(["measure", "bound", "threshold", "certified radius"], radii, numeric_from=2)]
                if radii
                else []
            ),
        ]
    )


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:g}"


def _floored(value: float) -> str:
    return floor_decimals(value, 4)


def proportion_text(count: int, inputs: int, low: float, high: float) -> str:
    """A fraction with its interval; from the counts, for the float nearest to 3 / 5 lies below 0.6."""
    value = count * 1000 // inputs / 1000
    return f"{value:.3f} [{floor_decimals(low, 3)}, {ceil_decimals(high, 3)}]"


def _proportion(row: Row) -> str:
    certified = round(row["certified_accuracy"] * row["inputs"])
    return proportion_text(certified, row["inputs"], row["ci_low"], row["ci_high"])


def table_text(headers: Sequence[str], rows: Sequence[Sequence[str]], *, numeric_from: int) -> str:
    """A table as wide as its content, columns from ``numeric_from`` on aligned to the right."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for position, header in enumerate(headers):
        table.add_column(header, justify="right" if position >= numeric_from else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(cell.replace("[", r"\[") for cell in row))
    text = io.StringIO()
    Console(file=text, width=WIDE, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())
