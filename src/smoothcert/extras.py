"""Optional packages: imported when something needs one, with a message that says how to install it."""

from __future__ import annotations

import importlib
from types import ModuleType

from smoothcert.errors import MissingDependencyError

_EXTRAS = {"onnxruntime": "onnx", "onnxscript": "onnx", "skops": "sklearn", "skops.io": "sklearn"}
"""The extra of smoothcert that installs a package, where it is not called like the package."""


def import_extra(package: str, *, needed_by: str, extra: str | None = None) -> ModuleType:
    """Import ``package``.

    Args:
        package: Name of the module.
        needed_by: What needs it, for the message, such as ``"model 'timm:resnet18'"``.
        extra: Extra of smoothcert that installs it; None for the one of the same name, or the usual one.

    Raises:
        MissingDependencyError: It is not installed, or does not fit the other packages.
    """
    try:
        return importlib.import_module(package)
    except (ImportError, RuntimeError) as error:  # torchvision built for another PyTorch raises RuntimeError
        raise MissingDependencyError(
            f"{needed_by} needs {package}, which cannot be imported ({error}); "
            f"install it with: pip install 'smoothcert[{extra or _EXTRAS.get(package, package)}]'"
        ) from error
