"""Exported graphs in ONNX Runtime and in OpenVINO, as functions from a batch to its class scores."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from smoothcert.backends.export import INPUT, to_onnx
from smoothcert.errors import InvalidArgumentError, ModelError
from smoothcert.extras import import_optional

_HINTS = {"float32": "f32", "bfloat16": "bf16"}
"""What OpenVINO calls a precision."""


class OnnxRuntimeClassifier:
    """A module exported to ONNX, in ONNX Runtime on the CPU, float32.

    Args:
        module: In eval mode, on a CPU.
        example_shape: Shape of one input.
        num_threads: Threads of a forward pass.

    Raises:
        MissingDependencyError: If ONNX Runtime or the exporter's packages are absent.
        ModelError: If the module cannot be exported.
    """

    def __init__(self, module: nn.Module, example_shape: tuple[int, ...], *, num_threads: int) -> None:
        runtime = import_optional("onnxruntime", what="backend 'onnxruntime'", extra="onnx")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.inter_op_num_threads = 1
        # Between batches the noise is drawn: threads that spin meanwhile take the cores from it.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        model = to_onnx(module, example_shape, backend="onnxruntime", extra="onnx")
        self._session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def __call__(self, batch: Tensor) -> Tensor:
        """Run a batch, shape ``(batch, *example_shape)``, float32.

        Raises:
            MemoryError: If the runtime cannot allocate what it needs.
            ModelError: If it fails otherwise.
        """
        try:
            [scores] = self._session.run(None, {INPUT: batch.contiguous().numpy()})
        except Exception as error:  # the runtime's own kinds, one a status code
            raise _explained(error, "onnxruntime") from error
        return torch.from_numpy(scores)


class OpenVinoClassifier:
    """A module exported to ONNX, in OpenVINO on the CPU.

    The ONNX graph is read by OpenVINO's core: its converter for PyTorch modules reports its use over the network.

    Args:
        module: In eval mode, on a CPU.
        example_shape: Shape of one input.
        num_threads: Threads of a forward pass.
        precision: ``"float32"``, or ``"bfloat16"`` for the layers that gain by it, on a processor that has it.

    Raises:
        InvalidArgumentError: If the processor has no bfloat16 arithmetic: OpenVINO would take float32 in its place.
        MissingDependencyError: If OpenVINO or the exporter's packages are absent.
        ModelError: If the module cannot be exported.
    """

    def __init__(
        self, module: nn.Module, example_shape: tuple[int, ...], *, num_threads: int, precision: str = "float32"
    ) -> None:
        runtime = import_optional("openvino", what="backend 'openvino'", extra="openvino")
        core = runtime.Core()
        graph = core.read_model(to_onnx(module, example_shape, backend="openvino", extra="openvino"), b"")
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],  # left alone, it takes bfloat16 where the CPU has it
            "INFERENCE_NUM_THREADS": num_threads,
            "PERFORMANCE_HINT": "LATENCY",  # one batch at a time, all threads on it
        }
        compiled = core.compile_model(graph, "CPU", settings)
        taken = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if taken != _HINTS[precision] or (precision == "bfloat16" and not has_bfloat16()):
            raise InvalidArgumentError(
                f"precision {precision!r} with backend 'openvino' needs a processor that has it; this one would run "
                "float32 in its place"
            )
        self._request = compiled.create_infer_request()

    def __call__(self, batch: Tensor) -> Tensor:
        """Run a batch, shape ``(batch, *example_shape)``, float32.

        Raises:
            MemoryError: If the runtime cannot allocate what it needs.
            ModelError: If it fails otherwise.
        """
        try:
            result = self._request.infer([batch.contiguous().numpy()], share_inputs=True, share_outputs=True)
        except RuntimeError as error:
            raise _explained(error, "openvino") from error
        return torch.from_numpy(result[0]).clone()  # the next batch is written to the same place


def has_bfloat16() -> bool:
    """Whether OpenVINO finds bfloat16 arithmetic in this processor.

    Raises:
        MissingDependencyError: If OpenVINO is absent.
    """
    runtime = import_optional("openvino", what="backend 'openvino'", extra="openvino")
    return "BF16" in runtime.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _explained(error: Exception, backend: str) -> Exception:
    if "alloc" in str(error).lower():
        return MemoryError(f"out of memory in {backend}: {error}")
    return ModelError(f"{backend} failed: {error}")
