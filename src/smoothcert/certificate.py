"""Everything certified about one input, from what was sampled for it."""

from __future__ import annotations

from dataclasses import dataclass

from smoothcert._check import check_alpha, check_choice
from smoothcert.bounds import ScoreCertificate, class_radius
from smoothcert.samples import Samples
from smoothcert.scores import MEASURES
from smoothcert.typing import IntArray


@dataclass(frozen=True, eq=False)
class Certificate:
    """Certificates of one input: the class radius of Cohen et al. and the certified bounds of both measures.

    Each statement holds with probability at least ``1 - alpha`` over the estimation samples.

    Args:
        prediction: The class that is certified: the one with the highest mean score over the pilot.
        abstained: Whether the class could not be certified even at radius 0; the bounds of the measures still hold.
        class_radius: No shift within this L2 radius, in input units, changes the majority class; 0.0 if abstained.
        sigma: Standard deviation of the noise, in input units.
        alpha: Failure probability of each statement.
        n0: Number of pilot samples.
        n: Number of estimation samples.
        votes: How often each class had the highest score among the estimation samples, shape ``(num_classes,)``.
        score: Certified bounds on the smoothed score of ``prediction``, in ``[0, 1]``.
        margin: Certified bounds on the smoothed margin of ``prediction``, in ``[-1, 1]``.
    """

    prediction: int
    abstained: bool
    class_radius: float
    sigma: float
    alpha: float
    n0: int
    n: int
    votes: IntArray
    score: ScoreCertificate
    margin: ScoreCertificate

    @classmethod
    def from_samples(cls, samples: Samples, *, alpha: float, price: float = 0.0) -> Certificate:
        """Certify what was sampled, at failure probability ``alpha`` in ``(0, 1/2]``, ``price`` of it already spent.

        Raises:
            InvalidArgumentError: If ``alpha`` is outside its domain, or not above the price.
        """
        level = check_alpha(alpha)
        left = check_alpha(level - price)
        votes = int(samples.votes[samples.prediction])
        radius = float(class_radius(votes, n=samples.n, sigma=samples.sigma, alpha=left))
        score, margin = (
            ScoreCertificate(stages.pilot, stages.sample, samples.sigma, left)
            for stages in (samples.score, samples.margin)
        )
        return cls(
            prediction=samples.prediction,
            abstained=radius == 0.0,
            class_radius=radius,
            sigma=samples.sigma,
            alpha=level,
            n0=samples.n0,
            n=samples.n,
            votes=samples.votes,
            score=score,
            margin=margin,
        )

    def measure(self, name: str) -> ScoreCertificate:
        """The certificate of the measure called ``name``: ``"score"`` or ``"margin"``."""
        return {"score": self.score, "margin": self.margin}[check_choice("measure", name, tuple(MEASURES))]
