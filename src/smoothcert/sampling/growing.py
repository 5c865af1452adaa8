"""What is sampled for one input, step by step: a pilot that selects the class, then as many samples as are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from smoothcert._check import MOST_SAMPLES, check_count
from smoothcert.errors import InvalidArgumentError
from smoothcert.histogram import ScoreHistogram
from smoothcert.samples import Samples, StageHistograms
from smoothcert.sampling._threads import one_thread
from smoothcert.sampling.classifier import BaseClassifier
from smoothcert.sampling.noise import NoisyInput
from smoothcert.sampling.packing import Draw, DrawWithPlain, Job, Reducer
from smoothcert.sampling.reducer import Gathered, Histograms, Lead, MeanScores, Votes
from smoothcert.scores import Measure

RIVALS = 3
LARGEST_KEPT_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Counted:
    """What is counted of the scores, the same for every input.

    Args:
        measures: Each gets a histogram.
        lead: Whether the differences from the strongest rivals get one, too.
        levels: Number of equal steps on which they are counted.
    """

    measures: tuple[Measure, ...]
    lead: bool
    levels: int


class GrowingSamples:
    """Samples of one input that can still grow; its steps are jobs for :class:`smoothcert.sampling.packing.Packer`.

    Args:
        noisy: The input.
        classifier: Says what scores are valid, how many classes there are and where they are computed.
        counted: What is counted.
        label: The true class, for measures of it.

    Raises:
        InvalidArgumentError: If a measure is of a class that is not known, or that there is not.
    """

    def __init__(
        self, noisy: NoisyInput, classifier: BaseClassifier, *, counted: Counted, label: int | None = None
    ) -> None:
        self._noisy = noisy
        self._classifier = classifier
        self._counted = counted
        self._label = label
        for measure in counted.measures:
            self._check_class(measure)
        self._votes = Votes(classifier.num_classes, classifier.device)
        self._n = 0
        self._held: Samples | None = None

    def resume(self, held: Samples) -> None:
        """Begin with samples of this input that were drawn before, in place of a pilot: they are not drawn again.

        Raises:
            InvalidArgumentError: If they are of another input or were sampled or counted in another way.
        """
        self._require_ours(held)
        self._held = held
        self._n0, self._n = held.n0, held.n
        self._prediction, self._rivals = held.prediction, held.rivals
        self._clean = held.clean_prediction
        self._pilot = {name: stages.pilot for name, stages in held.measures.items()}
        self._pilot_lead = [stages.pilot for stages in held.lead]
        self._pilot_votes = held.pilot_votes
        self._count_estimation()

    def pilot(self, n0: int) -> Job[None]:
        """Select the class with the highest mean score over ``n0`` samples; the first step.

        Histograms are wanted of the winner and its rivals, who are known last. So the scores are kept meanwhile; where
        they are too many for that, the same noise is run once more.
        """
        check_count("n0", n0, at_most=MOST_SAMPLES)
        classes, device = self._classifier.num_classes, self._classifier.device
        means, votes, kept = MeanScores(classes, device), Votes(classes, device), Kept()
        keep = 4 * n0 * classes <= LARGEST_KEPT_BYTES
        gathered = Gathered([means, votes, kept] if keep else [means, votes])
        draw = DrawWithPlain(self._noisy, "pilot", n0, [gathered])
        yield from checked(draw, self._classifier)
        gathered.flush()
        self._clean = int(draw.plain.argmax())
        self._n0, self._prediction = n0, means.winner()
        strongest = means.highest(min(RIVALS + 1, classes)).tolist()
        self._rivals = tuple(rival for rival in strongest if rival != self._prediction)[:RIVALS]
        counts = self._counts()
        if keep:
            for portion in kept.portions:
                with one_thread(portion):
                    for reducer in counts.reducers:
                        reducer.add(portion)
        else:
            gathered = Gathered(counts.reducers)
            yield from draw_checked(self._noisy, self._classifier, "pilot", 0, n0, [gathered])
            gathered.flush()
        self._pilot, self._pilot_lead = counts.histograms("the pilot samples")
        self._pilot_votes = votes.counts()
        self._count_estimation()

    def grow(self, n: int) -> Job[None]:
        """Draw estimation samples until there are ``n``: number ``n`` is the same noise however it is reached."""
        check_count("n", n, at_most=MOST_SAMPLES)
        yield from draw_checked(self._noisy, self._classifier, "estimation", self._n, n - self._n, [self._gathered])
        self._n = max(self._n, n)

    def price(self, samples: int) -> float:
        """What so many samples cost of alpha; see :meth:`smoothcert.sampling.noise.NoisyInput.price`."""
        return self._noisy.price(samples)

    def samples(self) -> Samples:
        """What has been sampled so far; waits for the device.

        Raises:
            InvalidArgumentError: If a measure of the user's own left its range.
        """
        self._gathered.flush()
        estimation, lead = self._estimation.histograms("the estimation samples")
        votes = self._votes.counts().copy()
        if (held := self._held) is not None:
            estimation = {name: held.measures[name].sample.merge(counts) for name, counts in estimation.items()}
            lead = [before.sample.merge(counts) for before, counts in zip(held.lead, lead, strict=True)]
            votes += held.votes
        return Samples(
            prediction=self._prediction,
            sigma=self._noisy.sigma,
            seed=self._noisy.seed,
            content_hash=self._noisy.content_hash,
            pilot_votes=self._pilot_votes,
            votes=votes,
            measures={name: StageHistograms(self._pilot[name], estimation[name]) for name in estimation},
            rivals=self._rivals if self._counted.lead else (),
            lead=tuple(map(StageHistograms, self._pilot_lead, lead)),
            offset=self._noisy.offset,
            step=None if self._noisy.lattice is None else self._noisy.lattice.step,
            price=self.price(self._n0 + self._n),
            clean_prediction=self._clean,
        )

    def _count_estimation(self) -> None:
        self._estimation = self._counts()
        self._gathered = Gathered([self._votes, *self._estimation.reducers])

    def _require_ours(self, held: Samples) -> None:
        """Refuse samples that more of this input's cannot be added to."""
        ours, noisy = self._counted, self._noisy
        pairs = {
            "content_hash": (held.content_hash, noisy.content_hash),
            "seed": (held.seed, noisy.seed),
            "sigma": (held.sigma, noisy.sigma),
            "step": (held.step, None if noisy.lattice is None else noisy.lattice.step),
            "classes": (held.num_classes, self._classifier.num_classes),
            "measures": (sorted(held.measures), sorted(measure.name for measure in ours.measures)),
            "levels": ({stages.sample.levels for stages in held.measures.values()} | {ours.levels}, {ours.levels}),
            "lead": (bool(held.lead), ours.lead),
        }
        for name, (found, expected) in pairs.items():
            if found != expected:
                raise InvalidArgumentError(f"held must be samples of this input, so {name} {expected!r}; got {found!r}")

    def _counts(self) -> _Counts:
        """New counts of the prediction, which is known by now."""
        levels, device = self._counted.levels, self._classifier.device
        measures = [(measure, self._class_of(measure)) for measure in self._counted.measures]
        lead = None
        if self._counted.lead:
            classes = self._classifier.num_classes
            lead = Lead(self._prediction, self._rivals, num_classes=classes, levels=levels, device=device)
        return _Counts(Histograms(measures, levels=levels, device=device), lead)

    def _check_class(self, measure: Measure) -> None:
        known = self._label if measure.of == "label" else 0 if measure.of == "prediction" else measure.of
        if known is None:
            raise InvalidArgumentError(f"measure {measure.name} is of the true label, which must be given; got none")
        if not 0 <= known < self._classifier.num_classes:
            raise InvalidArgumentError(
                f"measure {measure.name} must be of one of the {self._classifier.num_classes} classes; got {known}"
            )

    def _class_of(self, measure: Measure) -> int:
        if measure.of == "prediction":
            return self._prediction
        return int(self._label if measure.of == "label" else measure.of)  # type: ignore[arg-type]  # seen to be known


@dataclass(frozen=True)
class _Counts:
    """What one stage is counted into, beside the votes."""

    of_measures: Histograms
    of_lead: Lead | None

    @property
    def reducers(self) -> list[Reducer]:
        return [self.of_measures] if self.of_lead is None else [self.of_measures, self.of_lead]

    def histograms(self, stage: str) -> tuple[dict[str, ScoreHistogram], list[ScoreHistogram]]:
        """Of the measures, by name, and of the lead; waits for the device."""
        self.of_measures.require_valid(stage)
        return self.of_measures.histograms(), [] if self.of_lead is None else self.of_lead.histograms()


def draw_checked(
    noisy: NoisyInput, classifier: BaseClassifier, stage: str, start: int, count: int, into: Sequence[Reducer]
) -> Job[None]:
    """Draw samples, and raise if the base classifier returned something invalid for one of them."""
    if count > 0:
        yield from checked(Draw(noisy, stage, start, count, into), classifier)


def checked(draw: Draw, classifier: BaseClassifier) -> Job[None]:
    """A draw, and an error if the base classifier returned something invalid for one of its samples."""
    yield draw
    classifier.require_valid(draw.valid, f"the {draw.stage} samples")


class Kept:
    """The scores themselves."""

    def __init__(self) -> None:
        self.portions: list[Tensor] = []

    def add(self, scores: Tensor) -> None:
        """Add a portion, shape ``(rows, num_classes)``."""
        self.portions.append(scores)
