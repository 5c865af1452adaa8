"""The writing side of a run folder: one writer at a time, one input lost at most, nothing stored ever lost.

Layout::

    RUN/config.json     what defines the run, written first
    RUN/parts/*.parquet the records
    RUN/damaged/        parts that smoothcert check --repair has set aside
    RUN/.lock           held by whoever writes

Every step leaves a folder that reads correctly: a record is written under a temporary name, forced to the
disk and renamed; merging writes the merged part completely before it deletes the single ones.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from types import TracebackType

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
from smoothcert.remote import reason
from smoothcert.runs.config import Difference, RunConfig
from smoothcert.runs.lease import Lease, is_lease
from smoothcert.runs.parts import (
    Part,
    Parts,
    concat_parts,
    encode_part,
    fetch,
    is_single,
    part_name,
    read_part,
    read_sealed,
)
from smoothcert.runs.records import Record, to_table
from smoothcert.urls import AnyPath, to_path

CONFIG = "config.json"
PARTS = "parts"
DAMAGED = "damaged"
_LOCK = ".lock"
MOST_CONFIG = 2**24
"""Bytes a configuration may have; class names and notes take kilobytes."""
_OURS = {CONFIG, PARTS, DAMAGED, _LOCK}
MERGE_EVERY = 256
"""Single parts that are merged into one. 50,000 inputs make 196 parts; a merge rewrites about a megabyte."""
MERGE_BYTES = 2**26
"""Single parts of so many bytes are merged even if they are fewer: a merge needs the memory they take unpacked."""


class RunStore:
    """A run folder opened for writing; use it as a context manager.

    A folder that already holds the same run is continued, and ``config`` is then the stored one. Records
    become durable one by one as :meth:`append` returns.

    Args:
        path: The run folder; made if it does not exist.
        config: What defines the run.
        merge_every: Number of single parts that are merged into one.

    Raises:
        RunError: If the folder holds another run (naming what differs), holds foreign files, is being written
            by another process, or cannot be written.
    """

    def __init__(self, path: AnyPath | str, config: RunConfig, *, merge_every: int = MERGE_EVERY) -> None:
        self.path = to_path(path)
        self._merge_every = merge_every
        check_folder(self.path)
        with disk_errors(self.path):
            make_folder(self.path)
        self._lock = lock_run(self.path)
        try:
            self.config = self._settle(config)
            self._singles: list[AnyPath] = []
            self._single_bytes = 0
            self._present: set[int] = set()
            for part in Parts(self._parts, self.config).open():
                self._adopt(part)
        except BaseException:
            self._lock.release()
            raise

    @property
    def present(self) -> frozenset[int]:
        """Indices of the inputs the run already holds."""
        return frozenset(self._present)

    def append(self, record: Record) -> None:
        """Store one record durably.

        Raises:
            RunError: If the input is already stored or the disk refuses; nothing stored before is harmed.
        """
        if record.index in self._present:
            raise RunError(f"input {record.index} is already in {self.path}")
        target = self._named(record.index)
        content = self._encode(to_table([record]), compact=False)
        with disk_errors(self.path):
            write_atomically(target, content)
        self._present.add(record.index)
        self._singles.append(target)
        self._single_bytes += len(content)
        if len(self._singles) >= self._merge_every or self._single_bytes >= MERGE_BYTES:
            self.merge()

    def put_table(self, table: pa.Table) -> None:
        """Store many rows at once as one part, or nothing if the run already holds these inputs.

        Args:
            table: One row per input by ascending ``index``, with whatever columns the kind of run has.

        Raises:
            RunError: If the run holds some of the inputs, a row makes no sense for the run, or the disk refuses.
        """
        indices = table["index"].to_pylist()
        if self._present.issuperset(indices):
            return
        if twice := self._present.intersection(indices):
            raise RunError(f"{self.path} already holds some of the inputs, such as {min(twice)}")
        content = self._encode(table)
        with disk_errors(self.path):
            write_atomically(self._named(indices[0], indices[-1]), content)
        self._present.update(indices)

    def merge(self) -> None:
        """Write the single parts as one and delete them."""
        if len(self._singles) < 2:
            return
        table = concat_parts(
            [
                read_sealed(path, self.config, content)
                for path, content in zip(self._singles, fetch(self._singles), strict=True)
            ]
        ).sort_by("index")
        try:
            content = self._encode(table.combine_chunks())
        except RunError:
            for path in self._singles:
                read_part(path, self.config)  # names the one that is to blame, if it is a part
            raise
        with disk_errors(self.path):
            first, last = table["index"][0].as_py(), table["index"][-1].as_py()
            write_atomically(self._named(first, last), content)
            remove_files(self._singles)
            self._singles = []
        self._single_bytes = 0

    def close(self) -> None:
        """Merge what is left and give the folder free."""
        try:
            self.merge()
        finally:
            self._lock.release()

    def __enter__(self) -> RunStore:
        """The store itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close; after a failure to write, do not try to write again."""
        if isinstance(error, RunError):
            self._lock.release()
        else:
            self.close()

    @property
    def _parts(self) -> AnyPath:
        return self.path / PARTS

    def _named(self, first: int, last: int | None = None) -> AnyPath:
        """The path of a new part, once it is sure that nobody else may write."""
        if isinstance(self._lock, Lease):
            self._lock.check()
        mark = "" if isinstance(self.path, Path) else secrets.token_hex(8)
        return self._parts / part_name(first, last, mark=mark)

    def _encode(self, table: pa.Table, *, compact: bool = True) -> bytes:
        try:
            return encode_part(table, self.config, compact=compact)
        except RunError as error:
            raise RunError(f"what was to be stored in {self.path} makes no sense there: {error}") from error

    def _settle(self, config: RunConfig) -> RunConfig:
        """Write the config of a new run, or check it against the stored one."""
        stored = self.path / CONFIG
        with disk_errors(self.path):
            remove_temporaries(self.path)
            if CONFIG not in names_in(self.path):
                # What stands for a byte that is not UTF-8, in a class or a path, is written as JSON's own \\udcff.
                write_atomically(stored, config.to_json().encode(errors="backslashreplace"))
            make_folder(self._parts)
            remove_temporaries(self._parts)
        kept = read_config(self.path)
        if differences := kept.difference(config):
            raise RunError(f"{self.path} holds another run: {_sentence(differences)}; choose another folder")
        return kept

    def _adopt(self, part: Part) -> None:
        """Take up a part found in the folder; a single one that was merged before a kill is deleted."""
        self._present.update(part.kept.tolist())
        if is_single(part.path):
            with disk_errors(self.path):
                if part.rows.size:
                    self._singles.append(part.path)
                    self._single_bytes += part.path.stat().st_size
                else:
                    remove_files([part.path])


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


def _sentence(differences: list[Difference]) -> str:
    return ", ".join(map(str, differences))
