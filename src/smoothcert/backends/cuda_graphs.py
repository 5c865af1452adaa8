"""The module as captured CUDA graphs: one launch a batch instead of one a kernel."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

_KEPT = 4  # graphs: full batches, remainders and the probe; each holds its own activations
_WARM_UP = 3  # passes before the capture, in which libraries choose kernels and allocate workspaces


class GraphedClassifier(nn.Module):
    """Captures a graph for each batch size it meets and keeps the last few.

    A graph replays the very kernels that ran while it was captured, autocast included. The output is copied, because
    the next replay overwrites it.

    Args:
        module: In eval mode, on a CUDA device, with nothing in its forward pass that waits for the device.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self._graphs: OrderedDict[object, Callable[[Tensor], Tensor]] = OrderedDict()

    @torch.inference_mode()
    def forward(self, batch: Tensor) -> Tensor:
        """Run a batch, shape ``(batch, *input_shape)``."""
        autocast = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else None
        key = (tuple(batch.shape), batch.stride(), batch.device, autocast)
        if key not in self._graphs:
            while len(self._graphs) >= _KEPT:
                self._graphs.popitem(last=False)
            self._graphs[key] = self._capture(batch, autocast)
        self._graphs.move_to_end(key)
        return self._graphs[key](batch)

    def _capture(self, batch: Tensor, autocast: torch.dtype | None) -> Callable[[Tensor], Tensor]:
        held = batch.clone(memory_format=torch.preserve_format)
        side = torch.cuda.Stream(batch.device)  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream(batch.device))
        # Autocast would keep converted weights that were made outside the graph and freed with its context.
        with (
            torch.cuda.device(batch.device),
            torch.autocast("cuda", autocast, enabled=autocast is not None, cache_enabled=False),
        ):
            with torch.cuda.stream(side):
                for _ in range(_WARM_UP):
                    self.module(held)
            torch.cuda.current_stream(batch.device).wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                out: Tensor = self.module(held)

        def replay(fresh: Tensor) -> Tensor:
            held.copy_(fresh)
            graph.replay()
            return out.clone()

        return replay
