"""``torchscript:FILE`` and ``export:FILE.pt2``: whole programs, as PyTorch writes them. Loading one trusts it."""

from __future__ import annotations

import logging
import os
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from smoothcert.errors import ModelError
from smoothcert.models.adapt import Cast, Classifier, ClassScores, FixedBatch, Unswitchable, as_module, precision_note
from smoothcert.models.guard import reason
from smoothcert.models.identity import file_sha256
from smoothcert.models.loaded import LoadedModel
from smoothcert.models.weights import Weights

_FORCED = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
_NATIVE = ("data/aotinductor/", ".so")


def load_torchscript(target: str, *, name: str, weights: Weights | None) -> LoadedModel:
    """Load what ``torch.jit.save`` wrote. Its program can read and write files: load only what you trust.

    Raises:
        ModelError: The file is absent, or no TorchScript program.
    """
    path = _file(target, name, weights)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that torch.export is to take its place
            program: nn.Module = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]
    except Exception as error:  # the loader's own kinds
        raise ModelError(f"model {name!r} is no TorchScript file: {reason(error)}") from error
    adapted = as_module(program, name=f"model {name!r}").eval()
    return _described(adapted, name, path)


def load_exported(target: str, *, name: str, weights: Weights | None) -> LoadedModel:
    """Load what ``torch.export.save`` wrote. Its shapes are expressions that are evaluated: load only what you trust.

    A program for one batch size is run on batches of that size.

    Raises:
        ModelError: The file is absent, no exported program, holds native code, or takes more than one batch.
    """
    path = _file(target, name, weights)
    try:
        with zipfile.ZipFile(path) as archive:
            native = [entry for entry in archive.namelist() if any(part in entry for part in _NATIVE)]
        if native:
            raise ModelError(f"model {name!r} is refused: it holds native code ({native[0]})")
        with warnings.catch_warnings(), _carefully():
            warnings.simplefilter("ignore")
            with path.open("rb") as file:
                program = torch.export.load(file)
        shapes = _inputs(program)
    except ModelError:
        raise
    except Exception as error:  # the loader's own kinds
        raise ModelError(f"model {name!r} is no file of torch.export: {reason(error)}") from error
    if len(shapes) != 1:
        raise ModelError(f"model {name!r} must take one batch; it takes {len(shapes)} tensors")
    [shape] = shapes
    module = Unswitchable(program.module())
    rows = shape[0] if shape else None
    stages: list[nn.Module] = [FixedBatch(module, rows) if isinstance(rows, int) else module, ClassScores()]
    dtypes = {p.dtype for p in program.state_dict.values() if p.is_floating_point()}
    if len(dtypes) == 1 and dtypes != {torch.float32}:
        stages.insert(0, Cast(*dtypes))
    known = tuple(size for size in shape[1:] if isinstance(size, int))
    return _described(
        Classifier(*stages, name=f"model {name!r}").eval(),
        name,
        path,
        input_size=known if len(known) == len(shape) - 1 else None,
        channels=shape[1] if len(shape) == 4 and isinstance(shape[1], int) else None,
    )


def _described(adapted: Classifier, name: str, path: Path, **known: Any) -> LoadedModel:
    note = precision_note(adapted)
    return LoadedModel(
        module=adapted,
        name=name,
        weights_hash=file_sha256(path),
        identity={"class": "program"},
        notes=() if note is None else (note,),
        **known,
    )


def _file(target: str, name: str, weights: Weights | None) -> Path:
    path = Path(target).expanduser()
    if weights is not None:
        raise ModelError(f"model {name!r} holds its own weights; got {weights.path}")
    if not path.is_file():
        raise ModelError(f"file {path} {'is no regular file' if path.exists() else 'does not exist'} (model {name!r})")
    return path


@contextmanager
def _carefully() -> Iterator[None]:
    """PyTorch unpickles anything where tensors are pickled, and logs what goes wrong; in here it does neither."""
    log = logging.getLogger("torch.export")
    level = log.level
    log.setLevel(logging.CRITICAL)
    before = os.environ.get(_FORCED)
    os.environ[_FORCED] = "1"
    try:
        yield
    finally:
        log.setLevel(level)
        del os.environ[_FORCED]
        if before is not None:
            os.environ[_FORCED] = before


def _inputs(program: Any) -> list[tuple[Any, ...]]:
    """Shapes of the tensors a program is called with; sizes that may vary are no ints."""
    wanted = set(program.graph_signature.user_inputs)
    nodes = [node for node in program.graph.nodes if node.op == "placeholder" and node.name in wanted]
    return [tuple(node.meta["val"].shape) for node in nodes]
