"""Rows as CSV and JSON with exact numbers, and as tables with lower bounds floored and upper ones ceiled."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from itertools import product
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from smoothcert.bounds import ceil_decimals, floor_decimals
from smoothcert.cli.answers import Row
from smoothcert.runs import Run

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
    body = [[m, f"{t:g}", b, *(cells[m, t, b, radius] for radius in radii)] for m, t, b in product(*names)]
    headers = ["measure", "threshold", "bound", *(f"radius {radius:g}" for radius in radii)]
    config, skipped = run.config, len(run.skipped)
    return "\n".join(
        [
            f"{run.path}: {rows[0]['inputs']} inputs"
            + (f" ({skipped} more skipped as unreadable)" if skipped else "")
            + f", sigma {config.sigma:g}, alpha {rows[0]['alpha']:g}, n0 {config.n0:,}, n {config.n:,}",
            "certified accuracy [95% interval over the inputs]",
            _table(headers, body, numeric_from=3),
        ]
    )


def input_text(answer: Row) -> str:
    """One input's certificates for people."""
    named = f" ({answer['class_name']})" if answer["class_name"] else ""
    label = "" if answer["label"] is None else f", label {answer['label']}"
    radius = "abstained" if answer["abstained"] else f"class radius {floor_decimals(answer['class_radius'], 4)}"
    bounds = [
        [
            row["measure"],
            row["bound"],
            f"{row['radius']:g}",
            floor_decimals(row["lower"], 4),
            ceil_decimals(row["upper"], 4),
        ]
        for row in answer["bounds"]
    ]
    radii = [
        [
            row["measure"],
            row["bound"],
            f"{row['threshold']:g}",
            "any" if row["radius"] is None else floor_decimals(row["radius"], 4),
        ]
        for row in answer["radii"]
    ]
    return "\n".join(
        [
            f"{answer['run']}: input {answer['index']} ({answer['id']})",
            f"prediction {answer['prediction']}{named}{label}, {radius}, sigma {answer['sigma']:g}, "
            f"alpha {answer['alpha']:g}, n0 {answer['n0']:,}, n {answer['n']:,}",
            _table(["measure", "bound", "radius", "lower", "upper"], bounds, numeric_from=2),
            _table(["measure", "bound", "threshold", "certified radius"], radii, numeric_from=2),
        ]
    )


def _proportion(row: Row) -> str:
    # From the counts: 3 of 5 is 0.600 for people, though the float nearest to 0.6 lies below it.
    certified = round(row["certified_accuracy"] * row["inputs"])
    value = certified * 1000 // row["inputs"] / 1000
    return f"{value:.3f} [{floor_decimals(row['ci_low'], 3)}, {ceil_decimals(row['ci_high'], 3)}]"


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, numeric_from: int) -> str:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for position, header in enumerate(headers):
        table.add_column(header, justify="right" if position >= numeric_from else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(cell.replace("[", r"\[") for cell in row))
    text = io.StringIO()
    Console(file=text, width=WIDE, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())
