"""A short look before a long run: how fast it will be, and whether it can certify anything.

Nothing drawn here enters a record: it has a seed of its own.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from smoothcert.certify.inputs import naming, readable
from smoothcert.errors import ModelError

if TYPE_CHECKING:
    from smoothcert.data import Dataset, Example
    from smoothcert.samples import Samples
    from smoothcert.sampling import Sampler

_SEED = 0x5EED
_INPUTS = 32
_SAMPLES = 64
_FEWEST_INPUTS = 8  # below, nothing can be told from chance
_SHARE = 0.01  # of the run's own cost, at most
_TIMING_SECONDS = 1.5
_FULL_BATCH = 256  # samples that are worth their time even in a short run, for an honest estimate
_CONFIDENT = 0.9  # mean score from which ten times the samples reach half a sigma further, of few enough:
_FEW = 20_000


@dataclass(frozen=True)
class Rehearsal:
    """What the look found.

    Args:
        rate: Noisy samples a second.
        accuracy: Fraction of noisy samples classified right, over the inputs looked at that have a label; or
            None.
        inputs: Number of inputs looked at.
        score: Mean score of the predictions; 1.0 where scores were not counted.
    """

    rate: float
    accuracy: float | None
    inputs: int
    score: float = 0.0

    def worth_of_more(self, n: int) -> str:
        """What ten times ``n`` estimation samples would buy, where that is much; else nothing."""
        if n > _FEW or self.score < _CONFIDENT:
            return ""
        return f"; scores are near 1, so ten times the samples (--n {10 * n}) would certify half a sigma further"


def rehearse(sampler: Sampler, data: Dataset, *, num_classes: int, n: int, samples: int) -> Rehearsal:
    """Sample some of the inputs a little; warn if the base classifier is at chance under the noise.

    Args:
        sampler: The sampler of the run.
        data: The inputs of the run.
        num_classes: Number of classes of the base classifier.
        n: Number of estimation samples per input.
        samples: Number of samples the run is going to draw; the look takes a hundredth or two of that.
    """
    # From all over the data set, which may be sorted by class.
    examples = list(readable(data, sorted({int(position) for position in np.linspace(0, len(data) - 1, _INPUTS)})))
    if not examples:
        return Rehearsal(math.nan, None, 0)
    budget = max(1, int(_SHARE * samples))
    each = min(_SAMPLES, max(4, budget // len(examples)))
    looked: list[tuple[Example, Samples]] = []
    for example in examples:
        with suppress(ModelError):  # what becomes of such an input is for the run to say
            if not looked:
                _sample(sampler, example, _FEWEST_INPUTS)  # finds the batch size, warms the caches
            looked.append((example, _sample(sampler, example, each)))
    if not looked:
        return Rehearsal(math.nan, None, 0)
    rate = _rate(sampler, looked[0][0], first=2 * each, most=min(n, max(budget, _FULL_BATCH)))
    accuracy = _accuracy(looked)
    if message := chance_message(looked, num_classes=num_classes):
        from smoothcert.sampling import ConfidenceWarning

        warnings.warn(message, ConfidenceWarning, stacklevel=2)
    return Rehearsal(rate, accuracy, len(looked), _mean_score(looked))


def chance_message(looked: Sequence[tuple[Example, Samples]], *, num_classes: int) -> str | None:
    """Why the base classifier looks useless under the noise, or None if it does not.

    With labels: its accuracy is within two standard errors of guessing. Without: its scores are nearly
    uniform. In both cases also: it says the same class for every input, unless that is the label of them all.
    """
    if len(looked) < _FEWEST_INPUTS:
        return None
    predictions = {int(np.argmax(samples.votes)) for _, samples in looked}
    labels = {example.label for example, _ in looked}
    accuracy = _accuracy(looked)
    chance = 1.0 / num_classes
    seen = f"under this noise, on {len(looked)} of the inputs, the base classifier"
    advice = (
        "few or no inputs can be certified; was it trained under noise of this sigma, and are its inputs scaled right?"
    )
    if accuracy is not None:
        spread = math.sqrt(chance * (1.0 - chance) / len(looked))
        if accuracy <= chance + 2.0 * spread:
            return f"{seen} is right {accuracy:.1%} of the time and guessing would be {chance:.1%}: {advice}"
    elif _mean_score(looked) <= chance + 0.1 * (1.0 - chance):
        return f"{seen} hardly prefers any class: {advice}"
    if len(predictions) == 1 and labels != predictions:
        return f"{seen} says class {predictions.pop()} for every one: {advice}"
    return None


def _mean_score(looked: Sequence[tuple[Example, Samples]]) -> float:
    """Mean score of the predictions; 1.0 where scores were not counted."""
    means = [samples.score.sample.mean for _, samples in looked if "score" in samples.measures]
    return float(np.mean(means)) if means else 1.0


def _sample(sampler: Sampler, example: Example, n: int) -> Samples:
    with naming(example):
        return sampler.sample(example.x, n0=1, n=n, seed=_SEED, label=example.label)


def _rate(sampler: Sampler, example: Example, *, first: int, most: int) -> float:
    """Samples a second, from calls that grow until they last long enough to tell: small ones understate it."""
    n = min(first, most)
    while True:
        start = time.perf_counter()
        _sample(sampler, example, n)
        seconds = time.perf_counter() - start
        if n == most or seconds >= _TIMING_SECONDS:
            return (n + 1) / seconds
        n = min(4 * n, most)


def _accuracy(looked: Sequence[tuple[Example, Samples]]) -> float | None:
    right = [samples.votes[e.label] / samples.n for e, samples in looked if e.label is not None]
    return float(np.mean(right)) if right else None
