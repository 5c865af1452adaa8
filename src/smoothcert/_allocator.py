"""How the C library hands memory back to the system, which costs forward passes on a CPU much of their time."""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # numbers of malloc.h
_LARGEST_KEPT = 2**30


def keep_freed_memory() -> bool:
    """Let this process keep the memory it frees, for its own next use; the command line does so.

    PyTorch on a CPU allocates every feature map anew. Large ones glibc gets from the system and gives back right
    after, and the system clears every page again, a good part of the time of a forward pass (see
    docs/explanation/costs.md). Results do not change. The process keeps the memory of its peak until it ends, which is
    why the library leaves it to its users to ask for this, once, at the start.

    Returns:
        Whether that was possible: with glibc, the C library of most Linux systems.

    Example:
        >>> import smoothcert as sc
        >>> _ = sc.keep_freed_memory()
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    set_option = ctypes.CDLL(None).mallopt
    return bool(set_option(_MMAP_THRESHOLD, _LARGEST_KEPT) and set_option(_TRIM_THRESHOLD, 2**31 - 1))
