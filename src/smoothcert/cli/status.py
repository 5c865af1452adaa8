"""``smoothcert status``: how far a run is, from anywhere."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Literal

from smoothcert.cli.options import Runs
from smoothcert.console import one_line, say
from smoothcert.errors import InvalidArgumentError

if TYPE_CHECKING:
    from smoothcert.runs.status import FolderStatus, Status

_STALLED = 120.0
"""Seconds without a sample, of a writer that is alive, that are worth a word."""


def status(runs: Runs, /, *, watch: float | None = None, format: Literal["text", "json"] = "text") -> None:
    """Say how far runs are: inputs done and left, rate, time left, cost so far, and whether their writers are alive.

    Reads the run folders only, so it works from any machine that sees them, while others write. Folders of one run,
    such as its shards, are added up.

    For example:

        smoothcert status RUN
        smoothcert status SHARD-* --watch 30

    Args:
        runs: Run folders.
        watch: Say it again every so many seconds, until nothing is left to do.
        format: Text for people, or json: one object per run.
    """
    from smoothcert.runs.status import joined, run_status

    if watch is not None and not 0.0 < watch < 1e6:
        raise InvalidArgumentError(f"--watch must be a positive number of seconds; got {watch:g}")
    while True:
        found = joined([run_status(run) for run in runs])
        if format == "json":
            say(json.dumps([one.to_dict() for one in found], indent=None if watch else 1, allow_nan=False))
        else:
            say("\n\n".join("\n".join(map(one_line, _lines(one))) for one in found))
        if watch is None or all(one.finished for one in found):
            return
        time.sleep(watch)
        if format == "text":
            say("")


def _lines(status: Status) -> list[str]:
    config, alone = status.config, len(status.folders) == 1
    name = str(status.folders[0].path) if alone else f"{len(status.folders)} folders of one run"
    lines = [f"{name}: {_progress(status)}"]
    shards = dict.fromkeys(str(folder.config.shard) for folder in status.folders)
    if "None" not in shards:
        lines.append(f"  shard {', '.join(shards)} of a run of {config.inputs or 0:,} inputs")
    lines.append(f"  {config.model} on {config.data}, sigma {config.sigma:g}, {_sizes(status)}")
    if status.samples:
        lines.append(f"  cost so far: {status.samples:,} samples, {_device_time(status.seconds)}{_per_second(status)}")
    if alone:
        return [*lines, *(f"  {line}" for line in _writer(status.folders[0]))]
    if not status.finished:
        lines.append(f"  {_speed(status.rate, status.seconds_left) or 'not every folder is being written'}")
    for folder in status.folders:
        own = folder.config.expected
        of = "" if own is None else f" of {own:,}"
        lines += [f"  {folder.path}: {folder.inputs.done:,}{of}", *(f"    {line}" for line in _writer(folder))]
    return lines


def _progress(status: Status) -> str:
    """How far it is, in inputs."""
    if status.expected is None:
        told = f"{status.done:,} inputs"
    else:
        share = status.done / status.expected if status.expected else 1.0
        told = f"{status.done:,} of {status.expected:,} inputs are done ({int(1000 * share) / 10:g}%)"
        told += ": finished" if status.finished else f", {status.left:,} left"
    if status.short:
        told += f", {status.short:,} of them to be given more samples"
    return told + (f", {status.failed:,} failed" if status.failed else "")


def _sizes(status: Status) -> str:
    config = status.config
    if config.kind == "imported":
        return "an imported log"
    if config.question is not None:
        return f"{config.question} decided with at most {config.n0:,} + {config.n:,} samples per input"
    return f"{config.n0:,} + {config.n:,} samples per input"


def _writer(folder: FolderStatus) -> list[str]:
    """Who writes a folder, and what is known of it."""
    from smoothcert.progress import duration

    beat, age = folder.heartbeat, folder.age
    if beat is None or age is None:
        return [] if folder.finished else ["nothing is known of a writer: there is no heartbeat in the folder"]
    workers = "one worker" if beat.workers == 1 else f"{beat.workers:,} workers"
    who = f"{beat.engine} engine, {workers} on {beat.device}, process {beat.pid} on {beat.host}"
    if folder.writer == "ended":
        ended = f"ended {duration(age)} ago" + (f": {beat.reason}" if beat.reason else "")
        return [f"{who}, {ended}"] + ([] if folder.finished else ["the same command goes on from there"])
    if folder.writer == "silent":
        return [f"{who}, was last heard of {duration(age)} ago: it may have died; the same command goes on from there"]
    lines = [f"{who}, last heartbeat {duration(age)} ago"]
    if speed := _speed(beat.rate or beat.mean_rate, folder.seconds_left, mean=beat.mean_rate):
        lines.append(speed)
    if (quiet := beat.updated - beat.progressed) >= _STALLED:
        lines.append(f"no samples have come in for {duration(quiet)}")
    return lines


def _speed(rate: float | None, left: float | None, *, mean: float | None = None) -> str:
    from smoothcert.progress import duration

    told = [] if rate is None else [f"{rate:,.0f} samples/s now"]
    if mean is not None:
        told.append(f"{mean:,.0f} since it began")
    if left is not None:
        told.append(f"about {duration(left)} left")
    return ", ".join(told)


def _per_second(status: Status) -> str:
    rate = status.device_rate
    return "" if rate is None else f" ({rate:,.0f} samples per second of it)"


def _device_time(seconds: float) -> str:
    """Time of devices, which is not to be mistaken for time on a clock."""
    return f"{seconds / 3600:,.1f} device-hours" if seconds >= 36_000 else f"{seconds:,.0f} device-seconds"
