"""The few-lines Python interface: a smoothed classifier that predicts and certifies."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import binomtest
from torch import Tensor

from smoothcert._check import check_alpha, check_count
from smoothcert.certificate import Certificate
from smoothcert.errors import InvalidArgumentError, SmoothcertError
from smoothcert.histogram import DEFAULT_LEVELS
from smoothcert.samples import Samples
from smoothcert.sampling import Sampler, warn_if_too_few
from smoothcert.sampling.inputs import InputRange, as_tensor
from smoothcert.typing import IntArray

ABSTAIN = -1
"""What :meth:`SmoothedClassifier.predict` returns when the samples do not tell the top two classes apart."""

Result = TypeVar("Result")


class SmoothedClassifier:
    r"""The base classifier averaged over Gaussian noise: predictions and certificates hold within a radius.

    The smoothed score of a class is the mean of the base classifier's score over ``x + N(0, sigma^2 I)``. It
    is a score, not a calibrated probability of being right.

    Inputs are single, with ``input_ndim`` dimensions, or a batch with one more in front; results come single
    or as a list accordingly. Every input is sampled with noise of its own, determined by ``seed`` and its
    content.

    Args:
        base_classifier: Module that maps a float32 batch ``(batch, *input_shape)`` to ``(batch,
            num_classes)`` logits. Normalization belongs to it, so that sigma and radii are in input units.
            It is run in eval mode and left in the mode it came in.
        sigma: Standard deviation of the noise, in input units.
        num_classes: Number of classes, at least 2.
        input_ndim: Dimensions of a single input: 3 for images ``(C, H, W)``, 1 for rows of a table.
        input_range: Smallest and largest value an input may hold; ``None`` for any finite value.
        levels: Number of equal steps on which scores are counted.
        batch_size: Samples in one forward pass; ``None`` chooses one.
        device: Where to run; the module is moved there. ``None`` runs where its parameters are.
        precision: ``"float32"``, ``"bfloat16"`` or ``"float16"``. What is certified is the classifier at
            that precision.
        outputs: Whether the module returns ``"logits"`` or ``"probabilities"``.

    Raises:
        InvalidArgumentError: If an argument is outside its domain.

    References:
        Cohen, Rosenfeld, Kolter (2019), https://arxiv.org/abs/1902.02918;
        Kumar, Levine, Feizi, Goldstein (2020), https://arxiv.org/abs/2009.08061.

    Example:
        >>> g = SmoothedClassifier(
        ...     torch.nn.Linear(4, 3, bias=False), sigma=0.5, num_classes=3, input_ndim=1
        ... )
        >>> certificate = g.certify(torch.full((4,), 0.5), n0=100, n=1_000, alpha=0.001, seed=0)
        >>> certificate.n
        1000
    """

    def __init__(
        self,
        base_classifier: Callable[[Tensor], Tensor],
        sigma: float,
        num_classes: int,
        *,
        input_ndim: int = 3,
        input_range: InputRange | None = (0.0, 1.0),
        levels: int = DEFAULT_LEVELS,
        batch_size: int | None = None,
        device: torch.device | str | None = None,
        precision: str = "float32",
        outputs: str = "logits",
    ) -> None:
        self.input_ndim = check_count("input_ndim", input_ndim)
        self.sampler = Sampler(
            base_classifier,
            sigma=sigma,
            num_classes=num_classes,
            levels=levels,
            batch_size=batch_size,
            device=device,
            precision=precision,
            outputs=outputs,
            input_range=input_range,
        )

    @property
    def sigma(self) -> float:
        """Standard deviation of the noise, in input units."""
        return self.sampler.sigma

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return self.sampler.num_classes

    def certify(
        self,
        x: Tensor | npt.ArrayLike,
        *,
        n0: int = 5_000,
        n: int = 95_000,
        alpha: float = 0.001,
        seed: int = 0,
    ) -> Certificate | list[Certificate]:
        """Predict a class and certify its confidence within any radius.

        Args:
            x: One input, or a batch of them.
            n0: Number of pilot samples; they select the class and tune the dual bound.
            n: Number of estimation samples; the bounds are computed from them.
            alpha: Probability that a certificate is wrong, over the sampling noise, in ``(0, 0.5]``.
            seed: Seed of the noise, a non-negative integer.

        Returns:
            One certificate, or for a batch a list of them.

        Raises:
            InvalidArgumentError: If an argument is outside its domain.
            ModelError: If the base classifier fails or returns something that is not class scores.

        Warns:
            ConfidenceWarning: If no outcome of so few samples could certify a class.
        """
        check_alpha(alpha)
        warn_if_too_few(n=n, alpha=alpha)
        return self._each(
            x,
            lambda one: Certificate.from_samples(self.sampler.sample(one, n0=n0, n=n, seed=seed), alpha=alpha),
        )

    def predict(
        self, x: Tensor | npt.ArrayLike, *, n: int = 1_000, alpha: float = 0.001, seed: int = 0
    ) -> int | IntArray:
        """Class the smoothed classifier votes for most often, or :data:`ABSTAIN`.

        With probability at least ``1 - alpha`` over the samples, a class that is returned is the one that
        the base classifier returns most often under noise.

        Args:
            x: One input, or a batch of them.
            n: Number of samples.
            alpha: Probability that a returned class is wrong, over the sampling noise, in ``(0, 0.5]``.
            seed: Seed of the noise, a non-negative integer.

        Returns:
            A class, or for a batch an array of them, shape ``(batch,)``.

        Raises:
            InvalidArgumentError: If an argument is outside its domain.
            ModelError: If the base classifier fails or returns something that is not class scores.

        References:
            Procedure PREDICT of Cohen et al. (2019), https://arxiv.org/abs/1902.02918, after Hung and
            Fithian (2019).
        """
        check_alpha(alpha)
        labels = self._each(x, lambda one: most_voted(self.sampler.votes(one, n=n, seed=seed), alpha=alpha))
        return labels if isinstance(labels, int) else np.asarray(labels, dtype=np.int64)

    def sample(
        self, x: Tensor | npt.ArrayLike, *, n0: int = 5_000, n: int = 95_000, seed: int = 0
    ) -> Samples | list[Samples]:
        """What :meth:`certify` computes its certificates from, to be kept and asked later.

        Args:
            x: One input, or a batch of them.
            n0: Number of pilot samples.
            n: Number of estimation samples.
            seed: Seed of the noise, a non-negative integer.

        Returns:
            Samples of one input, or for a batch a list of them.

        Raises:
            InvalidArgumentError: If an argument is outside its domain.
            ModelError: If the base classifier fails or returns something that is not class scores.
        """
        return self._each(x, lambda one: self.sampler.sample(one, n0=n0, n=n, seed=seed))

    def _each(self, x: Tensor | npt.ArrayLike, compute: Callable[[Tensor], Result]) -> Result | list[Result]:
        """Apply to a single input, or to every input of a batch with its position in any error."""
        inputs = as_tensor(x)
        if inputs.ndim == self.input_ndim:
            return compute(inputs)
        if inputs.ndim != self.input_ndim + 1:
            raise InvalidArgumentError(
                f"x must have {self.input_ndim} dimensions, or {self.input_ndim + 1} for a batch; got shape "
                f"{tuple(inputs.shape)}. For inputs of other dimensions set input_ndim"
            )
        return [self._one(compute, one, position) for position, one in enumerate(inputs)]

    @staticmethod
    def _one(compute: Callable[[Tensor], Result], one: Tensor, position: int) -> Result:
        try:
            return compute(one)
        except SmoothcertError as error:
            raise type(error)(f"input {position} of the batch: {error}") from error


def most_voted(votes: IntArray, *, alpha: float) -> int:
    """The class with the most votes, or :data:`ABSTAIN` if the runner-up might as well have had them.

    If the class is not the most probable one, it is returned with probability at most ``alpha``.

    Args:
        votes: Independent votes, shape ``(num_classes,)`` with at least two classes.
        alpha: Failure probability of the two-sided binomial test.

    Returns:
        A class index or -1.

    References:
        Hung and Fithian (2019), https://arxiv.org/abs/1610.03944.

    Example:
        >>> most_voted(np.array([90, 10, 0]), alpha=0.001), most_voted(np.array([55, 45, 0]), alpha=0.001)
        (0, -1)
    """
    second, first = np.argsort(votes, kind="stable")[-2:]
    p_value = binomtest(int(votes[first]), int(votes[first] + votes[second]), 0.5).pvalue
    return int(first) if p_value <= alpha else ABSTAIN
