"""How many threads PyTorch uses for what is not worth waking them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """Inside, PyTorch computes on this thread alone; for work that is small beside a forward pass.

    Threads that have been woken spin for a while, in case there is more. A backend with threads of its own then shares
    the cores with them: 7% of the throughput of EfficientNet-Lite0 in ONNX Runtime, for one softmax of 8 rows.

    Args:
        device: Where the work is done; nothing changes unless it is a CPU.
    """
    if device.type != "cpu":
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
