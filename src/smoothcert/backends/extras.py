"""Optional runtimes: imported when a backend needs one, with a message that says how to install it."""

from __future__ import annotations

import importlib
from types import ModuleType

from smoothcert.errors import MissingDependencyError


def import_runtime(package: str, *, backend: str, extra: str) -> ModuleType:
    """Import ``package``.

    Args:
        package: Name of the module.
        backend: The backend that needs it, for the message.
        extra: Extra of smoothcert that installs it.

    Raises:
        MissingDependencyError: It is not installed or cannot be loaded.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingDependencyError(
            f"backend {backend!r} needs {package}, which cannot be imported ({error}); "
            f"install it with: pip install 'smoothcert[{extra}]'"
        ) from error
