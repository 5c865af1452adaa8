"""How much the CDF bound depends on where, and at how many thresholds, it reads the survival function."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from smoothcert._check import check_alpha, check_count, check_price, check_radii
from smoothcert.analysis.source import require_fixed
from smoothcert.bounds.cdf import DEFAULT_THRESHOLDS, cdf_lower
from smoothcert.errors import DataError
from smoothcert.typing import FloatArray

if TYPE_CHECKING:
    from smoothcert.runs import Record, RunConfig

ALL = "all"
PLACEMENTS = ("equal_mass", "uniform")
COUNTS = (10, 30, 100, 300, 1_000, 3_000, 10_000)


class Streamed(Protocol):
    """A run read input by input."""

    @property
    def config(self) -> RunConfig:
        """What defines the run."""

    def iter_records(self) -> Iterable[Record]:
        """One record per input."""


@dataclass(frozen=True)
class Placement:
    """The CDF bound with so many thresholds placed so, over the inputs of a run.

    Args:
        measure: ``"score"``, ``"margin"`` or another stored measure; the lead is made of several.
        placement: ``"equal_mass"``, ``"uniform"`` or ``"all"``.
        thresholds: Number of thresholds at most; None for ``"all"``.
        radius: L2 radius in input units.
        mean_lower: Mean of the lower bound over the inputs.
        mean_loss: Mean of how far it is below the bound with all thresholds.
        largest_loss: The same for the input that loses most.
        inputs: Number of inputs.
    """

    measure: str
    placement: str
    thresholds: int | None
    radius: float
    mean_lower: float
    mean_loss: float
    largest_loss: float
    inputs: int


def threshold_placement(
    run: Streamed,
    *,
    measure: str = "score",
    radii: float | Sequence[float] | FloatArray,
    thresholds: Sequence[int] = COUNTS,
    alpha: float | None = None,
) -> list[Placement]:
    """Compare placements of the thresholds of the CDF bound: equal mass, as in the paper, uniform, and all.

    The band holds for all thresholds at once, so every one of these bounds is valid and none is above ``"all"``: every
    point of the grid where the count of samples changes.

    Args:
        run: A run sampled here.
        measure: ``"score"``, ``"margin"`` or another stored measure; the lead is made of several.
        radii: Radii in input units, shape ``(radii,)`` or one number.
        thresholds: Numbers of thresholds.
        alpha: Instead of the run's own.

    Returns:
        One row for each placement, number of thresholds and radius, ``"all"`` first, the radius changing fastest.

    Raises:
        InvalidArgumentError: If an argument is outside its domain.
        DataError: If the run holds no certified input, or decided a single question.
        RunError: If the run is an imported log, which holds no samples.

    References:
        Kumar et al. (2020), Section 4.1, https://arxiv.org/abs/2009.08061.
    """
    require_fixed(run)
    distances = check_radii(radii)
    failure = check_alpha(run.config.alpha if alpha is None else alpha)
    counts = [check_count("thresholds", count) for count in thresholds]
    kinds = [(ALL, DEFAULT_THRESHOLDS), *((placement, count) for placement in PLACEMENTS for count in counts)]
    found = []
    for record in run.iter_records():
        if record.samples is None:
            continue
        sample = record.samples.measure(measure).sample
        r = (distances + record.samples.offset) / record.samples.sigma
        left = failure - check_price(record.samples.price, alpha=failure)
        found.append([cdf_lower(sample, r=r, alpha=left, placement=p, thresholds=m) for p, m in kinds])
    if not found:
        raise DataError("the run holds no certified input yet, so there is no bound to compare")
    lower = np.array(found)  # (inputs, kinds, radii)
    loss = lower[:, :1] - lower
    return [
        Placement(
            measure=measure,
            placement=placement,
            thresholds=None if placement == ALL else count,
            radius=float(radius),
            mean_lower=float(lower[:, kind, column].mean()),
            mean_loss=float(loss[:, kind, column].mean()),
            largest_loss=float(loss[:, kind, column].max()),
            inputs=len(found),
        )
        for kind, (placement, count) in enumerate(kinds)
        for column, radius in enumerate(distances)
    ]
