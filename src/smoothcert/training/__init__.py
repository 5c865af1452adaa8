"""Training base classifiers under Gaussian noise, so that there is something to certify.

Loaded when first used: a recipe can be read and checked without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smoothcert.training.recipe import Recipe

if TYPE_CHECKING:
    from smoothcert.training.engine import Trained, train

__all__ = ["Recipe", "Trained", "train"]


def __getattr__(name: str) -> Any:
    """What trains, imported with torch."""
    if name not in ("Trained", "train"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from smoothcert.training import engine

    return getattr(engine, name)
