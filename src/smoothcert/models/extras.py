"""Optional packages: imported when a model needs one, with a message that says how to install it."""

from __future__ import annotations

import importlib
from types import ModuleType

from smoothcert.errors import MissingDependencyError


def import_extra(package: str, *, name: str) -> ModuleType:
    """Import ``package``, which the extra of the same name installs.

    Args:
        package: ``timm``, ``torchvision``, ``transformers`` or ``diffusers``.
        name: The model that needs it, for the message.

    Raises:
        MissingDependencyError: It is not installed, or does not fit the installed PyTorch.
    """
    try:
        return importlib.import_module(package)
    except (ImportError, RuntimeError) as error:  # torchvision built for another PyTorch raises RuntimeError
        raise MissingDependencyError(
            f"model {name!r} needs {package}, which cannot be imported ({error}); "
            f"install it with: pip install 'smoothcert[{package}]'"
        ) from error
