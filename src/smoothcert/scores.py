"""Class scores of one sample to one number: the two confidence measures of the paper, with their ranges.

Written against tensor methods only, so that importing the measures' names and ranges needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def score(probabilities: Tensor, classes: Tensor) -> Tensor:
    """Score of each class: the class's entry of the softmax, in ``[0, 1]``.

    Args:
        probabilities: Softmax outputs, shape ``(batch, num_classes)``.
        classes: Class indices, shape ``(k,)``, int64.

    Returns:
        Shape ``(batch, k)``.

    References:
        "Average prediction score", Kumar et al. (2020), https://arxiv.org/abs/2009.08061.
    """
    return probabilities[:, classes]


def margin(probabilities: Tensor, classes: Tensor) -> Tensor:
    """Margin of each class over the best other class, in ``[-1, 1]``; negative where another class wins.

    Args:
        probabilities: Softmax outputs, shape ``(batch, num_classes)`` with at least two classes.
        classes: Class indices, shape ``(k,)``, int64.

    Returns:
        Shape ``(batch, k)``.

    References:
        "Margin", Kumar et al. (2020), https://arxiv.org/abs/2009.08061.
    """
    top, index = probabilities.topk(2, dim=1)
    is_top = index[:, :1] == classes[None, :]
    runner_up = top[:, 1:].where(is_top, top[:, :1])
    return probabilities[:, classes] - runner_up


@dataclass(frozen=True)
class Measure:
    """A confidence measure: its name, its range and how it is computed from the softmax."""

    name: str
    lower: float
    upper: float
    compute: Callable[[Tensor, Tensor], Tensor]


SCORE = Measure("score", 0.0, 1.0, score)
MARGIN = Measure("margin", -1.0, 1.0, margin)
MEASURES = {m.name: m for m in (SCORE, MARGIN)}
