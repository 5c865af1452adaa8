"""What was sampled for one input: small, storable, and enough to answer any later question. No torch here."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from smoothcert.errors import InvalidArgumentError
from smoothcert.histogram import ScoreHistogram
from smoothcert.typing import IntArray


class ByContent:
    """Base of dataclasses that hold arrays: equal where all fields that are compared are, and hashed by them."""

    def _content(self) -> tuple[Hashable, ...]:
        return tuple(_hashable(getattr(self, one.name)) for one in fields(self) if one.compare)  # type: ignore[arg-type]

    def __eq__(self, other: object) -> bool:
        """Equal if of one type, and every field is, arrays element by element."""
        if type(other) is not type(self):
            return NotImplemented
        return self._content() == other._content()

    def __hash__(self) -> int:
        """Hash of the contents."""
        return hash((type(self), self._content()))


def _hashable(value: Any) -> Hashable:
    """What compares as a field does."""
    if isinstance(value, np.ndarray):
        return value.shape, tuple(value.ravel().tolist())
    if isinstance(value, Mapping):
        return frozenset(value.items())  # the order of measures says nothing
    return value  # type: ignore[no-any-return]


@dataclass(frozen=True)
class StageHistograms:
    """One measure of one input: the scores of the pilot and of the estimation samples.

    Args:
        pilot: The ``n0`` samples that selected the class; they may tune a bound.
        sample: The ``n`` samples that were not looked at before; the only ones a bound is computed from.
    """

    pilot: ScoreHistogram
    sample: ScoreHistogram


@dataclass(frozen=True, eq=False, repr=False)
class Samples(ByContent):
    """Everything sampled for one input.

    Args:
        prediction: Class with the highest mean score over the pilot.
        sigma: Standard deviation of the noise, in input units.
        seed: Seed of the noise.
        content_hash: SHA-256 of the input's shape and float32 bytes; with the seed it determines the noise.
        pilot_votes: How often each class had the highest score in the pilot, shape ``(num_classes,)``.
        votes: The same over the estimation samples, shape ``(num_classes,)``.
        measures: Histograms of each measure of ``prediction``, by the measure's name.
        rivals: Classes whose differences from ``prediction`` were counted one by one, strongest first, chosen on the
            pilot; empty where the lead was not sampled.
        lead: Histograms in ``[-1, 1]`` of ``f_k - f_j`` for each rival ``j``, then, if there are more classes, of
            ``f_k - max f_j`` over all the others.
        offset: L2 distance from the input to the point that was sampled around; every certified radius shrinks by it.
        step: Step of the lattice that the noise was drawn on, exactly; None for noise in floating point.
        price: What drawing that noise from finitely many bits costs: to be subtracted from ``alpha``.
        clean_prediction: What the base classifier says of the input without noise; None where it was not asked, as in
            runs of earlier versions. Nothing is certified from it, and it is not compared.

    Raises:
        InvalidArgumentError: If votes and histograms disagree about the number of samples or classes.
    """

    prediction: int
    sigma: float
    seed: int
    content_hash: str
    pilot_votes: IntArray
    votes: IntArray
    measures: Mapping[str, StageHistograms]
    rivals: tuple[int, ...] = ()
    lead: tuple[StageHistograms, ...] = ()
    offset: float = 0.0
    step: float | None = None
    price: float = 0.0
    clean_prediction: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Check that the parts describe the same samples."""
        if self.votes.shape != self.pilot_votes.shape or not 0 <= self.prediction < self.num_classes:
            raise InvalidArgumentError(
                f"votes and pilot_votes must have one entry a class and prediction must index them; got shapes "
                f"{self.votes.shape} and {self.pilot_votes.shape}, prediction {self.prediction}"
            )
        if len(self.lead) - len(self.rivals) not in (0, 1):
            raise InvalidArgumentError(f"lead must have one entry a rival, and one for the rest; got {len(self.lead)}")
        named = [*self.measures.items(), *((f"lead over rival {i}", stages) for i, stages in enumerate(self.lead))]
        for name, stages in named:
            if (stages.pilot.n, stages.sample.n) != (self.n0, self.n):
                raise InvalidArgumentError(
                    f"the {name} histograms hold {stages.pilot.n} + {stages.sample.n} samples, "
                    f"the votes {self.n0} + {self.n}"
                )

    @property
    def n0(self) -> int:
        """Number of pilot samples."""
        return int(np.sum(self.pilot_votes))

    @property
    def n(self) -> int:
        """Number of estimation samples."""
        return int(np.sum(self.votes))

    @property
    def num_classes(self) -> int:
        """Number of classes of the base classifier."""
        return int(self.votes.size)

    @property
    def score(self) -> StageHistograms:
        """Histograms of the score."""
        return self.measure("score")

    @property
    def margin(self) -> StageHistograms:
        """Histograms of the margin."""
        return self.measure("margin")

    def __repr__(self) -> str:
        """One line: what was sampled, and how often."""
        names = ", ".join([*self.measures, *(["lead"] if self.lead else [])])
        return (
            f"<Samples: class {self.prediction} of {self.num_classes}; {names}; sigma {self.sigma:g}, "
            f"n {self.n0:,} + {self.n:,}, seed {self.seed}>"
        )

    def measure(self, name: str) -> StageHistograms:
        """Histograms of the measure called ``name``."""
        if name not in self.measures:
            raise InvalidArgumentError(f"measure must be one of {', '.join(self.measures)}; got {name!r}")
        return self.measures[name]
