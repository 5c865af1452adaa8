"""The names of backends, without importing torch."""

from __future__ import annotations

BACKENDS = ("torch", "torch-folded", "torch-compile", "torch-cuda-graphs", "onnxruntime", "openvino")
"""``torch`` runs the module as it is. The others run what was made of it: batch norms folded into convolutions, a
compiled module, a captured CUDA graph, or an exported ONNX graph in another runtime."""

EXPORTED = ("onnxruntime", "openvino")
"""Those that leave PyTorch, on a CPU only: ONNX Runtime in float32, OpenVINO in bfloat16 too."""
