"""Rows as JSON, CSV and Parquet with exact numbers; tables for people, for Markdown and for LaTeX."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from smoothcert.bounds import ceil_decimals, exact_text, floor_decimals
from smoothcert.console import STEERING, one_line

Row: TypeAlias = dict[str, Any]
Table: TypeAlias = tuple[Sequence[str], Sequence[Sequence[str]], int]
"""Headers, cells, and the position of the first column of numbers."""
Layout: TypeAlias = Literal["table", "markdown", "latex"]

_WIDE = 10_000  # a table is as wide as its content, also where the output is piped
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what spreadsheets run when a cell begins with it
_LATEX = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "≥": r"$\geq$", "—": "--"}
)


def as_json(value: Any) -> str:
    """JSON, indented, with exact numbers and strings, in characters that standard output has."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2, allow_nan=False)
    return re.sub(STEERING, lambda found: f"\\u{ord(found[0]):04x}", text)


def as_csv(rows: Sequence[Row]) -> str:
    """CSV with a header line, exact numbers, nothing where there is no value.

    A string that a spreadsheet would run as a formula gets an apostrophe before it.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=columns(rows), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _harmless(value) for name, value in row.items()} for row in rows)
    return text.getvalue().rstrip("\n")


def as_parquet(rows: Sequence[Row]) -> bytes:
    """A Parquet file with exact numbers, null where there is no value."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(pa.table({name: [row.get(name) for row in rows] for name in columns(rows)}), sink)
    return sink.getvalue()


def columns(rows: Sequence[Row]) -> list[str]:
    """Names of the columns of all rows, in the order in which they first appear."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _harmless(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith(_FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def layout_text(layout: Layout, lines: Sequence[str], tables: Sequence[Table]) -> str:
    """Lines about tables, and the tables, for a person, for Markdown or for LaTeX."""
    if layout == "table":
        texts = [table_text(headers, rows, numeric_from=first) for headers, rows, first in tables]
        return "\n".join([*map(one_line, lines), *texts])
    if layout == "markdown":
        return "\n\n".join([*map(_markdown, lines), *(_markdown_table(*table) for table in tables)])
    return "\n".join([*(f"% {one_line(line)}" for line in lines), *(_latex_table(*table) for table in tables)])


def table_text(headers: Sequence[str], rows: Sequence[Sequence[str]], *, numeric_from: int) -> str:
    """A table as wide as its content, columns from ``numeric_from`` on aligned to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for position, header in enumerate(headers):
        justify: Literal["left", "right"] = "right" if position >= numeric_from else "left"
        table.add_column(Text(one_line(header)), justify=justify, no_wrap=True)
    for row in rows:
        table.add_row(*(Text(one_line(cell)) for cell in row))
    text = io.StringIO()
    Console(file=text, width=_WIDE, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def _markdown_table(headers: Sequence[str], rows: Sequence[Sequence[str]], numeric_from: int) -> str:
    rule = ["---:" if position >= numeric_from else "---" for position in range(len(headers))]
    body = [[_markdown(cell) for cell in line] for line in (headers, *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (body[0], rule, *body[1:]))


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_<>|])", r"\\\1", one_line(text))


def _latex_table(headers: Sequence[str], rows: Sequence[Sequence[str]], numeric_from: int) -> str:
    """With the rules of the package booktabs."""
    shape = "".join("r" if position >= numeric_from else "l" for position in range(len(headers)))
    first, *rest = (" & ".join(one_line(cell).translate(_LATEX) for cell in line) + r" \\" for line in (headers, *rows))
    return "\n".join(
        [rf"\begin{{tabular}}{{{shape}}}", r"\toprule", first, r"\midrule", *rest, r"\bottomrule", r"\end{tabular}"]
    )


def proportion_text(count: int, inputs: int, low: float, high: float) -> str:
    """A fraction with its interval; from the counts, for the float nearest to 3 / 5 lies below 0.6."""
    value = count * 1000 // inputs / 1000
    return f"{value:.3f} [{floor_decimals(low, 3)}, {ceil_decimals(high, 3)}]"


def number_text(value: float | None) -> str:
    """A number as it was given, or a dash."""
    return "—" if value is None else exact_text(value)


def lower_text(value: float | None) -> str:
    """A lower bound of four digits, rounded down, or a dash."""
    return "—" if value is None else floor_decimals(value, 4)


def upper_text(value: float | None) -> str:
    """An upper bound of four digits, rounded up, or a dash."""
    return "—" if value is None else ceil_decimals(value, 4)
