"""The bounds table of a run that was sampled here: any radius, any threshold, any bound, any alpha."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

import numpy as np

from smoothcert._check import check_alpha, check_choice
from smoothcert.analysis.bounds_table import NO_LABEL, BoundsTable, Inputs, SkippedInput
from smoothcert.analysis.imported_bounds import ImportedBounds, ImportedRun
from smoothcert.bounds import lower_bounds
from smoothcert.certificate import Certificate
from smoothcert.errors import DataError, InvalidArgumentError
from smoothcert.samples import Samples
from smoothcert.scores import MEASURES
from smoothcert.typing import FloatArray

if TYPE_CHECKING:
    from smoothcert.runs import Record, RunConfig


class RunLike(Protocol):
    """What the analyses need of a run."""

    @property
    def config(self) -> RunConfig:
        """What defines the run."""

    def records(self) -> Sequence[Record]:
        """One record an input, ordered by index."""


Source: TypeAlias = "RunLike | BoundsTable"


class SampledBounds(BoundsTable):
    """Bounds computed from the histograms of each input.

    Args:
        inputs: The inputs, one row each.
        samples: What was sampled for each of them, in the same order.
        alpha: Probability that a certificate is wrong, over the sampling noise.
        sigma: Standard deviation of the noise, in input units.
        seconds: Time sampling took, all inputs together.

    Raises:
        InvalidArgumentError: If ``alpha`` is outside ``(0, 1/2]``, or inputs and samples differ in number.
    """

    def __init__(
        self,
        inputs: Inputs,
        samples: Sequence[Samples],
        *,
        alpha: float,
        sigma: float,
        seconds: float = 0.0,
    ) -> None:
        if len(inputs) != len(samples):
            raise InvalidArgumentError(
                f"samples must have one entry an input; got {len(samples)} for {len(inputs)} inputs"
            )
        drawn = sum(s.n0 + s.n for s in samples)
        super().__init__(inputs, alpha=check_alpha(alpha), sigma=sigma, seconds=seconds, drawn=drawn)
        self._samples = tuple(samples)
        self._certificates = tuple(Certificate.from_samples(s, alpha=alpha) for s in self._samples)

    @classmethod
    def from_run(cls, run: RunLike, *, alpha: float | None = None) -> SampledBounds:
        """Read a run's records.

        Args:
            run: The run.
            alpha: Instead of the run's own. To claim several statements together, divide by their number.

        Raises:
            InvalidArgumentError: If ``alpha`` is outside ``(0, 1/2]``.
        """
        level = check_alpha(run.config.alpha if alpha is None else alpha)
        rows = run.records()
        certified = [(row, row.samples) for row in rows if row.samples is not None]
        certificates = [Certificate.from_samples(samples, alpha=level) for _, samples in certified]
        inputs = Inputs(
            indices=np.array([row.index for row, _ in certified], dtype=np.int64),
            ids=tuple(row.id for row, _ in certified),
            labels=np.array([NO_LABEL if r.label is None else r.label for r, _ in certified], dtype=np.int64),
            predictions=np.array([c.prediction for c in certificates], dtype=np.int64),
            abstained=np.array([c.abstained for c in certificates], dtype=np.bool_),
            skipped=tuple(
                SkippedInput(row.id, row.error or "no reason recorded") for row in rows if row.samples is None
            ),
        )
        return cls(
            inputs,
            [samples for _, samples in certified],
            alpha=level,
            sigma=float(run.config.sigma),
            seconds=float(sum(row.seconds for row, _ in certified)),
        )

    def class_radius(self) -> FloatArray:
        """Cohen's radius of each input; 0 where abstained."""
        return np.array([c.class_radius for c in self._certificates], dtype=np.float64)

    def smoothed(self, measure: str) -> FloatArray:
        """Mean of each input's estimation samples, at most one grid step below it."""
        check_choice("measure", measure, tuple(MEASURES))
        return np.array([s.measure(measure).sample.mean for s in self._samples], dtype=np.float64)

    def _bounds(self, side: str, measure: str, bound: str, radii: FloatArray) -> FloatArray:
        stages = [samples.measure(measure) for samples in self._samples]
        pilots, samples = [s.pilot for s in stages], [s.sample for s in stages]
        if side == "upper":  # an upper bound is a lower bound on the mirrored score
            pilots, samples = [h.mirrored() for h in pilots], [h.mirrored() for h in samples]
        lower = lower_bounds(pilots, samples, radii=radii, sigma=self.sigma, alpha=self.alpha, bound=bound)
        ends = MEASURES[measure]
        return lower if side == "lower" else ends.lower + ends.upper - lower

    def _radius(self, measure: str, bound: str, threshold: float, rows: int) -> FloatArray:
        asked = (certificate.measure(measure) for certificate in self._certificates[:rows])
        return np.array([c.radius(threshold, bound=bound) for c in asked], dtype=np.float64)


def bounds_table(source: Source, *, alpha: float | None = None) -> BoundsTable:
    """The bounds table of a run, or the table itself if that is what came.

    Args:
        source: A run, or a table made before: pass the table to several analyses to compute each bound once.
        alpha: Instead of the run's own; a table already has one.

    Raises:
        InvalidArgumentError: If ``alpha`` is outside ``(0, 1/2]``.
        DataError: If a table or an imported log was made at another alpha, or the run decided a single question.
    """
    if isinstance(source, BoundsTable):
        table = source
    elif source.config.kind == "decided":
        raise DataError(
            f"the run decided {source.config.question} and can answer nothing else: it stopped sampling each input "
            "when that was settled, and a bound needs a number of samples that was fixed before"
        )
    elif source.config.kind == "imported":
        table = ImportedBounds.from_run(cast(ImportedRun, source))
    else:
        return SampledBounds.from_run(source, alpha=alpha)
    if alpha is not None and alpha != table.alpha:
        raise DataError(f"the bounds were made at alpha={table.alpha:g} and cannot answer alpha={alpha:g}")
    return table
