"""One measure of one input: every certified statement about it, from two histograms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from smoothcert._check import check_alpha, check_count, check_offset, check_price, check_sigma
from smoothcert.bounds.stated import Stated
from smoothcert.bounds.table import bound_named, certified_radii, lower_bounds, upper_bounds
from smoothcert.errors import InvalidArgumentError
from smoothcert.histogram import ScoreHistogram
from smoothcert.typing import FloatArray


@dataclass(frozen=True, repr=False)
class ScoreCertificate(Stated):
    """Certified bounds on the smoothed value of one measure, at any radius and threshold.

    A certificate is a statement about the smoothed classifier ``E[h(x + delta + eps)]`` for every ``delta`` with L2
    norm at most the radius. Each call makes statements that hold with probability at least ``1 - alpha`` over the
    ``n`` estimation samples; what a call is simultaneous over depends on the bound:

    ==================  ============================================================
    ``dual``            each radius on its own; all of them with ``joint=True``
    ``cdf``             all radii and thresholds at once (one band)
    ``hoeffding``       all radii and thresholds at once (one mean)
    ``clopper_pearson`` all radii and thresholds at once (one band)
    ==================  ============================================================

    Args:
        pilot: Scores that chose the class and tune the dual bound; none of the estimation samples.
        sample: Scores of the estimation samples, at least one.
        sigma: Standard deviation of the noise, in input units.
        alpha: Failure probability in ``(0, 1/2]``.
        seed: Of the deal of the dual bound, which must not depend on the samples: :func:`~smoothcert.bounds.deal_seed`.
        offset: L2 distance from the input to the point that was sampled around, in input units. Radii are measured from
            the input: bounds are asked at ``radius + offset``, and certified radii shrink by it, not below 0.
        price: Part of ``alpha`` that is not left for the statements, such as how far the noise may be from Gaussian in
            total variation.

    Raises:
        InvalidArgumentError: If the histograms differ in range or levels, there is no estimation sample, or another
            argument is outside its domain.

    References:
        Kumar et al. (2020), https://arxiv.org/abs/2009.08061, for ``hoeffding`` and ``cdf``.
    """

    pilot: ScoreHistogram
    sample: ScoreHistogram
    sigma: float
    alpha: float
    seed: int = 0
    offset: float = 0.0
    price: float = 0.0

    def __post_init__(self) -> None:
        """Check the arguments."""
        check_sigma(self.sigma)
        check_alpha(self.alpha)
        check_count("seed", self.seed, at_least=0)
        check_offset(self.offset)
        check_price(self.price, alpha=self.alpha)
        self.sample.merge(self.pilot)  # raises unless range and levels agree
        if self.sample.n == 0:
            raise InvalidArgumentError("sample must hold at least one estimation sample; it is empty")

    @property
    def mean(self) -> float:
        """Mean of the estimation samples, rounded down to the grid: an estimate, not a certified bound."""
        return self.sample.mean

    def lower(
        self, radii: float | Sequence[float] | FloatArray, bound: str = "dual", *, joint: bool = False
    ) -> FloatArray:
        """Certified lower bounds: no shift within the radius brings the smoothed value below them.

        Args:
            radii: L2 radii in input units, one or a flat list.
            bound: One of ``"dual"``, ``"cdf"``, ``"hoeffding"``, ``"clopper_pearson"``.
            joint: Whether all the returned bounds hold together with probability ``1 - alpha``. The dual bound pays
                with ``alpha / len(radii)`` each; the others are joint at no cost.

        Returns:
            Shape ``(radii,)``, in the range of the measure, float64.

        Raises:
            InvalidArgumentError: If a radius is negative or not finite, or the bound is unknown.
        """
        return self._bounds(lower_bounds, radii, bound, joint)

    def upper(
        self, radii: float | Sequence[float] | FloatArray, bound: str = "dual", *, joint: bool = False
    ) -> FloatArray:
        """Certified upper bounds: no shift within the radius brings the smoothed value above them.

        The mirror of :meth:`lower`, with the same arguments.
        """
        return self._bounds(upper_bounds, radii, bound, joint)

    def interval(
        self, radii: float | Sequence[float] | FloatArray, bound: str = "dual", *, joint: bool = False
    ) -> tuple[FloatArray, FloatArray]:
        """Lower and upper bounds that hold together: ``alpha / 2`` for each side.

        Returns:
            Two arrays of shape ``(radii,)``: no shift within the radius brings the smoothed value outside them.
        """
        half = replace(self, alpha=self._level / 2, price=0.0)
        return half.lower(radii, bound, joint=joint), half.upper(radii, bound, joint=joint)

    def radius(self, threshold: float, bound: str = "dual") -> float:
        """Certified radius of a threshold: the smoothed value stays above it under every shift within the radius.

        One statement, true with probability at least ``1 - alpha``. For the dual bound radii are tested upward from 0
        and the first failure ends the search, which costs no alpha.

        Args:
            threshold: The value to stay above.
            bound: One of ``"dual"``, ``"cdf"``, ``"hoeffding"``, ``"clopper_pearson"``.

        Returns:
            Largest certified radius in input units, from below; 0.0 if not even the value at radius 0 is certified to
            be above the threshold, and ``inf`` if the threshold lies below the range of the measure.

        Raises:
            InvalidArgumentError: If the threshold is not finite or the bound is unknown.
        """
        [found] = certified_radii(
            [self.pilot],
            [self.sample],
            threshold=threshold,
            sigma=self.sigma,
            alpha=self._level,
            bound=bound,
            seeds=[self.seed],
            offsets=[self.offset],
        )
        return float(found)

    def with_alpha(self, alpha: float) -> ScoreCertificate:
        """The same samples at another failure probability."""
        return replace(self, alpha=alpha)

    @property
    def _first(self) -> ScoreCertificate:
        return self

    @property
    def _level(self) -> float:
        """What is left of ``alpha`` for the statements."""
        return self.alpha - self.price

    def _bounds(
        self,
        function: Callable[..., FloatArray],
        radii: float | Sequence[float] | FloatArray,
        bound: str,
        joint: bool,
    ) -> FloatArray:
        [bounds] = function(
            [self.pilot],
            [self.sample],
            radii=radii,
            sigma=self.sigma,
            alpha=self._level / (bound_named(bound).statements(np.size(radii)) if joint else 1),
            bound=bound,
            seeds=[self.seed],
            offsets=[self.offset],
        )
        return np.asarray(bounds)
