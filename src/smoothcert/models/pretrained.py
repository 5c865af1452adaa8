"""What the loaders of pretrained classifiers share: the size of the head in a weights file, and fetching."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from smoothcert.errors import ModelError
from smoothcert.models.weights import Weights, fit_weights

T = TypeVar("T")


def fetch(load: Callable[[], T], *, name: str) -> T:
    """Call ``load``, which may download, and turn whatever it raises into one sentence.

    Raises:
        ModelError: The call failed.
    """
    try:
        return load()
    except Exception as error:  # hubs, networks and builders raise many kinds
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ModelError(
            f"model {name!r} cannot be loaded: {reason}; without a network, pass its weights (--weights FILE)"
        ) from error


def build_for(weights: Weights, build: Callable[[int], nn.Module], *, default: int, name: str) -> tuple[nn.Module, int]:
    """Build a network with as many classes as a weights file has, and load the file; return both.

    Args:
        weights: The file.
        build: From a number of classes to the network, without weights.
        default: Number of classes where the file does not tell; then fitting says what is wrong with it.
        name: The model's name, for errors.

    Raises:
        ModelError: The network cannot be built, or the file does not fit it.
    """
    state = weights.state_dict()
    num_classes = fetch(lambda: head_classes(state, build), name=name) or default
    network = build(num_classes)
    fit_weights(network, state, source=f"weights file {weights.path}")
    return network, num_classes


def head_classes(state: Mapping[str, Tensor], build: Callable[[int], nn.Module]) -> int | None:
    """Return the number of classes in ``state``: the rows of those tensors whose shape follows it; or None.

    Which tensors these are is seen by building the network twice, without memory for its weights.
    """
    with torch.device("meta"):
        two, three = build(2).state_dict(), build(3).state_dict()
    head = [key for key in two if two[key].shape != three[key].shape]
    rows = {state[key].shape[0] for key in head if key in state and state[key].ndim == two[key].ndim}
    return rows.pop() if len(rows) == 1 else None
