"""The module through ``torch.compile``: one kernel for every batch size, in one memory layout."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class CompiledClassifier(nn.Module):
    """A compiled module that is compiled once: the batch size is dynamic and the layout always the same.

    Args:
        module: In eval mode.
        channels_last: Layout of the batches; the faster one for convolutions.
    """

    def __init__(self, module: nn.Module, *, channels_last: bool) -> None:
        super().__init__()
        self.module = module
        self._layout = torch.channels_last if channels_last else torch.contiguous_format
        self._compiled = torch.compile(module)

    def forward(self, batch: Tensor) -> Tensor:
        """Run a batch, shape ``(batch, *input_shape)``."""
        batch = batch.contiguous(memory_format=self._layout)
        torch._dynamo.maybe_mark_dynamic(batch, 0)
        out: Tensor = self._compiled(batch)
        return out
