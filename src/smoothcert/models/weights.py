"""Weights files: read without running code, unwrapped where unambiguous, fitted with a clear error."""

from __future__ import annotations

import hashlib
import pickle
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor, nn

from smoothcert.errors import ModelError

_WRAPPERS = ("state_dict", "model", "model_state_dict")
_PREFIXES = ("module.", "_orig_mod.")  # DataParallel and torch.compile
_SHOWN = 3


@dataclass(frozen=True, eq=False)
class Weights:
    """A weights file as it was read.

    Args:
        path: Where it lies.
        content: What it holds: a state dict, or a dict around one.
        sha256: Hash of the file, hex.
        metadata: The header of a safetensors file; empty for others.
    """

    path: Path
    content: Mapping[str, Any]
    sha256: str
    metadata: dict[str, str] = field(default_factory=dict)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the tensors by name, without the usual wrapper and prefix around them.

        Raises:
            ModelError: There is no state dict in the file, or more than one.
        """
        return strip_prefixes(self._unwrapped())

    def _unwrapped(self) -> dict[str, Tensor]:
        if _is_state_dict(self.content):
            return dict(self.content)
        found = [key for key in _WRAPPERS if _is_state_dict(self.content.get(key))]
        if len(found) != 1:
            keys = _few([str(key) for key in self.content])
            problem = f"holds several state dicts ({', '.join(found)})" if found else "holds no state dict"
            raise ModelError(f"weights file {self.path} {problem}; its entries are {keys}")
        return dict(self.content[found[0]])


def read_weights(path: Path) -> Weights:
    """Read a safetensors file (by its suffix) or what ``torch.load`` reads without running code.

    Raises:
        ModelError: The file is absent, is not a weights file, or is a pickle that would need to run code.
    """
    if not path.is_file():
        raise ModelError(f"weights file {path} does not exist")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about kinds of file that then load or are refused
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(_refusal(path, str(error))) from error
    except Exception as error:  # torch.load raises many kinds on files that are not its own
        raise ModelError(f"weights file {path} cannot be read: {_first_line(error)}") from error
    if not isinstance(content, Mapping):
        raise ModelError(f"weights file {path} must hold a state dict; it holds a {type(content).__name__}")
    return Weights(path, content, file_sha256(path))


def fit_weights(module: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Load ``state`` into ``module``, or say what does not fit.

    Raises:
        ModelError: Keys are missing, left over or of another shape; the message counts them and shows the
            first few.
    """
    expected = module.state_dict()
    # Inference does not use the counter of a batch norm, and files older than PyTorch 0.4.1 do not have it.
    missing = [key for key in expected if key not in state and not key.endswith("num_batches_tracked")]
    left_over = [key for key in state if key not in expected]
    reshaped = [
        f"{key} is {tuple(state[key].shape)} instead of {tuple(expected[key].shape)}"
        for key in expected
        if key in state and state[key].shape != expected[key].shape
    ]
    problems = [
        f"{len(keys)} {what}: {_few(keys)}"
        for keys, what in ((missing, "missing"), (left_over, "left over"), (reshaped, "of another shape"))
        if keys
    ]
    if problems:
        raise ModelError(f"{source} does not fit the model; {'; '.join(problems)}")
    module.load_state_dict(dict(state), strict=False)


def to_safetensors(module: nn.Module, metadata: Mapping[str, str]) -> bytes:
    """Return a module's state dict as the bytes of a safetensors file with this header."""
    state = {key: tensor.detach().cpu().contiguous() for key, tensor in module.state_dict().items()}
    return serialize(state, metadata=dict(metadata))


def strip_prefixes(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return ``state`` without the prefixes of wrapper modules that every key has."""
    result = dict(state)
    while prefix := next((p for p in _PREFIXES if all(key.startswith(p) for key in result)), None):
        result = {key.removeprefix(prefix): tensor for key, tensor in result.items()}
    return result


def state_dict_sha256(module: nn.Module) -> str:
    """Hash the names, types, shapes and bytes of a module's state dict; hex."""
    digest = hashlib.sha256()
    for key, tensor in sorted(module.state_dict().items()):
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """Hash a file's bytes; hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _read_safetensors(path: Path) -> Weights:
    try:
        with safe_open(path, framework="pt") as file:
            content = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
            return Weights(path, content, file_sha256(path), dict(file.metadata() or {}))
    except SafetensorError as error:
        raise ModelError(f"weights file {path} is not a safetensors file: {_first_line(error)}") from error


def _is_state_dict(value: object) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(isinstance(v, Tensor) for v in value.values())


def _refusal(path: Path, message: str) -> str:
    what = re.search(r"GLOBAL (\S+)", message)
    needs = f" ({what.group(1)})" if what else ""
    return (
        f"weights file {path} is refused: it is a pickle that needs more than tensors{needs}, and code "
        "from a weights file is never run; save the state dict alone, as safetensors or with torch.save"
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _few(items: Sequence[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more
