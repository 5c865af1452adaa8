"""``python:module:factory``: the user's own code, imported and run, returns the classifier."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from torch import nn

from smoothcert.errors import ModelError
from smoothcert.models.loaded import LoadedModel
from smoothcert.models.weights import Weights, fit_weights, state_dict_sha256


def load(target: str, *, name: str, weights: Weights | None) -> LoadedModel:
    """Call the factory ``package.module:factory`` or ``path/to/file.py:factory``; this runs the user's code.

    The factory takes no arguments and returns an ``nn.Module`` from images in ``[0, 1]`` to logits. As with
    ``python -m`` and ``python file.py``, modules beside the code can be imported by it: the working
    directory, or the folder of the file, is put on ``sys.path``.

    Raises:
        ModelError: The code cannot be imported, has no such factory, or fails, or its result is not an
            ``nn.Module``.
    """
    classifier = call_factory(target, name=name)
    if weights is not None:
        fit_weights(classifier, weights.state_dict(), source=f"weights file {weights.path}")
    return LoadedModel(
        module=classifier.eval(),
        name=name,
        weights_hash=weights.sha256 if weights else state_dict_sha256(classifier),
        metadata=weights.metadata if weights else {},
    )


def call_factory(target: str, *, name: str, **arguments: object) -> nn.Module:
    """Import ``package.module:factory`` or ``path/to/file.py:factory`` and return ``factory(**arguments)``.

    Raises:
        ModelError: The code cannot be imported, has no such factory, or fails, or its result is not an
            ``nn.Module``.
    """
    source, _, attribute = target.rpartition(":")
    if not source or not attribute:
        raise ModelError(f"model {name!r} must read python:package.module:factory or python:path/to/file.py:factory")
    module = _import(source, name)
    factory = getattr(module, attribute, None)
    if not callable(factory) or isinstance(factory, nn.Module):
        raise ModelError(f"{source} has no function {attribute!r} that returns the classifier (model {name!r})")
    try:
        made = factory(**arguments)
    except Exception as error:
        raise ModelError(f"{attribute}() of {source} failed with {type(error).__name__}: {error}") from error
    if not isinstance(made, nn.Module):
        raise ModelError(f"{attribute}() of {source} must return an nn.Module; it returned a {type(made).__name__}")
    return made


def _import(source: str, name: str) -> ModuleType:
    is_file = source.endswith(".py")
    if is_file and not Path(source).is_file():
        raise ModelError(f"Python file {source} does not exist (model {name!r})")
    folder = str(Path(source).resolve().parent if is_file else Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return _import_file(Path(source)) if is_file else importlib.import_module(source)
    except Exception as error:
        raise ModelError(f"importing {source} failed with {type(error).__name__}: {error}") from error


def _import_file(path: Path) -> ModuleType:
    module_name = f"smoothcert_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses and pickle look a class's module up here
    spec.loader.exec_module(module)
    return module
