"""Alpha shared out among statements, so that all of them hold together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from smoothcert.analysis.stored_histograms import RunLike
from smoothcert.analysis.table import CLASS, LEAD
from smoothcert.bounds import bound_named
from smoothcert.errors import InvalidArgumentError
from smoothcert.runs.config import IMPORTED

About: TypeAlias = Literal["each", "input", "dataset"]
EACH, INPUT, DATASET = "each", "input", "dataset"


@dataclass(frozen=True)
class Joint:
    """What alpha is the failure probability of, and how many statements share it.

    Alpha is divided by the inputs, where the claim is about all of them, less what their noise costs; then evenly by
    what is claimed of an input, its measures or class; then by the statements of one bound about a measure. The best of
    several bounds is not a claim.

    Args:
        about: ``"each"`` statement on its own, all statements about an ``"input"`` together, or all about the whole
            ``"dataset"``.
        alpha: Failure probability of all of them.
        inputs: Number of inputs.
        pairs: Pairs of the lead that the run holds.
        prices: What the noise of an input costs of alpha, at least and at most.
    """

    about: str
    alpha: float
    inputs: int
    pairs: int
    prices: tuple[float, float]

    def share(self, measure: str, bound: str, *, groups: int, lowers: int, uppers: int = 0) -> float:
        """Failure probability of each statement, once the noise is paid for.

        Args:
            measure: The measure, or the class.
            bound: The bound.
            groups: How many measures, the class among them, are claimed of an input.
            lowers: At how many radii and thresholds lower bounds are claimed.
            uppers: At how many radii upper bounds are.

        Raises:
            InvalidArgumentError: If the noise costs all of alpha.
        """
        if self.about == EACH:
            return self.alpha
        inputs = max(self.inputs, 1) if self.about == DATASET else 1
        price = inputs * self.prices[1]
        left = self.alpha - price
        if left <= 0.0:
            raise InvalidArgumentError(
                f"--alpha must be above {price:.3g}, which is what the noise of {inputs} inputs costs; "
                f"got {self.alpha:g}"
            )
        return left / (inputs * groups * self._statements(measure, bound, lowers, uppers))

    def alpha_at(self, share: float) -> float:
        """Alpha to be asked for, so that the share is left when the noise is paid for again."""
        return self.alpha if self.about == EACH else share + self.prices[0]

    def _statements(self, measure: str, bound: str, lowers: int, uppers: int) -> int:
        if measure == CLASS:
            return 1
        lower = bound_named(bound).statements(lowers)
        if measure == LEAD:  # its least rival may be another one at each point; each rival's own bound is one of these
            lower = min(lowers, lower * max(self.pairs, 1))
        return lower + (bound_named(bound).statements(uppers) if uppers else 0)


def prices_of(run: RunLike) -> tuple[float, float]:
    """What the noise of an input of the run costs of alpha, at least and at most."""
    if run.config.kind == IMPORTED:
        return 0.0, 0.0
    prices: Iterable[float | None] = [price for part in run.tables(["price"]) for price in part["price"].to_pylist()]
    paid = [price or 0.0 for price in prices]
    return min(paid, default=0.0), max(paid, default=0.0)
