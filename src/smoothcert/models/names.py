"""The names of base classifiers, and which file of this folder loads each."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from smoothcert.errors import ModelError
from smoothcert.models.loaded import LoadedModel

if TYPE_CHECKING:
    from torch import nn

    from smoothcert.models.weights import Weights

MODEL_NAMES: tuple[str, ...] = (
    "digits",
    "python:package.module:factory",
    "python:path/to/file.py:factory",
    "torchvision:NAME",
    "timm:NAME",
    "hf:REPO_OR_FOLDER",
    "cifar:resnet20",
    "cifar:resnet110",
    "cohen:cifar10/resnet20",
    "cohen:cifar10/resnet110",
    "cohen:imagenet/resnet50",
)
"""The known forms, as error messages and ``--help`` show them."""

_LOADERS = {
    "digits": "digits",
    "python": "python_factory",
    "torchvision": "torchvision_zoo",
    "timm": "timm_zoo",
    "hf": "hugging_face",
    "cifar": "cifar",
    "cohen": "cohen",
}


class Loader(Protocol):
    """The one function every loading module has."""

    def load(self, target: str, *, name: str, weights: Weights | None) -> LoadedModel:
        """Load what follows the colon of ``name``."""


def resolve_model(name: str, *, weights: Path | str | None = None) -> LoadedModel:
    """Load the base classifier called ``name`` and say what is known about it.

    Args:
        name: One of the forms in ``MODEL_NAMES``. ``python:`` imports and runs the user's own code; no
            other form runs code that comes from a file.
        weights: A file of weights, safetensors or what ``torch.load`` can read without running code.

    Returns:
        The classifier in eval mode, with its name, sizes and the hash of its weights.

    Raises:
        ModelError: The name is unknown, or the weights cannot be read or do not fit.
        MissingDependencyError: The form needs an extra that is not installed.
    """
    kind, colon, target = name.partition(":")
    if kind not in _LOADERS or (kind == "digits") == bool(colon) or (colon and not target):
        raise ModelError(f"unknown model {name!r}; known forms are {', '.join(MODEL_NAMES)}")
    loader = cast("Loader", import_module(f"smoothcert.models.{_LOADERS[kind]}"))
    if weights is None:
        return loader.load(target, name=name, weights=None)
    from smoothcert.models.weights import read_weights

    return loader.load(target, name=name, weights=read_weights(Path(weights)))


def load_model(name: str, *, weights: Path | str | None = None) -> nn.Module:
    """Load the base classifier called ``name``: images in ``[0, 1]`` to logits; see ``resolve_model``.

    Example:
        >>> classifier = load_model("digits")
        >>> sum(parameter.numel() for parameter in classifier.parameters()) > 0
        True
    """
    return resolve_model(name, weights=weights).module
