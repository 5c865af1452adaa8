"""Tables as Markdown, and numbers at the precision that was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Cell = str | float | int | None


@dataclass
class Table:
    """A table of results.

    Args:
        title: What was measured.
        columns: Names of the columns.
        rows: One cell a column: texts as they are, numbers as they were measured; ``None`` where there is none.
        notes: Sentences under the table.
    """

    title: str
    columns: Sequence[str]
    rows: list[list[Cell]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        body = [[text(cell) for cell in row] for row in self.rows]
        widths = [max(len(line[i]) for line in [list(self.columns), *body]) for i in range(len(self.columns))]
        lines = [_line(self.columns, widths), "|" + "|".join("-" * (width + 2) for width in widths) + "|"]
        lines += [_line(row, widths) for row in body]
        return "\n".join([f"### {self.title}", "", *lines, *(f"\n{note}" for note in self.notes)]) + "\n"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def text(cell: Cell) -> str:
    """Three figures of a number; whole ones with separators.

    >>> text(1234.5), text(0.9512), text(None), text(21841)
    ('1,230', '0.951', '', '21,841')
    """
    if cell is None or isinstance(cell, str):
        return cell or ""
    if isinstance(cell, int):
        return f"{cell:,}"
    rounded = float(f"{cell:.3g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 100 else f"{rounded:g}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"
