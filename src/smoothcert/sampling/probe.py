"""Whether a base classifier is what certificates assume: a function of each row, the same at every call.

Randomized smoothing asks the classifier about thousands of noisy copies and takes the answers for independent. Batch
normalization in training mode, or a module that mixes rows, breaks that silently; so does one that keeps state from
batch to batch. Dropout does not, but then what is certified is the average over it, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from smoothcert.backends.agreement import tolerance
from smoothcert.errors import ModelError
from smoothcert.models.guard import guarded, is_out_of_memory
from smoothcert.sampling.classifier import BaseClassifier

_SHARE = 1 / 250  # of a run's time, at most, that the watch takes
_SEED = 0x5EED
_LEAST = 1e-20


@dataclass(frozen=True)
class Behaviour:
    """How far scores of rows move (:func:`moved`) that should not.

    Args:
        company: When other rows, their order or the size of the batch change.
        calls: From one call to the next on the same batch.
        drift: From the first call to the last on the same batch, with PyTorch's random numbers repeated.
        allowed: Changes up to this are rounding.
        squashed: Whether all that was returned as logits lies in ``[0, 1]``.
    """

    company: float
    calls: float
    drift: float
    allowed: float
    squashed: bool = False

    @property
    def is_dependent(self) -> bool:
        """Whether a row's score depends on its batch."""
        return not self.company <= self.allowed

    @property
    def is_random(self) -> bool:
        """Whether the same batch is scored differently."""
        return not self.calls <= self.allowed

    @property
    def drifts(self) -> bool:
        """Whether it keeps state from batch to batch, or draws random numbers that are not PyTorch's."""
        return not self.drift <= self.allowed

    def require_stable(self) -> None:
        """Refuse a base classifier whose certificates would not hold.

        Raises:
            ModelError: If a row's score depends on its batch, or on batches before.
        """
        if self.is_dependent or self.drifts:
            raise ModelError(
                f"{self._unstable()}. It must score every input by itself, or its certificates would not hold; "
                "--allow-unstable (allow_unstable=True in Python) goes on all the same"
            )

    def notes(self) -> list[str]:
        """What a reader of certificates must know about it, a sentence each."""
        notes = []
        if self.is_dependent or self.drifts:
            notes.append(f"{self._unstable()}, so certificates may be wrong; going on was asked for")
        if self.is_random:
            notes.append(
                f"the base classifier is random (scores of one batch moved by {self.calls:.2g} from call to call): "
                "certified is its average over that too, and nothing can be repeated exactly"
            )
        if self.squashed:
            notes.append(
                "all that the base classifier returned for a few inputs lies in [0, 1] and was taken for logits: if it "
                "ends in a sigmoid, other scores are certified than it means; remove that, and declare its outputs as "
                "labels or logit"
            )
        return notes

    def _unstable(self) -> str:
        if self.drifts:
            return (
                "the base classifier keeps state from batch to batch, or draws random numbers that are not PyTorch's: "
                f"scores of the same batch moved by {self.drift:.2g}"
            )
        return (
            f"the base classifier scores an input by its company: on a few rows, scores moved by {self.company:.2g} "
            "with the other rows of the batch, their order or number, as batch normalization without running "
            "statistics and dynamic quantization make them"
        )


def probe(classifier: BaseClassifier, batch: Tensor, *, most: int = 0) -> Behaviour:
    """Score a small batch again: as it is, in another order, in parts, each end of it among other rows, and many times.

    A random classifier is made to repeat its random numbers, which leaves one thing comparable: whether a row's score
    stays when the others are replaced.

    Args:
        classifier: Evaluated in its own precision, on its own device.
        batch: A few noisy inputs, as different as they come, shape ``(rows, *input_shape)`` with at least 2 rows.
        most: Rows of the largest batch that will be run: the few are repeated to fill one, as far as memory allows.

    Raises:
        ModelError: If it fails on a batch of one of the sizes tried, or returns something that is not class scores.
    """
    allowed = allowed_change(classifier)
    first = steady_scores(classifier, batch)
    with classifier.evaluating(), torch.random.fork_rng(_devices(classifier)):
        calls = moved(_scores(classifier, batch), _scores(classifier, batch))
    company = 0.0
    if calls <= allowed:
        company = moved(first.flip(0), steady_scores(classifier, batch.flip(0)))
        for part in {1, len(batch) - 1}:
            company = max(company, moved(first[:part], steady_scores(classifier, batch[:part])))
        company = max(company, _among_many(classifier, batch, first, most))
    for row in (0, -1):
        among = batch[-1 - row].expand_as(batch).clone()
        among[row] = batch[row]
        company = max(company, moved(first[row], steady_scores(classifier, among)[row]))
    drift = moved(first, steady_scores(classifier, batch))
    with classifier.evaluating(), torch.random.fork_rng(_devices(classifier)):
        return Behaviour(company, calls, drift, allowed, classifier.looks_squashed(batch.clone()))


class Watch:
    """Looks now and then whether the base classifier still returns what it did.

    Args:
        classifier: To be watched.
        batch: A few noisy inputs; None to look at nothing.
    """

    def __init__(self, classifier: BaseClassifier, batch: Tensor | None) -> None:
        self._classifier, self._batch = classifier, batch
        self._clock: Callable[[], float] = time.perf_counter
        self._first: Tensor | None = None
        self._due = 0.0

    def glance(self) -> None:
        """Look if enough time has passed since the last look for it to be a small share of that.

        Raises:
            ModelError: If scores of the same rows moved since the first look.
        """
        if self._clock() >= self._due:
            self.look()

    def look(self) -> None:
        """Compare the scores of the same rows with those of the first look.

        Raises:
            ModelError: If they moved.
        """
        if self._batch is None:
            return
        start = self._clock()
        scores = steady_scores(self._classifier, self._batch)
        end = self._clock()
        self._due = end + (end - start) / _SHARE
        if self._first is None:
            self._first = scores
            return
        change = moved(self._first, scores)
        if not change <= allowed_change(self._classifier):
            raise ModelError(
                f"the base classifier drifts: scores of the same rows moved by {change:.2g} since sampling began, and "
                "what was sampled may be wrong; it must keep no state from batch to batch. --allow-unstable looks away"
            )


def allowed_change(classifier: BaseClassifier) -> float:
    """How far scores may move by rounding alone."""
    return tolerance(classifier.precision, classifier.device.type)


def steady_scores(classifier: BaseClassifier, batch: Tensor) -> Tensor:
    """Class scores of a batch with PyTorch's random numbers repeated, on the CPU; whoever draws them next sees nothing.

    Raises:
        ModelError: If the base classifier fails, or returns something that is not class scores.
    """
    with classifier.evaluating(), torch.random.fork_rng(_devices(classifier)):
        torch.manual_seed(_SEED)
        return _scores(classifier, batch)


def logits(scores: Tensor) -> Tensor:
    """Logarithms of scores less their mean over the classes: where scores are near 0 and 1, these still tell."""
    logs = scores.clamp_min(_LEAST).log()
    return logs - logs.mean(dim=-1, keepdim=True)


def moved(one: Tensor, other: Tensor) -> float:
    """How far scores moved: the largest change of a score, or a tenth of the largest change of a logit by its size.

    A score of 1 - 1e-9 hardly moves when a network returns something else; its logit does.

    Args:
        one: Scores, shape ``(rows, num_classes)``.
        other: As many.
    """
    ours, theirs = logits(one), logits(other)
    relative = (ours - theirs).abs() / torch.maximum(ours.abs(), theirs.abs()).clamp_min(1.0)
    return float(torch.maximum((one - other).abs(), relative / 10.0).max())


def _among_many(classifier: BaseClassifier, batch: Tensor, first: Tensor, most: int) -> float:
    """How far scores move in a batch as large as those to come."""
    while most > len(batch):
        rows = torch.arange(most) % len(batch)
        try:
            return moved(first[rows], steady_scores(classifier, batch[rows.to(batch.device)]))
        except ModelError as error:
            if error.__cause__ is None or not is_out_of_memory(error.__cause__):
                raise
            most //= 2  # as sampling will
    return 0.0


def _devices(classifier: BaseClassifier) -> list[torch.device]:
    """Devices beside the CPU whose random numbers it may use."""
    return [classifier.device] if classifier.device.type == "cuda" else []


def _scores(classifier: BaseClassifier, batch: Tensor) -> Tensor:
    with guarded(f"the base classifier, given {len(batch)} rows,"):
        scores, valid = classifier.scores(batch.clone())  # which a module may write to
    classifier.require_valid(valid, f"a batch of {len(batch)} rows")
    return scores.detach().double().cpu()
