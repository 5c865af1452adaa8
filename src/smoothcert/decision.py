"""One question about an input and its answer: is the certificate at a radius above a threshold? No torch here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from smoothcert._check import MOST_SAMPLES, check_count, check_radii, check_threshold
from smoothcert.errors import InvalidArgumentError
from smoothcert.scores import LEAD, MEASURES, VOTE

# Measured on CIFAR-10 score histograms, question score:0.5@0.25 at sigma 0.25: between 25 and 200 pilot samples the
# average total hardly differs (1,240 to 1,300); 100 keep the selected class reliable.
DEFAULT_N0 = 100
DEFAULT_MAX_N = 100_000
# Looks that grow by an eighth would save 5% of the samples and cost a third more looks; by a half, 15% more samples.
FIRST_LOOK = 32
GROWTH = 0.25
# A look at votes is next to free. On the votes of 500 CIFAR-10 images at sigma 0.25 and 0.5, looks that grow by a
# sixteenth save 5 to 8% beside a quarter, and after a pilot of 32 as many classes are certified as after one of 100.
VOTE_N0 = 32
VOTE_FIRST_LOOK = 8
VOTE_GROWTH = 0.0625

CLASS = "class"
"""What a question about the class itself begins with: whether more than half of the votes stay with it."""
_MAJORITY = 0.5
_RANGES = {VOTE: (0.0, 1.0), **{measure.name: (measure.lower, measure.upper) for measure in MEASURES.values()}}
_FORM = re.compile(r"(?P<measure>[^:@\s]+):(?P<threshold>[^@]+)@(?P<radius>.+)|class@(?P<within>.+)")


@dataclass(frozen=True)
class Question:
    """Does the smoothed value of the predicted class stay above a threshold under every shift within a radius?

    Args:
        measure: Name of a measure that is sampled, such as ``"score"``, or ``"vote"``: whether the class has the
            highest score. The lead is several measures, so it is no question.
        threshold: Value to stay above, in the range of the measure and below its upper end.
        radius: L2 radius in input units, at least 0.

    Raises:
        InvalidArgumentError: If an argument is outside its domain.

    Example:
        >>> Question.parse("score:0.5@0.25")
        Question(measure='score', threshold=0.5, radius=0.25)
        >>> str(Question("margin", 0.0, 0.5))
        'margin:0.0@0.5'
        >>> Question.parse("class@0.5")  # does the class keep more than half of the votes?
        Question(measure='vote', threshold=0.5, radius=0.5)
    """

    measure: str
    threshold: float
    radius: float

    def __post_init__(self) -> None:
        """Check the arguments."""
        if self.measure == LEAD:
            raise InvalidArgumentError("measure must be one that is sampled, or vote: the lead is made of several")
        threshold = check_threshold(self.threshold)
        if self.measure in _RANGES:  # that of a measure of one's own is known when it is sampled
            check_within(self.measure, threshold, *_RANGES[self.measure])
        if getattr(self.radius, "__len__", None) is not None:
            raise InvalidArgumentError(f"radius must be one number, at least 0; got {self.radius!r}")
        object.__setattr__(self, "threshold", threshold)
        object.__setattr__(self, "radius", float(check_radii(self.radius)[0]))

    @classmethod
    def parse(cls, text: str) -> Question:
        """Read ``measure:threshold@radius``, such as ``score:0.5@0.25``, or ``class@radius``.

        Raises:
            InvalidArgumentError: If it has another form or a part is outside its domain.
        """
        match = _FORM.fullmatch(text.strip())
        try:
            if match is not None and match["within"] is not None:
                return cls(VOTE, _MAJORITY, float(match["within"]))
            if match is not None:
                return cls(match["measure"], float(match["threshold"]), float(match["radius"]))
        except InvalidArgumentError:
            raise
        except ValueError:
            pass
        raise InvalidArgumentError(
            f"a question must be written measure:threshold@radius, such as score:0.5@0.25, or class@radius; "
            f"got {text!r}"
        )

    @property
    def pilot_samples(self) -> int:
        """How many pilot samples suit it."""
        return VOTE_N0 if self.measure == VOTE else DEFAULT_N0

    def looks(self, max_n: int) -> Iterator[int]:
        """Numbers of estimation samples at which it is looked at: :func:`looks`, more often for votes."""
        if self.measure == VOTE:
            return looks(max_n, first=VOTE_FIRST_LOOK, growth=VOTE_GROWTH)
        return looks(max_n)

    def __str__(self) -> str:
        """In the form that :meth:`parse` reads."""
        if (self.measure, self.threshold) == (VOTE, _MAJORITY):
            return f"{CLASS}@{self.radius}"
        return f"{self.measure}:{self.threshold}@{self.radius}"


def check_within(measure: str, threshold: float, lower: float, upper: float) -> None:
    """Raise ``InvalidArgumentError`` unless a measure could be above the threshold or not."""
    if not lower <= threshold < upper:
        raise InvalidArgumentError(f"threshold must lie in [{lower:g}, {upper:g}) for the {measure}; got {threshold!r}")


@dataclass(frozen=True, repr=False)
class Decision:
    """The answer to a :class:`Question` about one input, and what it cost.

    Let ``Theta`` be the certificate at the radius with the distribution of the scores of ``prediction`` known: no shift
    within the radius brings their smoothed value below it. ``"certified"`` claims ``Theta > threshold``, ``"refuted"``
    claims ``Theta <= threshold``, and with probability at least ``1 - alpha`` over the noise the claim is true.
    ``"undecided"`` claims nothing.

    Args:
        answer: ``"certified"``, ``"refuted"`` or ``"undecided"``.
        prediction: The class in question: the one with the highest mean score over the pilot.
        measure: Name of the measure; ``"vote"`` with threshold 1/2 for a question about the class.
        threshold: Value to stay above.
        radius: L2 radius in input units.
        alpha: Probability that the answer is wrong, over the noise.
        n0: Number of pilot samples.
        n: Number of estimation samples used.
    """

    answer: str
    prediction: int
    measure: str
    threshold: float
    radius: float
    alpha: float
    n0: int
    n: int

    @property
    def samples(self) -> int:
        """Number of samples used, pilot included."""
        return self.n0 + self.n

    def to_dict(self) -> dict[str, Any]:
        """Its fields by their names: text and numbers that any JSON writer takes."""
        return asdict(self)

    def __repr__(self) -> str:
        """One line: the answer first."""
        question = f"{self.measure}:{self.threshold}@{self.radius}"
        return (
            f"<Decision: {self.answer}, {question} of class {self.prediction}; alpha {self.alpha:g}, "
            f"n {self.n0:,} + {self.n:,}>"
        )


def looks(max_n: int, *, first: int = FIRST_LOOK, growth: float = GROWTH) -> Iterator[int]:
    """Numbers of estimation samples at which the question is looked at: each a quarter more than the one before.

    They depend on ``max_n`` only in that it is the last, so neither the batch size nor the company of other inputs can
    change an answer. Early looks are ``first`` samples apart: of 32 apart half of all inputs are settled by the second.

    Example:
        >>> list(looks(300))
        [32, 64, 96, 128, 160, 200, 250, 300]
    """
    most = check_count("max_n", max_n, at_most=MOST_SAMPLES)
    n = 0
    while n < most:
        n = min(most, n + max(first, int(growth * n)))
        yield n


def doubling_looks(first_n: int, max_n: int) -> list[int]:
    """Numbers of estimation samples ``first_n, 2 first_n, 4 first_n, ...`` up to at most ``max_n``.

    Raises:
        InvalidArgumentError: If ``first_n`` is not at least 1 or ``max_n`` not at least ``first_n``.

    Example:
        >>> doubling_looks(1_000, 10_000)
        [1000, 2000, 4000, 8000]
    """
    first = check_count("first_n", first_n, at_most=MOST_SAMPLES)
    most = check_count("max_n", max_n, at_least=first, at_most=MOST_SAMPLES)
    return [first << doubling for doubling in range((most // first).bit_length())]
