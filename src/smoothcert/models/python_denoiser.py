"""``python:module:factory`` as a denoiser: the user's own code, told the noise level."""

from __future__ import annotations

from torch import nn

from smoothcert.models.python_factory import call_factory
from smoothcert.models.weights import Weights, fit_weights


def load_denoiser(target: str, *, name: str, sigma: float, weights: Weights | None) -> nn.Module:
    """Call ``factory(sigma=sigma)``; this runs the user's code.

    Raises:
        ModelError: The code cannot be imported, has no such factory, or fails, or the weights do not fit.
    """
    denoiser = call_factory(target, name=name, sigma=sigma)
    if weights is not None:
        fit_weights(denoiser, weights.state_dict(), source=f"weights file {weights.path}")
    return denoiser
