"""Batch norms folded into the convolutions before them: fewer passes over memory, the same function but rounding."""

from __future__ import annotations

from collections import Counter

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from smoothcert.errors import ModelError

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class _Tracer(fx.Tracer):
    """Looks only into modules that hold a batch norm: the others may branch on their input as they like."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, _BATCH_NORMS) or not any(isinstance(inner, _BATCH_NORMS) for inner in m.modules())


def fold_batch_norms(module: nn.Module) -> fx.GraphModule:
    """A copy in which every batch norm that alone reads a convolution is part of that convolution's weights.

    Args:
        module: In eval mode. It stays as it is; layers that are not folded are shared with it.

    Returns:
        A module of the same function up to rounding.

    Raises:
        ModelError: If a module that holds batch norms branches on values, so that it cannot be traced, or if no
            batch norm follows a convolution.
    """
    try:
        folded = fx.GraphModule(module, _Tracer().trace(module))
    except Exception as error:  # tracing runs the module's own code
        raise ModelError(f"batch norms cannot be folded, tracing the module failed: {error}") from error
    layers = dict(folded.named_modules())
    calls = Counter(node.target for node in folded.graph.nodes if node.op == "call_module")
    count = 0
    for node in list(folded.graph.nodes):
        source = node.args[0] if node.args else None
        if not (_calls(node, layers, _BATCH_NORMS) and isinstance(source, fx.Node)):
            continue
        alone = len(source.users) == 1 and calls[source.target] == 1
        norm = layers[node.target]
        if alone and _calls(source, layers, _CONVOLUTIONS) and norm.running_mean is not None:
            folded.set_submodule(str(source.target), fuse_conv_bn_eval(layers[str(source.target)], norm))
            node.replace_all_uses_with(source)
            folded.graph.erase_node(node)
            count += 1
    if count == 0:
        raise ModelError("the model has no batch norm that follows a convolution: there is nothing to fold")
    folded.delete_all_unused_submodules()
    folded.recompile()
    return folded


def _calls(node: fx.Node, layers: dict[str, nn.Module], kinds: tuple[type[nn.Module], ...]) -> bool:
    return node.op == "call_module" and isinstance(layers[str(node.target)], kinds)
