"""The names of base classifiers, and which function of this folder loads each."""

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
    "python:package.module:name",
    "python:path/to/file.py:name",
    "onnx:FILE",
    "torchscript:FILE",
    "export:FILE.pt2",
    "sklearn:FILE.skops",
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
    "digits": "digits:load",
    "python": "python_code:load",
    "onnx": "onnx_file:load",
    "torchscript": "programs:load_torchscript",
    "export": "programs:load_exported",
    "sklearn": "skops_file:load",
    "torchvision": "zoos:load_torchvision",
    "timm": "zoos:load_timm",
    "hf": "hugging_face:load",
    "cifar": "cifar:load",
    "cohen": "cohen:load",
}

_RUNS = {
    "python": "runs code of your own",
    "torchscript": "runs a program from a file: load only files you trust",
    "export": "runs a program from a file: load only files you trust",
}


class Loader(Protocol):
    """What loads the base classifiers of one kind."""

    def __call__(self, target: str, *, name: str, weights: Weights | None) -> LoadedModel:
        """Load what follows the colon of ``name``."""


def resolve_model(name: str, *, weights: Path | str | None = None) -> LoadedModel:
    """Load the base classifier called ``name`` and say what is known about it.

    Args:
        name: One of the forms in ``MODEL_NAMES``. ``python:`` imports and runs the user's own code, and
            ``torchscript:`` and ``export:`` files are programs; see :func:`code_warning`. No other form runs code that
            comes from a file.
        weights: A file of weights, safetensors or what ``torch.load`` can read without running code; ``FILE#ENTRY``
            where it holds several state dicts.

    Returns:
        The classifier in eval mode, with its name, sizes, the hash of its weights and what else identifies it.

    Raises:
        ModelError: The name is unknown, or the weights cannot be read or do not fit.
        MissingDependencyError: The form needs an extra that is not installed.
    """
    kind, colon, target = name.partition(":")
    if kind not in _LOADERS or (kind == "digits") == bool(colon) or (colon and not target):
        raise ModelError(f"unknown model {name!r}; known forms are {', '.join(MODEL_NAMES)}")
    module, _, function = _LOADERS[kind].partition(":")
    loader = cast("Loader", getattr(import_module(f"smoothcert.models.{module}"), function))
    if weights is None:
        return loader(target, name=name, weights=None)
    from smoothcert.models.weights import read_weights

    return loader(target, name=name, weights=read_weights(Path(weights)))


def load_model(name: str, *, weights: Path | str | None = None) -> nn.Module:
    """Load the base classifier called ``name``: images in ``[0, 1]`` to class scores; see ``resolve_model``.

    Example:
        >>> classifier = load_model("digits")
        >>> sum(parameter.numel() for parameter in classifier.parameters()) > 0
        True
    """
    return resolve_model(name, weights=weights).module


def code_warning(name: str) -> str | None:
    """What to tell the user before a model or denoiser is loaded whose file is code; None for all others.

    Example:
        >>> code_warning("python:net.py:make")
        'python:net.py:make runs code of your own'
    """
    said = _RUNS.get(name.partition(":")[0])
    return None if said is None else f"{name} {said}"
