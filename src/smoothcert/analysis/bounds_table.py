"""One row an input: what was predicted and what is certified about it. Every analysis reads this and nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from smoothcert._check import check_choice, check_radii, check_threshold
from smoothcert.bounds import BOUNDS
from smoothcert.errors import DataError
from smoothcert.scores import MEASURES
from smoothcert.typing import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]
NO_LABEL = -1


@dataclass(frozen=True)
class SkippedInput:
    """An input that could not be read, and why."""

    id: str
    reason: str


@dataclass(frozen=True, eq=False)
class Inputs:
    """What is known about each certified input, whatever is asked later. All arrays have shape ``(inputs,)``.

    Args:
        indices: Position in the data set.
        ids: Stable name in the data set.
        labels: Class the input has; ``NO_LABEL`` where the data set does not say.
        predictions: Class the certificates are about.
        abstained: Whether the smoothed classifier gives no class; its class radius is 0 there.
        skipped: Inputs that could not be read; they have no row.
    """

    indices: IntArray
    ids: tuple[str, ...]
    labels: IntArray
    predictions: IntArray
    abstained: BoolArray
    skipped: tuple[SkippedInput, ...] = ()

    def __len__(self) -> int:
        """Number of certified inputs."""
        return len(self.ids)

    @property
    def labelled(self) -> BoolArray:
        """Which inputs have a label."""
        return np.asarray(self.labels != NO_LABEL, dtype=np.bool_)

    @property
    def predicted_right(self) -> BoolArray:
        """Which predictions equal the label, abstained or not; False without a label."""
        return np.asarray(self.labelled & (self.predictions == self.labels), dtype=np.bool_)

    @property
    def right(self) -> BoolArray:
        """Which inputs are classified right: predicted right and not abstained."""
        return np.asarray(self.predicted_right & ~self.abstained, dtype=np.bool_)


@dataclass(frozen=True)
class Answers:
    """What a table can be asked; for the rest it says what it holds.

    Args:
        measures: Measures it has bounds on.
        bounds: Bounds it has.
        radii: Radii it has bounds at, or None for any.
        upper: Whether it has upper bounds.
        smoothed: Whether it has the smoothed measures themselves.
        class_radius: Whether it has class radii.
    """

    measures: tuple[str, ...] = tuple(MEASURES)
    bounds: tuple[str, ...] = BOUNDS
    radii: tuple[float, ...] | None = None
    upper: bool = True
    smoothed: bool = True
    class_radius: bool = True


class BoundsTable(ABC):
    """Certified bounds of every input of a run, computed when first asked for and kept.

    A subclass says where the numbers come from: sampled histograms answer any radius, an imported log only what it
    holds, and refuses the rest with a :class:`~smoothcert.errors.DataError`.

    Args:
        inputs: The inputs, one row each.
        alpha: Probability that a certificate is wrong, over the sampling noise.
        sigma: Standard deviation of the noise, in input units.
        seconds: Time sampling took, all certified inputs together; 0 where it is not known.
        drawn: Noisy samples drawn in that time, pilot included; 0 where it is not known.
    """

    def __init__(self, inputs: Inputs, *, alpha: float, sigma: float, seconds: float = 0.0, drawn: int = 0) -> None:
        self.inputs = inputs
        self.alpha = alpha
        self.sigma = sigma
        self.seconds = seconds
        self.drawn = drawn
        self.answers = Answers()
        self._known: dict[tuple[object, ...], FloatArray] = {}

    def lower(self, *, measure: str, bound: str, radii: float | Sequence[float] | FloatArray) -> FloatArray:
        """Certified lower bounds on the smoothed measure of each input's prediction.

        For each input and radius: with probability at least ``1 - alpha`` over the sampling noise, no change of the
        input of L2 norm at most the radius takes the smoothed measure below the returned value. ``cdf`` and
        ``hoeffding`` hold for all radii of an input at once, ``dual`` for each radius by itself; no bound holds for
        all inputs at once at this alpha.

        Args:
            measure: ``"score"`` or ``"margin"``.
            bound: One of :data:`smoothcert.bounds.BOUNDS`.
            radii: Radii in input units, shape ``(radii,)`` or one number.

        Returns:
            Shape ``(inputs, radii)``.

        Raises:
            InvalidArgumentError: If the measure or the bound is unknown, or a radius is not finite and >= 0.
            DataError: If the run does not hold what is asked.
        """
        return self._once("lower", measure, [bound], check_radii(radii))[0]

    def lowers(
        self, *, measure: str, bounds: Sequence[str], radii: float | Sequence[float] | FloatArray
    ) -> list[FloatArray]:
        """:meth:`lower` of several bounds, in one pass over what the run holds."""
        return self._once("lower", measure, bounds, check_radii(radii))

    def upper(self, *, measure: str, bound: str, radii: float | Sequence[float] | FloatArray) -> FloatArray:
        """Certified upper bounds: as :meth:`lower`, from above."""
        return self._once("upper", measure, [bound], check_radii(radii))[0]

    def radius(self, *, measure: str, bound: str, threshold: float, at_most: int | None = None) -> FloatArray:
        """Largest radius of each input up to which its lower bound is above a threshold.

        For each input one statement, wrong with probability at most ``alpha`` over the sampling noise.

        Args:
            measure: ``"score"`` or ``"margin"``.
            bound: One of :data:`smoothcert.bounds.BOUNDS`.
            threshold: The value to stay above.
            at_most: Only the first so many inputs; ``None`` for all.

        Returns:
            Shape ``(inputs,)``; 0.0 where the bound is not above the threshold even at radius 0.

        Raises:
            InvalidArgumentError: If the measure or the bound is unknown, or the threshold is not finite.
            DataError: If the run does not hold what is asked.
        """
        _check_names(measure, bound)
        rows = len(self.inputs) if at_most is None else min(at_most, len(self.inputs))
        key = ("radius", measure, bound, check_threshold(threshold), rows)
        if key not in self._known:
            self._known[key] = self._radius(measure, bound, float(threshold), rows)
        return self._known[key]

    @abstractmethod
    def class_radius(self) -> FloatArray:
        """Cohen's radius of each input, within which the class cannot change; 0 where abstained; ``(inputs,)``."""

    @abstractmethod
    def smoothed(self, measure: str) -> FloatArray:
        """Estimate of each input's smoothed measure at radius 0, not a bound; shape ``(inputs,)``."""

    @abstractmethod
    def _bounds(self, side: str, measure: str, bounds: Sequence[str], radii: FloatArray) -> FloatArray:
        """Bounds of all inputs, shape ``(bounds, inputs, radii)``; ``side`` is ``"lower"`` or ``"upper"``."""

    @abstractmethod
    def _radius(self, measure: str, bound: str, threshold: float, rows: int) -> FloatArray:
        """Radii of the first ``rows`` inputs, shape ``(rows,)``."""

    def require_inputs(self) -> None:
        """Raise ``DataError`` where there is no certified input to compute a fraction of."""
        if len(self.inputs) == 0:
            skipped = len(self.inputs.skipped)
            more = f"; {skipped} were skipped as unreadable" if skipped else ""
            raise DataError(f"the run holds no certified input yet, so there is nothing to count{more}")

    def require_labels(self, what: str) -> None:
        """Raise ``DataError`` where ``what`` needs labels and no input has one."""
        self.require_inputs()
        if not self.inputs.labelled.any():
            raise DataError(
                f"{what} needs labels, and none of the {len(self.inputs)} inputs of the run has one; without "
                "labels ask for the certificates of one input (smoothcert query RUN --input ID), a report, or the "
                "fraction of inputs certified above a threshold"
            )

    def _once(self, side: str, measure: str, bounds: Sequence[str], radii: FloatArray) -> list[FloatArray]:
        for bound in bounds:
            _check_names(measure, bound)
        keys = {bound: (side, measure, bound, radii.tobytes()) for bound in bounds}
        missing = [bound for bound, key in keys.items() if key not in self._known]
        if missing:
            for bound, values in zip(missing, self._bounds(side, measure, missing, radii), strict=True):
                values.setflags(write=False)
                self._known[keys[bound]] = values
        return [self._known[keys[bound]] for bound in bounds]


def _check_names(measure: str, bound: str) -> None:
    check_choice("measure", measure, tuple(MEASURES))
    check_choice("bound", bound, BOUNDS)
