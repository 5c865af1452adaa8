"""A Ray cluster, as far as it is needed here: reached or started quietly, and how many workers it has room for."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from smoothcert.cpus import usable_cpus
from smoothcert.errors import InvalidArgumentError
from smoothcert.extras import import_optional
from smoothcert.models.guard import reason
from smoothcert.spec import ExecutionSpec

_PATIENCE = 5.0  # seconds until an address that does not answer is believed not to
_LAST = Path("/tmp/ray/ray_current_cluster")
"""Where Ray notes the address of the cluster that was last started on a machine."""
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported to anybody
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # spares a warning
}


@dataclass(frozen=True)
class Need:
    """What one worker occupies.

    Args:
        cpus: Number of CPUs.
        gpus: Number of GPUs; a fraction shares one.
    """

    cpus: int
    gpus: float

    def fits(self, resources: Mapping[str, float]) -> int:
        """How many workers a machine with these resources has room for."""
        rooms = [resources.get("CPU", 0.0) / self.cpus]
        if self.gpus:
            gpus = resources.get("GPU", 0.0)
            # A GPU is not put together of two halves, and of several GPUs only whole ones are given.
            rooms.append(int(gpus) * int(1 / self.gpus) if self.gpus <= 1 else gpus / self.gpus)
        return int(min(rooms))

    def __str__(self) -> str:
        """In words."""
        return f"{_counted(self.cpus, 'CPU')}" + (f" and {_counted(self.gpus, 'GPU')}" if self.gpus else "")


class Cluster:
    """A connection to a Ray cluster.

    Args:
        execution: The address, and what a worker needs. Without an address, that in ``RAY_ADDRESS``; else one is
            started on this machine, and ends with :meth:`close`. A connection that this process has is used.

    Raises:
        MissingDependencyError: If Ray is absent.
        InvalidArgumentError: If no cluster answers, or the device and the GPUs of a worker do not fit together.
    """

    def __init__(self, execution: ExecutionSpec) -> None:
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)  # before the import, which reads them
        self.ray: ModuleType = import_optional("ray", what="--engine ray", extra="ray")
        self._ours = not self.ray.is_initialized()
        if self._ours:
            self._connect(execution.address or os.environ.get("RAY_ADDRESS") or None)
        try:
            self.need = Need(execution.cpus_per_worker, self._gpus(execution))
        except BaseException:
            self.close()
            raise

    @property
    def nodes(self) -> dict[str, Mapping[str, float]]:
        """Resources of the machines that are there, by id."""
        return {node["NodeID"]: node["Resources"] for node in self.ray.nodes() if node["Alive"]}

    @property
    def room(self) -> int:
        """Number of workers it has room for, if nobody else uses it."""
        return sum(map(self.need.fits, self.nodes.values()))

    @property
    def logs(self) -> str:
        """Folder, on every machine, that Ray writes the output of its processes to."""
        node = self.ray._private.worker.global_worker.node
        return str(node.get_logs_dir_path()) if node is not None else "/tmp/ray/session_latest/logs"

    def described(self) -> str:
        """What it has, in words."""
        nodes = list(self.nodes.values())
        cpus, gpus = (sum(node.get(kind, 0.0) for node in nodes) for kind in ("CPU", "GPU"))
        most = max(((node.get("GPU", 0.0), node.get("CPU", 0.0)) for node in nodes), default=(0.0, 0.0))
        largest = (
            f", at most {_counted(most[1], 'CPU')} and {_counted(most[0], 'GPU')} on one" if len(nodes) > 1 else ""
        )
        machines = "1 machine" if len(nodes) == 1 else f"{len(nodes)} machines"
        return f"{_counted(cpus, 'CPU')} and {_counted(gpus, 'GPU')} on {machines}{largest}"

    def close(self) -> None:
        """End what was started, and the connection if it was made here."""
        if self._ours and self.ray.is_initialized():
            self.ray.shutdown()

    def _connect(self, address: str | None) -> None:
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if address is None or address == "local":
            options |= {"address": "local", "num_cpus": usable_cpus(), "include_dashboard": False}
        else:
            options["address"] = _reachable(address)
        try:
            try:
                self.ray.init(**options)
            except Exception:  # on a machine that is busy Ray gives itself up after half a minute
                if options["address"] != "local":
                    raise
                self.ray.shutdown()
                self.ray.init(**options)
        except Exception as error:  # of a dozen kinds
            self.ray.shutdown()
            where = "on this machine" if address is None else f"at {address}"
            raise InvalidArgumentError(f"no Ray cluster can be used {where}: {reason(error)}") from error
        # What Ray says of workers that die goes to standard output otherwise, whatever log_to_driver is.
        self.ray._private.worker._worker_logs_enabled = False

    def _gpus(self, execution: ExecutionSpec) -> float:
        """GPUs per worker: as asked, else one where the device is one or the cluster has any."""
        device, asked = execution.device, execution.gpus_per_worker
        if device is not None and ":" in device:
            raise InvalidArgumentError(
                f"device must be a kind such as cuda with --engine ray, which gives workers GPUs of their own; "
                f"got {device!r}"
            )
        if asked is None:
            if device is None:
                return float(any(node.get("GPU", 0.0) >= 1 for node in self.nodes.values()))
            return float(device == "cuda")
        if device == "cuda" and asked == 0:
            raise InvalidArgumentError("device cuda needs GPUs; got gpus_per_worker=0")
        return asked


def too_little(cluster: Cluster, asked: int | None) -> str:
    """That no worker can be started, and why."""
    workers = "a worker" if asked is None else _counted(asked, "worker")
    each = f"with {cluster.need}" if asked in (None, 1) else f"with {cluster.need} each"
    return f"{workers} {each} cannot be started: the cluster has {cluster.described()}"


def _reachable(address: str) -> str:
    """The address, once somebody answers there: Ray itself would try for minutes."""
    if "://" in address:
        raise InvalidArgumentError(
            f"address must be auto or HOST:PORT of a running Ray cluster; got {address!r}: "
            "run this command on a machine of the cluster, for instance by ray job submit"
        )
    found = _last_started() if address == "auto" else address
    host, _, port = found.rpartition(":")
    if not host or not port.isdecimal():
        raise InvalidArgumentError(f"address must be auto or HOST:PORT of a running Ray cluster; got {address!r}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise InvalidArgumentError(
            f"address must be that of a running Ray cluster; at {found} none answers ({error}); "
            "without an address one is started on this machine"
        ) from error
    return found


def _last_started() -> str:
    """Address of the cluster on this machine."""
    try:
        return os.environ.get("RAY_ADDRESS", "").replace("auto", "") or _LAST.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise InvalidArgumentError(
            "address auto needs a Ray cluster on this machine, and none is running here (ray start --head starts one)"
        ) from None


def _counted(number: float, what: str) -> str:
    return f"{number:g} {what}{'' if number == 1 else 's'}"
