"""Files in an object store, read and written with the same promises as those on a disk.

A store takes an object as a whole or not at all, so nothing needs a temporary name. What a store or its package raises
becomes an ``OSError`` here, so that callers word errors once, for disks and stores alike.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from upath import UPath

PATIENCE = 120.0
"""Seconds for which a store that has answered before is asked again when it does not."""
AT_ONCE = 2**26
"""Bytes that are fetched together at most, unless a single object has more."""
_FETCHED = 64  # objects
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 15.0  # seconds between two tries
_EXCLUSIVE = ("s3", "s3a", "gs", "gcs", "memory")
"""Stores that create an object only where there is none in one step; in others fsspec looks first and then writes."""
_PASSING = (
    "botocore.exceptions.HTTPClientError",
    "botocore.exceptions.ConnectionError",
    "aiohttp.client_exceptions.ClientError",
    "requests.exceptions.ConnectionError",
    "requests.exceptions.Timeout",
    "httpx.TransportError",
    "httpcore.NetworkError",
)
"""Full names of errors, of packages that need not be installed, after which a second try may succeed."""
_EXISTS = ("PreconditionFailed", "ConditionalRequestConflict", "412")
_LASTING = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)
_FLEETING = (errno.EIO, errno.EREMOTEIO, errno.EBUSY, errno.EAGAIN, errno.ETIMEDOUT)
_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")

Signature = tuple[object, ...]
"""What tells one version of an object from another."""


class Recent:
    """Objects that were fetched, so that who reads a run several times fetches it once; the oldest go first.

    Args:
        most: Bytes that are kept.
    """

    def __init__(self, most: int = 2**28) -> None:
        self._most = most
        self._held: dict[object, bytes] = {}
        self._size = 0

    def get(self, key: object) -> bytes | None:
        """What was kept under a key, such as a path and its signature."""
        return self._held.get(key)

    def keep(self, key: object, content: bytes) -> None:
        """Keep an object, if it is not too large."""
        if key in self._held or len(content) > self._most:
            return
        self._held[key] = content
        self._size += len(content)
        while self._size > self._most:
            self._size -= len(self._held.pop(next(iter(self._held))))


def read(path: UPath, *, at_most: int) -> bytes:
    """The bytes of an object.

    Raises:
        FileNotFoundError: If there is none.
        OSError: If it has more than ``at_most`` bytes or cannot be read.
    """
    with _as_os_errors():
        path.fs.invalidate_cache(path.parent.path)
        size = path.fs.info(path.path)["size"]
        if (size or 0) > at_most:
            raise too_large(size, at_most)
        content = bytes(path.fs.cat_file(path.path))
    if len(content) > at_most:
        raise too_large(len(content), at_most)
    return content


def read_many(paths: Sequence[UPath], sizes: Mapping[Any, int], *, at_most: int) -> Iterator[bytes | OSError]:
    """The bytes of several objects in order, or why one cannot be read; as many are fetched at a time as memory allows.

    Args:
        paths: In one store.
        sizes: Bytes of each.
        at_most: Bytes each may have.
    """
    batch: list[UPath] = []
    held = 0
    for path in paths:
        size = sizes.get(path, 0)
        if batch and (len(batch) == _FETCHED or held + size > AT_ONCE):
            yield from _fetched(batch, sizes, at_most)
            batch, held = [], 0
        batch.append(path)
        held += size
    yield from _fetched(batch, sizes, at_most)


def _fetched(batch: Sequence[UPath], sizes: Mapping[Any, int], at_most: int) -> Iterator[bytes | OSError]:
    wanted = [path for path in batch if sizes.get(path, 0) <= at_most]
    found: dict[str, bytes | Exception] = {}
    if wanted:
        with _as_os_errors():
            found = wanted[0].fs.cat([path.path for path in wanted], on_error="return")
    for path in batch:
        content = found.get(path.path)
        if isinstance(content, Exception):
            yield _os_error(content)
        elif content is None or len(content) > at_most:
            yield too_large(sizes.get(path, 0) if content is None else len(content), at_most)
        else:
            yield bytes(content)


def write(path: UPath, content: bytes) -> None:
    """Put an object in place of whatever is there.

    Raises:
        OSError: If the store refuses; what was there is intact.
    """
    with _as_os_errors():
        path.fs.pipe_file(path.path, content)


def create(path: UPath, content: bytes) -> None:
    """Put an object where there is none.

    Raises:
        FileExistsError: If there is one.
        NotImplementedError: If the store knows no such condition.
        OSError: If the store refuses.
    """
    try:
        with _as_os_errors():
            path.fs.pipe_file(path.path, content, mode="create")
    except OSError as error:
        if error.errno == errno.ENOSYS:
            raise NotImplementedError(reason(error)) from error
        # Stores of several makers say in several ways that the condition does not hold.
        if getattr(error.__cause__, "response", {}).get("Error", {}).get("Code") in _EXISTS:
            raise FileExistsError(reason(error)) from error
        raise


def creates_exclusively(path: UPath) -> bool:
    """Whether the store keeps an object that is there, at this path, from being created again; asks it to.

    Raises:
        OSError: If the store cannot be asked.
    """
    if path.protocol not in _EXCLUSIVE:
        return False
    try:
        create(path, read(path, at_most=AT_ONCE))
    except FileExistsError:
        return True
    except NotImplementedError:
        pass
    return False


def listing(folder: UPath) -> dict[str, tuple[int, Signature]]:
    """Names directly in a folder, with the size of each and what tells its version.

    Raises:
        OSError: If the store refuses; a folder without objects is empty.
    """
    fs, where = folder.fs, folder.path.rstrip("/")
    with _as_os_errors():
        fs.invalidate_cache(where)
        try:
            found = fs.ls(where, detail=True)
        except FileNotFoundError as error:
            if error.__cause__ is not None:  # the store's own: there is no such bucket
                raise
            found = []
    return {
        name: (int(info.get("size") or 0), _signature(info))
        for info in found
        if (name := _name_in(where, str(info["name"]).rstrip("/"))) is not None
    }


def remove(paths: Sequence[UPath]) -> None:
    """Delete objects; ones that are gone already do not matter.

    Raises:
        OSError: If the store refuses.
    """
    if not paths:
        return
    with _as_os_errors():
        try:
            paths[0].fs.rm([path.path for path in paths])
        except FileNotFoundError:
            names = set(listing(paths[0].parent))
            for path in paths:
                if path.name in names:
                    path.fs.rm_file(path.path)


def move(path: UPath, target: UPath) -> None:
    """Copy an object to another name and delete it under its own.

    Raises:
        OSError: If the store refuses; the object is at one of the two or at both.
    """
    with _as_os_errors():
        path.fs.cp_file(path.path, target.path)
    remove([path])


def persistently(do: Callable[[], _T], *, place: UPath) -> _T:
    """Do something that may be done twice, again and again for a while if the store does not answer.

    Args:
        do: What to do.
        place: What to call the store by.

    Raises:
        OSError: If the store refuses, or has not answered in :data:`PATIENCE` seconds.
    """
    begun, wait = time.monotonic(), _FIRST_WAIT
    while True:
        try:
            return do()
        except OSError as error:
            waited = time.monotonic() - begun
            if not may_pass(error) or waited + wait > PATIENCE:
                raise
            if wait == _FIRST_WAIT:
                _LOG.warning(
                    "%s does not answer (%s): trying again for %d seconds", place, reason(error), int(PATIENCE - waited)
                )
        time.sleep(wait)
        wait = min(2 * wait, _LONGEST_WAIT)


def may_pass(error: OSError) -> bool:
    """Whether the same request may succeed a little later."""
    if isinstance(error, (ConnectionError, TimeoutError)):
        return True
    return not isinstance(error, _LASTING) and error.errno in _FLEETING and not isinstance(error, LastingError)


class LastingError(OSError):
    """What a package raised, and would raise again."""


def reason(error: BaseException) -> str:
    """The first line of what went wrong."""
    said = getattr(error, "strerror", None) or str(error) or str(error.__cause__ or type(error).__name__)
    return said.partition("\n")[0][:300]


def too_large(size: int, at_most: int) -> OSError:
    """The error for an object of too many bytes."""
    return OSError(errno.EFBIG, f"it has {size:,} bytes, more than the {at_most:,} allowed")


@contextmanager
def _as_os_errors() -> Iterator[None]:
    try:
        yield
    except (OSError, NotImplementedError):
        raise
    except Exception as error:  # each package raises its own
        raise _os_error(error) from error


def _os_error(error: Exception) -> OSError:
    if isinstance(error, OSError):
        return error
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    if isinstance(error, TimeoutError) or "TimeoutError" in {kind.__name__ for kind in type(error).__mro__}:
        return TimeoutError(errno.ETIMEDOUT, reason(error))
    made = OSError if names.intersection(_PASSING) else LastingError
    return made(errno.EIO, reason(error))


def _name_in(folder: str, name: str) -> str | None:
    """The last part of a name directly in the folder; None for the folder itself and whatever else is listed."""
    parent, _, last = name.lstrip("/").rpartition("/")
    return last if parent == folder.lstrip("/") and last else None


def _signature(info: Mapping[str, object]) -> Signature:
    """Of what stores say of an object, all that changes with it."""
    known = ("ETag", "etag", "generation", "LastModified", "mtime", "created", "size", "blob_id", "oid")
    return tuple((key, str(info[key])) for key in known if info.get(key) is not None)
