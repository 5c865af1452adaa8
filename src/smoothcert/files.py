"""Files read and written so that a kill, a full disk, a pipe or a device does no harm.

What is written is complete under its name or not there at all; what is read is a regular file of a bounded size.
Everything the program writes goes through :func:`write_atomically`, or :func:`write_file` where nobody else words the
error. Paths may be of an object store, where :mod:`smoothcert.remote` does the same.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from smoothcert import remote
from smoothcert.errors import RunError
from smoothcert.remote import Signature
from smoothcert.urls import AnyPath

_TEMPORARY = re.compile(r"\.(.*)\.smoothcert-\d+-[0-9a-f]{8}\.tmp", re.DOTALL)
"""Name of a file that is still being written, after that of the file it will be."""
_LONGEST = 200
"""Bytes of a name that are kept in that of its temporary file: file systems allow 255."""

LARGEST = 2**30
"""Bytes that :func:`read_file` reads at most unless told otherwise."""

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)


def write_file(path: AnyPath, content: bytes | str) -> None:
    """Write a file that a person asked for, whole or not at all; its folder is made if need be.

    Args:
        path: Where; an old file stays as it is until the new one is complete, and a link keeps pointing where it did.
        content: Bytes, or text to be written as UTF-8.

    Raises:
        RunError: If ``path`` is a folder, a pipe or a device, or the disk refuses. The old file is intact.
    """
    try:
        make_folder(path.parent)
        write_atomically(path, content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content)
    except OSError as error:
        why = "the disk is full" if _is_full(error) else _reason(error)
        raise RunError(f"cannot write {path}: {why}; nothing was changed") from error


def write_atomically(path: AnyPath, content: bytes) -> None:
    """Write ``content`` so that ``path`` holds either all of it or what it held before.

    The content goes to a temporary file in the same folder, is forced to the disk, and takes the name in one step. The
    new file has the permissions of the old one, or what the umask allows.

    Raises:
        OSError: If the disk is full, the folder cannot be written, or ``path`` is there and is not a regular file. The
            temporary file is removed first.
    """
    if not isinstance(path, Path):
        remote.write(path, content)
        return
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    mode = _mode_of(target)
    temporary = target.with_name(f".{_shortened(target.name)}.smoothcert-{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        with open(descriptor, "wb") as file:
            if mode is not None and hasattr(os, "fchmod"):
                os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(target.parent)


def make_folder(folder: AnyPath) -> None:
    """Make a folder and those above it that are missing, and force their names to the disk.

    An object store has no folders to make.

    Raises:
        OSError: If one cannot be made.
    """
    if not isinstance(folder, Path):
        return
    missing = []
    for path in (folder, *folder.parents):
        if path.is_dir():
            break
        missing.append(path)
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)


def move(path: AnyPath, target: AnyPath) -> None:
    """Rename within one file system, durably.

    Raises:
        OSError: If it cannot be done.
    """
    if isinstance(path, Path) and isinstance(target, Path):
        os.replace(path, target)
        sync_folder(target.parent)
        sync_folder(path.parent)
    elif not isinstance(path, Path) and not isinstance(target, Path):
        remote.move(path, target)


def names_in(folder: AnyPath) -> list[str]:
    """Names of what is in a folder.

    Raises:
        FileNotFoundError: If there is no such folder; one of an object store is there as soon as somebody asks.
        OSError: If it cannot be listed.
    """
    return os.listdir(folder) if isinstance(folder, Path) else [*remote.listing(folder)]


def signatures(folder: AnyPath) -> dict[str, Signature | None]:
    """Names of what is in a folder, with what tells one version from another where a listing says that.

    Raises:
        FileNotFoundError: If there is no such folder.
        OSError: If it cannot be listed.
    """
    if isinstance(folder, Path):
        return dict.fromkeys(os.listdir(folder))
    return {name: (size, *signature) for name, (size, signature) in remote.listing(folder).items()}


def remove_files(paths: Sequence[AnyPath]) -> None:
    """Delete files; in an object store, all with one request.

    Raises:
        OSError: If one cannot be deleted.
    """
    remote.remove([path for path in paths if not isinstance(path, Path)])
    for path in paths:
        if isinstance(path, Path):
            path.unlink()


def read_file(path: AnyPath, *, at_most: int = LARGEST) -> bytes:
    """The bytes of a regular file; a pipe or a device is refused at once instead of waited for.

    Args:
        path: The file; links are followed.
        at_most: Bytes it may have.

    Raises:
        FileNotFoundError: If there is none.
        OSError: If it is not a regular file, is larger than ``at_most``, or cannot be read.
    """
    if not isinstance(path, Path):
        return remote.read(path, at_most=at_most)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    with open(descriptor, "rb", closefd=True) as file:
        status = os.fstat(descriptor)
        if (kind := _kind(status)) is not None:
            raise OSError(errno.EINVAL, f"it is {kind}, not a regular file")
        if status.st_size > at_most:
            raise OSError(errno.EFBIG, f"it has {status.st_size:,} bytes, more than the {at_most:,} allowed")
        content = file.read(at_most + 1)
    if len(content) > at_most:  # it grew, or lies about its size as files of /proc do
        raise OSError(errno.EFBIG, f"it has more than the {at_most:,} bytes allowed")
    return content


def remove_temporaries(folder: AnyPath, *, of: str | None = None) -> None:
    """Delete what a killed writer of ours left, and nothing else.

    Args:
        folder: Where; only for whoever holds the lock on what is written there.
        of: Only those of the file with this name.
    """
    if not isinstance(folder, Path):
        return  # an object is there as a whole or not at all
    for name in os.listdir(folder):
        found = _TEMPORARY.fullmatch(name)
        if found is not None and (of is None or found[1] == _shortened(of)):
            (folder / name).unlink(missing_ok=True)


def is_temporary(name: str) -> bool:
    """Whether a file of this name is one that :func:`write_atomically` had not finished."""
    return _TEMPORARY.fullmatch(name) is not None


@contextmanager
def disk_errors(folder: AnyPath) -> Iterator[None]:
    """Turn an ``OSError`` inside the block into a ``RunError`` that says what is safe and what to do."""
    try:
        yield
    except OSError as error:
        if _is_full(error):
            raise RunError(
                f"the disk of {folder} is full: everything stored so far is intact; "
                "free some space and run the same command again to go on"
            ) from error
        if not isinstance(folder, Path) and remote.may_pass(error):
            raise RunError(
                f"{folder} does not answer ({_reason(error)}): everything stored so far is intact; "
                "run the same command again to go on when it does"
            ) from error
        raise RunError(f"cannot write to {folder}: {_reason(error)}") from error


def sync_folder(folder: Path) -> None:
    """Force the names in a folder to the disk, where the platform can open folders."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:  # some network file systems cannot; they are as durable as they are
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EACCES):
            raise
    finally:
        os.close(descriptor)


def _shortened(name: str) -> str:
    return os.fsdecode(os.fsencode(name)[:_LONGEST])


def _mode_of(target: Path) -> int | None:
    """Permissions of the file that is to be replaced; None if there is none."""
    try:
        status = os.stat(target)
    except FileNotFoundError:
        return None
    if (kind := _kind(status)) is not None:
        raise OSError(errno.EINVAL, f"{target} is {kind}, not a regular file")
    return stat.S_IMODE(status.st_mode)


def _kind(status: os.stat_result) -> str | None:
    """What it is if it is not a regular file."""
    if stat.S_ISREG(status.st_mode):
        return None
    return next((name for is_kind, name in _KINDS if is_kind(status.st_mode)), "something special")


def _is_full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def _reason(error: OSError) -> str:
    return remote.reason(error)
