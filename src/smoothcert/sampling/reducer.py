"""Class scores of many batches to counts, on the device, without ever waiting for it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from smoothcert.histogram import ScoreHistogram, grid_points
from smoothcert.scores import MEASURES, Measure
from smoothcert.typing import IntArray

_SCALE = 2.0**32  # scores are summed in units of 2^-32: integers, so the order of the batches cannot matter


@lru_cache(maxsize=32)
def float32_edges(measure: Measure, levels: int) -> Tensor:
    """Grid points rounded up to float32, shape ``(levels + 1,)``.

    A float32 score is at or above a float64 grid point exactly if it is at or above that point rounded up, so
    comparing in float32 puts every score into the very cell :class:`ScoreHistogram` would.
    """
    points = grid_points(measure.lower, measure.upper, levels)
    rounded = points.astype(np.float32)
    below = rounded.astype(np.float64) < points
    rounded[below] = np.nextafter(rounded[below], np.float32(np.inf))
    return torch.from_numpy(rounded)


class MeanScores:
    """Sum of the scores of every class, exact to 2^-32 a sample.

    Args:
        num_classes: Number of classes.
        device: Where the scores are.
    """

    def __init__(self, num_classes: int, device: torch.device) -> None:
        self._sums = torch.zeros(num_classes, dtype=torch.int64, device=device)

    @torch.inference_mode()
    def add(self, scores: Tensor) -> None:
        """Add a batch, shape ``(batch, num_classes)``."""
        self._sums += scores.mul(_SCALE).to(torch.int64).sum(dim=0)

    def highest(self, count: int) -> Tensor:
        """The ``count`` classes with the highest mean scores so far, highest first, on the device."""
        return self._sums.topk(count).indices

    def winner(self) -> int:
        """The class with the highest mean score, the first of equal ones; waits for the device."""
        return int(self._sums.argmax())


class Votes:
    """How often each class had the highest score, the first of several that are equal.

    Args:
        num_classes: Number of classes.
        device: Where the scores are.
    """

    def __init__(self, num_classes: int, device: torch.device) -> None:
        self._counts = torch.zeros(num_classes, dtype=torch.int64, device=device)

    @torch.inference_mode()
    def add(self, scores: Tensor) -> None:
        """Add a batch, shape ``(batch, num_classes)``."""
        top = scores.argmax(dim=1)
        self._counts.index_add_(0, top, torch.ones_like(top))

    def counts(self) -> IntArray:
        """Shape ``(num_classes,)``; waits for the device."""
        return self._counts.cpu().numpy()


class Histograms:
    """Histograms of every measure of some classes.

    Args:
        classes: Which, shape ``(k,)``, int64, on the device of the scores.
        levels: Number of equal steps of each measure's range.
    """

    def __init__(self, classes: Tensor, *, levels: int) -> None:
        self._classes = classes
        self._levels = levels
        self._edges = {m: float32_edges(m, levels).to(classes.device) for m in MEASURES.values()}
        shape = (len(MEASURES), len(classes), levels + 1)
        self._counts = torch.zeros(shape, dtype=torch.int64, device=classes.device)
        self._rows = torch.arange(len(classes), device=classes.device) * (levels + 1)

    @torch.inference_mode()
    def add(self, scores: Tensor) -> None:
        """Add a batch, shape ``(batch, num_classes)``."""
        for counts, (measure, edges) in zip(self._counts, self._edges.items(), strict=True):
            cells = torch.bucketize(measure.compute(scores, self._classes), edges, right=True).sub_(1)
            # Invalid scores raise at the end of the stage; until then they only must not leave the grid.
            where = cells.clamp_(0, self._levels).add_(self._rows).flatten()
            counts.view(-1).index_add_(0, where, torch.ones_like(where))

    def of(self, label: int) -> dict[str, ScoreHistogram]:
        """Histogram of each measure of one of the classes, by the measure's name; waits for the device.

        Raises:
            KeyError: If the class is not one of them.
        """
        row = {label_: at for at, label_ in enumerate(self._classes.tolist())}[label]
        counts = self._counts[:, row].cpu().numpy()
        return {
            measure.name: ScoreHistogram(own, measure.lower, measure.upper)
            for own, measure in zip(counts, MEASURES.values(), strict=True)
        }

    def __contains__(self, label: int) -> bool:
        """Whether the class is one of them."""
        return label in self._classes.tolist()
