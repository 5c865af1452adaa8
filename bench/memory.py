"""Peak memory of one row, in a process of its own so that rows do not add up.

python bench/memory.py '{"network": "resnet20", "kind": "sampler", "n0": 256, "n": 768, "batch_size": 256}'
"""

from __future__ import annotations

import json
import resource
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.processes import in_own_process

MEGABYTE = 2**20
_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss


def peak(network: str, contender: Any, size: Any, *, threads: int, timeout: float = 600.0) -> float | None:
    """Megabytes at the peak of one round: of the process, or on the GPU that it runs on; ``None`` if it failed."""
    task = {"network": network, "threads": threads, **asdict(contender), **asdict(size)}
    done = in_own_process("bench.memory", json.dumps(task), threads=threads, check=False, timeout=timeout)
    return float(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def main(task: dict[str, Any]) -> float:
    import torch

    from bench.contenders import Contender, Round, Stand
    from bench.networks import build

    torch.set_num_threads(task.pop("threads"))
    network = build(task.pop("network"))
    size = Round(**{name: task.pop(name) for name in ("n0", "n", "batch_size", "device")})
    run = Stand(network, size).round(Contender(**task))
    if size.device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        run()
        return torch.cuda.max_memory_allocated() / MEGABYTE
    run()
    return peak_of_this_process()


def peak_of_this_process() -> float:
    """Megabytes. Linux hands ``ru_maxrss`` of the parent down to a child, which would make all rows alike."""
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / MEGABYTE
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT / MEGABYTE


if __name__ == "__main__":
    print(main(json.loads(sys.argv[1])))
