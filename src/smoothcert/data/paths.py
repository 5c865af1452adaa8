"""Which files of a folder belong to a data set, and reading one that a stranger may have put there."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from smoothcert.errors import DataError

MAX_BYTES = 2**30
"""The most bytes that an encoded image or sound may have; more are refused before memory is asked for."""

SPLITS = ("train", "training", "test", "testing", "validation", "valid", "val", "dev", "eval", "evaluation")
"""Names of parts of a data set, which are no classes."""

_NOT_DATA = frozenset({"lost+found", "$recycle.bin", "#recycle", "@recycle", "system volume information"})
_MAX_DEPTH, _MAX_LINKS = 64, 100_000


def user_path(text: str | Path) -> Path:
    """Return the path that a person wrote, ``~`` for the home folder included.

    Raises:
        DataError: It is no path, or of a home folder that is not known.
    """
    try:
        path = Path(text).expanduser()
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"path {str(text)!r} cannot be used: {reason}") from error
    return path


def is_left_out(name: str) -> bool:
    """Whether a file or folder is no data by its name: hidden, or beginning with an underscore, or a system's own."""
    return name.startswith((".", "_", "@ea", "@Recycle")) or name.casefold() in _NOT_DATA


def check_regular(path: Path, *, name: str, most: int = MAX_BYTES) -> os.stat_result:
    """Check that ``path`` is a regular file of at most ``most`` bytes, without opening it.

    Raises:
        DataError: It is absent, a folder, a device or a pipe, or too large; the message calls it ``name``.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        if path.is_symlink():
            raise DataError(
                f"{name} cannot be read: it is a link to {os.readlink(path)}, which is not there"
            ) from error
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{name} cannot be read: {reason}") from error
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{name} cannot be read: it is no regular file")
    if found.st_size > most:
        raise DataError(f"{name} must have at most {most:,} bytes; it has {found.st_size:,}")
    return found


def read_bytes(path: Path, *, name: str, most: int = MAX_BYTES) -> bytes:
    """Return the content of a regular file; see ``check_regular``."""
    check_regular(path, name=name, most=most)
    try:
        # A pipe put there in the meantime does not make this wait.
        with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                raise DataError(f"{name} cannot be read: it is no regular file")
            content = opened.read(most + 1)
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror or error}") from error
    if len(content) > most:
        raise DataError(f"{name} must have at most {most:,} bytes")
    return content


def confined(path: str | Path, *, folders: Sequence[Path], beside: Path, name: str, anywhere: bool = False) -> Path:
    """Return the file that data name by ``path``, which must lie inside one of ``folders`` once links are followed.

    Args:
        path: As it stands in the data.
        folders: Where files of the data may lie; the data's own folder first.
        beside: Where a relative path begins.
        name: What an error calls it.
        anywhere: Whether it may lie elsewhere, too.

    Raises:
        DataError: It lies elsewhere, or is an address rather than a path.
    """
    if "://" in str(path) or "\0" in str(path):
        raise DataError(f"{name} must be the path of a file; it is {str(path)!r}")
    found = Path(os.path.realpath(beside / path))
    if anywhere or any(found.is_relative_to(own) for folder in folders for own in _own(folder)):
        return found
    raise DataError(
        f"{name} lies at {str(path)!r}, outside the data's own folder {folders[0] if folders else beside}; data may "
        "name files of their own folder only, unless --allow-outside (allow_outside=True) is given"
    )


def _own(folder: Path) -> list[Path]:
    """A folder once links are followed; for a snapshot in Hugging Face's cache, also that to which its links lead."""
    found = Path(os.path.realpath(folder))
    snapshots = [parent for parent in (found, *found.parents) if parent.parent.name == "snapshots"]
    return [found, *(snapshot.parents[1] / "blobs" for snapshot in snapshots)]


@dataclass
class Tree:
    """What a walk of a folder found.

    Args:
        root: The folder.
        files: Those of the wanted kinds, in the order of their paths.
        folders: Names of the folders directly inside, in order.
        left_out: What was left out, by why.
    """

    root: Path
    files: list[Path] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)

    def relative(self, file: Path) -> str:
        """Return the path of a file inside the folder, with forward slashes."""
        return file.relative_to(self.root).as_posix()

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence for each reason for which something was left out."""
        return tuple(
            f"{len(names):,} {why if len(names) > 1 else why.replace('files', 'file').replace('folders', 'folder')} "
            f"in {self.root} left out ({', '.join(sorted(names)[:3])}{', ...' if len(names) > 3 else ''})"
            for why, names in self.left_out.items()
        )


def walk(root: Path, *, suffixes: Collection[str]) -> Tree:
    """Find the files below ``root`` with one of ``suffixes``, following symbolic links.

    Files and folders that are no data by their names are left out, and so are files of other kinds; both are counted.
    A file that is there by name but cannot be read, such as a broken link or a pipe, is among those found: reading it
    says why.

    Raises:
        DataError: A folder cannot be listed, or a link to one leads nowhere or back into itself.
    """
    tree = Tree(root)
    hidden, other = "hidden or system files or folders", "files of other kinds"
    for relative, entry in _entries(root):
        if is_left_out(entry.name):
            tree.left_out.setdefault(hidden, []).append(relative)
        elif _is_folder(entry, relative, root):
            if "/" not in relative:
                tree.folders.append(entry.name)
        elif os.path.splitext(entry.name)[1].lower() in suffixes:
            tree.files.append(root / relative)
        elif entry.is_symlink() and not os.path.exists(entry.path):
            raise DataError(
                f"{relative} in {root} is a link to {os.readlink(entry.path)}, which is not there; mend or remove it, "
                "as it may be a folder of the data"
            )
        else:
            tree.left_out.setdefault(other, []).append(relative)
    tree.files.sort(key=lambda file: file.relative_to(root).parts)
    tree.folders.sort()
    return tree


def check_no_pipes(root: Path) -> None:
    """Check that all files below a folder are regular ones, for readers that would wait for the end of a pipe.

    Raises:
        DataError: One is not; the message names it.
    """
    for relative, entry in _entries(root):
        if not entry.is_dir() and os.path.exists(entry.path):
            check_regular(Path(entry.path), name=f"{relative} in {root}", most=2**60)


def _entries(root: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Everything below a folder with its path inside; nothing inside what is left out."""
    pending: list[tuple[str, tuple[tuple[int, int], ...]]] = [("", ())]
    links = 0  # a few, each to a folder of others, can make any number of paths
    while pending:
        inside, above = pending.pop()
        folder = os.path.join(root, inside)
        try:
            identity = os.stat(folder)
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            raise DataError(f"folder {folder} cannot be listed: {error.strerror or error}") from error
        here = (identity.st_dev, identity.st_ino)
        if here in above:
            raise DataError(f"folder {folder} leads back to a folder that it lies in, by a link; remove the link")
        if len(above) >= _MAX_DEPTH or links > _MAX_LINKS:
            raise DataError(f"folder {folder} lies too deep, or behind too many links, to be followed")
        for entry in entries:
            relative = f"{inside}/{entry.name}" if inside else entry.name
            yield relative, entry
            if not is_left_out(entry.name) and _is_folder(entry, relative, root):
                links += entry.is_symlink()
                pending.append((relative, (*above, here)))


def _is_folder(entry: os.DirEntry[str], relative: str, root: Path) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:  # a link to itself
        raise DataError(f"{relative} in {root} cannot be followed: {error.strerror or error}") from error
