"""What came of many tries, and the table of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

WRONG = ("silent", "lost", "doubled", "executed", "traceback", "left running")
"""What must never happen: an answer changed without a word; an input gone, or there twice; code run that came from a
file; an error that is not one line; a process that outlives its parent."""


@dataclass
class Outcome:
    """What came of the tries of one attack.

    Args:
        name: The attack.
        tries: How often it was tried.
        noticed: How often whoever read the run was told.
        unharmed: How often nothing came of it.
        wrong: How often what must never happen did.
        examples: What was seen then, for whoever mends it.
    """

    name: str
    tries: int = 0
    noticed: int = 0
    unharmed: int = 0
    wrong: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def count(self, *, noticed: bool, wrong: dict[str, str]) -> None:
        """Count one try; ``wrong`` has what was seen, by its kind."""
        self.tries += 1
        self.noticed += noticed
        self.unharmed += not noticed and not wrong
        for kind, seen in wrong.items():
            self.wrong[kind] += 1
            if len(self.examples) < 5:
                self.examples.append(f"{self.name}: {kind}: {seen}")


def table(outcomes: list[Outcome]) -> str:
    """One row per attack, in Markdown."""
    head = ["attack", "tries", "noticed", "no harm", *WRONG]
    rows = [
        [one.name, f"{one.tries:,}", f"{one.noticed:,}", f"{one.unharmed:,}"]
        + [f"{one.wrong[kind]:,}" for kind in WRONG]
        for one in outcomes
    ]
    rows.append(["all", *(f"{sum(int(row[at].replace(',', '')) for row in rows):,}" for at in range(1, len(head)))])
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    lines = []
    for row in [head, *rows]:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append(" | ".join([row[0].ljust(widths[0]), *cells[1:]]))
    ruler = "|".join("-" * (width + 2) if at == 0 else "-" * (width + 1) + ":" for at, width in enumerate(widths))
    return "\n".join([f"| {lines[0]} |", f"|{ruler}|", *(f"| {line} |" for line in lines[1:])])
