"""What a base classifier may return, and how it becomes class scores.

Written against tensor methods only, so that importing the names needs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

OUTPUTS = ("logits", "probabilities", "logit", "labels")
"""Logits of classes that exclude one another; their probabilities; one logit of the second of two classes; a logit for
each of several labels that may apply together."""


def as_scores(values: Tensor, outputs: str) -> Tensor:
    """Class scores of what a base classifier returned, shape ``(batch, num_classes)``, in ``[0, 1]``.

    Args:
        values: Shape ``(batch, num_classes)``, floating point; of a single logit ``(batch, 1)`` or ``(batch,)``.
        outputs: One of :data:`OUTPUTS`. ``"logits"`` go through a softmax, ``"logit"`` and ``"labels"`` through a
            sigmoid, so that the scores of labels do not sum to one; ``"probabilities"`` are used as they are.
    """
    if outputs == "logits":
        return values.softmax(dim=1)
    if outputs == "labels":
        return values.sigmoid()
    if outputs == "logit":
        second = values.reshape(-1, 1).expand(-1, 2)
        return second.mul(second.new_tensor([-1.0, 1.0])).sigmoid()
    return values
