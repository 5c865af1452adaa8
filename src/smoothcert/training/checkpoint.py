"""An interrupted training run on disk: enough to go on exactly as if it had not stopped, for one process at a time."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from smoothcert.errors import ModelError, RunError
from smoothcert.files import disk_errors, make_folder, remove_temporaries, write_atomically
from smoothcert.models.weights import read_weights

SUFFIX = ".checkpoint"
_ENTRIES = ("step", "network", "optimizer")


def checkpoint_path(out: Path) -> Path:
    """Where a run that will end in ``out`` keeps its checkpoint."""
    return out.with_name(out.name + SUFFIX)


def check_out(out: Path) -> None:
    """Refuse a file that is there already.

    Raises:
        RunError: It is.
    """
    if out.exists():
        raise RunError(f"{out} exists already; choose another out, or move it away")


@contextmanager
def sole_writer(out: Path) -> Iterator[None]:
    """Let one process at a time work on ``out`` and its checkpoint; what a killed one left half-written is deleted.

    Raises:
        RunError: Another process is at it, or has finished it, or the folder cannot be written.
    """
    held = out.with_name(f".{out.name}.lock")
    lock = FileLock(held, timeout=0)
    with disk_errors(out.parent):
        make_folder(out.parent)
        try:
            lock.acquire()
        except Timeout as error:
            raise RunError(
                f"another process is training into {out}: wait for it to end, or choose another out"
            ) from error
    try:
        check_out(out)
        for written in (out, checkpoint_path(out)):
            remove_temporaries(out.parent, of=written.name)
        yield
        # Whoever waits for this very file finds, once it has it, that out exists.
        with suppress(OSError):
            held.unlink()
    finally:
        lock.release()


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write ``state``, tensors and plain values, so that a kill leaves this checkpoint or the one before.

    Raises:
        RunError: The disk refuses.
    """
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    with disk_errors(path.parent):
        write_atomically(path, buffer.getvalue())


def load(path: Path, identity: Mapping[str, str]) -> dict[str, Any] | None:
    """Read a checkpoint; None if there is none.

    Args:
        path: Where it is.
        identity: What it must agree with; ``recipe`` is JSON, and compared value by value.

    Raises:
        RunError: It is of a run with another ``identity``, naming what differs, or cannot be read.
    """
    if not path.exists():
        return None
    try:
        state = dict(read_weights(path).content)
        there = _flat(state["identity"])
        complete = all(entry in state for entry in _ENTRIES)
    except (ModelError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{_not_ours(path)}: {error}") from error
    if not complete:
        raise RunError(_not_ours(path))
    here = _flat(identity)
    if names := [name for name in here if there.get(name) != here[name]]:
        differences = "; ".join(f"{name} was {there.get(name)!r}, now {here[name]!r}" for name in names)
        raise RunError(f"{path} holds another training run: {differences}; choose another out, or move it away")
    return state


def _flat(identity: Mapping[str, str]) -> dict[str, Any]:
    rest = {name: value for name, value in identity.items() if name != "recipe"}
    return {**json.loads(identity["recipe"]), **rest}


def _not_ours(path: Path) -> str:
    return f"{path} is not a checkpoint of a training run; move it away to begin anew"
