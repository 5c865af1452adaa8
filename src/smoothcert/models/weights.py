"""Weights files: read without running code, unwrapped where unambiguous, fitted with a clear error."""

from __future__ import annotations

import argparse
import pathlib
import pickle
import re
import types
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from smoothcert.errors import ModelError
from smoothcert.models.guard import reason
from smoothcert.models.identity import file_sha256, state_sha256

_WRAPPERS = ("module.", "_orig_mod.")  # DataParallel and torch.compile
_UNUSED = "num_batches_tracked"  # inference does not use it, and files older than PyTorch 0.4.1 do not have it
_EXTRA = "_extra_state"  # of get_extra_state(); any object
_DEPTH = 3  # of dicts around a state dict
_SHOWN = 3
_SLACK = 1 << 20  # bytes a file's tensors may ask for beyond the file's own size
# Held by checkpoints beside their tensors; to make one of these runs no code of the file's choice.
_PLAIN = (argparse.Namespace, types.SimpleNamespace, pathlib.PurePosixPath, pathlib.PosixPath)


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
    content: Mapping[Any, Any]
    sha256: str
    metadata: dict[str, str] = field(default_factory=dict)

    def state_dict(self, names: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Return the tensors by name, without the wrappers around them that hide the names.

        The file is taken as it is if it fits. Else a dict in it may, such as ``"state_dict"``, and prefixes come off
        that wrapping modules put before every name of the network.

        Args:
            names: Names the network has. None where they are not known: then only the prefixes of ``DataParallel`` and
                ``torch.compile`` come off.

        Raises:
            ModelError: There is no state dict in the file, or several that fit, or one holds something else than plain
                tensors.
        """
        found = _state_dicts(self.content)
        if not found:
            entries = _few([str(key) for key in self.content])
            raise ModelError(f"weights file {self.path} holds no state dict; its entries are {entries}")
        if names is None:
            states = {key: _unwrapped(state) for key, state in found.items()}
        else:
            wanted = {name for name in names if not name.endswith(_UNUSED)}
            states = {label: fits for key, state in found.items() for label, fits in _renamed(state, wanted, key)}
            if len(states) > 1 and isinstance(names, Mapping):
                states = {key: state for key, state in states.items() if _same_shapes(names, state)} or states
            if not states:  # the closest, so that fitting it says what is wrong
                unwrapped = {key: _unwrapped(state) for key, state in found.items()}
                closest = max(unwrapped, key=lambda key: (len(wanted & unwrapped[key].keys()), len(unwrapped[key])))
                states = {closest: unwrapped[closest]}
        if len(states) > 1 and "" not in states:
            raise ModelError(
                f"weights file {self.path} holds several state dicts ({', '.join(states)}); "
                f"say which, as in --weights {self.path.name}#{next(iter(states))}"
            )
        state = states.get("", next(iter(states.values())))
        _require_plain(state, self.path)
        return state

    def names(self, part: str) -> bool:
        """Whether the name of a tensor in it has ``part`` in it, in capitals or not."""
        return any(part in str(key).lower() for state in _state_dicts(self.content).values() for key in state)


def read_weights(path: Path) -> Weights:
    """Read a safetensors file (by its suffix) or what ``torch.load`` reads without running code.

    Args:
        path: The file. ``FILE#ENTRY`` takes one entry of a file that holds several state dicts.

    Raises:
        ModelError: The file is absent, is not a weights file, asks for more memory than its size explains, or is a
            pickle that would need to run code.
    """
    path = path.expanduser()
    entry = ""
    if not path.exists() and "#" in path.name:
        name, _, entry = path.name.rpartition("#")
        path = path.with_name(name)
    if not path.is_file():
        raise ModelError(f"weights file {path} {'is no regular file' if path.exists() else 'does not exist'}")
    read = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    if not entry:
        return read
    inner: Any = read.content
    for part in entry.split("."):
        behind = {key: value for key, value in inner.items() if str(key).startswith(f"{part}.")}
        inner = inner.get(part, {str(key).removeprefix(f"{part}."): value for key, value in behind.items()})
        if not isinstance(inner, Mapping) or not inner:
            known = _few(sorted({str(key).partition(".")[0] for key in read.content}))
            raise ModelError(f"weights file {path} has no entry {entry!r}; its entries are {known}")
    return Weights(path, inner, read.sha256, read.metadata)


def load_weights(module: nn.Module, weights: Weights) -> None:
    """Load the state dict of a weights file that fits ``module``, or say what does not.

    Raises:
        ModelError: As of :meth:`Weights.state_dict` and :func:`fit_weights`.
    """
    fit_weights(module, weights.state_dict(module.state_dict()), source=f"weights file {weights.path}")


def fit_weights(module: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Load ``state`` into ``module``, or say what does not fit.

    Raises:
        ModelError: Keys are missing, left over, of another shape or of another kind of number; the message counts them
            and shows the first few.
    """
    expected = module.state_dict()
    require_fitting(expected, state, source=source)
    given: OrderedDict[str, Tensor] = OrderedDict(state)
    # Modules that were changed since read how to load older files from the version that wrote them.
    given._metadata = getattr(state, "_metadata", None) or getattr(expected, "_metadata", None)  # type: ignore[attr-defined]
    on_meta = any(isinstance(value, Tensor) and value.is_meta for value in expected.values())
    try:
        module.load_state_dict(given, strict=False, assign=on_meta)
    except Exception as error:  # modules may have hooks of their own
        raise ModelError(f"{source} cannot be loaded into the model: {reason(error)}") from error


def require_fitting(expected: Mapping[str, Any], state: Mapping[str, Tensor], *, source: str) -> None:
    """Refuse a state dict that has other names, shapes or kinds of numbers than a module's.

    Args:
        expected: State dict of the module, whose tensors may be on the meta device.
        state: What is to be loaded.
        source: Where it comes from, for the message.

    Raises:
        ModelError: It does not fit.
    """
    missing = [key for key in expected if key not in state and not key.endswith(_UNUSED)]
    left_over = [key for key in state if key not in expected]
    both = [
        key for key in expected if key in state and isinstance(expected[key], Tensor) and not is_lazy(expected[key])
    ]
    reshaped = [
        f"{key} is {tuple(state[key].shape)} instead of {tuple(expected[key].shape)}"
        for key in both
        if state[key].shape != expected[key].shape
    ]
    converted = [
        f"{key} is {_bare(state[key].dtype)} instead of {_bare(expected[key].dtype)}"
        for key in both
        if _numbers(state[key]) != _numbers(expected[key])
    ]
    kinds = {"missing": missing, "left over": left_over, "of another shape": reshaped, "of another kind": converted}
    problems = [f"{len(keys)} {what}: {_few(keys)}" for what, keys in kinds.items() if keys]
    if problems:
        raise ModelError(f"{source} does not fit the model; {'; '.join(problems)}")


def to_safetensors(module: nn.Module, metadata: Mapping[str, str]) -> bytes:
    """Return a module's state dict as the bytes of a safetensors file with this header."""
    state = {key: tensor.detach().cpu().contiguous() for key, tensor in module.state_dict().items()}
    return serialize(state, metadata=dict(metadata))


def strip_prefixes(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return ``state`` without the prefixes of wrapper modules that every key has."""
    return _unwrapped(state)


def state_dict_sha256(module: nn.Module) -> str:
    """Hash the names, types, shapes and bytes of a module's state dict; hex."""
    return state_sha256(module.state_dict())


def _state_dicts(content: Mapping[Any, Any], path: str = "", depth: int = 0) -> dict[str, Mapping[Any, Any]]:
    """Dicts of tensors in a checkpoint, by the names of the entries that lead there."""
    tensors = {key: value for key, value in content.items() if isinstance(value, Tensor)}
    if tensors:  # beside which modules may have a state of their own kind
        tensors |= {key: value for key, value in content.items() if str(key).endswith(_EXTRA)}
    if tensors and len(tensors) == len(content):
        return {path: content}
    found: dict[str, Mapping[Any, Any]] = {}
    for key, value in content.items():
        if isinstance(value, Mapping) and isinstance(key, str) and depth < _DEPTH and key != "optimizer":
            found |= _state_dicts(value, f"{path}.{key}" if path else key, depth + 1)
    # Tensors among other things, such as a counter, may be the network all the same.
    return found or ({path: _like(tensors, content, "")} if tensors else {})


def _renamed(state: Mapping[Any, Tensor], wanted: set[str], label: str) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """``state`` under the names a network has, for every prefix behind which these all are; none if they are not.

    Names outside of the prefix, such as those of a loss, are left out; left-over names inside it are kept.
    """
    if not all(isinstance(key, str) for key in state) or not wanted:
        return
    if wanted <= state.keys():
        yield label, _like(dict(state), state, "")
        return
    longest = max(wanted, key=len)
    for prefix in sorted({key[: -len(longest)] for key in state if key.endswith(f".{longest}")}):
        inside = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        if wanted <= inside.keys():
            outer = prefix.removesuffix(".")
            yield f"{label}.{outer}" if label else outer, _like(inside, state, prefix)
    for prefix in _WRAPPERS:  # the factory wraps its network, and the file does not
        if all(name.startswith(prefix) for name in wanted):
            for inner, fits in _renamed(_unwrapped(state), {name.removeprefix(prefix) for name in wanted}, label):
                yield inner, {prefix + key: value for key, value in fits.items()}


def _same_shapes(expected: Mapping[str, Any], state: Mapping[str, Tensor]) -> bool:
    return all(getattr(value, "shape", None) == expected[key].shape for key, value in state.items() if key in expected)


def _unwrapped(state: Mapping[Any, Tensor]) -> dict[Any, Tensor]:
    result, removed = dict(state), ""
    while prefix := next((p for p in _WRAPPERS if all(str(key).startswith(p) for key in result)), None):
        result = {key.removeprefix(prefix): tensor for key, tensor in result.items()}
        removed += prefix
    return _like(result, state, removed)


def _like(state: dict[Any, Tensor], original: Mapping[Any, Any], prefix: str) -> dict[Any, Tensor]:
    """``state`` with the versions of modules that ``original`` notes, under their names without the prefix."""
    versions = getattr(original, "_metadata", None)
    if not isinstance(versions, Mapping):
        return state
    kept: OrderedDict[Any, Tensor] = OrderedDict(state)
    start = prefix.removesuffix(".")
    inside = {key: value for key, value in versions.items() if isinstance(key, str) and f"{key}.".startswith(prefix)}
    kept._metadata = {key.removeprefix(start).removeprefix("."): value for key, value in inside.items()}  # type: ignore[attr-defined]
    return kept


def _require_plain(state: Mapping[Any, Any], path: Path) -> None:
    """Refuse names that are no strings and tensors that are not dense."""
    for key, tensor in state.items():
        if not isinstance(key, str):
            raise ModelError(f"weights file {path} must name its tensors by strings; it has the key {key!r:.80}")
        if not isinstance(tensor, Tensor):
            continue
        kind = (
            "quantized"
            if tensor.is_quantized
            else "nested"
            if tensor.is_nested
            else "sparse"
            if tensor.layout != torch.strided
            else "on the meta device, without values"
            if tensor.is_meta
            else None
        )
        if kind is not None:
            raise ModelError(f"weights file {path} must hold dense tensors with values; {key} is {kind}")


def _read_pickle(path: Path) -> Weights:
    """Read a file of ``torch.save``: first without its values, to see what they would ask for."""
    size = path.stat().st_size
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                unpacked = sum(entry.file_size for entry in archive.infolist())
        except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as error:
            raise ModelError(f"weights file {path} cannot be read: {_first_line(error)}") from error
        _require_size(unpacked, size, path)
    shapes = _load(path, "meta")
    if not isinstance(shapes, Mapping):
        raise ModelError(f"weights file {path} must hold a state dict; it holds a {type(shapes).__name__}")
    storages = {}
    for tensor in _tensors(shapes):
        if tensor.layout == torch.strided:
            _require_size(tensor.numel() * tensor.element_size(), size, path)
            storage = tensor.untyped_storage()
            storages[storage._cdata] = storage.nbytes()
        else:
            _require_plain({"a tensor": tensor}, path)
    _require_size(sum(storages.values()), size, path)
    content: Mapping[Any, Any] = _load(path, "cpu")
    return Weights(path, content, file_sha256(path))


def _load(path: Path, device: str) -> Any:
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(list(_PLAIN)):
            warnings.simplefilter("ignore")  # about kinds of file that then load or are refused
            return torch.load(path, map_location=device, weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(_refusal(path, str(error))) from error
    except (Exception, RecursionError) as error:  # torch.load raises many kinds on files that are not its own
        raise ModelError(f"weights file {path} cannot be read: {_first_line(error)}") from error


def _tensors(content: Any, depth: int = 0) -> Iterator[Tensor]:
    if isinstance(content, Tensor):
        yield content
    elif depth < 20:
        inner = (
            content.values() if isinstance(content, Mapping) else content if isinstance(content, (list, tuple)) else ()
        )
        for value in inner:
            yield from _tensors(value, depth + 1)


def _require_size(asked: int, size: int, path: Path) -> None:
    if asked > size + _SLACK:
        raise ModelError(
            f"weights file {path} is refused: its tensors ask for {asked:,} bytes, and the file has {size:,}"
        )


def _read_safetensors(path: Path) -> Weights:
    try:
        with safe_open(path, framework="pt") as file:
            content = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
            return Weights(path, content, file_sha256(path), dict(file.metadata() or {}))
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"weights file {path} is not a safetensors file: {_first_line(error)}") from error


def _numbers(tensor: Tensor) -> str:
    return "complex" if tensor.is_complex() else "floating" if tensor.is_floating_point() else _bare(tensor.dtype)


def _bare(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _refusal(path: Path, message: str) -> str:
    what = re.search(r"GLOBAL (\S+)", message)
    needs = f" ({what.group(1)})" if what else ""
    return (
        f"weights file {path} is refused: it is a pickle that needs more than tensors{needs}, and code "
        "from a weights file is never run; save the state dict alone, as safetensors or with torch.save"
    )


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _few(items: Sequence[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more
