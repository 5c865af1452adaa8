"""How far the scores of one way to run a classifier lie from those of another, on the same samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from smoothcert.errors import InvalidArgumentError
from smoothcert.outputs import as_scores

Classifier = Callable[[Tensor], Tensor]

_TOLERANCE = {"float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}
_TOLERANCE_TF32 = 1e-2  # float32 convolutions on GPUs keep ten bits of the mantissa unless told otherwise


@dataclass(frozen=True)
class ScoreDifference:
    """How far scores move from one way to run a classifier to another.

    Args:
        largest: Largest absolute difference of any score.
        mean: Mean over the samples of the largest absolute difference among a sample's scores.
        flips: Number of samples whose highest score is another class.
        samples: Number of samples compared.
    """

    largest: float
    mean: float
    flips: int
    samples: int

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"scores move by {self.largest:.2g} at most and {self.mean:.2g} on average; "
            f"{self.flips} of {self.samples} samples change their class"
        )


@torch.inference_mode()
def class_scores(
    classifier: Classifier, batch: Tensor, *, precision: str = "float32", outputs: str = "logits"
) -> Tensor:
    """Scores as the sampler computes them: the forward pass under autocast, the softmax in float32.

    Args:
        classifier: From a float32 batch to ``(batch, num_classes)``.
        batch: Shape ``(batch, *input_shape)``, float32.
        precision: ``"float32"``, or ``"bfloat16"`` or ``"float16"`` for autocast.
        outputs: One of :data:`smoothcert.outputs.OUTPUTS`.

    Returns:
        Shape ``(batch, num_classes)``, float32.
    """
    with torch.autocast(batch.device.type, getattr(torch, precision), enabled=precision != "float32"):
        values = classifier(batch)
    return as_scores(values.float(), outputs)


def compare_scores(reference: Iterable[Tensor], candidate: Iterable[Tensor]) -> ScoreDifference:
    """Compare the scores of the same samples, batch by batch.

    Args:
        reference: Batches of scores, each ``(batch, num_classes)``.
        candidate: As many batches of the same shapes.

    Raises:
        InvalidArgumentError: If shapes or the numbers of batches differ, or there is no sample.

    Example:
        >>> compare_scores([torch.tensor([[0.75, 0.25]])], [torch.tensor([[0.5, 0.5]])])
        ScoreDifference(largest=0.25, mean=0.25, flips=0, samples=1)
    """
    largest, total, flips, samples = 0.0, 0.0, 0, 0
    for one, other in zip(reference, candidate, strict=True):
        if one.shape != other.shape:
            raise InvalidArgumentError(
                f"candidate must have the shape of reference, {tuple(one.shape)}; got {tuple(other.shape)}"
            )
        apart = (one - other).abs().amax(dim=1)
        # NaN compares as not within any tolerance, so it must survive the maximum.
        largest = float(torch.maximum(torch.tensor(largest), apart.max().cpu()))
        total += float(apart.double().sum())
        flips += int((one.argmax(dim=1) != other.argmax(dim=1)).sum())
        samples += len(apart)
    if samples == 0:
        raise InvalidArgumentError("there must be at least one sample to compare; got none")
    return ScoreDifference(largest, total / samples, flips, samples)


def tolerance(precision: str, device_type: str) -> float:
    """Largest difference of a score that rounding explains; beyond, a backend computes something else.

    Args:
        precision: ``"float32"``, ``"float16"`` or ``"bfloat16"``.
        device_type: ``"cpu"``, ``"cuda"``, ...

    Example:
        >>> tolerance("float32", "cpu"), tolerance("bfloat16", "cuda")
        (0.0001, 0.05)
    """
    if precision == "float32" and device_type != "cpu":
        return _TOLERANCE_TF32
    return _TOLERANCE[precision]
