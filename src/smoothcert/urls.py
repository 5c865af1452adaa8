"""From what a person wrote to the place it names: a path on this machine, or a URL of an object store.

A text with ``://`` in it is a URL, whatever else it holds; every other text is a path here. URLs are opened by fsspec,
which has a file system for most stores, and handled as :class:`upath.UPath`, which joins and names like ``pathlib``.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from smoothcert.errors import InvalidArgumentError, MissingDependencyError, RunError

if TYPE_CHECKING:
    from upath import UPath

AnyPath: TypeAlias = "Path | UPath"
"""A path on this machine or in an object store: what :func:`to_path` returns."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_ONE_SLASH = re.compile(r"(s3a?|gs|gcs|hf|az|abfss?|memory|file):/(?!/)")
_BUCKETS = ("s3", "s3a", "gs", "gcs", "hf", "memory")  # followed by a name, never by user, password or port
_FILE = ("file", "local")
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "hf": "hub"}
_OPTIONS: dict[str, dict[str, Any]] = {
    "s3": {
        "max_concurrency": 1,  # or each object is asked for its size first
        "config_kwargs": {"max_pool_connections": 32, "retries": {"mode": "standard", "total_max_attempts": 2}},
    }
}
_RETRIES = {"s3": 2}
"""How often a package tries by itself, silently; whoever writes a run goes on trying, and says so."""
KNOWN = "s3:// (pip install 'smoothcert[s3]'), gs:// (pip install 'smoothcert[gcs]'), hf://, memory:// and file://"


def to_path(place: AnyPath | str) -> AnyPath:
    """The path that a text names; what is a path already stays as it is.

    Args:
        place: A path, or a URL such as ``s3://bucket/run``. How its store is reached (endpoint, credentials) stands in
            the environment or the store's own configuration file, never in the URL; in Python a ``UPath`` with
            options of its own does as well.

    Raises:
        InvalidArgumentError: If it is a URL that cannot be used: of an unknown kind, with credentials, with a query.
        MissingDependencyError: If the package that opens such URLs is not installed.
        RunError: If the store cannot be set up.

    Example:
        >>> to_path("runs/14:30"), to_path("file:///tmp/run")
        (PosixPath('runs/14:30'), PosixPath('/tmp/run'))
        >>> str(to_path("memory://bucket/run") / "config.json")
        'memory://bucket/run/config.json'
    """
    if isinstance(place, Path):
        return _local(place)
    if not isinstance(place, str):
        return Path(place.path) if place.protocol in _FILE else place
    if "://" not in place:
        return _local(place)
    found = _URL.fullmatch(place)
    if found is None:
        raise InvalidArgumentError(f"a URL must be like s3://bucket/run; got {_shown(place)}")
    scheme, rest = found[1].lower(), found[2].rstrip("/")
    if scheme in _FILE:
        if not found[2].startswith("/"):
            raise InvalidArgumentError(f"a URL of a file has three slashes and a whole path; got {_shown(place)}")
        return Path(found[2][1:] if os.name == "nt" else found[2])
    _check(scheme, rest)
    return _opened(scheme, rest)


def _local(text: str | Path) -> Path:
    """The path, unless it is a URL that lost a slash on its way, as one does that becomes a path."""
    if (found := _ONE_SLASH.match(str(text))) and not os.path.lexists(text):
        raise InvalidArgumentError(
            f"{found[0]} begins a URL with two slashes, which is given as a string; a folder {found[1]}: here is "
            f"./{found[0]} on the command line"
        )
    return Path(text)


def _check(scheme: str, rest: str) -> None:
    """Refuse what is no plain name in a store, without repeating what may be a secret."""
    host = rest.partition("/")[0]
    bucket = scheme in _BUCKETS
    if (bucket and ("@" in host or ":" in host)) or (":" in host and not host.rpartition(":")[2].isdigit()):
        raise InvalidArgumentError(
            f"a URL must not hold credentials (what follows {scheme}:// does); "
            "put them into the environment or the configuration of the store"
        )
    if not rest or any(part in ("", ".", "..") for part in rest.split("/")):
        raise InvalidArgumentError(f"a URL must name a bucket and a folder, without . or ..; got '{scheme}://{rest}'")
    if found := re.search(r"[?#*\[\]\x00-\x1f\x7f]", rest):
        raise InvalidArgumentError(
            f"a URL must not hold {found[0]!r}: options of a store stand in its environment or configuration, and "
            f"names are taken as they are; got '{scheme}://{rest.partition(found[0])[0]}...'"
        )


def _opened(scheme: str, rest: str) -> UPath:
    """The path in its store, whose package is loaded."""
    from fsspec import get_filesystem_class
    from fsspec.registry import known_implementations
    from upath import UPath

    if scheme not in known_implementations and scheme not in _registered():
        raise InvalidArgumentError(
            f"a URL must be of a known kind: {KNOWN}, and what else fsspec opens; got '{scheme}://'"
        )
    try:
        get_filesystem_class(scheme)
    except ImportError as error:
        raise MissingDependencyError(f"{scheme}:// needs a package: {_package(scheme)} ({error})") from error
    kind = "s3" if scheme == "s3a" else scheme
    try:
        path: UPath = UPath(f"{scheme}://{rest}", use_listings_cache=False, **_OPTIONS.get(kind, {}))
        fs = path.fs
        fs.retries = _RETRIES.get(kind, getattr(fs, "retries", 0))
    except Exception as error:  # each store raises its own
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise RunError(f"cannot open {scheme}://{rest}: {reason}") from error
    return path


def _registered() -> frozenset[str]:
    from fsspec.registry import registry

    return frozenset(registry)


def _package(scheme: str) -> str:
    """How to install what opens URLs of this kind."""
    from fsspec.registry import known_implementations

    if scheme in _EXTRAS:
        return f"pip install 'smoothcert[{_EXTRAS[scheme]}]'"
    return str(known_implementations.get(scheme, {}).get("err", "see fsspec"))


def _shown(text: str) -> str:
    """A text that may be a URL with a secret, as far as it can be shown."""
    scheme, found, _ = text.partition("://")
    return repr(f"{scheme}://..." if found else text)
