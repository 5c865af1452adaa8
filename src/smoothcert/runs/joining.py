"""Several folders with shares of one run, read where they lie as if they were one.

An input that several hold counts once: samples before none, more samples before fewer, and otherwise they must be the
same. Inputs come in order, so memory holds a few hundred of each folder at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from smoothcert.errors import RunError
from smoothcert.runs.counting import Held, columns_of_size, sizes_of
from smoothcert.runs.part import UNSEALED, concat_parts
from smoothcert.runs.parts import Parts
from smoothcert.runs.seals import content_checksums
from smoothcert.urls import AnyPath


@dataclass(frozen=True, eq=False)
class JoinedParts:
    """The parts in several folders, as parts of one run.

    Args:
        members: Those of each folder, of one run.

    Raises:
        RunError: If a folder is from before records carried checksums.
    """

    members: tuple[Parts, ...]
    _compared: set[frozenset[bytes]] = field(default_factory=set, init=False, repr=False)

    def __post_init__(self) -> None:
        """Check that records can be compared."""
        for member in self.members:
            if member.config.schema == UNSEALED:
                raise RunError(
                    f"{_folder(member)} is of schema 1, from before records carried checksums: it cannot be put "
                    "together with others"
                )

    def held(self) -> Held:
        """As :meth:`smoothcert.runs.parts.Parts.held`.

        Raises:
            RunError: If two folders hold different samples of one input; the message names them.
        """
        found = Held.together([member.held() for member in self.members])
        self._agree(found)
        return found.take(found.counting())

    def read(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """As :meth:`smoothcert.runs.parts.Parts.read`.

        Raises:
            RunError: If two folders hold different samples of one input, or a part is damaged.
        """
        self.held()
        yield from self._merged(columns)

    def row(self, index: int) -> pa.Table | None:
        """As :meth:`smoothcert.runs.parts.Parts.row`."""
        self.held()
        found = [(member, table) for member in self.members if (table := member.row(index)) is not None]
        return max(found, key=lambda one: int(sizes_of(one[1], one[0].config)[0]))[1] if found else None

    def schemas(self) -> list[pa.Schema]:
        """Columns of every part."""
        return [schema for member in self.members for schema in member.schemas()]

    def _merged(self, columns: Sequence[str] | None, *, compare: bool = False) -> Iterator[pa.Table]:
        """Rows of all folders by ascending index, each input once.

        Of every folder some rows are held. All have given every row up to the smallest of their last ones, so those can
        be compared and passed on.
        """
        wanted = None
        if columns is not None:
            more = (name for member in self.members for name in columns_of_size(member.config))
            wanted = list(dict.fromkeys(["index", *columns, *more]))
        coming = [member.read(wanted) for member in self.members]
        held = [next(tables, None) for tables in coming]
        while any(table is not None for table in held):
            bound = min(table["index"][-1].as_py() for table in held if table is not None)
            ready, sizes, owners = [], [], []
            for at, table in enumerate(held):
                if table is None:
                    continue
                rows = int(np.searchsorted(table["index"].to_numpy(), bound, side="right"))
                ready.append(table.slice(0, rows))
                sizes.append(sizes_of(ready[-1], self.members[at].config))
                owners.append(np.full(rows, at))
                held[at] = table.slice(rows) if rows < table.num_rows else next(coming[at], None)
            whole = concat_parts(ready)
            found = Held(whole["index"].to_numpy(), np.concatenate(sizes), np.concatenate(owners))
            if compare:
                self._compare(whole, found)
            chosen = whole.take(found.counting())
            yield chosen if columns is None else chosen.select(list(columns))

    def _agree(self, found: Held) -> None:
        """Check that no two folders hold different samples of one input.

        Records with one checksum are the same. If others may be, because only the time they took differs, everything
        is read and compared, once.
        """
        unsure = {frozenset(found.checksums[list(pair)].tolist()) for pair in found.rivals()}
        if not unsure <= self._compared:
            for _ in self._merged(None, compare=True):
                pass
            self._compared.update(unsure)

    def _compare(self, table: pa.Table, found: Held) -> None:
        """Refuse rows of one input with equally many samples that are not the same; each has its folder's number."""
        pairs = list(found.rivals())
        if not pairs:
            return
        rows = sorted({row for pair in pairs for row in pair})
        contents = dict(zip(rows, content_checksums(table.take(rows)), strict=True))
        for first, second in pairs:
            if contents[first] != contents[second]:
                both = " and ".join(str(_folder(self.members[found.checksums[row]])) for row in (first, second))
                raise RunError(f"{both} hold different samples of input {found.inputs[first]}: one is wrong")


def _folder(parts: Parts) -> AnyPath:
    """The run folder."""
    return parts.folder.parent
