"""How many processors this process may use: what threads and worker processes follow, whatever the machine has."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

_ROOT = Path("/")


def usable_cpus() -> int:
    """Processors this process may keep busy: those it may run on, and no more than the quota of its control group.

    A container limited to one processor of a machine with 64 sees all 64. Threads for all of them spend their time
    waiting for one another: a demonstration took five times as long as with one thread.

    Returns:
        At least 1. A quota of 2.5 processors counts as 2.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for quota in group_quotas(_ROOT) if quota > 0.0]
    return max(1, min(allowed, *(int(quota) for quota in quotas))) if quotas else allowed


def follow_quota() -> None:
    """Let libraries that have not started threads yet start no more than :func:`usable_cpus`.

    Only where a quota is below what they would take, and where ``OMP_NUM_THREADS`` does not say otherwise already.
    PyTorch reads it when it is imported; processes started from here inherit it.
    """
    usable = usable_cpus()
    if usable < (os.cpu_count() or 1):
        os.environ.setdefault("OMP_NUM_THREADS", str(usable))


def group_quotas(root: Path) -> Iterator[float]:
    """Processors that each control group this process is in allows, versions 1 and 2; none where there is no limit.

    Args:
        root: Where ``proc`` and ``sys`` are.
    """
    with suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            number, controllers, path = line.split(":", 2)
            if number == "0" and not controllers:
                yield from _climb(root / "sys/fs/cgroup", path, _quota_2)
                yield from _climb(root / "sys/fs/cgroup/unified", path, _quota_2)
            elif "cpu" in controllers.split(","):
                for mount in dict.fromkeys(("cpu", controllers)):
                    yield from _climb(root / "sys/fs/cgroup" / mount, path, _quota_1)


def _climb(mount: Path, path: str, read: Callable[[Path], float | None]) -> Iterator[float]:
    """Quotas of a group and of those above it, up to where they are mounted."""
    group = mount / path.strip("/")
    for folder in (group, *group.parents):
        if folder.is_relative_to(mount):
            with suppress(OSError, ValueError, ZeroDivisionError):
                if (quota := read(folder)) is not None:
                    yield quota


def _quota_2(folder: Path) -> float | None:
    quota, period = (folder / "cpu.max").read_text().split()
    return None if quota == "max" else int(quota) / int(period)


def _quota_1(folder: Path) -> float | None:
    quota = int((folder / "cpu.cfs_quota_us").read_text())
    return None if quota < 0 else quota / int((folder / "cpu.cfs_period_us").read_text())
