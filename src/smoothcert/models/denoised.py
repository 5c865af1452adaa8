"""Denoised smoothing: a denoiser in front of a classifier that never saw noise, so that it can be certified untrained.

Noise is drawn by the sampler alone. The denoiser is told its level when it is made, and together with the classifier it
is the base classifier that is certified.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from torch import Tensor, nn

from smoothcert._check import check_sigma
from smoothcert.errors import ModelError
from smoothcert.models.adapt import Classifier, require_values
from smoothcert.models.loaded import LoadedModel
from smoothcert.models.weights import Weights, read_weights, state_dict_sha256

DENOISER_NAMES: tuple[str, ...] = (
    "ffdnet",
    "diffusers:REPO_OR_FOLDER",
    "python:package.module:factory",
    "python:path/to/file.py:factory",
)
"""The known forms, as error messages and ``--help`` show them."""

_LOADERS: Mapping[str, str] = {"ffdnet": "ffdnet", "diffusers": "diffusion", "python": "python_code"}


class Denoised(nn.Module):
    """A denoiser, then a classifier: noisy images in, logits out.

    Args:
        denoiser: Noisy images to denoised ones of the same shape.
        classifier: Images ``(batch, C, H, W)`` in ``[0, 1]`` to logits.

    References:
        Salman et al. (2020), Denoised Smoothing, https://arxiv.org/abs/2003.01908.
    """

    def __init__(self, denoiser: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.classifier = classifier
        self.same_shape = SameShape()

    def forward(self, x: Tensor) -> Tensor:
        """Logits of noisy images ``x``, shape ``(batch, C, H, W)``.

        Raises:
            ModelError: The denoiser changed the shape.
        """
        logits: Tensor = self.classifier(self.same_shape(x, self.denoiser(x)))
        return logits


class SameShape(nn.Module):
    """Hands on denoised images; a module of its own, because what branches on a shape cannot be traced."""

    def forward(self, noisy: Tensor, clean: Tensor) -> Tensor:
        """``clean``, of the shape and kind of ``noisy``.

        Raises:
            ModelError: The denoiser returned no floating-point tensor, or changed the shape.
        """
        if not isinstance(clean, Tensor) or not clean.is_floating_point():
            came = clean.dtype if isinstance(clean, Tensor) else type(clean).__name__
            raise ModelError(f"the denoiser must return a floating-point tensor, images in [0, 1]; it returned {came}")
        if clean.shape != noisy.shape:
            raise ModelError(f"the denoiser must keep the shape {tuple(noisy.shape)}; it returned {tuple(clean.shape)}")
        return clean.to(noisy.dtype)


class DenoiserLoader(Protocol):
    """The one function every module that loads a denoiser has."""

    def load_denoiser(
        self, target: str, *, name: str, sigma: float, weights: Weights | None
    ) -> tuple[nn.Module, Mapping[str, str]]:
        """Make the denoiser of what follows the colon of ``name``, for noise of one level; and what identifies it."""


def resolve_denoiser(name: str, *, sigma: float, weights: Path | str | None = None) -> nn.Module:
    """Load the denoiser called ``name`` for one noise level.

    Args:
        name: One of the forms in ``DENOISER_NAMES``. ``python:`` imports and runs the user's own code: a factory
            called as ``factory(sigma=sigma)``, or without arguments if it takes no ``sigma``.
        sigma: Standard deviation of the noise, in input units.
        weights: A file of weights, where the denoiser needs one.

    Returns:
        The denoiser in eval mode: images ``(batch, C, H, W)`` with noise of that level to images in ``[0, 1]``.

    Raises:
        ModelError: The name is unknown, or the weights cannot be read or do not fit.
        MissingDependencyError: The form needs an extra that is not installed.
        InvalidArgumentError: ``sigma`` is not positive.
    """
    module, _ = _load(name, sigma=sigma, weights=weights)
    return module


def _load(name: str, *, sigma: float, weights: Path | str | None) -> tuple[nn.Module, Mapping[str, str]]:
    kind, colon, target = name.partition(":")
    if kind not in _LOADERS or (kind == "ffdnet") == bool(colon) or (colon and not target):
        raise ModelError(f"unknown denoiser {name!r}; known forms are {', '.join(DENOISER_NAMES)}")
    loader = cast("DenoiserLoader", import_module(f"smoothcert.models.{_LOADERS[kind]}"))
    read = None if weights is None else read_weights(Path(weights))
    module, identity = loader.load_denoiser(target, name=name, sigma=check_sigma(sigma), weights=read)
    require_values(module, f"denoiser {name!r}")
    return module.eval(), identity


def behind_denoiser(
    model: LoadedModel, denoiser: str, *, sigma: float, weights: Path | str | None = None
) -> LoadedModel:
    """The classifier behind a denoiser, as one base classifier.

    Args:
        model: The classifier; it need not be trained under noise.
        denoiser: Name of the denoiser.
        sigma: Standard deviation of the noise, in input units.
        weights: The denoiser's weights, where it needs a file.

    Returns:
        As ``model``, with a name, a hash and an identity that say both.
    """
    module, identity = _load(denoiser, sigma=sigma, weights=weights)
    both = f"{state_dict_sha256(module)} {model.weights_hash or state_dict_sha256(model.module)}"
    name = f"{model.name} behind {denoiser}"
    return replace(
        model,
        module=Classifier(Denoised(module, model.module), name=f"model {name!r}").eval(),
        name=name,
        weights_hash=hashlib.sha256(both.encode()).hexdigest(),
        identity={**model.identity, **{f"denoiser {key}": value for key, value in identity.items()}},
        metadata={},  # the noise level it was trained at says nothing about denoised images
    )
