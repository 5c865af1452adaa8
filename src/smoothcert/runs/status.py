"""How far a run is, as its records and the heartbeat of its writer tell; several folders of one run are added up."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from smoothcert.runs.config import IMPORTED, SAMPLED, RunConfig
from smoothcert.runs.extent import joined as joined_config
from smoothcert.runs.heartbeat import EVERY, Heartbeat, read_heartbeat
from smoothcert.runs.records import list_rows, one_array, validity
from smoothcert.runs.run import Run
from smoothcert.typing import AnyArray, FloatArray, IntArray
from smoothcert.urls import AnyPath

SILENT = 6 * EVERY
"""Seconds without a heartbeat after which a writer is no longer believed to be alive."""

_COLUMNS = ("index", "seconds", "error", "pilot_votes_counts", "votes_counts")


class Inputs(NamedTuple):
    """What is stored of each input; all of one length.

    Args:
        indices: Index in the source.
        samples: Samples, pilot included.
        seconds: Time that devices spent on it.
        failed: Whether it could not be read or sampled.
        short: Whether it holds fewer samples than its run is to have by now.
    """

    indices: IntArray
    samples: IntArray
    seconds: FloatArray
    failed: AnyArray
    short: AnyArray

    @classmethod
    def together(cls, several: Sequence[Inputs]) -> Inputs:
        """Each input once: with its samples rather than without, and with more rather than fewer."""
        none = np.empty(0)
        empty = cls(none.astype(np.int64), none.astype(np.int64), none, none.astype(np.bool_), none.astype(np.bool_))
        columns: list[Any] = [np.concatenate(column) for column in zip(empty, *several, strict=True)]
        every = cls(*columns)
        order = np.lexsort((every.short, every.failed, -every.samples, every.indices))
        first = np.ones(len(order), dtype=np.bool_)
        first[1:] = np.diff(every.indices[order]) != 0
        return cls(*(column[order[first]] for column in columns))

    @property
    def done(self) -> int:
        """Number of those that are settled, failed ones included."""
        return int(np.sum(~self.short))


@dataclass(frozen=True, eq=False)
class FolderStatus:
    """One run folder at one moment.

    Args:
        path: The folder.
        config: What defines the run.
        inputs: What is stored.
        heartbeat: What its writer last said, if anything.
        moment: Time at which this was read, in seconds since 1970.
    """

    path: AnyPath
    config: RunConfig
    inputs: Inputs
    heartbeat: Heartbeat | None
    moment: float

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.config.expected is not None and self.inputs.done >= self.config.expected

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

    @cached_property
    def config(self) -> RunConfig:
        """What defines the run, as far as it goes in any of the folders.

        Raises:
            RunError: If they have grown to different inputs.
        """
        configs = [folder.config for folder in self.folders]
        return joined_config(configs, names=[folder.path for folder in self.folders])

    @cached_property
    def expected(self) -> int | None:
        """Inputs that these folders are to hold together, each as far as the run goes in any of them."""
        every = self.config.inputs
        if every is None:
            return None
        positions: set[int] = set()
        for shard in {folder.config.shard for folder in self.folders}:
            if shard is None:
                return every
            positions.update(shard.positions(every))
        return len(positions)

    @cached_property
    def inputs(self) -> Inputs:
        """What is stored, each input once; short of the samples that the run has in any of the folders."""
        found = Inputs.together([folder.inputs for folder in self.folders])
        if self.config.kind != SAMPLED:
            return found
        return found._replace(short=~found.failed & (found.samples < self.config.n0 + self.config.n))

    @property
    def done(self) -> int:
        """Inputs that are settled, failed ones included."""
        return self.inputs.done

    @property
    def failed(self) -> int:
        """Inputs that could not be read or sampled anywhere."""
        return int(np.sum(self.inputs.failed))

    @property
    def short(self) -> int:
        """Inputs that wait for the samples by which the run was grown."""
        return int(np.sum(self.inputs.short))

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
        return int(self.inputs.samples.sum())

    @property
    def seconds(self) -> float:
        """Time that devices spent on them."""
        return math.fsum(self.inputs.seconds)

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
    columns = ["index"] if run.config.kind == IMPORTED else _COLUMNS
    return FolderStatus(
        path=run.path,
        config=run.config,
        inputs=Inputs.together([_inputs(table, run.config) for table in run.tables(columns)]),
        heartbeat=heartbeat,
        moment=time.time(),
    )


def joined(folders: Sequence[FolderStatus]) -> list[Status]:
    """Folders of one run together, runs in the order of their first folder."""
    found: dict[str, list[FolderStatus]] = {}
    for folder in folders:
        found.setdefault(folder.config.fingerprint, []).append(folder)
    return [Status(tuple(together)) for together in found.values()]


def _inputs(table: pa.Table, config: RunConfig) -> Inputs:
    index = one_array(table["index"]).to_numpy()
    nothing = np.zeros(len(index))
    if config.kind == IMPORTED:
        return Inputs(index, nothing.astype(np.int64), nothing, nothing.astype(np.bool_), nothing.astype(np.bool_))
    pilot, n = (
        np.array([counts.sum() for counts in list_rows(table[f"{name}_counts"])], dtype=np.int64)
        for name in ("pilot_votes", "votes")
    )
    failed = validity(table["error"])
    short = ~failed & (n < config.n) if config.kind == SAMPLED else nothing.astype(np.bool_)
    return Inputs(index, pilot + n, table["seconds"].to_numpy(), failed, short)


def _folder_dict(folder: FolderStatus) -> dict[str, Any]:
    beat = folder.heartbeat
    return {
        "run": str(folder.path),
        "shard": None if folder.config.shard is None else str(folder.config.shard),
        "expected": folder.config.expected,
        "done": folder.inputs.done,
        "failed": int(np.sum(folder.inputs.failed)),
        "short": int(np.sum(folder.inputs.short)),
        "finished": folder.finished,
        "seconds_left": folder.seconds_left,
        "writer": folder.writer,
        "heartbeat_age": folder.age,
        "heartbeat": None if beat is None else vars(beat),
    }
