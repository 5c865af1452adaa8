"""The lead: how far the averaged score of the class is ahead of every other's, without a union bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from smoothcert.bounds.score_certificate import ScoreCertificate
from smoothcert.bounds.stated import Stated
from smoothcert.errors import InvalidArgumentError
from smoothcert.typing import FloatArray


@dataclass(frozen=True, repr=False)
class LeadCertificate(Stated):
    """Certified bounds on the least of ``E[f_k - f_j]`` over the other classes ``j``, at any radius and threshold.

    The margin averages ``f_k - max f_j``, which is at most the lead. A lead above 0 under every shift within a radius
    means that the averaged score of the class stays the highest: it fixes the class of the averaged scores.

    Each rival has a measure of its own, ``f_k - f_j``, and classes of little weight share one, ``f_k - max f_j`` over
    them, whose mean is at most theirs. Each is bounded from below at full ``alpha``, and the least of these bounds is
    one for the lead at ``alpha``: it is wrong only if the bound of one rival fixed beforehand is wrong, the one whose
    true value is least at the worst shift (intersection-union test, Berger 1982). From above any single rival bounds
    the lead, and the strongest of the pilot serves; the others are not looked at.

    Args:
        pairs: Certificates of ``f_k - f_j``, strongest rival first, at least one; chosen on the pilot.
        rest: Certificate of ``f_k - max f_j`` over all other classes; None where there is none.

    Raises:
        InvalidArgumentError: If there is no rival, or the certificates differ in sigma, alpha, offset or price.
    """

    pairs: tuple[ScoreCertificate, ...]
    rest: ScoreCertificate | None = None

    def __post_init__(self) -> None:
        """Check that the parts make one statement."""
        if not self.pairs:
            raise InvalidArgumentError("pairs must hold at least one rival; got none")
        if len({(one.sigma, one.alpha, one.offset, one.price) for one in self._all}) > 1:
            raise InvalidArgumentError("the certificates of a lead must share sigma, alpha, offset and price")

    @property
    def _all(self) -> tuple[ScoreCertificate, ...]:
        return self.pairs if self.rest is None else (*self.pairs, self.rest)

    @property
    def _first(self) -> ScoreCertificate:
        return self.pairs[0]

    @property
    def sigma(self) -> float:
        """Standard deviation of the noise, in input units."""
        return self.pairs[0].sigma

    @property
    def alpha(self) -> float:
        """Failure probability of each statement."""
        return self.pairs[0].alpha

    @property
    def mean(self) -> float:
        """Least mean of the estimation samples: an estimate, not a certified bound."""
        return min(one.mean for one in self._all)

    def lower(
        self, radii: float | Sequence[float] | FloatArray, bound: str = "dual", *, joint: bool = False
    ) -> FloatArray:
        """Certified lower bounds, shape ``(radii,)``: no shift within the radius brings the lead below them.

        As :meth:`ScoreCertificate.lower`, with the same arguments; what the bounds of a call hold over together is the
        same, too.
        """
        return np.asarray(np.min([one.lower(radii, bound, joint=joint) for one in self._all], axis=0))

    def upper(
        self, radii: float | Sequence[float] | FloatArray, bound: str = "dual", *, joint: bool = False
    ) -> FloatArray:
        """Certified upper bounds, shape ``(radii,)``: no shift within the radius brings the lead above them.

        They are those of the strongest rival of the pilot. The lead is at most any rival's value, so they hold at
        ``alpha``; where another rival turns out to be the strongest they are not the least that could be said.
        """
        return self.pairs[0].upper(radii, bound, joint=joint)

    def interval(
        self, radii: float | Sequence[float] | FloatArray, bound: str = "dual", *, joint: bool = False
    ) -> tuple[FloatArray, FloatArray]:
        """Lower and upper bounds that hold together: ``alpha / 2`` for each side."""
        lower = np.min([one.interval(radii, bound, joint=joint)[0] for one in self._all], axis=0)
        return np.asarray(lower), self.pairs[0].interval(radii, bound, joint=joint)[1]

    def radius(self, threshold: float, bound: str = "dual") -> float:
        """Certified radius of a threshold: the lead stays above it under every shift within the radius.

        The least of the radii of all rivals: one statement at ``alpha``, by the same argument as for the bounds.
        """
        return min(one.radius(threshold, bound) for one in self._all)

    def with_alpha(self, alpha: float) -> LeadCertificate:
        """The same samples at another failure probability."""
        rest = None if self.rest is None else self.rest.with_alpha(alpha)
        return replace(self, pairs=tuple(one.with_alpha(alpha) for one in self.pairs), rest=rest)
