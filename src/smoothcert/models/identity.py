"""Which function a classifier is: hashes of the code it runs and of the files it reads, versions of its packages."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from importlib.metadata import packages_distributions, version
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from smoothcert.errors import ModelError
from smoothcert.models.guard import is_users

_NAMED = 32  # files listed one by one; beyond, one hash stands for the rest
_DEPTH = 6  # of containers and closures that are searched for arrays
_NO_DATA = (".py", ".pyc", ".so", ".pyi")
_SYSTEM = tuple(map(Path, ("/proc", "/sys", "/dev", "/etc", "/usr", "/lib")))
_CACHES = {".cache", "__pycache__", ".git", ".ipynb_checkpoints"}

_recording: list[set[str]] = []
_loaded: dict[str, tuple[ModuleType, str]] = {}  # modules as they were when first seen, for what is edited afterwards
_opened_by: dict[str, set[Path]] = {}  # imported modules read their files once a process


def file_sha256(path: Path) -> str:
    """Hash a file's bytes; hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def state_sha256(state: Mapping[str, Any]) -> str:
    """Hash names, types, shapes and bytes of a state dict, whatever kinds of entries it has; hex."""
    digest = hashlib.sha256()
    for key, value in sorted(state.items()):
        for part in _parts(value):
            digest.update(f"{key} ".encode() + part)
    return digest.hexdigest()


def _parts(value: Any) -> Iterator[bytes]:
    """The bytes that tell a value from another; of kinds that have none, the kind."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        yield f"{value.dtype} {tuple(value.shape)}\n".encode()
        if value.is_quantized:
            yield repr(
                (value.qscheme(), value.q_zero_point() if value.qscheme() == torch.per_tensor_affine else 0)
            ).encode()
            yield from _parts(value.dequantize())
        elif value.layout != torch.strided:
            yield from _parts(value.to_dense())
        else:
            yield value.contiguous().flatten().view(torch.uint8).numpy().tobytes()
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
        yield f"{value.dtype} {value.shape}\n".encode() + np.ascontiguousarray(value).tobytes()
    elif isinstance(value, (tuple, list)):
        for one in value:
            yield from _parts(one)
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield str(key).encode()
            yield from _parts(value[key])
    elif value is None or isinstance(value, (bool, int, float, complex, str, bytes, torch.dtype)):
        yield f"{value!r}\n".encode()
    else:
        yield f"{type(value).__qualname__}\n".encode()


def package_versions(*packages: str) -> dict[str, str]:
    """Versions of installed packages, as entries of an identity."""
    names = [name for package in packages for name in _distributions().get(package, [])]
    return {f"package {name}": version(name) for name in names}


@lru_cache(maxsize=1)
def _distributions() -> Mapping[str, list[str]]:
    return packages_distributions()


@contextmanager
def files_read(source: str) -> Iterator[set[Path]]:
    """Collect the user's files that Python opens for reading inside the block, and earlier blocks of the same source.

    Args:
        source: What is loaded, such as the path of a Python file. Modules are imported once a process, and what they
            read then belongs to every later loading as well.
    """
    _install()
    seen: set[str] = set()
    _recording.append(seen)
    known = _opened_by.setdefault(source, set())
    try:
        yield known
    finally:
        _recording.remove(seen)
        known.update(path.resolve() for path in map(Path, seen) if _is_data(path))


@lru_cache(maxsize=1)
def _install() -> None:
    """Audit hooks stay for the life of the process; without a recording ours does nothing."""
    sys.addaudithook(_on_event)


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not _recording:
        return
    path, mode, flags = arguments
    reading = "r" in mode if isinstance(mode, str) else isinstance(flags, int) and flags & os.O_ACCMODE == os.O_RDONLY
    if reading and isinstance(path, (str, bytes, os.PathLike)):
        for seen in _recording:
            seen.add(os.path.abspath(os.fsdecode(path)))


def _is_data(path: Path) -> bool:
    """Whether a file is one of the user's own that is no source file."""
    try:
        if path.suffix in _NO_DATA or not path.is_file():
            return False
    except (OSError, ValueError):  # a text that can be no path
        return False
    path = path.resolve()
    cached = _CACHES & set(path.parts) or any(part.startswith("torchinductor_") for part in path.parts)
    return not cached and not any(path.is_relative_to(folder) for folder in _SYSTEM) and is_users(path)


def identify(
    classifier: object, *, modules: Iterable[ModuleType] = (), files: Iterable[Path] = (), folder: Path | None = None
) -> dict[str, str]:
    """What identifies a classifier that was made by the user's own code.

    Args:
        classifier: The module, function or estimator.
        modules: Modules its factory comes from; those it is defined in are found.
        files: Files that were read when it was made.
        folder: Where the code lies; names of files are given relative to it.

    Returns:
        Entries ``"class"``, ``"code FILE"`` for each source file of the user's own that can be reached by imports,
        ``"file FILE"`` for each file that was read or is named in them, ``"arrays"`` for arrays that are held outside
        of the state dict, and ``"package NAME"`` for each package that supplies a part of it.

    Raises:
        ModelError: A module was edited after it was imported, so that its file is not the code that runs.
    """
    objects, arrays, named = _reachable(classifier)
    defined = [sys.modules[name] for name in sorted({_module_of(one) for one in objects}) if name in sys.modules]
    sources = _sources([*modules, *defined])
    base = folder or next(iter(sources.values()), Path.cwd() / "x").parent
    read = {path.resolve() for path in (*files, *named)} | set(_named_in(sources.values()))
    found = {"class": _qualified(classifier)}
    found |= _hashed("code", sources.values(), base)
    found |= _hashed("file", read, base)
    found |= _unsaved_code(objects)
    if arrays:
        digest = hashlib.sha256()
        for one in arrays:
            for part in _parts(one):
                digest.update(part)
        found["arrays"] = digest.hexdigest()
    roots = {_module_of(one).partition(".")[0] for one in objects}
    own = {name.partition(".")[0] for name in sources} | {"torch", "smoothcert", "builtins", "__main__"}
    return found | package_versions(*sorted(roots - own - sys.stdlib_module_names))


def _hashed(kind: str, paths: Iterable[Path], base: Path) -> dict[str, str]:
    """An entry for each file; those of one name share one, and so do those beyond the first few."""
    by_name: dict[str, list[str]] = {}
    for path in sorted(set(paths)):
        inside = path.is_relative_to(base)
        by_name.setdefault((path.relative_to(base) if inside else Path(path.name)).as_posix(), []).append(
            file_sha256(path)
        )
    hashes = {
        name: own[0] if len(own) == 1 else hashlib.sha256("".join(sorted(own)).encode()).hexdigest()
        for name, own in sorted(by_name.items())
    }
    found = {f"{kind} {name}": digest for name, digest in list(hashes.items())[:_NAMED]}
    if rest := list(hashes.items())[_NAMED:]:
        found[f"{kind} of {len(rest)} more"] = hashlib.sha256(repr(rest).encode()).hexdigest()
    return found


def _sources(modules: Iterable[ModuleType]) -> dict[str, Path]:
    """Source files of the user's own that these modules import, and theirs, by the module's name."""
    found: dict[str, Path] = {}
    waiting: list[tuple[str, Path]] = [(m.__name__, f) for m in modules if (f := _file_of(m)) is not None]
    while waiting:
        name, path = waiting.pop()
        if path in found.values():
            continue
        found[name] = path
        _require_unchanged(name, path)
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        waiting += [(other, file) for other in _imported(path, package) if (file := _find(other)) is not None]
    return found


def _require_unchanged(name: str, path: Path) -> None:
    module = sys.modules.get(name)
    if module is None:
        return
    now = file_sha256(path)
    seen, before = _loaded.setdefault(name, (module, now))
    if seen is not module:
        _loaded[name] = (module, now)
    elif before != now:
        raise ModelError(
            f"{path.name} was edited after this process imported it, so what runs is not what the file says; "
            "start Python again"
        )


def _imported(path: Path, package: str) -> list[str]:
    """Full names of everything a source file imports; of ``from a import b`` both ``a`` and ``a.b``."""
    names: list[str] = []
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return [".".join(name.split(".")[: end + 1]) for name in names for end in range(len(name.split(".")))]


def _find(name: str) -> Path | None:
    """Source file of a module of the user's own, imported or not; None for all others."""
    if name in sys.modules:
        return _file_of(sys.modules[name])
    parent = name.rpartition(".")[0]
    if not name or (parent and parent not in sys.modules):
        return None
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
    return Path(spec.origin).resolve() if spec and spec.origin and is_users(spec.origin) else None


def _file_of(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if isinstance(file, str) and file.endswith(".py") and is_users(file) else None


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return ast.Module(body=[], type_ignores=[])


def _named_in(sources: Iterable[Path]) -> Iterator[Path]:
    """Files that source files name in a literal, alone or joined; libraries that are not Python's open them unseen."""
    for source in sources:
        for text in _literals(_parsed(source)):
            found = [path.resolve() for path in (source.parent / text, Path.cwd() / text) if _is_data(path)]
            yield from found[:1]


def _literals(tree: ast.AST) -> set[str]:
    """Texts in the code; those that a call or a ``/`` puts together are taken together."""
    found: set[str] = set()
    joined: set[ast.AST] = set()
    for node in ast.walk(tree):  # outer nodes come first
        if node in joined:
            continue
        parts: list[ast.expr] = list(node.args) if isinstance(node, ast.Call) else []
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            inner: ast.expr = node
            while isinstance(inner, ast.BinOp):
                joined.add(inner)
                parts.insert(0, inner.right)
                inner = inner.left
            parts.insert(0, inner)
        elif isinstance(node, ast.Constant):
            parts = [node]
        texts = [one for one in parts if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        joined.update(texts if len(texts) > 1 else ())
        found.add("/".join(str(one.value) for one in texts))
    return {text for text in found if 0 < len(text) <= 255 and "\n" not in text and "\0" not in text}


def _reachable(classifier: object) -> tuple[list[object], list[Any], list[Path]]:
    """Objects a classifier is made of, and arrays and files that they hold outside of a state dict."""
    objects: list[object] = []
    arrays: list[Any] = []
    files: list[Path] = []
    seen: set[int] = set()

    def visit(value: Any, depth: int) -> None:
        if depth > _DEPTH or id(value) in seen or value is None or isinstance(value, (bool, int, float, complex)):
            return
        seen.add(id(value))
        if isinstance(value, (str, os.PathLike)):
            if len(os.fspath(value)) <= 255 and _is_data(Path(os.fsdecode(value))):
                files.append(Path(os.fsdecode(value)))
        elif isinstance(value, (Tensor, np.ndarray)):
            arrays.append(value)
        elif isinstance(value, nn.Module):
            objects.append(value)
            held = {key: one for key, one in vars(value).items() if not key.startswith("__")}
            saved = value._non_persistent_buffers_set
            held["_parameters"] = {}
            held["_buffers"] = {key: one for key, one in value._buffers.items() if key in saved}
            for key in sorted(held):
                visit(held[key], depth if key == "_modules" else depth + 1)
            visit(_own_forward(value), depth + 1)
        elif isinstance(value, Mapping):
            for key in sorted(value, key=str):
                visit(value[key], depth if all(isinstance(one, nn.Module) for one in value.values()) else depth + 1)
        elif isinstance(value, (list, tuple)):
            for one in value[:10_000]:
                visit(one, depth + 1)
        elif isinstance(value, (FunctionType, MethodType)):
            function: Any = value.__func__ if isinstance(value, MethodType) else value
            objects.append(function)
            if isinstance(value, MethodType):
                visit(value.__self__, depth + 1)
            if is_users(function.__code__.co_filename) or function.__module__ == "__main__":
                for one in _used_by(function):
                    visit(one, depth + 1)
        elif hasattr(value, "predict_proba") and not isinstance(value, type):
            import joblib  # comes with scikit-learn

            objects.append(value)
            arrays.append(joblib.hash(value))
        elif hasattr(value, "_model_path") or hasattr(value, "_model_bytes"):  # a session of ONNX Runtime
            objects.append(value)
            visit(getattr(value, "_model_path", None), depth + 1)
            arrays.append(getattr(value, "_model_bytes", None))
        elif callable(value) and not isinstance(value, type) and hasattr(value, "__dict__"):
            objects.append(value)
            visit(vars(value), depth + 1)
            visit(getattr(value, "func", None), depth + 1)  # functools.partial
            visit(getattr(value, "args", None), depth + 1)
            visit(vars(type(value)).get("__call__"), depth + 1)
        elif is_users_object(value):
            objects.append(value)
            visit(vars(value), depth + 1)

    visit(classifier, 0)
    return objects, arrays, files


def is_users_object(value: object) -> bool:
    """Whether an object is of a class of the user's own."""
    module = sys.modules.get(type(value).__module__)
    return (
        module is not None
        and hasattr(value, "__dict__")
        and not isinstance(value, ModuleType)
        and (module.__name__ == "__main__" or _file_of(module) is not None)
    )


def _own_forward(module: nn.Module) -> object:
    forward = getattr(type(module), "forward", None)
    return forward if isinstance(forward, FunctionType) else None


def _used_by(function: FunctionType) -> Iterator[Any]:
    """Values a function reaches by its closure, its defaults and the globals it names."""
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # not yet filled
            yield cell.cell_contents
    yield function.__defaults__
    yield function.__kwdefaults__
    for name in sorted(_global_names(function.__code__)):
        value = function.__globals__.get(name)
        if not isinstance(value, (ModuleType, type)):
            yield value


def _global_names(code: CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _global_names(constant)
    return names


def _unsaved_code(objects: Iterable[object]) -> dict[str, str]:
    """Hashes of functions and classes that were typed in, into a notebook for one, and lie in no file."""
    if "__main__" not in sys.modules or _file_of(sys.modules["__main__"]) is not None:
        return {}
    kinds = [one if isinstance(one, FunctionType) else type(one) for one in objects]
    texts = {kind.__qualname__: _typed(kind) for kind in kinds if kind.__module__ == "__main__"}
    return {f"code of {name}": hashlib.sha256(text.encode()).hexdigest() for name, text in sorted(texts.items())}


def _typed(kind: FunctionType | type) -> str:
    """What was typed in, or what it was compiled to where that was not kept."""
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):
        functions = [kind, *vars(kind).values()] if isinstance(kind, type) else [kind]
        return " ".join(_compiled(one.__code__) for one in functions if isinstance(one, FunctionType))


def _compiled(code: CodeType) -> str:
    parts = [_compiled(one) if isinstance(one, CodeType) else repr(one) for one in code.co_consts]
    return " ".join([code.co_code.hex(), *code.co_names, *parts])


def _module_of(value: object) -> str:
    return str(value.__module__ if isinstance(value, FunctionType) else type(value).__module__)


def _qualified(value: object) -> str:
    kind = value if isinstance(value, FunctionType) else type(value)
    return f"{kind.__module__.removeprefix('smoothcert_user_')}.{kind.__qualname__}"
