"""Certified confidence for any classifier, by randomized smoothing.

Names are loaded when first used, so that reading a stored run does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from smoothcert._version import __version__

if TYPE_CHECKING:
    from smoothcert._allocator import keep_freed_memory
    from smoothcert.bounds import ScoreCertificate
    from smoothcert.certificate import Certificate
    from smoothcert.data import load_data
    from smoothcert.errors import SmoothcertError
    from smoothcert.histogram import ScoreHistogram
    from smoothcert.models import load_model
    from smoothcert.runs import Run
    from smoothcert.samples import Samples
    from smoothcert.scores import Measure
    from smoothcert.smoothing import ABSTAIN, SmoothedClassifier
    from smoothcert.training import Recipe, train

_HOME = {
    "ABSTAIN": "smoothing",
    "Certificate": "certificate",
    "Measure": "scores",
    "Recipe": "training",
    "Run": "runs",
    "Samples": "samples",
    "ScoreCertificate": "bounds",
    "ScoreHistogram": "histogram",
    "SmoothcertError": "errors",
    "SmoothedClassifier": "smoothing",
    "keep_freed_memory": "_allocator",
    "load_data": "data",
    "load_model": "models",
    "train": "training",
}

__all__ = [
    "ABSTAIN",
    "Certificate",
    "Measure",
    "Recipe",
    "Run",
    "Samples",
    "ScoreCertificate",
    "ScoreHistogram",
    "SmoothcertError",
    "SmoothedClassifier",
    "__version__",
    "keep_freed_memory",
    "load_data",
    "load_model",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import the home of a public name when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
