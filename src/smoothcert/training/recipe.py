"""What defines a training run, and how its learning rate goes."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from numbers import Real
from typing import Any

from smoothcert._check import check_count, check_sigma
from smoothcert.errors import InvalidArgumentError


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: SGD with Nesterov momentum on noisy, cropped and mirrored images.

    The learning rate rises linearly from zero over the first ``warmup`` of the steps and falls linearly to
    zero over the rest.

    Args:
        sigma: Standard deviation of the Gaussian noise added to every training image; images lie in [0, 1].
        arch: ``resnetDEPTH``, the ResNet for small images, of 20, 32, ..., 110 layers (``6 n + 2``).
        width: Channels of the network's first stage.
        epochs: Passes over the training images.
        batch_size: Images in a step; with consistency each is taken ``draws`` times.
        learning_rate: Learning rate at its peak.
        warmup: Fraction of the steps over which the learning rate rises, in [0, 1).
        momentum: Momentum of SGD, in Nesterov's form, in (0, 1).
        weight_decay: Weight decay of SGD.
        consistency: Weight of the consistency term; 0 trains on the cross-entropy alone.
        entropy: Weight of the entropy of the mean prediction, where there is consistency.
        draws: Noisy copies of each image where there is consistency, at least 2.
        augment: Whether images are cropped at random from a border of zeros and mirrored.
        seed: Seed of the first weights, the order, the crops and the noise; less than ``2**63``.

    Raises:
        InvalidArgumentError: A value is outside its domain.

    References:
        Cohen, Rosenfeld, Kolter (2019), https://arxiv.org/abs/1902.02918 (training under noise); Jeong, Shin
        (2020), https://arxiv.org/abs/2006.04062 (consistency regularization).
    """

    sigma: float
    arch: str = "resnet20"
    width: int = 16
    epochs: int = 30
    batch_size: int = 128
    learning_rate: float = 0.2
    warmup: float = 0.15
    momentum: float = 0.9
    weight_decay: float = 5e-4
    consistency: float = 0.0
    entropy: float = 0.5
    draws: int = 2
    augment: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        checked: dict[str, float] = {"sigma": check_sigma(self.sigma)}
        for name in ("width", "epochs", "batch_size"):
            checked[name] = check_count(name, getattr(self, name))
        checked["draws"] = check_count("draws", self.draws, at_least=2)
        checked["seed"] = check_count("seed", self.seed, at_least=0)
        for name in ("weight_decay", "consistency", "entropy"):
            checked[name] = _check_number(name, getattr(self, name))
        checked["learning_rate"] = _check_number("learning_rate", self.learning_rate, zero=False)
        checked["warmup"] = _check_number("warmup", self.warmup, below=1.0)
        checked["momentum"] = _check_number("momentum", self.momentum, zero=False, below=1.0)
        if self.seed >= 2**63:
            raise InvalidArgumentError(f"seed must be less than 2**63; got {self.seed}")
        if not isinstance(self.augment, bool):
            raise InvalidArgumentError(f"augment must be True or False; got {self.augment!r}")
        # Python's own numbers: others, such as NumPy's, would neither compare nor print alike in a file's header.
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def copies(self) -> int:
        """Noisy copies of each image in a step."""
        return self.draws if self.consistency > 0 else 1

    def rate(self, step: int, *, steps: int) -> float:
        """Learning rate of step ``step`` out of ``steps``.

        Example:
            >>> recipe = Recipe(sigma=0.25, learning_rate=1.0, warmup=0.25)
            >>> [round(recipe.rate(step, steps=8), 3) for step in range(8)]
            [0.5, 1.0, 1.0, 0.833, 0.667, 0.5, 0.333, 0.167]
        """
        rising = math.floor(self.warmup * steps)
        share = (step + 1) / rising if step < rising else (steps - step) / (steps - rising)
        return self.learning_rate * share

    def to_json(self) -> str:
        """One line of JSON, for the header of the weights file."""
        return json.dumps(asdict(self), sort_keys=True)


def _check_number(name: str, value: Any, *, zero: bool = True, below: float = math.inf) -> float:
    """Return ``value`` as a float from 0, itself allowed or not, to less than ``below``."""
    number = math.nan if isinstance(value, bool) or not isinstance(value, Real) else float(value)
    if not (0.0 < number < below or (zero and number == 0.0)):
        low = "at least 0" if zero else "above 0"
        high = f"below {below:g}" if math.isfinite(below) else "finite"
        raise InvalidArgumentError(f"{name} must be a number, {low} and {high}; got {value!r}")
    return number
