"""What training minimizes: cross-entropy under noise, and if asked for the spread between noisy copies."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional

from smoothcert.training.recipe import Recipe


def noisy_loss(logits: Tensor, labels: Tensor, recipe: Recipe) -> Tensor:
    """Cross-entropy over all noisy copies, plus the consistency of the copies of each image.

    With ``p_i`` the prediction for copy ``i`` and ``m`` their mean, the second term is
    ``consistency * mean_i KL(m || p_i) + entropy * H(m)``, averaged over the images.

    Args:
        logits: Shape ``(copies * batch, num_classes)``: all images once, then all again, ...
        labels: Shape ``(batch,)``.
        recipe: Gives the weights and the number of copies.

    Returns:
        A scalar in float32, whatever the precision of the logits.

    References:
        Jeong, Shin (2020), section 3, https://arxiv.org/abs/2006.04062.
    """
    logits = logits.float()
    loss = functional.cross_entropy(logits, labels.repeat(recipe.copies))
    if recipe.copies == 1:
        return loss
    log_p = functional.log_softmax(logits, dim=1).reshape(recipe.copies, len(labels), -1)
    # The mean in logarithms, so that a class no copy believes in adds 0 and not 0 times infinity.
    log_mean = log_p.logsumexp(dim=0) - math.log(recipe.copies)
    mean = log_mean.exp()
    entropy = -(mean * log_mean).sum(dim=1).mean()
    divergence = (mean * (log_mean - log_p)).sum(dim=2).mean()
    total: Tensor = loss + recipe.consistency * divergence + recipe.entropy * entropy
    return total
