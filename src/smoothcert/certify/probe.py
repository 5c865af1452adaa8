"""Whether a base classifier is what certificates assume: a function of each row, the same at every call.

Randomized smoothing asks the classifier about thousands of noisy copies and takes the answers for independent. Batch
normalization in training mode, or a module that mixes rows, breaks that silently; dropout does not, but then what is
certified is the average over it, too; and a classifier whose state drifts is a different one at the end of a run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from smoothcert.backends.agreement import tolerance
from smoothcert.errors import ModelError
from smoothcert.models.guard import guarded
from smoothcert.sampling.classifier import BaseClassifier

_SHARE = 1 / 250  # of a run's time, at most, that the watch takes
_SEED = 0x5EED


@dataclass(frozen=True)
class Behaviour:
    """How far scores of rows move that should not.

    Args:
        company: Largest change of a row's score when other rows, their order or the size of the batch change.
        calls: Largest change from one call to the next on the same batch.
        allowed: Changes up to this are rounding.
    """

    company: float
    calls: float
    allowed: float

    @property
    def is_dependent(self) -> bool:
        """Whether a row's score depends on its batch."""
        return not self.company <= self.allowed

    @property
    def is_random(self) -> bool:
        """Whether the same batch is scored differently."""
        return not self.calls <= self.allowed


def probe(classifier: BaseClassifier, batch: Tensor) -> Behaviour:
    """Score a small batch again: as it is, in another order, in parts, and each end of it among other rows.

    A random classifier cannot be compared with itself, so it is made to repeat its random numbers, and asked only for
    what they leave comparable: whether a row's score stays when the others are replaced.

    Args:
        classifier: Evaluated in its own precision, on its own device.
        batch: A few noisy inputs, as different as they come, shape ``(rows, *input_shape)`` with at least 2 rows.

    Raises:
        ModelError: If it fails on a batch of one of the sizes tried, or returns something that is not class scores.
    """
    with classifier.evaluating(), torch.random.fork_rng(_cuda(classifier)):
        allowed = tolerance(classifier.precision, classifier.device.type)
        first = _scores(classifier, batch)
        calls = _distance(first, _scores(classifier, batch))
        company, score = 0.0, _scores
        if calls <= allowed:
            company = _distance(first.flip(0), _scores(classifier, batch.flip(0)))
            for part in {1, len(batch) - 1}:
                company = max(company, _distance(first[:part], _scores(classifier, batch[:part])))
        else:
            first, score = _repeated(classifier, batch), _repeated
            if _distance(first, _repeated(classifier, batch)) > allowed:  # its random numbers are not PyTorch's
                return Behaviour(company, calls, allowed)
        for row in (0, -1):
            among = batch[-1 - row].expand_as(batch).clone()
            among[row] = batch[row]
            company = max(company, _distance(first[row], score(classifier, among)[row]))
        return Behaviour(company, calls, allowed)


class Watch:
    """Looks now and then whether the base classifier still returns what it did.

    Args:
        classifier: To be watched.
        batch: A few noisy inputs; None to look at nothing, as for a classifier that is known to be random.
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
        with self._classifier.evaluating():
            scores = _scores(self._classifier, self._batch)
        end = self._clock()
        self._due = end + (end - start) / _SHARE
        if self._first is None:
            self._first = scores
            return
        moved = _distance(self._first, scores)
        if not moved <= tolerance(self._classifier.precision, self._classifier.device.type):
            raise ModelError(
                f"the base classifier drifts: scores of the same rows moved by {moved:.2g} since sampling began, and "
                "what was sampled may be wrong; it must keep no state from batch to batch. --allow-unstable looks away"
            )


def _scores(classifier: BaseClassifier, batch: Tensor) -> Tensor:
    with guarded(f"the base classifier, given {len(batch)} rows,"):
        scores, valid = classifier.scores(batch)
    classifier.require_valid(valid, f"a batch of {len(batch)} rows")
    return scores.detach().float().cpu().clone()


def _repeated(classifier: BaseClassifier, batch: Tensor) -> Tensor:
    torch.manual_seed(_SEED)
    return _scores(classifier, batch)


def _distance(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


def _cuda(classifier: BaseClassifier) -> list[torch.device]:
    return [classifier.device] if classifier.device.type == "cuda" else []
