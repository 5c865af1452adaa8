"""What a run is asked: filled in where it is left open, refused where nothing could be certified, alpha shared out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from scipy.special import ndtri

from smoothcert.analysis import BoundsTable, bounds_table
from smoothcert.analysis.certified_accuracy import CLASS, CLASS_BOUND, DEFAULT_BOUNDS
from smoothcert.analysis.joint import EACH, Joint, prices_of
from smoothcert.bounds import ceil_decimals
from smoothcert.errors import DataError, InvalidArgumentError
from smoothcert.runs import Run
from smoothcert.runs.config import IMPORTED
from smoothcert.scores import VOTE

RADII = (0.0, 0.25, 0.5)
THRESHOLDS = (0.5, 0.7, 0.9)
_FARTHEST = 10.0  # in units of sigma: 1e23 unanimous votes would certify less


@dataclass(frozen=True)
class Asked:
    """What is asked of a run.

    Args:
        measures: Some of the run's measures and ``class``, or None for what the run holds.
        bounds: Some of ``smoothcert.bounds.BOUNDS``, or None for what the run holds.
        radii: L2 radii in input units, or None for the usual ones.
        thresholds: Values that must be exceeded, or None for the usual ones.
        alpha: Failure probability, or None for the run's own.
        joint: What it is the failure probability of: ``"each"`` statement on its own, all statements about an
            ``"input"`` together, or all about the whole ``"dataset"``. The statements are those of one bound: the best
            of several bounds is not a claim.
    """

    measures: Sequence[str] | None = None
    bounds: Sequence[str] | None = None
    radii: Sequence[float] | None = None
    thresholds: Sequence[float] | None = None
    alpha: float | None = None
    joint: str = EACH


@dataclass(frozen=True)
class Inquiry:
    """What is asked, as a run can answer it.

    Args:
        run: The run.
        table: Its bounds, each at the whole of alpha.
        joint: As in :class:`Asked`.
        measures: What must be kept.
        bounds: By which bounds.
        radii: L2 radii in input units.
        thresholds: Values that must be exceeded.
    """

    run: Run
    table: BoundsTable
    joint: str
    measures: list[str]
    bounds: list[str]
    radii: list[float]
    thresholds: list[float]
    _tables: dict[float, BoundsTable] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, run: Run, asked: Asked, *, one_input: bool = False) -> Inquiry:
        """Fill in what is left open, from what the run holds.

        Args:
            run: The run.
            asked: What is asked.
            one_input: Whether of a single input: then the votes are a measure as well.

        Raises:
            InvalidArgumentError: If a measure is unknown, or a radius or a threshold is none that can be certified.
            DataError: If the run holds no bound that is asked for.
        """
        table = bounds_table(run, alpha=asked.alpha)
        held = list(table.answers.measures)
        if not held and asked.measures is None and asked.bounds is not None and CLASS_BOUND not in asked.bounds:
            raise DataError(f"{run.label} holds no {asked.bounds[0]} bound: it holds class radii")
        measures = list(dict.fromkeys(asked.measures or held or ([] if one_input else [CLASS])))
        ranges = ranges_of(run, table, measures, votes=one_input)
        usual = [bound for bound in DEFAULT_BOUNDS if bound in table.answers.bounds] or list(DEFAULT_BOUNDS)
        return cls(
            run,
            table,
            asked.joint,
            measures,
            bounds=list(dict.fromkeys(asked.bounds or usual)),
            radii=fitting_radii(asked.radii, sigma=table.sigma),
            thresholds=fitting_thresholds(asked.thresholds, ranges),
        )

    @property
    def named(self) -> list[str]:
        """The measures that have bounds and thresholds: all but the class."""
        return [measure for measure in self.measures if measure != CLASS]

    def share(self, measure: str, bound: str, *, groups: int, searched: bool = False, uppers: bool = False) -> float:
        """Failure probability of each statement, so that jointly all of them hold at alpha; see :class:`Joint`.

        Args:
            measure: The measure, or the class.
            bound: The bound.
            groups: How many measures, the class among them, are claimed of an input.
            searched: Whether radii of the thresholds are claimed, too.
            uppers: Whether upper bounds are claimed, too.
        """
        joint = self._joint
        lowers = len(self.radii) + (len(self.thresholds) if searched else 0)
        return joint.share(measure, bound, groups=groups, lowers=lowers, uppers=len(self.radii) if uppers else 0)

    def table_at(self, share: float) -> BoundsTable:
        """The run's bounds at a share of alpha, from which the cost of the noise is paid already."""
        if share not in self._tables:
            alpha = self._joint.alpha_at(share)
            self._tables[share] = self.table if alpha == self.table.alpha else bounds_table(self.run, alpha=alpha)
        return self._tables[share]

    @cached_property
    def _joint(self) -> Joint:
        prices = (0.0, 0.0) if self.joint == EACH else prices_of(self.run)
        return Joint(self.joint, self.table.alpha, len(self.table.inputs), self.run.pairs, prices)

    def reach_notes(self) -> Iterator[str]:
        """Say where radii were asked for that no input can reach: even unanimous samples certify no more."""
        config = self.run.config
        if config.kind == IMPORTED or not self.named:
            return
        most = max(self.table.sizes, default=config.n)
        certain = self.table.alpha ** (1.0 / most)
        reaches = []
        for measure in self.named:
            low, high = _ends(self.table, measure)
            for threshold in self.thresholds:
                needed = min(max((threshold - low) / (high - low), 0.0), 1.0)
                reaches.append((config.sigma * float(ndtri(certain) - ndtri(needed)), measure, threshold))
        reach, measure, threshold = max(reaches)
        if max(self.radii) > max(reach, 0.0):
            yield (
                f"note: {most:,} samples per input at alpha {self.table.alpha:.3g} certify no {measure} above "
                f"{threshold:g} beyond radius {ceil_decimals(max(reach, 0.0), 3)}, whatever the classifier"
            )


def ranges_of(
    run: Run, table: BoundsTable, measures: Sequence[str], *, votes: bool = False
) -> dict[str, tuple[float, float]]:
    """Ends of each measure but the class.

    Raises:
        InvalidArgumentError: If the run holds no such measure.
    """
    held = [*table.answers.measures, *([VOTE] if votes and run.config.kind != IMPORTED else [])]
    for measure in measures:
        if measure not in (*held, CLASS):
            known = ", ".join((*held, CLASS))
            raise InvalidArgumentError(f"--measure must be some of {known}, which {run.label} holds; got {measure!r}")
    return {measure: _ends(table, measure) for measure in measures if measure != CLASS}


def _ends(table: BoundsTable, measure: str) -> tuple[float, float]:
    return (0.0, 1.0) if measure == VOTE else table.ends(measure)


def fitting_radii(asked: Sequence[float] | None, *, sigma: float) -> list[float]:
    """The radii asked for, or the usual ones.

    Raises:
        InvalidArgumentError: If one is so large that it must be in other units.
    """
    for radius in asked or ():
        if math.isfinite(radius) and radius > _FARTHEST * sigma:
            raise InvalidArgumentError(
                f"--radii must lie in [0, {_FARTHEST * sigma:g}], {_FARTHEST:g} sigma, in the units of the inputs "
                f"(images lie in [0, 1]): farther than that no number of samples certifies anything; got {radius:g}"
            )
    return list(dict.fromkeys(RADII if asked is None else asked))


def fitting_thresholds(asked: Sequence[float] | None, ranges: Mapping[str, tuple[float, float]]) -> list[float]:
    """The thresholds asked for, or the usual ones that are in the range of a measure.

    Raises:
        InvalidArgumentError: If no measure can exceed one, or each of them always does.
    """
    if not ranges:
        return list(dict.fromkeys(THRESHOLDS if asked is None else asked))
    low, high = min(low for low, _ in ranges.values()), max(high for _, high in ranges.values())
    if asked is None:
        usual = [threshold for threshold in THRESHOLDS if low <= threshold < high]
        return usual or [low + share * (high - low) for share in THRESHOLDS]
    for threshold in asked:
        if math.isfinite(threshold) and not low <= threshold < high:
            percent = f": in percent? {threshold / 100:g} is meant then" if high < threshold <= 100 * high else ""
            raise InvalidArgumentError(
                f"--thresholds must lie in [{low:g}, {high:g}), the range of {' and '.join(ranges)}; "
                f"got {threshold:g}{percent}"
            )
    return list(dict.fromkeys(asked))
