"""Faster ways to run the forward pass of a base classifier, each checked against the module it was made of.

The backend is part of the certified function, so nothing is chosen silently: ``torch``, the module as it is, unless
another is named, and a run records which. ``names`` needs no torch.
"""

from smoothcert.backends.agreement import ScoreDifference, class_scores, compare_scores, tolerance
from smoothcert.backends.names import BACKENDS
from smoothcert.backends.select import check_backend, with_backend

__all__ = [
    "BACKENDS",
    "ScoreDifference",
    "check_backend",
    "class_scores",
    "compare_scores",
    "tolerance",
    "with_backend",
]
