"""The reading side of a run folder; works while the run goes on, and needs neither torch nor the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from smoothcert.errors import RunError
from smoothcert.runs.config import IMPORTED, RunConfig
from smoothcert.runs.parts import open_parts, read_parts, read_row
from smoothcert.runs.records import Record, from_table
from smoothcert.runs.store import CONFIG, PARTS


@dataclass(frozen=True)
class Run:
    """A stored run: its configuration and, in order of the inputs, its records.

    Every call reads the folder anew, so a run that is still going on shows what it holds at that moment.

    Args:
        path: The run folder.
        config: What defines the run.
    """

    path: Path
    config: RunConfig

    @classmethod
    def open(cls, path: Path | str) -> Run:
        """Open a run folder.

        Raises:
            RunError: If there is no run, or it was written by a newer smoothcert.
        """
        folder = Path(path)
        file = folder / CONFIG
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError) as error:
            raise RunError(f"{folder} holds no run: there is no {file}") from error
        except OSError as error:
            raise RunError(f"cannot read {file}: {error.strerror or error}") from error
        return cls(folder, RunConfig.from_json(text, source=str(file)))

    def __len__(self) -> int:
        """Number of inputs stored so far, skipped ones included."""
        return sum(part.rows.size for part in open_parts(self.path / PARTS))

    def __bool__(self) -> bool:
        """True: an empty run is still a run."""
        return True

    @property
    def skipped(self) -> list[Record]:
        """Records of the inputs that could not be read."""
        return [
            Record(row["index"], row["id"], row["label"], row["seconds"], None, row["error"])
            for table in self.tables(["index", "id", "label", "seconds", "error"])
            for row in table.filter(table["error"].is_valid()).to_pylist()
        ]

    def records(self) -> list[Record]:
        """All records, by ascending index. For many inputs :meth:`iter_records` needs far less memory."""
        return list(self.iter_records())

    def iter_records(self) -> Iterator[Record]:
        """Records by ascending index, read part by part: memory does not grow with the number of inputs.

        Raises:
            RunError: If the run is an imported log, which holds no samples.
        """
        self._require_samples()
        for table in self.tables():
            yield from from_table(table)

    def record(self, index: int) -> Record:
        """The record of one input, by its index in the source.

        Raises:
            RunError: If the run does not hold it, or is an imported log.
        """
        self._require_samples()
        table = read_row(self.path / PARTS, index)
        if table is None:
            raise RunError(f"{self.path} holds no input with index {index}")
        return next(from_table(table))

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The records as Arrow tables by ascending index: the cheap way to a few columns of many inputs.

        Args:
            columns: Names from ``smoothcert.runs.records.SCHEMA``, or None for all.
        """
        return read_parts(self.path / PARTS, columns)

    def _require_samples(self) -> None:
        if self.config.kind == IMPORTED:
            raise RunError(f"{self.path} is an imported log: it holds published bounds and no samples")
