"""The state of a run, input by input: what is whole, skipped, damaged or missing; and its repair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, count

import numpy as np

from smoothcert.files import disk_errors, make_folder, move, names_in
from smoothcert.runs.config import RunConfig
from smoothcert.runs.counting import Held
from smoothcert.runs.part import Contents, DamagedPartError, named_range, read_part
from smoothcert.runs.parts import Parts, rows_that_count
from smoothcert.runs.store import DAMAGED, PARTS, lock_run, read_config
from smoothcert.typing import IntArray
from smoothcert.urls import AnyPath, to_path

MOST_RANGES = 100  # of indices that are named in one sentence
MOST_NAMED = 2**24  # inputs of a damaged part that are listed one by one


@dataclass(frozen=True)
class Skipped:
    """An input that could not be read when the run was made, and why."""

    index: int
    id: str
    reason: str


@dataclass(frozen=True)
class DamagedPart:
    """A part that cannot be used.

    Args:
        path: The file.
        reason: What is wrong with it.
        inputs: First and last input that it should hold by its name; None if its name does not say.
    """

    path: AnyPath
    reason: str
    inputs: tuple[int, int] | None


@dataclass(frozen=True, eq=False)
class RunState:
    """What a run holds and in which condition.

    Args:
        path: The run folder.
        expected: Number of inputs of the finished run; None if nobody said.
        sampled: Index of the inputs whose records are whole, ascending.
        sizes: Number of estimation samples of each of them; in a decided run the most it may hold.
        n: Number they hold when the run is finished.
        skipped: Inputs that could not be read.
        damaged: Parts that cannot be used.
        missing: Index of the inputs that no usable part holds, ascending; those of damaged parts among them. None where
            the run does not say which inputs it is of.
    """

    path: AnyPath
    expected: int | None
    sampled: IntArray
    sizes: IntArray
    n: int
    skipped: tuple[Skipped, ...]
    damaged: tuple[DamagedPart, ...]
    missing: IntArray | None

    @property
    def short(self) -> dict[int, int]:
        """Inputs with fewer samples than the run goes to, since it has not finished growing, and how many they hold."""
        less = self.sizes < self.n
        return dict(zip(self.sampled[less].tolist(), self.sizes[less].tolist(), strict=True))

    @property
    def stored(self) -> int:
        """Number of inputs whose records are whole, skipped ones included."""
        return len(self.sampled) + len(self.skipped)

    @property
    def lacking(self) -> int:
        """Number of inputs that are missing, as far as the run says how many there should be."""
        return max(0, (self.expected or 0) - self.stored) if self.missing is None else len(self.missing)

    @property
    def whole(self) -> bool:
        """Whether nothing is damaged and nothing missing."""
        return not self.damaged and not self.lacking and not self.short

    def rows(self) -> Iterator[tuple[int, str, str]]:
        """Index, state and reason of every input that is known of, by ascending index.

        The state is ``"ok"``, ``"short"``, ``"skipped"``, ``"damaged"`` or ``"missing"``.
        """
        found = {int(index): ("ok", "") for index in self.sampled}
        found |= {index: ("short", f"{size:,} samples until the run has grown") for index, size in self.short.items()}
        found |= {skipped.index: ("skipped", skipped.reason) for skipped in self.skipped}
        missing = set() if self.missing is None else set(self.missing.tolist())
        for part in self.damaged:
            first, last = part.inputs or (0, -1)
            inside = range(first, last + 1) if last - first < MOST_NAMED else ()
            for index in missing.intersection(inside) if self.missing is not None else inside:
                found.setdefault(index, ("damaged", f"{part.path.name} {part.reason}"))
        found |= dict.fromkeys(missing - found.keys(), ("missing", ""))
        for index in sorted(found):
            yield (index, *found[index])


def state_of(parts: Parts) -> RunState:
    """Read every record of a run, and report what is wrong instead of raising it."""
    while True:
        with suppress(FileNotFoundError):  # a writer has merged parts meanwhile
            return _state_of(parts, parts.config)


def joined_state(states: Sequence[RunState], config: RunConfig) -> RunState:
    """The state of several folders of one run as one: what one of them holds whole is whole.

    Args:
        states: Of each.
        config: Of all of them together.
    """
    both = Held.together(
        [Held(state.sampled, state.sizes, np.zeros(len(state.sampled), dtype=object)) for state in states]
    )
    sampled, sizes, _ = both.take(both.counting())
    failed = {one.index: one for state in reversed(states) for one in state.skipped}
    skipped = tuple(failed[index] for index in sorted(failed.keys() - set(sampled.tolist())))
    return RunState(
        path=states[0].path,
        expected=config.expected,
        sampled=sampled,
        sizes=sizes,
        n=config.n,
        skipped=skipped,
        damaged=tuple(part for state in states for part in state.damaged),
        missing=missing_inputs(config, np.union1d(sampled, [one.index for one in skipped]).astype(np.int64)),
    )


def set_aside(path: AnyPath | str) -> list[AnyPath]:
    """Move the damaged parts of a run out of it, into its folder ``damaged``; nothing is deleted.

    The command that made the run then samples their inputs again.

    Args:
        path: The run folder.

    Returns:
        Where they are now.

    Raises:
        RunError: If there is no run, another process is writing to it, or the disk refuses.
    """
    path = to_path(path)
    read_config(path)  # or there is no run
    lock = lock_run(path)
    try:
        config = read_config(path)  # under the lock, since a run that grows writes another
        moved: list[AnyPath] = []
        for part in state_of(Parts(path / PARTS, config)).damaged:
            with disk_errors(path):
                make_folder(path / DAMAGED)
                target = _free(path / DAMAGED, part.path.name)
                move(part.path, target)
            moved.append(target)
        return moved
    finally:
        lock.release()


def missing_inputs(config: RunConfig, held: IntArray) -> IntArray | None:
    """Inputs that a run should hold and does not; None where it does not say which it is of.

    Args:
        config: The run's.
        held: Index of the inputs it holds.
    """
    if config.own is None or len(config.own) > MOST_NAMED:
        return None
    return np.setdiff1d(np.array(config.own, dtype=np.int64), held)


def ranges_text(indices: Sequence[int]) -> str:
    """Ascending indices in words.

    Example:
        >>> ranges_text([0, 1, 2, 5, 7, 8])
        '0 to 2, 5, 7 to 8'
        >>> ranges_text([0, 10, 20, 50])
        '0 to 20 in steps of 10, 50'
    """
    gaps = np.diff(np.asarray(indices, dtype=np.int64))
    stride = int(gaps.min()) if gaps.size else 1
    ends = np.flatnonzero(gaps != stride).tolist()
    pieces = zip([0, *(end + 1 for end in ends)], [*ends, len(indices) - 1], strict=True)
    by = "" if stride == 1 else f" in steps of {stride}"
    found = [
        f"{indices[first]}" if first == last else f"{indices[first]} to {indices[last]}{by}" for first, last in pieces
    ]
    more = len(found) - MOST_RANGES
    return ", ".join(found[:MOST_RANGES]) + (f" and {more:,} more ranges" if more > 0 else "")


def _free(folder: AnyPath, name: str) -> AnyPath:
    """The path of that name, or of the first with a number behind it that is not taken."""
    taken = set(names_in(folder))
    candidates = chain([name], (f"{name}.{number}" for number in count(2)))
    return folder / next(candidate for candidate in candidates if candidate not in taken)


def _state_of(parts: Parts, config: RunConfig) -> RunState:
    damaged: dict[AnyPath, str] = {}
    whole: dict[AnyPath, Contents] = {}
    skipped: dict[int, Skipped] = {}
    paths = parts.paths()
    for path, content in zip(paths, parts.fetch(paths), strict=True):
        try:
            table = read_part(path, config, content=content)
            whole[path] = parts.contents(path, content)
        except DamagedPartError as error:
            damaged[path] = error.reason
            continue
        for row in table.filter(table["error"].is_valid()).select(["index", "id", "error"]).to_pylist():
            skipped[row["index"]] = Skipped(row["index"], row["id"], row["error"])
    while True:
        try:
            rows_that_count(list(whole), list(whole.values()), config)
            break
        except DamagedPartError as error:
            for path in error.paths:  # nobody knows which is right
                other = next(one for one in error.paths if one != path)
                damaged[path] = f"and {other.name} {error.reason}"
                del whole[path]
    parts.require_current()
    rows = Held.together([contents.held for contents in whole.values()])
    held, sizes, _ = rows.take(rows.counting())
    return RunState(
        path=parts.folder.parent,
        expected=config.expected,
        sampled=held[sizes > 0],
        sizes=sizes[sizes > 0],
        n=config.n,
        skipped=tuple(skipped[int(index)] for index in held[sizes == 0]),
        damaged=tuple(
            DamagedPart(path, reason, named_range(path))
            for path, reason in sorted(damaged.items(), key=lambda found: str(found[0]))
        ),
        missing=missing_inputs(config, held),
    )
