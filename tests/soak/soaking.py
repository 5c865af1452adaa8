"""The order of the attacks, and how much of the time each gets."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import disks, kills, stored, strangers
from .outcome import Outcome, table


@dataclass(frozen=True)
class Soaked:
    """What came of it.

    Args:
        outcomes: One for each attack.
    """

    outcomes: list[Outcome]

    @property
    def examples(self) -> list[str]:
        """What was seen where something happened that must not."""
        return [example for outcome in self.outcomes for example in outcome.examples]

    def table(self) -> str:
        """One row per attack."""
        return table(self.outcomes)


def soak(folder: Path, *, seconds: float, seed: int, at_least: int = 1, with_commands: bool = True) -> Soaked:
    """Try every attack again and again, each for its share of the time.

    Args:
        folder: Where there is room.
        seconds: How long.
        seed: Decides what is tried.
        at_least: Tries of each attack, whatever time they take.
        with_commands: Whether whole commands are started, which take seconds each.
    """
    rooms = [folder / name for name in ("bytes", "disks", "kills", "strangers")]
    for room in rooms:
        room.mkdir()
    lying, disk, strange = (
        stored.Bytes(rooms[0], random.Random(seed)),
        disks.Disks(rooms[1], random.Random(seed)),
        strangers.Strangers(rooms[3], random.Random(seed)),
    )
    attacks: list[tuple[float, str, Callable[[Outcome], None]]] = [
        (6.0, stored.FLIPPED, lying.flip),
        (2.0, stored.CORRUPTED, lying.corrupt),
        (1.0, disks.FAILS, disk.fails),
        (1.0, disks.FULL, disk.full),
        (0.5, strangers.TRUSTED, strange.open),
    ]
    if with_commands:
        killed = kills.Kills(rooms[2], random.Random(seed))
        attacks += [
            (3.0, kills.WRITER, killed.writer),
            (3.0, kills.MERGER, killed.merge),
            (3.0, kills.CERTIFY, killed.certify),
            (1.5, kills.QUERY, killed.query),
            (1.5, kills.REPORT, killed.report),
        ]
    outcomes = [Outcome(name) for _, name, _ in attacks]
    spent = [0.0] * len(attacks)
    start = time.monotonic()
    while True:
        due = [at for at, outcome in enumerate(outcomes) if outcome.tries < at_least]
        if not due and time.monotonic() - start >= seconds:
            return Soaked(outcomes)
        at = min(due or range(len(attacks)), key=lambda at: spent[at] / attacks[at][0])
        begin = time.monotonic()
        attacks[at][2](outcomes[at])
        spent[at] += time.monotonic() - begin
