"""Writing to disk so that a kill or a full disk at any moment leaves either the old state or the new one."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from smoothcert.errors import RunError

TEMPORARY = ".tmp"
"""Suffix of a file that is still being written. Whoever finds one after a kill may delete it."""


def write_file(path: Path, content: bytes | str) -> None:
    """Write a file that a person asked for, whole or not at all; its folder is made if need be.

    Raises:
        RunError: If the disk refuses. The old file is intact.
    """
    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content)


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` so that ``path`` holds either all of it or what it held before.

    The content goes to a temporary file in the same folder, is forced to the disk, and takes the name in one
    step.

    Raises:
        OSError: If the disk is full or the folder cannot be written; the temporary file is removed first.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def remove_temporaries(folder: Path) -> None:
    """Delete what a killed writer left. Only for whoever holds the lock on the folder."""
    for path in folder.glob(f".*{TEMPORARY}"):
        path.unlink(missing_ok=True)


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn an ``OSError`` inside the block into a ``RunError`` that says what is safe and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RunError(
                f"the disk of {folder} is full: everything stored so far is intact; "
                "free some space and run the same command again to go on"
            ) from error
        raise RunError(f"cannot write to {folder}: {error.strerror or error}") from error


def _sync_folder(folder: Path) -> None:
    """Force the new name itself to the disk, where the platform can open folders."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
