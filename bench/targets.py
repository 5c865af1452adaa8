"""What the figures are held to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bench.table import Table


@dataclass(frozen=True)
class Check:
    """A target: met, missed, or ``None`` where it was not measured."""

    target: str
    met: bool | None
    measured: str


def targets_table(checks: Iterable[Check]) -> Table:
    """All targets; one that is missed says so in capitals."""
    words = {True: "met", False: "MISSED", None: "not measured"}
    rows: list[list[str | float | int | None]] = [[c.target, c.measured, words[c.met]] for c in checks]
    return Table("Targets", ("target", "measured", ""), rows)
