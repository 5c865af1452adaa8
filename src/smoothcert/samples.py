"""What was sampled for one input: small, storable, and enough to answer any later question. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from smoothcert.errors import InvalidArgumentError
from smoothcert.histogram import ScoreHistogram
from smoothcert.scores import MEASURES
from smoothcert.typing import IntArray


@dataclass(frozen=True)
class StageHistograms:
    """One measure of one input: the scores of the pilot and of the estimation samples.

    Args:
        pilot: The ``n0`` samples that selected the class; they may tune a bound.
        sample: The ``n`` samples that were not looked at before; the only ones a bound is computed from.
    """

    pilot: ScoreHistogram
    sample: ScoreHistogram


@dataclass(frozen=True, eq=False)
class Samples:
    """Everything sampled for one input.

    Args:
        prediction: Class with the highest mean score over the pilot.
        sigma: Standard deviation of the noise, in input units.
        seed: Seed of the noise.
        content_hash: SHA-256 of the input's shape and float32 bytes; with the seed it determines the noise.
        pilot_votes: How often each class had the highest score in the pilot, shape ``(num_classes,)``.
        votes: The same over the estimation samples, shape ``(num_classes,)``.
        score: Histograms of the score of ``prediction``.
        margin: Histograms of the margin of ``prediction``.

    Raises:
        InvalidArgumentError: If votes and histograms disagree about the number of samples or classes.
    """

    prediction: int
    sigma: float
    seed: int
    content_hash: str
    pilot_votes: IntArray
    votes: IntArray
    score: StageHistograms
    margin: StageHistograms

    def __post_init__(self) -> None:
        """Check that the parts describe the same samples."""
        if self.votes.shape != self.pilot_votes.shape or not 0 <= self.prediction < self.num_classes:
            raise InvalidArgumentError(
                f"votes and pilot_votes must have one entry a class and prediction must index them; got shapes "
                f"{self.votes.shape} and {self.pilot_votes.shape}, prediction {self.prediction}"
            )
        for name in MEASURES:
            stages = self.measure(name)
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

    def measure(self, name: str) -> StageHistograms:
        """Histograms of the measure called ``name``."""
        if name not in MEASURES:
            raise InvalidArgumentError(f"measure must be one of {', '.join(MEASURES)}; got {name!r}")
        stages: StageHistograms = getattr(self, name)
        return stages
