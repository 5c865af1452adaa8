"""A module as an ONNX graph with a dynamic batch, made by ``torch.export``."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from smoothcert.errors import ModelError
from smoothcert.extras import import_optional

INPUT, OUTPUT = "x", "scores"
_EXAMPLES = 2  # a batch of one would be taken for a constant


def to_onnx(module: nn.Module, example_shape: tuple[int, ...], *, backend: str, extra: str) -> bytes:
    """Export a module; branches on values are refused, not frozen.

    Args:
        module: In eval mode, on a CPU.
        example_shape: Shape of one input, without the batch.
        backend: What it is exported for, for messages.
        extra: Extra that installs what exporting needs.

    Returns:
        The ONNX file: input ``x`` of shape ``(batch, *example_shape)``, output ``scores``.

    Raises:
        MissingDependencyError: If the exporter's packages are absent.
        ModelError: If the module cannot be exported with a dynamic batch.
    """
    for package in ("onnx", "onnxscript"):
        import_optional(package, what=f"backend {backend!r}", extra=extra)
    example = torch.rand((_EXAMPLES, *example_shape))
    try:
        program = torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
        onnx: Any = torch.onnx.export(
            program, (example,), dynamo=True, input_names=[INPUT], output_names=[OUTPUT], verbose=False
        )
        return bytes(onnx.model_proto.SerializeToString())
    except Exception as error:  # exporting runs the module's own code
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ModelError(
            f"backend {backend!r}: the model cannot be exported to ONNX with a dynamic batch: {reason}; "
            "--backend torch runs it as it is"
        ) from error
