"""Class scores of many batches to counts, on the device, without ever waiting for it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from smoothcert.errors import InvalidArgumentError
from smoothcert.histogram import ScoreHistogram, grid_points
from smoothcert.models.guard import guarded
from smoothcert.sampling._threads import one_thread
from smoothcert.sampling.packing import Reducer
from smoothcert.scores import MEASURES, Measure
from smoothcert.typing import IntArray

_SCALE = 2.0**32  # scores are summed in units of 2^-32: integers, so the order of the batches cannot matter
_GATHERED_VALUES = 2**16
_ROUNDING = 1e-5  # of its range: as far as a measure may leave it, computed in float32


@lru_cache(maxsize=32)
def float32_edges(lower: float, upper: float, levels: int) -> Tensor:
    """Grid points rounded up to float32, shape ``(levels + 1,)``.

    A float32 score is at or above a float64 grid point exactly if it is at or above that point rounded up, so
    comparing in float32 puts every score into the very cell :class:`ScoreHistogram` would.
    """
    points = grid_points(lower, upper, levels)
    rounded = points.astype(np.float32)
    below = rounded.astype(np.float64) < points
    rounded[below] = np.nextafter(rounded[below], np.float32(np.inf))
    return torch.from_numpy(rounded)


class Gathered:
    """Hands scores on in larger portions, so that those of a small network do not cost more calls than arithmetic.

    Args:
        into: Get the scores, in order.
    """

    def __init__(self, into: Sequence[Reducer]) -> None:
        self._into = into
        self._waiting: list[Tensor] = []
        self._values = 0

    def add(self, scores: Tensor) -> None:
        """Add a portion, shape ``(rows, num_classes)``; it is handed on when there is enough."""
        self._waiting.append(scores)
        self._values += scores.numel()
        if self._values >= _GATHERED_VALUES:
            self.flush()

    def flush(self) -> None:
        """Hand on what waits."""
        if self._waiting:
            scores = torch.cat(self._waiting) if len(self._waiting) > 1 else self._waiting[0]
            self._waiting, self._values = [], 0
            with one_thread(scores):
                for reducer in self._into:
                    reducer.add(scores)


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
    """Histograms of measures, each of one class.

    Args:
        measures: With the class that each is computed for.
        levels: Number of equal steps of each measure's range.
        device: Where the scores are.
    """

    def __init__(self, measures: Sequence[tuple[Measure, int]], *, levels: int, device: torch.device) -> None:
        self._measures = [measure for measure, _ in measures]
        self._classes = {label: torch.tensor([label], device=device) for _, label in measures}
        self._labels = [label for _, label in measures]
        self._counts = [
            _Cells(measure.lower, measure.upper, 1, levels=levels, device=device) for measure, _ in measures
        ]
        self._ends: dict[Measure, Tensor] = {}

    @torch.inference_mode()
    def add(self, scores: Tensor) -> None:
        """Add a batch, shape ``(batch, num_classes)``."""
        for measure, label, counts in zip(self._measures, self._labels, self._counts, strict=True):
            if measure.name in MEASURES:
                counts.add(measure.compute(scores, self._classes[label]))
                continue
            known = measure in self._ends
            values = self._computed(measure, scores, label)
            if not known and len(scores) > 1:
                self._require_independent(measure, values, scores, label)
            counts.add(values)

    def require_valid(self, stage: str) -> None:
        """Wait for the device and raise if a measure of the user's own left its range.

        Raises:
            InvalidArgumentError: Naming the measure and the stage.
        """
        for measure, ends in self._ends.items():
            low, high = ends.tolist()
            slack = _ROUNDING * (measure.upper - measure.lower)
            if not (measure.lower - slack <= low and high <= measure.upper + slack):  # also for NaN
                raise InvalidArgumentError(
                    f"measure {measure.name} must return values in [{measure.lower:g}, {measure.upper:g}]; "
                    f"got values from {low:g} to {high:g} during {stage}"
                )

    def histograms(self) -> dict[str, ScoreHistogram]:
        """Histogram of each measure, by its name; waits for the device."""
        return {m.name: counts.histograms()[0] for m, counts in zip(self._measures, self._counts, strict=True)}

    def _require_independent(self, measure: Measure, values: Tensor, scores: Tensor, label: int) -> None:
        """Refuse a measure of the user's own whose value of a row depends on the other rows.

        Raises:
            InvalidArgumentError: The first or the last row has another value alone.
        """
        slack = _ROUNDING * (measure.upper - measure.lower)
        for row in (slice(1), slice(-1, None)):
            alone, among = (float(some) for some in (self._computed(measure, scores[row], label), values[row]))
            if abs(alone - among) > slack:
                raise InvalidArgumentError(
                    f"measure {measure.name} must depend on nothing but the row it is computed for; the same row has "
                    f"{among:g} among {len(scores)} rows and {alone:g} alone"
                )

    def _computed(self, measure: Measure, scores: Tensor, label: int) -> Tensor:
        """What a measure of the user's own returns, its shape checked and its extremes kept."""
        rows = len(scores)
        with guarded(f"measure {measure.name}"):
            values: object = measure.compute(scores.clone(), self._classes[label].clone())  # which it may write to
        if not isinstance(values, Tensor) or tuple(values.shape) != (rows, 1) or not values.is_floating_point():
            came = f"{tuple(values.shape)}, {values.dtype}" if isinstance(values, Tensor) else type(values).__name__
            raise InvalidArgumentError(
                f"measure {measure.name} must return a floating-point tensor of shape (batch, classes) = ({rows}, 1); "
                f"got {came}"
            )
        values = values.float()
        ends = torch.stack(values.aminmax())  # NaN if any is
        if measure in self._ends:
            before = self._ends[measure]
            ends = torch.stack([torch.minimum(before[0], ends[0]), torch.maximum(before[1], ends[1])])
        self._ends[measure] = ends
        return values


class Lead:
    """Histograms of how far a class is ahead of each of its rivals, and of the best of the rest.

    Args:
        label: The class.
        rivals: Others, compared one by one.
        num_classes: Number of classes.
        levels: Number of equal steps of ``[-1, 1]``.
        device: Where the scores are.
    """

    def __init__(
        self, label: int, rivals: Sequence[int], *, num_classes: int, levels: int, device: torch.device
    ) -> None:
        apart = {label, *rivals}
        self._named = torch.tensor([label, *rivals], device=device)
        rest = [other for other in range(num_classes) if other not in apart]
        self._rest = torch.tensor(rest, device=device) if rest else None
        self._counts = _Cells(-1.0, 1.0, len(rivals) + bool(rest), levels=levels, device=device)

    @torch.inference_mode()
    def add(self, scores: Tensor) -> None:
        """Add a batch, shape ``(batch, num_classes)``."""
        named = scores.index_select(1, self._named)
        others = named[:, 1:]
        if self._rest is not None:
            others = torch.cat([others, scores.index_select(1, self._rest).amax(dim=1, keepdim=True)], dim=1)
        self._counts.add(named[:, :1] - others)

    def histograms(self) -> list[ScoreHistogram]:
        """One a rival, in their order, and that of the rest; waits for the device."""
        return self._counts.histograms()


class _Cells:
    """Counts on the grid of a range, for several columns of values."""

    def __init__(self, lower: float, upper: float, columns: int, *, levels: int, device: torch.device) -> None:
        self._ends, self._levels = (lower, upper), levels
        self._edges = float32_edges(lower, upper, levels).to(device)
        self._counts = torch.zeros((columns, levels + 1), dtype=torch.int64, device=device)
        self._rows = torch.arange(columns, device=device) * (levels + 1)

    def add(self, values: Tensor) -> None:
        """Count values, shape ``(batch, columns)``, float32."""
        cells = torch.bucketize(values.contiguous(), self._edges, right=True).sub_(1)
        # Invalid scores raise at the end of the stage; until then they only must not leave the grid.
        where = cells.clamp_(0, self._levels).add_(self._rows).flatten()
        self._counts.view(-1).index_add_(0, where, torch.ones_like(where))

    def histograms(self) -> list[ScoreHistogram]:
        """One a column; waits for the device."""
        return [ScoreHistogram(own, *self._ends) for own in self._counts.cpu().numpy()]
