"""Code that is not ours runs in here: whatever it raises becomes one sentence that says where it happened."""

from __future__ import annotations

import site
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from smoothcert.errors import ModelError, SmoothcertError

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")
_LONGEST = 300  # characters of a reason that are quoted


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory has run out, in any of the words PyTorch uses."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)


@contextmanager
def guarded(what: str, *, advice: str = "") -> Iterator[None]:
    """Turn whatever the block raises into one ``ModelError``; errors of our own and Ctrl-C pass.

    Args:
        what: The subject of the sentence, such as ``"make() of net.py"``.
        advice: What to do about it, put at the end.

    Raises:
        ModelError: The block failed, or tried to end the program.
    """
    try:
        yield
    except SmoothcertError:
        raise
    except (Exception, SystemExit) as error:
        raise ModelError(f"{what} failed with {reason(error)}{place(error)}{advice and f'; {advice}'}") from error


def reason(error: BaseException) -> str:
    """Kind of an error and the first line of what it says."""
    said = str(error).strip().partition("\n")[0]
    if len(said) > _LONGEST:
        said = f"{said[:_LONGEST]}..."
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def place(error: BaseException) -> str:
    """The innermost line of the user's own code an error went through, as ``" (net.py, line 7)"``; or nothing."""
    if isinstance(error, SyntaxError) and error.filename and is_users(error.filename):
        return f" ({Path(error.filename).name}, line {error.lineno})"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if is_users(frame.filename):
            return f" ({Path(frame.filename).name}, line {frame.lineno})"
    return ""


def is_users(file: str | Path) -> bool:
    """Whether a source file is the user's own: part of no installed package, nor of Python, nor of smoothcert."""
    return _is_users(str(file))


@lru_cache(maxsize=4096)
def _is_users(file: str) -> bool:
    path = Path(file)
    if file.startswith("<") or not path.is_file():
        return False
    path = path.resolve()
    if {"site-packages", "dist-packages"} & set(path.parts):
        return False
    return not any(path.is_relative_to(folder) for folder in _installed())


@lru_cache(maxsize=1)
def _installed() -> tuple[Path, ...]:
    named = [sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")]
    ours = str(Path(__file__).parents[1])
    return tuple({Path(name).resolve() for name in (*named, *site.getsitepackages(), ours) if name})
