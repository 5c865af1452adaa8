"""Packages that not everybody needs, imported when asked for, with a message that says how to install them."""

from __future__ import annotations

import importlib
import re
from types import ModuleType

from smoothcert.errors import MissingDependencyError

_REPOSITORY = re.compile(r"\w[\w.-]{0,95}(/\w[\w.-]{0,95})?", re.ASCII)


def is_repository(name: str) -> bool:
    """Whether a text can be a name on the Hugging Face hub; what cannot is a path, and nobody need be asked for it.

    Example:
        >>> [is_repository(name) for name in ("cifar10", "timm/resnet18.a1_in1k", "./cifar10", "/data/a/b")]
        [True, True, False, False]
    """
    return _REPOSITORY.fullmatch(name) is not None


def import_optional(module: str, *, what: str, extra: str) -> ModuleType:
    """Import a module of a package that an extra installs.

    Args:
        module: Full name of the module.
        what: What needs it, for the message, such as ``"data 'digits'"``.
        extra: The extra of smoothcert that installs it.

    Raises:
        MissingDependencyError: If the package is not installed or cannot be loaded.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, RuntimeError) as error:  # torchvision built for another PyTorch raises RuntimeError
        raise missing(module.partition(".")[0], error, what=what, extra=extra) from error


def missing(package: str, error: Exception, *, what: str, extra: str) -> MissingDependencyError:
    """The error for a package that cannot be imported.

    Example:
        >>> print(missing("jinja2", ImportError("gone"), what="the report", extra="report"))
        the report needs jinja2, which cannot be imported (gone); install it with: pip install 'smoothcert[report]'
    """
    return MissingDependencyError(
        f"{what} needs {package}, which cannot be imported ({error}); "
        f"install it with: pip install 'smoothcert[{extra}]'"
    )
