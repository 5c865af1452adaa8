"""The writing side of a run folder: one writer at a time, one input lost at most, nothing stored ever lost.

Layout::

    RUN/config.json     what defines the run, written first
    RUN/parts/*.parquet the records
    RUN/.lock           held by whoever writes

Every step leaves a folder that reads correctly: a record is written under a temporary name, forced to the
disk and renamed; merging writes the merged part completely before it deletes the single ones.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import pyarrow as pa
from filelock import FileLock, Timeout

from smoothcert.errors import RunError
from smoothcert.files import TEMPORARY, disk_errors, remove_temporaries, write_atomically
from smoothcert.runs.config import Difference, RunConfig
from smoothcert.runs.parts import Part, concat_parts, is_single, open_parts, part_name, read_part
from smoothcert.runs.records import Record, to_parquet, to_table

CONFIG = "config.json"
PARTS = "parts"
_LOCK = ".lock"
_OURS = {CONFIG, PARTS, _LOCK}
MERGE_EVERY = 256
"""Single parts that are merged into one. 50,000 inputs make 196 parts; a merge rewrites about a megabyte."""


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

    def __init__(self, path: Path | str, config: RunConfig, *, merge_every: int = MERGE_EVERY) -> None:
        self.path = Path(path)
        self._merge_every = merge_every
        check_folder(self.path)
        with disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self.path / _LOCK, timeout=0)
            self._acquire()
        try:
            self.config = self._settle(config)
            self._singles: list[Path] = []
            self._present: set[int] = set()
            for part in open_parts(self._parts):
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
        target = self._parts / part_name(record.index)
        with disk_errors(self.path):
            write_atomically(target, to_parquet(to_table([record]), compact=False))
        self._present.add(record.index)
        self._singles.append(target)
        if len(self._singles) >= self._merge_every:
            self.merge()

    def put_table(self, table: pa.Table, write: Callable[[pa.Table], bytes]) -> None:
        """Store a whole run at once as one part, or nothing if the run already holds its inputs.

        Args:
            table: One row an input by ascending ``index``, with whatever columns the kind of run has.
            write: Makes the Parquet file.

        Raises:
            RunError: If the run holds some of the inputs or the disk refuses.
        """
        indices = table["index"].to_pylist()
        if self._present == set(indices):
            return
        if self._present.intersection(indices):
            raise RunError(f"{self.path} already holds some of the inputs, such as {min(self._present)}")
        with disk_errors(self.path):
            write_atomically(self._parts / part_name(indices[0], indices[-1]), write(table))
        self._present.update(indices)

    def merge(self) -> None:
        """Write the single parts as one and delete them."""
        if len(self._singles) < 2:
            return
        with disk_errors(self.path):
            table = concat_parts([read_part(path) for path in self._singles]).sort_by("index").combine_chunks()
            first, last = table["index"][0].as_py(), table["index"][-1].as_py()
            write_atomically(self._parts / part_name(first, last), to_parquet(table))
            while self._singles:
                self._singles.pop().unlink()

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
    def _parts(self) -> Path:
        return self.path / PARTS

    def _acquire(self) -> None:
        try:
            self._lock.acquire()
        except Timeout as error:
            raise RunError(
                f"another process is writing to {self.path}: wait for it to end, or choose another folder"
            ) from error

    def _settle(self, config: RunConfig) -> RunConfig:
        """Write the config of a new run, or check it against the stored one."""
        stored = self.path / CONFIG
        with disk_errors(self.path):
            remove_temporaries(self.path)
            if not stored.exists():
                write_atomically(stored, config.to_json().encode())
            self._parts.mkdir(exist_ok=True)
            remove_temporaries(self._parts)
            kept = RunConfig.from_json(stored.read_text(encoding="utf-8", errors="replace"), source=str(stored))
        if differences := kept.difference(config):
            raise RunError(f"{self.path} holds another run: {_sentence(differences)}; choose another folder")
        return kept

    def _adopt(self, part: Part) -> None:
        """Take up a part found in the folder; a single one that was merged before a kill is deleted."""
        self._present.update(part.kept.tolist())
        if is_single(part.path):
            if part.rows.size:
                self._singles.append(part.path)
            else:
                with disk_errors(self.path):
                    part.path.unlink()


def check_folder(path: Path) -> None:
    """Refuse a folder a run cannot be written to, before anything is loaded.

    Raises:
        RunError: If ``path`` is a file, or a folder with files but without a run.
    """
    if not path.exists():
        return
    if not path.is_dir():
        raise RunError(f"{path} is a file; a run needs a folder")
    with disk_errors(path):
        names = {entry.name for entry in path.iterdir()}
        foreign = sorted(name for name in names - _OURS if not name.endswith(TEMPORARY))
        if PARTS in names and any((path / PARTS).iterdir()):
            foreign.append(PARTS)
    if CONFIG not in names and foreign:
        raise RunError(
            f"{path} is not empty and holds no run ({foreign[0]} is there, {CONFIG} is not): choose another folder"
        )


def _sentence(differences: list[Difference]) -> str:
    return ", ".join(map(str, differences))
