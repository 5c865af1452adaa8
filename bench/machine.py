"""What the figures were measured on: processors and versions, no names of hosts and no paths."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

_PACKAGES = ("torch", "numpy", "onnxruntime", "openvino", "adversarial-robustness-toolbox")


def describe(threads: int) -> dict[str, str]:
    cuda = torch.cuda.is_available()
    return {
        "cpu": _cpu_model(),
        "cores": str(os.cpu_count()),
        "threads used": str(threads),
        "instruction set": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if cuda else "none",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{package: found for package in _PACKAGES if (found := _version(package))},
    }


def load() -> str:
    """How busy the machine is, where it says so: figures from a busy one are worth less."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
