"""Attacks on the bytes of a run that lies still: flipped bits, and parts edited, moved, copied and replaced."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from runs.attacks import corruptions, flip_bit, make_run, readings, ways
from smoothcert.errors import RunError

from .outcome import Outcome

FLIPPED, CORRUPTED = "one flipped bit, anywhere in the folder", "parts edited, moved, copied, replaced"


class Bytes:
    """A run, and what it answered before anything was done to it.

    Args:
        folder: Where there is room.
        chance: Decides what is done.
    """

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self._run = make_run(folder / "run")
        self._before = dict(readings(self._run))
        self._chance = chance
        self._files = [path for path in sorted(self._run.rglob("*")) if path.is_file() and path.stat().st_size]
        self._sizes = [path.stat().st_size for path in self._files]
        self._kinds = list(corruptions())

    def flip(self, outcome: Outcome) -> None:
        """Flip a bit, read the run in some ways, and flip it back."""
        path = self._chance.choices(self._files, self._sizes)[0]
        content = path.read_bytes()
        flip_bit(path, self._chance)
        self._judge(outcome, self._run, {path.name}, f"{path.name}", at_most=2)
        path.write_bytes(content)

    def corrupt(self, outcome: Outcome) -> None:
        """Do one of the larger things to a copy."""
        name = self._chance.choice(self._kinds)
        copy = Path(shutil.copytree(self._run, self._run.parent / "copy"))
        try:
            self._judge(outcome, copy, corruptions()[name](copy / "parts"), name)
        finally:
            shutil.rmtree(copy)

    def _judge(self, outcome: Outcome, folder: Path, named: set[str], what: str, *, at_most: int = 99) -> None:
        wrong: dict[str, str] = {}
        noticed = False
        chosen = self._chance.sample(list(ways()), min(at_most, len(ways())))
        for way in chosen:
            try:
                found = dict(readings(folder, [way]))[way]
            except Exception as error:  # what is counted here
                wrong["traceback"] = f"{what}, {way}: {type(error).__name__}: {error}"
                continue
            if not isinstance(found, RunError):
                if found != self._before[way]:
                    wrong["silent"] = f"{what}, {way}"
            elif "\n" in str(found) or not any(name in str(found) for name in named):
                wrong["traceback"] = f"{what}, {way}: names no file: {found}"
            else:
                noticed = True
        outcome.count(noticed=noticed, wrong=wrong)
