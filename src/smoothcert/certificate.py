"""Everything certified about one input, from what was sampled for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from smoothcert._check import check_alpha, check_price
from smoothcert.bounds import LeadCertificate, ScoreCertificate, TopVotes, deal_seed
from smoothcert.errors import InvalidArgumentError
from smoothcert.histogram import ScoreHistogram
from smoothcert.samples import Samples, StageHistograms
from smoothcert.scores import LEAD, VOTE
from smoothcert.typing import IntArray


@dataclass(frozen=True, eq=False)
class Certificate:
    """Certificates of one input: its class radius and the certified bounds of every measure that was sampled.

    Each statement holds with probability at least ``1 - alpha`` over the estimation samples and their deal to groups.

    Args:
        prediction: The class that is certified: the one with the highest mean score over the pilot.
        abstained: Whether the class could not be certified even at radius 0; the bounds of the measures still hold.
        class_radius: No change of the input within this L2 radius, in input units, makes another class the most
            probable one; 0.0 if abstained. See :meth:`smoothcert.bounds.TopVotes.class_radius`.
        sigma: Standard deviation of the noise, in input units.
        alpha: Failure probability of each statement.
        n0: Number of pilot samples.
        n: Number of estimation samples.
        votes: How often each class had the highest score among the estimation samples, shape ``(num_classes,)``.
        measures: Certified bounds on the smoothed value of each stored measure of ``prediction``, by its name.
        vote: Certified bounds on the probability that ``prediction`` has the highest score. Its certified radius of 1/2
            by the ``clopper_pearson`` bound is the class radius of Cohen et al.
        lead: Certified bounds on how far the smoothed score of ``prediction`` is ahead of every other's; None where it
            was not sampled.
        rivals: The classes that ``lead.pairs`` compare with.
        offset: L2 distance from the input to the point that was sampled around; every radius here has paid for it.
    """

    prediction: int
    abstained: bool
    class_radius: float
    sigma: float
    alpha: float
    n0: int
    n: int
    votes: IntArray
    measures: Mapping[str, ScoreCertificate]
    vote: ScoreCertificate
    lead: LeadCertificate | None = None
    rivals: tuple[int, ...] = ()
    offset: float = 0.0

    @classmethod
    def from_samples(cls, samples: Samples, *, alpha: float, price: float | None = None) -> Certificate:
        """Certify what was sampled.

        Args:
            samples: What was sampled.
            alpha: Failure probability of each statement, in ``(0, 1/2]``.
            price: How much of ``alpha`` is spent already; None for what the noise of these samples costs.

        Raises:
            InvalidArgumentError: If ``alpha`` is outside its domain, or not above the price.
        """
        level = check_alpha(alpha)
        spent = check_price(samples.price if price is None else price, alpha=level)

        def certificate(name: str, stages: StageHistograms) -> ScoreCertificate:
            return ScoreCertificate(
                stages.pilot,
                stages.sample,
                samples.sigma,
                level,
                seed=deal_seed(samples.seed, samples.content_hash, name),
                offset=samples.offset,
                price=spent,
            )

        leads = [certificate(f"{LEAD}_{i}", stages) for i, stages in enumerate(samples.lead)]
        pairs, rest = tuple(leads[: len(samples.rivals)]), leads[len(samples.rivals) :]
        radius = top_votes(samples).class_radius(sigma=samples.sigma, alpha=level - spent, offset=samples.offset)
        return cls(
            prediction=samples.prediction,
            abstained=bool(radius == 0.0),
            class_radius=float(radius),
            sigma=samples.sigma,
            alpha=level,
            n0=samples.n0,
            n=samples.n,
            votes=samples.votes,
            measures={name: certificate(name, stages) for name, stages in samples.measures.items()},
            vote=certificate(VOTE, vote_histograms(samples)),
            lead=LeadCertificate(pairs, rest[0] if rest else None) if pairs else None,
            rivals=samples.rivals,
            offset=samples.offset,
        )

    @property
    def score(self) -> ScoreCertificate:
        """Certified bounds on the smoothed score of ``prediction``, in ``[0, 1]``."""
        return self._stored("score")

    @property
    def margin(self) -> ScoreCertificate:
        """Certified bounds on the smoothed margin of ``prediction``, in ``[-1, 1]``."""
        return self._stored("margin")

    def measure(self, name: str) -> ScoreCertificate | LeadCertificate:
        """The certificate of a measure by its name: a stored one, ``"vote"``, or ``"lead"`` where it was sampled.

        Raises:
            InvalidArgumentError: If there is none of this name; the message lists those there are.
        """
        if name == LEAD and self.lead is not None:
            return self.lead
        return self.vote if name == VOTE else self._stored(name)

    def _stored(self, name: str) -> ScoreCertificate:
        if name not in self.measures:
            known = [*self.measures, VOTE, *([] if self.lead is None else [LEAD])]
            raise InvalidArgumentError(f"measure must be one of {', '.join(dict.fromkeys(known))}; got {name!r}")
        return self.measures[name]


def stages_of(samples: Samples, name: str) -> StageHistograms:
    """Histograms of a measure by its name, ``"vote"`` included.

    Raises:
        InvalidArgumentError: If it was not sampled.
    """
    return vote_histograms(samples) if name == VOTE else samples.measure(name)


def vote_histograms(samples: Samples) -> StageHistograms:
    """Votes for the prediction as a measure: 1 where its score is the highest, else 0, on a grid of one step."""
    own = samples.prediction
    pilot, sample = (
        ScoreHistogram(np.array([votes.sum() - votes[own], votes[own]]), 0.0, 1.0, exact=True)
        for votes in (samples.pilot_votes, samples.votes)
    )
    return StageHistograms(pilot, sample)


def top_votes(samples: Samples) -> TopVotes:
    """Votes of the prediction and of its strongest rival, in both stages."""
    own = samples.prediction
    pilot_rival, rival = (int(np.delete(votes, own).max()) for votes in (samples.pilot_votes, samples.votes))
    return TopVotes(
        pilot=int(samples.pilot_votes[own]),
        pilot_rival=pilot_rival,
        n0=samples.n0,
        sample=int(samples.votes[own]),
        sample_rival=rival,
        n=samples.n,
    )
