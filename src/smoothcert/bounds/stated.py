"""What a certificate of one measure says: as one line for a person, and as a dictionary for a program."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from smoothcert._check import check_radii, check_threshold
from smoothcert.bounds.rounding import floor_decimals
from smoothcert.typing import FloatArray

if TYPE_CHECKING:
    from smoothcert.bounds.score_certificate import ScoreCertificate

Radii: TypeAlias = "float | Sequence[float] | FloatArray"
Thresholds: TypeAlias = "float | Sequence[float] | FloatArray"
DEFAULT_RADII = (0.0, 0.25, 0.5)


class Stated(ABC):
    """Base of the certificates of a measure, whether it is one score or made of several."""

    @property
    @abstractmethod
    def mean(self) -> float:
        """Mean of the estimation samples: an estimate, not a certified bound."""

    @property
    @abstractmethod
    def _first(self) -> ScoreCertificate:
        """One that has the range, noise and samples of all."""

    @abstractmethod
    def lower(self, radii: Radii, bound: str = "dual", *, joint: bool = False) -> FloatArray:
        """Certified lower bounds."""

    @abstractmethod
    def upper(self, radii: Radii, bound: str = "dual", *, joint: bool = False) -> FloatArray:
        """Certified upper bounds."""

    @abstractmethod
    def radius(self, threshold: float, bound: str = "dual") -> float:
        """Certified radius of a threshold."""

    def to_dict(
        self, radii: Radii = DEFAULT_RADII, thresholds: Thresholds = (), *, bound: str = "dual"
    ) -> dict[str, Any]:
        """What is certified, as numbers, strings and lists that any JSON writer takes.

        Each number in ``lower``, ``upper`` and ``radius`` is a statement of its own at ``alpha``.

        Args:
            radii: L2 radii in input units, one or a flat list.
            thresholds: Values whose certified radius is wanted, one, a flat list, or none.
            bound: One of ``"dual"``, ``"cdf"``, ``"hoeffding"``, ``"clopper_pearson"``.

        Returns:
            ``mean`` of the estimation samples and ``range`` of the measure; ``lower`` and ``upper``, a bound for each
            of ``radii``; ``radius``, one for each of ``thresholds``, None where there is no limit to it because the
            threshold lies below the range; and ``sigma``, ``alpha``, ``price``, ``offset``, ``n0``, ``n``, ``bound``,
            ``radii`` and ``thresholds``.

        Raises:
            InvalidArgumentError: If a radius or threshold is outside its domain, or the bound is unknown.
        """
        first = self._first
        return {
            **self.statements(radii, thresholds, bound=bound),
            "sigma": float(first.sigma),
            "alpha": float(first.alpha),
            "price": float(first.price),
            "offset": float(first.offset),
            "n0": first.pilot.n,
            "n": first.sample.n,
            "bound": bound,
            "radii": check_radii(radii).tolist(),
            "thresholds": threshold_list(thresholds),
        }

    def statements(self, radii: Radii, thresholds: Thresholds, *, bound: str) -> dict[str, Any]:
        """The part of :meth:`to_dict` that differs between the measures of an input."""
        reached = [self.radius(threshold, bound) for threshold in threshold_list(thresholds)]
        return {
            "mean": self.mean,
            "range": [float(self._first.sample.lower), float(self._first.sample.upper)],
            "lower": self.lower(radii, bound).tolist(),
            "upper": self.upper(radii, bound).tolist(),
            "radius": [None if math.isinf(radius) else radius for radius in reached],
        }

    def __repr__(self) -> str:
        """One line, numbers rounded down."""
        first = self._first
        return (
            f"<{type(self).__name__}: mean {floor_decimals(self.mean)} in [{first.sample.lower:g}, "
            f"{first.sample.upper:g}]; sigma {first.sigma:g}, alpha {first.alpha:g}, "
            f"n {first.pilot.n:,} + {first.sample.n:,}>"
        )


def threshold_list(thresholds: Thresholds) -> list[float]:
    """Thresholds as a list, which may be empty.

    Raises:
        InvalidArgumentError: If they are not finite numbers.
    """
    return [check_threshold(threshold) for threshold in np.atleast_1d(np.asarray(thresholds)).tolist()]
