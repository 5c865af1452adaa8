"""A diffusion model as a one-shot denoiser: noise of level sigma is a step of its own noising process.

The model works on images in ``[-1, 1]``, where the noise is twice as large. Its step ``t`` holds
``sqrt(abar_t) z + sqrt(1 - abar_t) eps``, so noise of level ``2 sigma`` on ``z`` is the step with
``sqrt((1 - abar_t) / abar_t) = 2 sigma``, after scaling by ``sqrt(abar_t)``.

References:
    Carlini et al. (2023), (Certified!!) Adversarial Robustness for Free!, https://arxiv.org/abs/2206.10550.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from smoothcert.errors import ModelError
from smoothcert.extras import import_optional
from smoothcert.models.identity import package_versions
from smoothcert.models.weights import Weights
from smoothcert.typing import FloatArray

PREDICTIONS = ("epsilon", "v_prediction", "sample")


def timestep(abar: FloatArray, sigma: float) -> int:
    """Step of the noising process whose noise, on images in ``[-1, 1]``, is nearest to ``2 sigma``.

    Args:
        abar: Cumulative products of the schedule, shape ``(steps,)``, decreasing, in ``(0, 1)``.
        sigma: Standard deviation of the noise on images in ``[0, 1]``.

    Raises:
        ModelError: If the process does not reach that much noise.

    Example:
        >>> timestep(np.array([0.99, 0.8, 0.5, 0.1]), sigma=0.25)
        1
    """
    levels = np.sqrt((1.0 - abar) / abar)
    if not np.all(np.isfinite(levels)) or 2.0 * sigma > levels[-1]:
        raise ModelError(
            f"the diffusion model reaches noise of sigma {levels[-1] / 2:g} on images in [0, 1], less than {sigma:g}"
        )
    return int(np.argmin(np.abs(np.log(levels) - np.log(2.0 * sigma))))


class OneShot(nn.Module):
    """One evaluation of a diffusion model's network, to denoise images in ``[0, 1]``.

    Args:
        network: The UNet: ``network(images, step)`` with the prediction in ``.sample`` or as the result.
        abar: Cumulative products of the schedule, shape ``(steps,)``.
        sigma: Standard deviation of the noise on images in ``[0, 1]``.
        prediction: What the network predicts: ``"epsilon"``, ``"v_prediction"`` or ``"sample"``.

    Raises:
        ModelError: If the process does not reach the noise, or the prediction is unknown.
    """

    def __init__(self, network: nn.Module, abar: FloatArray, *, sigma: float, prediction: str = "epsilon") -> None:
        super().__init__()
        if prediction not in PREDICTIONS:
            raise ModelError(f"the diffusion model must predict one of {', '.join(PREDICTIONS)}; got {prediction!r}")
        self.network = network
        self.prediction = prediction
        self.step = timestep(abar, sigma)
        self.abar = float(abar[self.step])

    def forward(self, x: Tensor) -> Tensor:
        """Denoise ``x``, shape ``(batch, C, H, W)``, noisy images in ``[0, 1]``; the result is cut to ``[0, 1]``."""
        signal, noise = self.abar**0.5, (1.0 - self.abar) ** 0.5
        noisy = signal * (2.0 * x - 1.0)
        steps = torch.full((x.shape[0],), self.step, dtype=torch.long, device=x.device)
        predicted = self.network(noisy, steps)
        predicted = getattr(predicted, "sample", predicted)[:, : x.shape[1]]  # some predict the variance as well
        if self.prediction == "epsilon":
            clean = (noisy - noise * predicted) / signal
        elif self.prediction == "v_prediction":
            clean = signal * noisy - noise * predicted
        else:
            clean = predicted
        denoised: Tensor = (clean.clamp(-1.0, 1.0) + 1.0) / 2.0
        return denoised


def load_denoiser(
    target: str, *, name: str, sigma: float, weights: Weights | None
) -> tuple[nn.Module, Mapping[str, str]]:
    """``diffusers:REPO_OR_FOLDER``: an unconditional pipeline with a UNet and a scheduler.

    Raises:
        ModelError: The pipeline cannot be loaded or is not of that kind, or weights are given beside it.
        MissingDependencyError: diffusers is not installed.
    """
    if weights is not None:
        raise ModelError(f"denoiser {name!r} brings its own weights; got {weights.path}")
    diffusers = import_optional("diffusers", what=f"denoiser {name!r}", extra="diffusers")
    try:
        pipeline: Any = diffusers.DDPMPipeline.from_pretrained(target, use_safetensors=True)
    except Exception as error:  # many kinds, from the network down to the files
        raise ModelError(f"denoiser {name!r} cannot be loaded: {error}") from error
    abar = pipeline.scheduler.alphas_cumprod.double().numpy()
    prediction = getattr(pipeline.scheduler.config, "prediction_type", "epsilon")
    module = OneShot(pipeline.unet, abar, sigma=sigma, prediction=prediction)
    schedule = f"step {module.step}, signal {module.abar!r}, prediction {prediction}"
    return module, {"class": type(pipeline.unet).__qualname__, "schedule": schedule} | package_versions("diffusers")
