"""How far a run is, as its records and the heartbeat of its writer tell; several folders of one run are added up."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from smoothcert.runs.config import IMPORTED, SAMPLED, RunConfig
from smoothcert.runs.heartbeat import EVERY, Heartbeat, read_heartbeat
from smoothcert.runs.records import list_rows, one_array
from smoothcert.runs.run import Run
from smoothcert.typing import IntArray
from smoothcert.urls import AnyPath

SILENT = 6 * EVERY
"""Seconds without a heartbeat after which a writer is no longer believed to be alive."""

_COLUMNS = ("index", "seconds", "error", "pilot_votes_counts", "votes_counts")


@dataclass(frozen=True, eq=False)
class FolderStatus:
    """One run folder at one moment.

    Args:
        path: The folder.
        config: What defines the run.
        sampled: Index of every input that holds all its samples, ascending.
        failed: Index of every input that could not be read or sampled, ascending.
        short: Index of every input that holds fewer samples than the run is to have by now, ascending.
        samples: Samples that are stored.
        seconds: Time that devices spent on them.
        heartbeat: What its writer last said, if anything.
        moment: Time at which this was read, in seconds since 1970.
    """

    path: AnyPath
    config: RunConfig
    sampled: IntArray
    failed: IntArray
    short: IntArray
    samples: int
    seconds: float
    heartbeat: Heartbeat | None
    moment: float

    @property
    def shard(self) -> str | None:
        """Which share of the run this folder is to hold, such as ``"3/16"``; None for all of it."""
        return getattr(self.config.spec.execution, "shard", None)

    @property
    def expected(self) -> int | None:
        """Inputs that this folder is to hold: of a shard its share; None if nobody said."""
        if self.config.inputs is None or self.shard is None:
            return self.config.inputs
        number, _, shards = self.shard.partition("/")
        return len(range(int(number) - 1, self.config.inputs, int(shards)))

    @property
    def done(self) -> int:
        """Inputs that are settled, failed ones included."""
        return len(self.sampled) + len(self.failed)

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.expected is not None and self.done >= self.expected

    @property
    def age(self) -> float | None:
        """Seconds since the last heartbeat; clocks of two machines may differ, so it is at least 0."""
        return None if self.heartbeat is None else max(0.0, self.moment - self.heartbeat.updated)

    @property
    def writer(self) -> Literal["writing", "silent", "ended", "unknown"]:
        """What the one who writes seems to be doing; ``"unknown"`` where there is no heartbeat."""
        if self.heartbeat is None or self.age is None:
            return "unknown"
        if self.heartbeat.state == "ended":
            return "ended"
        return "writing" if self.age <= SILENT else "silent"

    @property
    def seconds_left(self) -> float | None:
        """Time until it is finished, if somebody writes and it can be told."""
        if self.finished:
            return 0.0
        left = self.heartbeat.seconds_left if self.heartbeat is not None and self.writer == "writing" else None
        return None if left is None else max(0.0, left - min(self.age or 0.0, EVERY))


@dataclass(frozen=True, eq=False)
class Status:
    """One run, in one folder or several.

    Args:
        folders: At least one; shards of one run, or copies that went on in different places.
    """

    folders: tuple[FolderStatus, ...]

    @property
    def config(self) -> RunConfig:
        """What defines the run."""
        return self.folders[0].config

    @property
    def expected(self) -> int | None:
        """Inputs that these folders are to hold together."""
        shares = {folder.shard: folder.expected for folder in self.folders}
        known = [share for share in shares.values() if share is not None]
        if len(known) < len(shares):
            return None
        return shares[None] if None in shares else min(sum(known), self.config.inputs or 0)

    @property
    def done(self) -> int:
        """Inputs that are settled, failed ones included, each counted once."""
        return _distinct(indices for folder in self.folders for indices in (folder.sampled, folder.failed))

    @property
    def failed(self) -> int:
        """Inputs that could not be read or sampled anywhere."""
        return self.done - _distinct(folder.sampled for folder in self.folders)

    @property
    def short(self) -> int:
        """Inputs that wait for the samples by which the run was grown."""
        held = (indices for folder in self.folders for indices in (folder.sampled, folder.failed, folder.short))
        return _distinct(held) - self.done

    @property
    def left(self) -> int | None:
        """Inputs that are still to do; None where nobody said how many there are."""
        return None if self.expected is None else max(0, self.expected - self.done)

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.left == 0

    @property
    def samples(self) -> int:
        """Samples that are stored."""
        return sum(folder.samples for folder in self.folders)

    @property
    def seconds(self) -> float:
        """Time that devices spent on them."""
        return sum(folder.seconds for folder in self.folders)

    @property
    def rate(self) -> float | None:
        """Samples a second now, of all writers together; None where nobody writes."""
        rates = [
            f.heartbeat.rate or f.heartbeat.mean_rate for f in self.folders if f.heartbeat and f.writer == "writing"
        ]
        known = [rate for rate in rates if rate is not None]
        return sum(known) if known else None

    @property
    def device_rate(self) -> float | None:
        """Samples per second of device time, over everything that is stored."""
        return self.samples / self.seconds if self.seconds > 0 and self.samples else None

    @property
    def seconds_left(self) -> float | None:
        """Time until the last folder is finished; None if one of them is not being written, or it cannot be told."""
        if self.finished:
            return 0.0
        left = [folder.seconds_left for folder in self.folders]
        known = [seconds for seconds in left if seconds is not None]
        return max(known) if len(known) == len(left) else None

    def to_dict(self) -> dict[str, Any]:
        """Everything as values that JSON has."""
        config = self.config
        return {
            "fingerprint": config.fingerprint,
            "model": config.model,
            "data": config.data,
            "kind": config.kind,
            "sigma": config.sigma,
            "question": config.question,
            "inputs": config.inputs,
            "expected": self.expected,
            "done": self.done,
            "left": self.left,
            "failed": self.failed,
            "short": self.short,
            "finished": self.finished,
            "samples": self.samples,
            "device_seconds": self.seconds,
            "samples_per_second": self.rate,
            "samples_per_device_second": self.device_rate,
            "seconds_left": self.seconds_left,
            "folders": [_folder_dict(folder) for folder in self.folders],
        }


def run_status(path: AnyPath | str) -> FolderStatus:
    """How far the run in a folder is; reads its records, and works while somebody else writes them.

    Raises:
        RunError: If there is no run, it was written by a newer smoothcert, or a part is damaged.
    """
    run = Run.open(path)
    # Before the records: what is counted is then at least what the heartbeat speaks of.
    heartbeat = read_heartbeat(run.path, fingerprint=run.config.fingerprint)
    found = [_rows(table) for table in run.tables(["index"] if run.config.kind == IMPORTED else _COLUMNS)]
    index, seconds, failed, samples, n = (
        np.concatenate([np.empty(0, dtype), *(rows[at] for rows in found)])
        for at, dtype in enumerate((np.int64, np.float64, np.bool_, np.int64, np.int64))
    )
    short = ~failed & (n < run.config.n) if run.config.kind == SAMPLED else np.zeros(len(index), dtype=np.bool_)
    return FolderStatus(
        path=run.path,
        config=run.config,
        sampled=index[~failed & ~short],
        failed=index[failed],
        short=index[short],
        samples=int(samples.sum()),
        seconds=math.fsum(seconds[np.isfinite(seconds)]),
        heartbeat=heartbeat,
        moment=time.time(),
    )


def joined(folders: Sequence[FolderStatus]) -> list[Status]:
    """Folders of one run together, runs in the order of their first folder."""
    found: dict[str, list[FolderStatus]] = {}
    for folder in folders:
        found.setdefault(folder.config.fingerprint, []).append(folder)
    return [Status(tuple(together)) for together in found.values()]


def _rows(table: pa.Table) -> tuple[IntArray, ...]:
    """Index, seconds, whether it failed, samples and estimation samples of each row."""
    index = one_array(table["index"]).to_numpy()
    if table.num_columns == 1:
        nothing = np.zeros(len(index), dtype=np.int64)
        return index, nothing.astype(np.float64), nothing.astype(np.bool_), nothing, nothing
    pilot, n = (
        np.array([counts.sum() for counts in list_rows(table[f"{name}_counts"])], dtype=np.int64)
        for name in ("pilot_votes", "votes")
    )
    seconds = table["seconds"].to_numpy()
    return index, seconds, table["error"].is_valid().to_numpy(), pilot + n, n


def _distinct(indices: Iterable[IntArray]) -> int:
    return len(np.unique(np.concatenate([np.empty(0, np.int64), *indices])))


def _folder_dict(folder: FolderStatus) -> dict[str, Any]:
    beat = folder.heartbeat
    return {
        "run": str(folder.path),
        "expected": folder.expected,
        "done": folder.done,
        "failed": len(folder.failed),
        "short": len(folder.short),
        "finished": folder.finished,
        "seconds_left": folder.seconds_left,
        "writer": folder.writer,
        "heartbeat_age": folder.age,
        "heartbeat": None if beat is None else vars(beat),
    }
