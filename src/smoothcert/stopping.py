"""Sampling that stops when it has seen enough: one question answered, or bounds that no longer move.

Both are jobs (:data:`smoothcert.sampling.Job`): many inputs run together, each ends when it is settled.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from smoothcert._check import MOST_SAMPLES, check_alpha, check_choice, check_count, check_price, check_radii
from smoothcert.bounds import BOUNDS, UNDECIDED, SequentialTest, VoteTest
from smoothcert.certificate import Certificate, stages_of
from smoothcert.decision import Decision, Question, check_within, doubling_looks
from smoothcert.errors import InvalidArgumentError
from smoothcert.samples import Samples
from smoothcert.scores import LEAD, VOTE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from smoothcert.sampling import Job, Sampler
    from smoothcert.typing import FloatArray


@dataclass(frozen=True, kw_only=True)
class UntilDecided:
    """Sample until the question is answered or ``max_n`` estimation samples are used up.

    The estimation samples are looked at in the order of their numbers, at the counts of
    :meth:`smoothcert.decision.Question.looks`, by a :class:`smoothcert.bounds.SequentialTest`, or for votes a
    :class:`smoothcert.bounds.VoteTest`, whose bets begin with the pilot.

    Args:
        question: What is asked.
        n0: Number of pilot samples; they select the class.
        max_n: Largest number of estimation samples.
        alpha: Probability that the answer is wrong, over the noise.

    Raises:
        InvalidArgumentError: If an argument is outside its domain.
    """

    question: Question
    n0: int
    max_n: int
    alpha: float

    def __post_init__(self) -> None:
        """Check the arguments."""
        check_count("n0", self.n0, at_most=MOST_SAMPLES)
        check_count("max_n", self.max_n, at_most=MOST_SAMPLES)
        check_alpha(self.alpha)

    def answer(self, sampler: Sampler, x: Tensor | npt.ArrayLike, *, seed: int) -> Job[Decision]:
        """The answer about one input."""
        decision, _ = yield from self.job(sampler, x, seed=seed)
        return decision

    def job(
        self, sampler: Sampler, x: Tensor | npt.ArrayLike, *, seed: int, label: int | None = None
    ) -> Job[tuple[Decision, Samples]]:
        """The answer about one input, and everything that was sampled for it."""
        growing = sampler.begin(x, seed=seed, label=label)
        left = self.alpha - check_price(growing.price(self.n0 + self.max_n), alpha=self.alpha)
        yield from growing.pilot(self.n0)
        begun = growing.samples()
        pilot = stages_of(begun, self.question.measure).pilot
        check_within(self.question.measure, self.question.threshold, pilot.lower, pilot.upper)
        kind: type[SequentialTest | VoteTest] = VoteTest if self.question.measure == VOTE else SequentialTest
        test = kind(
            threshold=self.question.threshold,
            r=(self.question.radius + begun.offset) / sampler.sigma,
            alpha=left,
            pilot=pilot,
        )
        seen = stages_of(begun, self.question.measure).sample
        for n in self.question.looks(self.max_n):
            yield from growing.grow(n)
            now = stages_of(growing.samples(), self.question.measure).sample
            test.update(replace(now, counts=now.counts - seen.counts))
            seen = now
            if test.answer != UNDECIDED:
                break
        samples = growing.samples()
        decision = Decision(
            answer=test.answer,
            prediction=samples.prediction,
            measure=self.question.measure,
            threshold=self.question.threshold,
            radius=self.question.radius,
            alpha=self.alpha,
            n0=samples.n0,
            n=samples.n,
        )
        return decision, samples


@dataclass(frozen=True, kw_only=True)
class UntilStable:
    """Double the estimation samples until the certified bound at some radii hardly moves.

    Args:
        radii: L2 radii in input units, one or a flat list.
        tolerance: Sampling stops when no bound moved by as much since the look before; above 0.
        measure: Name of a measure that is sampled, ``"vote"``, or ``"lead"`` where it is.
        bound: One of :data:`smoothcert.bounds.BOUNDS`.
        n0: Number of pilot samples.
        first_n: Number of estimation samples at the first look.
        max_n: Largest number of estimation samples.
        alpha: Probability that a statement of the certificate is wrong, whichever look it is from.

    Raises:
        InvalidArgumentError: If an argument is outside its domain.
    """

    radii: float | Sequence[float] | FloatArray
    tolerance: float
    measure: str
    bound: str
    n0: int
    first_n: int
    max_n: int
    alpha: float

    def __post_init__(self) -> None:
        """Check the arguments."""
        check_radii(self.radii)
        if isinstance(self.tolerance, bool) or not isinstance(self.tolerance, (int, float)) or not self.tolerance > 0:
            raise InvalidArgumentError(f"tolerance must be a number above 0, such as 0.005; got {self.tolerance!r}")
        check_choice("bound", self.bound, BOUNDS)
        check_count("n0", self.n0, at_most=MOST_SAMPLES)
        check_alpha(self.alpha)
        doubling_looks(self.first_n, self.max_n)

    def job(self, sampler: Sampler, x: Tensor | npt.ArrayLike, *, seed: int) -> Job[Certificate]:
        """The certificate of the look at which sampling stopped, at ``alpha`` divided by the number of looks."""
        counts = doubling_looks(self.first_n, self.max_n)
        growing = sampler.begin(x, seed=seed)
        yield from growing.pilot(self.n0)
        begun = growing.samples()
        if self.measure != LEAD or not begun.lead:
            stages_of(begun, self.measure)  # raises if it is not sampled, before there is more to sample
        earlier = np.asarray(np.inf)
        for n in counts:
            yield from growing.grow(n)
            certificate = Certificate.from_samples(growing.samples(), alpha=self.alpha / len(counts))
            bounds = certificate.measure(self.measure).lower(self.radii, self.bound)
            if np.all(np.abs(bounds - earlier) < self.tolerance):
                break
            earlier = bounds
        return certificate
