"""The Parquet parts of a run: which there are, and their rows in order of the inputs, each input once.

An input's record is first a part of its own, ``part-00000012.parquet``. Later many are written together as
``part-00000000-00000255.parquet`` and the single ones are deleted, so between the two an input can be in
both, with the same content. Reading therefore keeps one row per input, and starts over when a part vanishes
under it. The row that counts is the one with the most samples: a run that grows, or in which an input that failed is
tried again, stores the better record before the other one is deleted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa

from smoothcert.errors import RunError
from smoothcert.files import signatures
from smoothcert.remote import Recent, Signature, reason
from smoothcert.runs.config import RunConfig
from smoothcert.runs.counting import Held, columns_of_size, sizes_of
from smoothcert.runs.part import (
    REMEDY,
    UNSEALED,
    Content,
    Contents,
    DamagedPartError,
    Part,
    concat_parts,
    fetch,
    is_single,
    load_part,
    pick_rows,
    read_part,
)
from smoothcert.runs.records import CHECKSUM
from smoothcert.runs.seals import content_checksums
from smoothcert.typing import IntArray
from smoothcert.urls import AnyPath

_ATTEMPTS = 100
_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts in a folder, as parts of one run.

    Args:
        folder: Where they are.
        config: What defines the run; a part that does not fit it is an error.
    """

    folder: AnyPath
    config: RunConfig
    _known: dict[AnyPath, Contents] = field(default_factory=dict, init=False, repr=False)
    _listed: dict[AnyPath, Signature | None] = field(default_factory=dict, init=False, repr=False)
    _agreed: set[frozenset[bytes]] = field(default_factory=set, init=False, repr=False)
    _recent: Recent = field(default_factory=Recent, init=False, repr=False)

    def paths(self) -> list[AnyPath]:
        """Complete parts, merged ones first; no input is missed while a writer merges parts.

        A listing is not a snapshot: it can miss a merged part that appears and the single parts that vanish
        meanwhile. If nothing of one listing is gone from the next, then whatever vanished did so before the
        second began, and what replaced it is in the second.

        Raises:
            RunError: If the folder cannot be read.
        """
        earlier: Set[str] | None = None
        while True:
            found = _listed(self.folder)
            if earlier is not None and earlier <= found.keys():
                self._listed.clear()
                self._listed.update({self.folder / name: signature for name, signature in found.items()})
                return sorted(self._listed, key=lambda path: (is_single(path), path.name))
            earlier = found.keys()

    def open(self) -> list[Part]:
        """Parts with the input index of their rows, each input kept once.

        Raises:
            RunError: If a part is damaged, or two hold different records of one input; the message names them.
        """
        return self._persistently(self._open)

    def read(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Tables whose rows, one table after the other, are in ascending order of the input index.

        Parts that interleave are read together, others one at a time, so memory is bounded by the largest group.
        A part that vanishes meanwhile was merged into another: reading goes on there, after the last input it
        gave.

        Args:
            columns: Names of the columns to read, null where an older part lacks them; None for all.

        Raises:
            RunError: If a part is damaged; the message names it.
        """
        done = -1
        for _ in range(_ATTEMPTS):
            try:
                groups = list(_groups(self._open(), after=done))
                contents = self.fetch([part.path for group in groups for part in group])
                for group in groups:
                    yield self._read_group(group, columns, [next(contents) for _ in group])
                    done = max(int(part.kept[-1]) for part in group)
            except FileNotFoundError:
                continue
            except DamagedPartError:
                self.require_current()
                raise
            return
        raise self._unsettled()

    def row(self, index: int) -> pa.Table | None:
        """The row of one input, or None if no part holds it.

        Raises:
            RunError: If a part is damaged; the message names it.
        """

        def attempt() -> pa.Table | None:
            for part in self._open():
                if index in part.kept:
                    return load_part(part.path, self.config, None, part.only(index))[0]
            return None

        return self._persistently(attempt)

    def require_current(self) -> None:
        """Raise ``RunError`` if the run has grown since its configuration was read, and its parts may be of more."""
        from smoothcert.runs.store import read_config  # which builds on this

        if not set(read_config(self.folder.parent).extents) <= set(self.config.extents):
            raise RunError(f"{self.folder.parent} has grown since it was opened: open it again")

    def held(self) -> Held:
        """Every input that is stored, by ascending index.

        Raises:
            RunError: If a part is damaged, or two hold different records of one input; the message names them.
        """
        found = Held.together([part.contents.held.take(part.rows) for part in self.open()])
        return found.take(np.argsort(found.inputs))

    def schemas(self) -> list[pa.Schema]:
        """Columns of every part."""
        return self._persistently(lambda: [self.contents(part.path).schema for part in self._open()])

    def fetch(self, paths: Sequence[AnyPath]) -> Iterator[Content]:
        """As :func:`fetch`, of parts that were listed; of an object store some are kept for the next time."""
        keys = {path: (path, self._listed.get(path)) for path in paths}
        kept = {path: held for path in paths if (held := self._recent.get(keys[path])) is not None}
        sizes = {path: int(str(signature[0])) for path, signature in keys.values() if signature}
        coming = fetch([path for path in paths if path not in kept], sizes)
        for path in paths:
            content: Content = kept.get(path) or next(coming)
            if isinstance(content, bytes):
                self._recent.keep(keys[path], content)
            yield content

    def contents(self, path: AnyPath, content: Content = None) -> Contents:
        """What a part holds.

        Args:
            path: The file.
            content: Its bytes, if they were read already, or why they could not be.

        Raises:
            FileNotFoundError: If it has been merged into another.
            RunError: If it is damaged.
        """
        signature = self._signature(path)
        known = self._known.get(path)
        if known is None or known.signature != signature:
            wanted = ["index", CHECKSUM, *columns_of_size(self.config)]
            table, schema = load_part(path, self.config, wanted, content=content)
            checksums = np.array(table[CHECKSUM].to_pylist(), dtype=object)
            held = Held(table["index"].to_numpy(), sizes_of(table, self.config), checksums)
            known = Contents(signature, held, schema)
            self._known[path] = known
        return known

    def _open(self) -> list[Part]:
        paths = self.paths()
        before = dict(self._known)
        if self._in_store:
            known = {path: held.signature for path, held in self._known.items()}
            new = [path for path in paths if path not in known or known[path] != self._listed[path]]
            for path, content in zip(new, self.fetch(new), strict=True):
                self.contents(path, content)
        found = [self.contents(path) for path in paths]
        if any(before.get(path) is not content for path, content in zip(paths, found, strict=True)):
            try:
                self.require_current()  # a run that grows writes its configuration before its parts
            except RunError:
                self._known.clear()  # the next time, too
                raise
        for path in self._known.keys() - set(paths):
            del self._known[path]
        rows = rows_that_count(paths, found, self.config, agreed=self._agreed)
        return [Part(path, contents, kept) for path, contents, kept in zip(paths, found, rows, strict=True)]

    @property
    def _in_store(self) -> bool:
        """Whether the folder is in an object store."""
        return not isinstance(self.folder, Path)

    def _signature(self, path: AnyPath) -> Signature | None:
        """What tells this version of a part: of a file as it is now, of an object as it was listed."""
        if self._in_store:
            return self._listed.get(path)
        status = os.stat(str(path))
        return (status.st_size, status.st_ino, status.st_mtime_ns)

    def _read_group(
        self, group: Sequence[Part], columns: Sequence[str] | None, contents: Sequence[Content]
    ) -> pa.Table:
        tables = [
            load_part(part.path, self.config, columns, part, content=content)[0]
            for part, content in zip(group, contents, strict=True)
        ]
        if len(tables) == 1:
            return tables[0]
        return pick_rows(concat_parts(tables), np.argsort(np.concatenate([part.kept for part in group]), kind="stable"))

    def _persistently(self, attempt: Callable[[], _T]) -> _T:
        try:
            for _ in range(_ATTEMPTS):
                with suppress(FileNotFoundError):
                    return attempt()
        except DamagedPartError:
            self.require_current()
            raise
        raise self._unsettled()

    def _unsettled(self) -> RunError:
        for path in self.paths():
            if isinstance(path, Path) and path.is_symlink() and not path.exists():
                return RunError(f"{path} cannot be read (it is a link to nothing): {REMEDY}")
        return RunError(f"the parts in {self.folder} keep changing while they are read: try again")


def _listed(folder: AnyPath) -> Mapping[str, Signature | None]:
    """Names of the Parquet files; one that is not named as a part is, an error when it is read, is among them."""
    try:
        found = signatures(folder)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise RunError(f"cannot read {folder}: {reason(error)}") from error
    return {name: found[name] for name in found if name.endswith(".parquet") and not name.startswith(".")}


def rows_that_count(
    paths: Sequence[AnyPath],
    found: Sequence[Contents],
    config: RunConfig,
    *,
    agreed: set[frozenset[bytes]] | None = None,
) -> list[IntArray]:
    """Rows of each part that are the record of their input, sorted by input: of several the one with the most samples.

    Two writers may have sampled one input, where nothing kept the second out: then only the time it took differs.

    Args:
        paths: The parts.
        found: What each holds.
        config: Of their run.
        agreed: Checksums of records that were found to hold the same; more are added.

    Raises:
        DamagedPartError: If two parts hold different records of one input with equally many samples.
    """
    agreed = set() if agreed is None else agreed
    every = Held.together([contents.held for contents in found])
    starts = np.concatenate(([0], np.cumsum([len(contents.held.inputs) for contents in found]))).astype(np.int64)
    contents: dict[int, bytes] = {}
    for pair in every.rivals():
        if (both := frozenset(every.checksums[list(pair)].tolist())) in agreed:
            continue
        owners = [int(np.searchsorted(starts, row, side="right")) - 1 for row in pair]
        for owner in owners:
            if int(starts[owner]) not in contents and config.schema != UNSEALED:
                contents |= enumerate(content_checksums(read_part(paths[owner], config)), start=int(starts[owner]))
        if len({contents.get(row, row) for row in pair}) > 1:
            raise DamagedPartError(
                f"hold different records of input {every.inputs[pair[0]]}", *(paths[owner] for owner in owners)
            )
        agreed.add(both)
    counting = every.counting()
    owners_of = np.searchsorted(starts, counting, side="right") - 1
    return [counting[owners_of == part] - starts[part] for part in range(len(found))]


def _groups(parts: Sequence[Part], *, after: int) -> Iterator[list[Part]]:
    """Parts in order of their inputs beyond ``after``, those that interleave together."""
    rest = [part for part in (part.after(after) for part in parts) if part.rows.size]
    group: list[Part] = []
    end = -1
    for part in sorted(rest, key=lambda part: int(part.kept[0])):
        if group and part.kept[0] > end:
            yield group
            group = []
        group.append(part)
        end = max(end, int(part.kept[-1]))
    if group:
        yield group
