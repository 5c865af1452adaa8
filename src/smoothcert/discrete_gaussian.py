"""A Gaussian rounded to a lattice, drawn exactly from random bits by inversion.

With ``E ~ N(0, sigma^2)`` in real numbers and a lattice of step ``h``, the noise is ``m = round(E / h)``:
``P(m <= k) = Phi((k + 1/2) h / sigma)``. A draw compares a uniform 64-bit number with these probabilities, each
computed to 80 bits and cut to 64. Nothing else is approximate, and :func:`total_variation` is the price of that cut.

Sixteen of the bits settle nearly all draws through a table of 65,536 entries. An entry whose interval of uniform
numbers holds one of the probabilities is an *escape*: it takes 48 more bits and a comparison, or a bisection where
there are several. No torch here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from smoothcert._check import check_sigma
from smoothcert.errors import InvalidArgumentError
from smoothcert.lattice import Lattice

_REACH = Fraction(91, 10)  # Phi(-9.1) = 4.5e-20 < 2^-64: the noise ends at so many sigma
_FINEST = 65_536  # steps in one sigma; beyond, the tables grow over 10 MB
_INTERVALS = 2**16
_CUT = 64  # bits that are drawn


@dataclass(frozen=True)
class DiscreteGaussian:
    """The distribution of ``round(E / step)``, ``E ~ N(0, sigma^2)``.

    Args:
        step: Step of the lattice.
        sigma: Standard deviation in the units of the step, from one step to 65,536 of them.

    Raises:
        InvalidArgumentError: If an argument is outside its domain.

    Example:
        >>> noise = DiscreteGaussian(step=1 / 255, sigma=0.25)
        >>> noise.largest, noise.cells
        (581, 1163)
    """

    step: float
    sigma: float

    def __post_init__(self) -> None:
        """Check the ratio of step and deviation."""
        lattice, sigma = Lattice(self.step), check_sigma(self.sigma)
        if lattice.exact_step > Fraction(sigma):
            raise InvalidArgumentError(
                f"the step of the lattice must not be larger than sigma; got a step of {self.step:g} and "
                f"sigma={sigma:g}"
            )
        if lattice.exact_step * _FINEST < Fraction(sigma):
            raise InvalidArgumentError(
                f"the step of the lattice must be at least sigma / {_FINEST:,}; got a step of {self.step:g} and "
                f"sigma={sigma:g}. Take a coarser lattice, or noise in floating point"
            )

    @cached_property
    def largest(self) -> int:
        """Largest noise in steps: draws lie in ``[-largest, largest]``."""
        return math.ceil(_REACH * Fraction(self.sigma) / Lattice(self.step).exact_step)

    @property
    def cells(self) -> int:
        """Number of values that a draw can take."""
        return 2 * self.largest + 1

    @property
    def dtype(self) -> npt.DTypeLike:
        """Integer type that holds a draw, and one number beyond."""
        return np.int16 if self.largest < 2**15 - 1 else np.int32

    @cached_property
    def thresholds(self) -> npt.NDArray[np.uint64]:
        """``2^64 P(m <= k)``, rounded down, for ``k`` from ``-largest`` to ``largest - 1``.

        A uniform 64-bit number ``u`` becomes ``-largest`` plus the number of thresholds at or below ``u``.
        """
        above = _cumulative(Lattice(self.step).exact_step / Fraction(self.sigma), self.largest)
        bits = _Taylor.BITS - _CUT
        upper = [probability >> bits for probability in above]
        lower = [((1 << _Taylor.BITS) - probability) >> bits for probability in reversed(above)]
        return np.array([*lower, *upper], dtype=np.uint64)

    @cached_property
    def table(self) -> Table:
        """What 16 bits decide."""
        return Table.of(self.thresholds, lowest=-self.largest, dtype=self.dtype)


@dataclass(frozen=True, eq=False)
class Table:
    """Draws by their first 16 bits.

    Args:
        settled: The draw, or ``escape`` where 16 bits do not settle it, shape ``(65536,)``.
        escape: A number that is no draw.
        first: The draw if no threshold inside the interval is reached, shape ``(65536,)``.
        threshold: The lowest threshold inside the interval, if there is one, shape ``(65536,)``.
        several: Whether there are more inside the interval, shape ``(65536,)``.
        thresholds: All of them, see :attr:`DiscreteGaussian.thresholds`.
        lowest: The smallest draw.
    """

    settled: npt.NDArray[np.signedinteger]
    escape: int
    first: npt.NDArray[np.signedinteger]
    threshold: npt.NDArray[np.uint64]
    several: npt.NDArray[np.bool_]
    thresholds: npt.NDArray[np.uint64]
    lowest: int

    @classmethod
    def of(cls, thresholds: npt.NDArray[np.uint64], *, lowest: int, dtype: npt.DTypeLike) -> Table:
        """The table of a distribution."""
        start = np.arange(_INTERVALS, dtype=np.uint64) << np.uint64(48)
        below = np.searchsorted(thresholds, start, side="right")
        inside = np.searchsorted(thresholds, start | np.uint64(2**48 - 1), side="right") - below
        first = (below + lowest).astype(dtype)
        escape = int(np.iinfo(dtype).min)
        settled = np.where(inside > 0, np.array(escape, dtype=dtype), first)
        threshold = thresholds[np.minimum(below, len(thresholds) - 1)]
        return cls(settled, escape, first, threshold, inside > 1, thresholds, lowest)

    def settle(self, bits: npt.NDArray[np.uint16], words: npt.NDArray[np.uint64]) -> npt.NDArray[np.signedinteger]:
        """Draws that 16 bits did not settle.

        Args:
            bits: The 16 bits of each, shape ``(escapes,)``.
            words: 64 more, of which 48 are used, shape ``(escapes,)``.
        """
        at = bits.astype(
            np.intp
        )  # NumPy looks up by integers of this type; "wrap" checks nothing, and all are in bounds
        uniform = bits.astype(np.uint64) << np.uint64(48) | words >> np.uint64(16)
        draws = self.first.take(at, mode="wrap")
        draws += uniform >= self.threshold.take(at, mode="wrap")
        again = np.flatnonzero(self.several.take(at, mode="wrap"))
        if again.size:
            draws[again] = np.searchsorted(self.thresholds, uniform[again], side="right") + self.lowest
        return draws


@lru_cache(maxsize=8)
def discrete_gaussian(step: float, sigma: float) -> DiscreteGaussian:
    """The distribution with its tables, made once."""
    return DiscreteGaussian(step=step, sigma=sigma)


def total_variation(n_values: int, step: float, sigma: float) -> float:
    """Largest difference in probability that drawing from 64 bits makes, for any event about everything drawn.

    Whatever is true with probability at least ``1 - alpha`` under the exact noise is true with probability at least
    ``1 - alpha - total_variation(...)`` of what was drawn. Each of the thresholds is off by less than ``2^-64``, so a
    value is by at most ``cells * 2^-64``, and independent values add up.

    Args:
        n_values: Number of values drawn: samples times values of an input.
        step: Step of the lattice.
        sigma: Standard deviation of the noise.

    Returns:
        A probability, rounded up.

    Example:
        >>> f"{total_variation(100_000 * 3 * 224 * 224, 1 / 255, 0.25):.2g}"
        '9.5e-07'
    """
    exact = Fraction(n_values * discrete_gaussian(float(step), float(sigma)).cells, 2**_CUT)
    return min(1.0, math.nextafter(float(exact), math.inf)) if exact else 0.0


class _Taylor:
    """``Phi`` beyond ``k / 32``, as a polynomial in fixed point."""

    BITS = 128
    NODES = 32  # in a unit
    _DEGREE = 14  # by Cramer's bound on Hermite polynomials, what is left out is below 2^-85
    _DIGITS = 60
    _PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")

    def __init__(self, node: int) -> None:
        """Coefficients, highest first."""
        with localcontext() as context:
            context.prec = self._DIGITS
            z = Decimal(node) / self.NODES
            density = (-z * z / 2).exp() / (2 * self._PI).sqrt()
            # Phi(z) = 1/2 + density * (z + z^3 / 3 + z^5 / (3 * 5) + ...): terms of one sign, so no digits are lost.
            term, total, odd = z, z, 1
            while term > Decimal(10) ** -self._DIGITS:
                odd += 2
                term *= z * z / odd
                total += term
            coefficients = [Decimal("0.5") + density * total]
            # The derivatives of the density are Hermite polynomials times it, with alternating signs.
            before, hermite, factorial = Decimal(0), Decimal(1), Decimal(1)
            for n in range(self._DEGREE):
                factorial *= n + 1
                coefficients.append((-1) ** n * density * hermite / factorial)
                before, hermite = hermite, z * hermite - n * before
            self._coefficients = [int((c * 2**self.BITS).to_integral_value()) for c in reversed(coefficients)]

    def __call__(self, beyond: int) -> int:
        """``2^128 Phi(node / 32 + beyond / 2^128)``."""
        value = 0
        for coefficient in self._coefficients:
            value = (value * beyond >> self.BITS) + coefficient
        return value


def _cumulative(ratio: Fraction, count: int) -> list[int]:
    """``2^128 Phi((k + 1/2) ratio)`` for ``k`` from 0 to ``count - 1``, to within ``2^48``."""
    scale = ratio / 2 * 2**_Taylor.BITS
    width = 2**_Taylor.BITS // _Taylor.NODES
    taylor: dict[int, _Taylor] = {}
    probabilities = []
    for k in range(count):
        node, beyond = divmod((2 * k + 1) * scale.numerator // scale.denominator, width)
        if node not in taylor:
            taylor[node] = _Taylor(node)
        probabilities.append(taylor[node](beyond))
    return probabilities
