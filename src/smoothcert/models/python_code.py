"""``python:module:name`` and ``python:file.py:name``: the user's own code, imported and run."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import torch
from torch import nn

from smoothcert.errors import ModelError
from smoothcert.models.adapt import as_module, outputs_of, precision_note
from smoothcert.models.guard import guarded
from smoothcert.models.identity import files_read, identify, state_sha256
from smoothcert.models.loaded import LoadedModel
from smoothcert.models.weights import Weights, load_weights

_NESTED = 4  # a factory may return a factory, but not forever


def load(target: str, *, name: str, weights: Weights | None) -> LoadedModel:
    """Import what ``package.module:name`` or ``path/to/file.py:name`` says; this runs the user's code.

    It may be a classifier itself (a torch module, a function of a batch, an estimator with ``predict_proba``), a class
    of one, or a function without required arguments that returns one. As with ``python -m`` and ``python file.py``,
    modules beside the code can be imported by it: the working directory, or the folder of the file, is put on
    ``sys.path``.

    Raises:
        ModelError: The code cannot be imported, has nothing of this name, or fails, or gives no classifier.
    """
    source, attribute = _split(target, name)
    with files_read(target) as files:
        module = _import(source, name)
        made = _made(_attribute(module, source, attribute, name), what=f"{attribute} of {source}")
        if weights is not None:
            if not isinstance(made, nn.Module):
                raise ModelError(f"{attribute} of {source} must be a torch module to take weights ({weights.path})")
            load_weights(made, weights)
    folder = _folder(source) if _is_file(source) else None
    return describe(made, name=name, weights=weights, modules=[module], files=files, folder=folder)


def load_denoiser(
    target: str, *, name: str, sigma: float, weights: Weights | None
) -> tuple[nn.Module, Mapping[str, str]]:
    """Call ``factory(sigma=sigma)``, or ``factory()`` if it takes no sigma; this runs the user's code.

    Raises:
        ModelError: The code cannot be imported, has no such factory, or fails, or the weights do not fit.
    """
    source, attribute = _split(target, name)
    with files_read(target) as files:
        module = _import(source, name)
        factory = _attribute(module, source, attribute, name)
        with guarded(f"{attribute}() of {source}"):
            denoiser = factory(sigma=sigma) if _takes(factory, "sigma") else factory()
        if not isinstance(denoiser, nn.Module):
            raise ModelError(f"{attribute}() of {source} must return an nn.Module; it returned a {_kind(denoiser)}")
        if weights is not None:
            load_weights(denoiser, weights)
    folder = _folder(source) if _is_file(source) else None
    return denoiser, identify(denoiser, modules=[module], files=files, folder=folder)


def describe(
    classifier: object,
    *,
    name: str = "the base classifier",
    weights: Weights | None = None,
    modules: list[ModuleType] | None = None,
    files: set[Path] | None = None,
    folder: Path | None = None,
) -> LoadedModel:
    """What a run has to know about a classifier that was made in Python, its identity included.

    Args:
        classifier: Anything :func:`smoothcert.models.adapt.as_module` takes.
        name: What errors and the run call it.
        weights: The file its weights came from.
        modules: Modules its factory comes from.
        files: Files that were read when it was made.
        folder: Where the code lies.

    Raises:
        ModelError: It has parameters without values, or its code was edited after it was imported.
        InvalidArgumentError: It is no classifier.
    """
    with guarded(f"model {name!r}"):
        adapted = as_module(classifier, name=f"model {name!r}").eval()
        state = classifier.state_dict() if isinstance(classifier, nn.Module) else None
        own_hash = None if state is None else state_sha256(state)
        identity = identify(classifier, modules=modules or (), files=files or (), folder=folder)
        grey = adapted.grey()
    note = precision_note(adapted)
    return LoadedModel(
        module=adapted,
        name=name,
        class_names=_class_names(classifier),
        channels=1 if grey else None,
        input_size=_features(classifier),
        outputs=outputs_of(adapted),
        weights_hash=weights.sha256 if weights else own_hash,
        identity=identity,
        metadata=weights.metadata if weights else {},
        notes=() if note is None else (note,),
    )


def _class_names(classifier: object) -> tuple[str, ...] | None:
    """Names of an estimator's classes, which need not be numbers."""
    known = getattr(classifier, "classes_", None) if hasattr(classifier, "predict_proba") else None
    return None if known is None or getattr(known, "ndim", 0) != 1 else tuple(map(str, known))


def _features(classifier: object) -> tuple[int, ...] | None:
    number = getattr(classifier, "n_features_in_", None) if hasattr(classifier, "predict_proba") else None
    return (int(number),) if isinstance(number, int) else None


def _split(target: str, name: str) -> tuple[str, str]:
    source, _, attribute = target.rpartition(":")
    if not source or not attribute:
        raise ModelError(f"model {name!r} must read python:package.module:factory or python:path/to/file.py:factory")
    return source, attribute


def _attribute(module: ModuleType, source: str, attribute: str, name: str) -> Any:
    value: Any = module
    for part in attribute.split("."):
        value = getattr(value, part, None)
    if value is None:
        raise ModelError(f"{source} has no function {attribute!r} that returns the classifier (model {name!r})")
    return value


def _made(value: Any, *, what: str) -> object:
    """The classifier itself: factories and classes are called until they have given one."""
    for _ in range(_NESTED):
        if isinstance(value, (nn.Module, torch.export.ExportedProgram)):
            return value
        if hasattr(value, "predict_proba") and not isinstance(value, type):
            return value
        if not callable(value):
            break
        if not isinstance(value, type) and _required(value) > 0:
            return value
        with guarded(f"{what}, called without arguments,"):
            value = value()
    raise ModelError(
        f"{what} must be or return a classifier: a torch module, a function of a batch, or an estimator with "
        f"predict_proba; it returned a {_kind(value)}"
    )


def _required(function: Any) -> int:
    """Number of arguments a call must give; one where that cannot be seen, as of functions written in C."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(one.default is one.empty and one.kind in positional for one in parameters)


def _takes(function: Any, argument: str) -> bool:
    """Whether it can be called with an argument of this name; yes where that cannot be seen."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return True
    return argument in parameters or any(one.kind is one.VAR_KEYWORD for one in parameters.values())


def _kind(value: object) -> str:
    return type(value).__name__


def _is_file(source: str) -> bool:
    return source.endswith(".py")


def _folder(source: str) -> Path:
    return Path(source).expanduser().resolve().parent if _is_file(source) else Path.cwd()


def _import(source: str, name: str) -> ModuleType:
    path = Path(source).expanduser()
    if _is_file(source) and not path.is_file():
        raise ModelError(f"Python file {source} does not exist (model {name!r})")
    folder = str(_folder(source))
    if folder not in sys.path:
        sys.path.insert(0, folder)
    importlib.invalidate_caches()
    with guarded(f"importing {source}"), _as_imported(source):
        return _import_file(path) if _is_file(source) else importlib.import_module(source)


@contextmanager
def _as_imported(source: str) -> Iterator[None]:
    """A script that reads the command line finds none of ours, and says what it wants in the error alone."""
    arguments, said = sys.argv, argparse.ArgumentParser.error

    def error(parser: argparse.ArgumentParser, message: str) -> NoReturn:
        raise ModelError(
            f"importing {source} parses command-line arguments ({message}); a script must do so only under "
            'if __name__ == "__main__":'
        )

    sys.argv = [source]
    argparse.ArgumentParser.error = error  # type: ignore[method-assign, assignment]
    try:
        yield
    except SystemExit as ended:
        raise ModelError(
            f"importing {source} ended the program (exit code {ended.code}); a script must do its work only under "
            'if __name__ == "__main__":'
        ) from ended
    finally:
        sys.argv = arguments
        argparse.ArgumentParser.error = said  # type: ignore[method-assign]


def _import_file(path: Path) -> ModuleType:
    module_name = f"smoothcert_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses and pickle look a class's module up here
    spec.loader.exec_module(module)
    return module
