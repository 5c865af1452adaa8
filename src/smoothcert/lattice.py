"""Lattices of inputs: which whole numbers an input is, how far it lies from them, and what the model gets to see.

An 8-bit image is ``k / 255`` with whole ``k``: it lies on a lattice of step ``h = 1/255``. Noise on that lattice is
drawn exactly, in whole numbers (:mod:`smoothcert.discrete_gaussian`), so a certificate needs no word about the
rounding of real numbers: it is a statement about every point of the lattice. No torch here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
import numpy.typing as npt

from smoothcert.errors import InvalidArgumentError

IMAGE_STEP = 1.0 / 255.0
"""Step of 8-bit images scaled to ``[0, 1]``."""

_LARGEST_DIVISOR = 2**24  # whole numbers up to here are exact in float32
_LARGEST_POINT = 2**30  # leaves room for the noise in 32 bits
_IMAGE_TOLERANCE = 2.0**-22  # several roundings of float32 numbers in [0, 1]


@dataclass(frozen=True)
class Lattice:
    """All whole multiples of a step, the same for every value of an input.

    The classifier that is smoothed begins with one fixed conversion of whole numbers ``j`` to float32 (:meth:`values`):
    ``float32(j) / float32(n)`` for a step ``1/n``, which is what scaling an 8-bit image by 255 does, so a point of the
    lattice is bit for bit what loading that image gives; ``float32(j * step)``, the product in float64, for any other
    step. It is defined for every ``j``: noise takes pixels below 0 and above 255, and nothing is clipped.

    Args:
        step: Distance of neighbouring points, in input units. A step within rounding of ``1/n`` is exactly ``1/n``.

    Raises:
        InvalidArgumentError: If the step is not a finite number above 0.

    Example:
        >>> images = Lattice(1 / 255)
        >>> points, offset = images.nearest(np.array([0.0, 0.5, 1.0], dtype=np.float32))
        >>> points, round(offset, 5)
        (array([  0, 128, 255], dtype=int32), 0.00196)
        >>> images.values(points)
        array([0.       , 0.5019608, 1.       ], dtype=float32)
    """

    step: float

    def __post_init__(self) -> None:
        """Check the step."""
        if isinstance(self.step, (bool, str)) or not isinstance(self.step, (int, float, np.number)):
            raise InvalidArgumentError(f"lattice must be the step of the inputs, such as 1/255; got {self.step!r}")
        step = float(self.step)
        if not (math.isfinite(step) and step > 0.0):
            raise InvalidArgumentError(f"lattice must be a finite step above 0, such as 1/255; got {self.step!r}")
        object.__setattr__(self, "step", step)

    @cached_property
    def divisor(self) -> int | None:
        """The whole number ``n`` for a step ``1/n``; None for other steps."""
        n = round(1.0 / self.step) if self.step > 2.0**-60 else 0
        is_fraction = 1 <= n <= _LARGEST_DIVISOR and abs(n * self.step - 1.0) <= 2.0**-51
        return n if is_fraction else None

    @property
    def exact_step(self) -> Fraction:
        """The step as a ratio of whole numbers: ``1/n``, or the float64 number that was given."""
        return Fraction(self.step) if self.divisor is None else Fraction(1, self.divisor)

    def values(self, points: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
        """What the base classifier gets for whole numbers, same shape."""
        if self.divisor is None:
            return (points * self.step).astype(np.float32)
        return points.astype(np.float32) / np.float32(self.divisor)

    def nearest(self, x: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int32], float]:
        """Round an input to the lattice.

        Args:
            x: Finite, any shape, float32.

        Returns:
            Whole numbers, same shape, and the L2 distance from the input to them, rounded up: 0.0 if every value is
            what :meth:`values` makes of its whole number.

        Raises:
            InvalidArgumentError: If a value is too many steps from 0.
        """
        exact = x.astype(np.float64)
        steps = exact / self.step if self.divisor is None else exact * self.divisor
        if steps.size and float(np.abs(steps).max()) > _LARGEST_POINT:
            raise InvalidArgumentError(
                f"x must lie within {_LARGEST_POINT:,} steps of 0 for a lattice of step {self.step:g}; "
                f"got a value of {float(np.abs(exact).max()):g}"
            )
        points = np.rint(steps).astype(np.int32)
        placed = points * self.step if self.divisor is None else points / self.divisor
        apart = np.where(self.values(points) == x, 0.0, exact - placed)
        distance = float(np.sqrt(np.sum(np.square(apart))))
        return points, distance * (1.0 + 2.0**-24)  # far more than the sum of squares can have lost


def is_8_bit_image(x: npt.NDArray[np.float32]) -> bool:
    """Whether every value is ``k / 255`` with ``k`` from 0 to 255, but for the rounding of float32.

    Example:
        >>> is_8_bit_image(np.array([0.0, 0.2, 1.0], dtype=np.float32)), is_8_bit_image(np.float32([0.1234]))
        (True, False)
    """
    if not (float(x.min()) >= 0.0 and float(x.max()) <= 1.0):
        return False
    scaled = x.astype(np.float64) * 255.0
    return bool(np.all(np.abs(scaled - np.rint(scaled)) <= 255.0 * _IMAGE_TOLERANCE))
