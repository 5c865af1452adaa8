"""The writing side of a run folder: one writer at a time, one input lost at most, nothing stored ever lost.

Layout::

    RUN/config.json     what defines the run, written first
    RUN/parts/*.parquet the records
    RUN/damaged/        parts that smoothcert check --repair has set aside
    RUN/status.json     what the writer says of itself now and then
    RUN/logs/           a log of every worker that sampled on a cluster
    RUN/.lock           held by whoever writes; in an object store RUN/.lease-00000001 and so on

Every step leaves a folder that reads correctly: a record is written under a temporary name, forced to the
disk and renamed; merging writes the merged part completely before it deletes the single ones. When a run grows, its
new configuration is written before the first record that needs it, and a record goes only after a better one of its
input is there.

In an object store nothing takes the name of anything else: parts carry random marks, so that a write that comes late,
of a writer that has lost its lease, can do no harm. Records are written together there, every two seconds.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TypeVar

import pyarrow as pa
from filelock import BaseFileLock, FileLock, Timeout

from smoothcert.errors import RunError
from smoothcert.files import (
    disk_errors,
    is_temporary,
    make_folder,
    names_in,
    read_file,
    remove_files,
    remove_temporaries,
    write_atomically,
)
from smoothcert.remote import persistently, reason
from smoothcert.runs.batches import Batches
from smoothcert.runs.config import RunConfig
from smoothcert.runs.counting import sizes_of
from smoothcert.runs.extent import require_same_shard
from smoothcert.runs.heartbeat import STATUS
from smoothcert.runs.lease import Lease, is_lease
from smoothcert.runs.part import (
    Part,
    concat_parts,
    encode_part,
    fetch,
    part_name,
    raised,
    read_part,
    read_sealed,
)
from smoothcert.runs.parts import Parts
from smoothcert.runs.records import CHECKSUM, Record, to_table
from smoothcert.runs.seals import add_checksums
from smoothcert.urls import AnyPath, to_path

CONFIG = "config.json"
PARTS = "parts"
DAMAGED = "damaged"
LOGS = "logs"
_LOCK = ".lock"
MOST_CONFIG = 2**24
"""Bytes a configuration may have; class names and notes take kilobytes."""
_OURS = {CONFIG, PARTS, DAMAGED, STATUS, LOGS, _LOCK}
MERGE_EVERY = 256
"""Single parts that are merged into one. 50,000 inputs make 196 parts; a merge rewrites about a megabyte."""
MERGE_BYTES = 2**26
"""Single parts of so many bytes are merged even if they are fewer: a merge needs the memory they take unpacked."""
_T = TypeVar("_T")


class RunStore:
    """A run folder opened for writing; use it as a context manager.

    A folder that already holds the same run is continued, and ``config`` is then the stored one. Records
    become durable one by one as :meth:`append` returns, or within seconds in an object store.

    Args:
        path: The run folder, here or in an object store; made if it does not exist.
        config: What defines the run.
        settle: From the stored configuration and this one, makes the one under which a stored run goes on, of the same
            fingerprint; it is written before the first record. By default they must be the same.
        merge_every: Number of single parts that are merged into one.

    Raises:
        RunError: If the folder holds another run (naming what differs), holds foreign files, is being written
            by another process, or cannot be written.
    """

    def __init__(
        self,
        path: AnyPath | str,
        config: RunConfig,
        *,
        settle: Callable[[RunConfig, RunConfig], RunConfig] | None = None,
        merge_every: int = MERGE_EVERY,
    ) -> None:
        self.path = to_path(path)
        self._settled = settle or self._same
        self._merge_every = merge_every
        check_folder(self.path)
        with disk_errors(self.path):
            make_folder(self.path)
        self._lock = lock_run(self.path)
        self._batches = None if isinstance(self.path, Path) else Batches(self._write_small, protocol=self.path.protocol)
        try:
            self.config = self._settle(config)
            self._singles: list[AnyPath] = []
            self._single_bytes = 0
            self._owner: dict[int, AnyPath] = {}  # of each input, the part with the record that counts
            self._rows: Counter[AnyPath] = Counter()  # of each part, how many of these
            self._sizes: dict[int, int] = {}  # of each input, its estimation samples; 0 if there are none
            for part in Parts(self._parts, self.config).open():
                self._adopt(part)
        except BaseException:
            self._lock.release()
            raise

    @property
    def present(self) -> frozenset[int]:
        """Indices of the inputs the run already holds."""
        return frozenset(self._sizes)

    @property
    def sizes(self) -> Mapping[int, int]:
        """Number of estimation samples of each input the run holds, by its index; 0 where there are none."""
        return MappingProxyType(self._sizes)

    @property
    def failed(self) -> frozenset[int]:
        """Indices of the inputs with an error in place of samples."""
        return frozenset(index for index, size in self._sizes.items() if size == 0)

    def require_held(self) -> None:
        """Make sure that nobody else writes to the run.

        Raises:
            OSError: If an object store does not tell.
            RunError: If another process has taken over.
        """
        if isinstance(self._lock, Lease):
            self._lock.check()

    def append(self, *records: Record) -> None:
        """Store records durably, all of them or none; in an object store, within seconds.

        Each takes the place of one of the same input with fewer samples, or none. Another reason why there are none is
        not kept. Many at once cost little more than one.

        Raises:
            RunError: If an input is already stored with as many samples, or the disk refuses; nothing stored before is
                harmed.
        """
        new = [record for record in records if record.samples is not None or record.index not in self._sizes]
        if not new:
            return
        table = to_table(sorted(new, key=lambda record: record.index))
        sizes = dict(zip(table["index"].to_pylist(), sizes_of(table, self.config).tolist(), strict=True))
        if twice := [index for index, size in sizes.items() if size <= self._sizes.get(index, -1)]:
            raise RunError(f"input {twice[0]} is already in {self.path}")
        self._keep_config()
        if self._batches is None:
            self._write_small([table])
        else:
            self._sizes.update(sizes)
            for row in range(table.num_rows):
                self._batches.add(table.slice(row, 1))

    def put_table(self, table: pa.Table) -> None:
        """Store many rows at once as one part, without those of inputs that the run holds with as many samples.

        Args:
            table: One row per input by ascending ``index``, with whatever columns the kind of run has.

        Raises:
            RunError: If a row makes no sense for the run, or the disk refuses.
        """
        self._flush()
        sizes = sizes_of(table, self.config).tolist()
        held = [self._sizes.get(index, -1) for index in table["index"].to_pylist()]
        better = [size > before for size, before in zip(sizes, held, strict=True)]
        if any(better):
            self._keep_config()
            self._write(table if all(better) else table.filter(pa.array(better)))

    def merge(self) -> None:
        """Write the single parts as one and delete them."""
        self._flush()
        self._merge()

    def _merge(self) -> None:
        if len(self._singles) < 2:
            return
        contents = self._patiently(lambda: [raised(content) for content in fetch(self._singles)])
        parts = zip(self._singles, contents, strict=True)
        table = concat_parts([self._counted(path, content) for path, content in parts]).sort_by("index")
        try:
            target, _ = self._write(table)
        except RunError:
            for path in self._singles:
                read_part(path, self.config)  # names the one that is to blame, if it is a part
            raise
        if target in self._singles:  # it took the name of one
            self._singles.remove(target)
        self._single_bytes = 0

    def _counted(self, path: AnyPath, content: bytes | None) -> pa.Table:
        """The rows of a part that count."""
        table = read_sealed(path, self.config, content)
        count = [self._owner.get(index) == path for index in table["index"].to_pylist()]
        return table if all(count) else table.filter(pa.array(count))

    def close(self) -> None:
        """Merge what is left and give the folder free."""
        try:
            self.merge()
        finally:
            self._lock.release()

    def _flush(self) -> None:
        if self._batches is not None:
            self._batches.flush()

    def __enter__(self) -> RunStore:
        """The store itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close; after a failure to write, do not try to write again."""
        if isinstance(error, RunError) and (self._batches is None or self._batches.failed):
            self._lock.release()
        else:
            self.close()

    @property
    def _parts(self) -> AnyPath:
        return self.path / PARTS

    def _patiently(self, do: Callable[[], _T]) -> _T:
        """Do what can be done twice, for a while if need be in an object store, once nobody else may write there."""

        def sure() -> _T:
            self.require_held()
            return do()

        with disk_errors(self.path):
            return do() if isinstance(self.path, Path) else persistently(sure, place=self.path)

    def _encode(self, table: pa.Table, *, compact: bool = True) -> bytes:
        try:
            return encode_part(table, self.config, compact=compact)
        except RunError as error:
            raise RunError(f"what was to be stored in {self.path} makes no sense there: {error}") from error

    def _write_small(self, tables: Sequence[pa.Table]) -> None:
        """Write records as one part that will be merged with others, the last of each input."""
        latest = {table["index"][0].as_py(): table for table in tables}
        together = concat_parts([latest[index] for index in sorted(latest)]) if len(tables) > 1 else tables[0]
        target, size = self._write(together, compact=False)
        if self._rows[target] < self._merge_every and target not in self._singles:
            self._singles.append(target)
        self._single_bytes += size
        if sum(self._rows[path] for path in self._singles) >= self._merge_every or self._single_bytes >= MERGE_BYTES:
            self._merge()

    def _write(self, table: pa.Table, *, compact: bool = True) -> tuple[AnyPath, int]:
        """Write rows that count from now on as one part, and delete the parts that hold none of these any more.

        Returns:
            The part and how many bytes it has.
        """
        index = table["index"]
        first, last = index[0].as_py(), index[-1].as_py()
        mark = "" if self._batches is None else secrets.token_hex(8)
        target = self._parts / part_name(first, None if first == last else last, mark=mark)
        if self._rows[target]:  # it takes the name of an older part, whose other rows still count
            older = read_part(target, self.config)
            table = table if CHECKSUM in table.column_names else add_checksums(table, self.config.fingerprint)
            new = set(index.to_pylist())
            left = [self._owner.get(at) == target and at not in new for at in older["index"].to_pylist()]
            table = concat_parts([table, older.filter(pa.array(left))]).sort_by("index")
        content = self._encode(table.combine_chunks(), compact=compact)
        self._patiently(lambda: write_atomically(target, content))
        self._take(table["index"].to_pylist(), sizes_of(table, self.config).tolist(), target)
        return target, len(content)

    def _take(self, indices: Sequence[int], sizes: Sequence[int], target: AnyPath) -> None:
        """Note that the records of some inputs are in ``target``; delete the parts that are of no more use."""
        before = {self._owner.get(index) for index in indices} - {None, target}
        for index, size in zip(indices, sizes, strict=True):
            if (owner := self._owner.get(index)) is not None:
                self._rows[owner] -= 1
            self._owner[index], self._sizes[index] = target, size
            self._rows[target] += 1
        gone = [path for path in before if path is not None and not self._rows[path]]
        for path in gone:
            del self._rows[path]
            if path in self._singles:
                self._singles.remove(path)
        self._patiently(lambda: remove_files(gone))

    def _settle(self, config: RunConfig) -> RunConfig:
        """Write the config of a new run, or settle on one with the stored one."""
        with disk_errors(self.path):
            remove_temporaries(self.path)
            if CONFIG not in names_in(self.path):
                self._write_config(config)
            make_folder(self._parts)
            remove_temporaries(self._parts)
        self._stored = read_config(self.path)
        return self._settled(self._stored, config)

    def _same(self, kept: RunConfig, config: RunConfig) -> RunConfig:
        if told := kept.told_apart(config):
            raise RunError(f"{self.path} holds another run: {told}; choose another folder")
        require_same_shard(kept, config, where=self.path)
        return kept

    def _keep_config(self) -> None:
        """Store the configuration if it is not the stored one."""
        if self.config != self._stored:
            self._patiently(lambda: self._write_config(self.config))
            self._stored = self.config

    def _write_config(self, config: RunConfig) -> None:
        # What stands for a byte that is not UTF-8, in a class or a path, is written as JSON's own \\udcff.
        write_atomically(self.path / CONFIG, config.to_json().encode(errors="backslashreplace"))

    def _adopt(self, part: Part) -> None:
        """Take up a part found in the folder; one whose records are all elsewhere, as a kill leaves it, is deleted."""
        if not part.rows.size:
            with disk_errors(self.path):
                remove_files([part.path])
            return
        self._rows[part.path] = part.rows.size
        kept = part.kept.tolist()
        self._owner.update(dict.fromkeys(kept, part.path))
        self._sizes.update(zip(kept, part.sizes.tolist(), strict=True))
        if part.rows.size < self._merge_every:
            self._singles.append(part.path)
            self._single_bytes += part.contents.size


def read_config(path: AnyPath) -> RunConfig:
    """What defines the run in a folder.

    Raises:
        RunError: If there is no run, it was written by a newer smoothcert, or its configuration is damaged.
    """
    file = path / CONFIG
    try:
        text = read_file(file, at_most=MOST_CONFIG).decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RunError(f"{path} holds no run: there is no {file}") from error
    except OSError as error:
        raise RunError(f"cannot read {file}: {reason(error)}") from error
    return RunConfig.from_json(text, source=str(file))


def holds_run(path: AnyPath) -> bool:
    """Whether there is a run in a folder, which need not exist.

    Raises:
        RunError: If it cannot be listed.
    """
    with disk_errors(path):
        try:
            return CONFIG in names_in(path)
        except (FileNotFoundError, NotADirectoryError):
            return False


def lock_run(path: AnyPath) -> BaseFileLock | Lease:
    """Hold a run folder for one writer; release what is returned.

    Raises:
        RunError: If another process holds it, or the folder cannot be written.
    """
    if not isinstance(path, Path):
        return Lease(path)
    lock = FileLock(path / _LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise RunError(f"another process is writing to {path}: wait for it to end, or choose another folder") from error
    except (OSError, NotImplementedError) as error:
        raise RunError(f"cannot lock {path} for writing: {getattr(error, 'strerror', None) or error}") from error
    return lock


def check_folder(path: AnyPath) -> None:
    """Refuse a folder a run cannot be written to, before anything is loaded.

    Raises:
        RunError: If ``path`` is a file, or a folder with files but without a run.
    """
    with disk_errors(path):
        try:
            names = set(names_in(path))
        except FileNotFoundError:
            return
        except NotADirectoryError as error:
            raise RunError(f"{path} is a file; a run needs a folder") from error
        foreign = sorted(name for name in names - _OURS if not is_temporary(name) and not is_lease(name))
        if PARTS in names and names_in(path / PARTS):
            foreign.append(PARTS)
    if CONFIG not in names and foreign:
        raise RunError(
            f"{path} is not empty and holds no run ({foreign[0]} is there, {CONFIG} is not): choose another folder"
        )
