"""Sampling: the only part of the package that runs the base classifier.

``noise`` says which noise a sample gets, ``classifier`` runs the module and checks what it returns,
``reducer`` turns class scores into counts, ``batching`` finds out how many samples fit, and ``sampler`` is
the loop over them.
"""

from smoothcert.sampling._warnings import (
    BatchSizeWarning,
    ConfidenceWarning,
    SmoothcertWarning,
    warn_if_too_few,
)
from smoothcert.sampling.noise import content_hash
from smoothcert.sampling.sampler import Sampler

__all__ = [
    "BatchSizeWarning",
    "ConfidenceWarning",
    "Sampler",
    "SmoothcertWarning",
    "content_hash",
    "warn_if_too_few",
]
