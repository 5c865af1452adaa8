"""Sampling: the only part of the package that runs the base classifier.

``noise`` says which noise a sample gets, ``lattice_noise`` and ``float_noise`` draw it, ``classifier`` runs the module
and checks what it returns, ``reducer`` turns class scores into counts, ``growing`` knows what one input asks for,
``packing`` is the only loop and fills its batches with samples of many inputs, ``batching`` finds out how many fit, and
``sampler`` holds it together.
"""

from smoothcert.sampling._warnings import (
    BatchSizeWarning,
    ConfidenceWarning,
    SmoothcertWarning,
    warn_if_too_few,
)
from smoothcert.sampling.chunks import content_hash
from smoothcert.sampling.packing import Job
from smoothcert.sampling.sampler import LatticeChoice, Sampler

__all__ = [
    "BatchSizeWarning",
    "ConfidenceWarning",
    "Job",
    "LatticeChoice",
    "Sampler",
    "SmoothcertWarning",
    "content_hash",
    "warn_if_too_few",
]
