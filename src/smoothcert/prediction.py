"""The class of a smoothed classifier from votes, or none. No torch here."""

from __future__ import annotations

import numpy as np

from smoothcert.typing import IntArray

ABSTAIN = -1
"""Returned in place of a class when the samples do not tell the top two apart."""


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
    from scipy.stats import binomtest  # takes longer to import than all else that a worker needs beside torch

    second, first = np.argsort(votes, kind="stable")[-2:]
    p_value = binomtest(int(votes[first]), int(votes[first] + votes[second]), 0.5).pvalue
    return int(first) if p_value <= alpha else ABSTAIN
