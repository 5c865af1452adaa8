"""What is sampled for one input, step by step: a pilot that selects the class, then as many samples as are wanted."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from smoothcert._check import check_count
from smoothcert.samples import Samples, StageHistograms
from smoothcert.sampling.classifier import BaseClassifier
from smoothcert.sampling.noise import NoisyInput
from smoothcert.sampling.packing import Draw, Job, Reducer
from smoothcert.sampling.reducer import Histograms, MeanScores, Votes

_CANDIDATES = 8  # classes whose pilot histograms are kept before the winner is known


class GrowingSamples:
    """Samples of one input that can still grow; its steps are jobs for :class:`smoothcert.sampling.packing.Packer`.

    Args:
        noisy: The input.
        classifier: Says what scores are valid, how many classes there are and where they are computed.
        levels: Number of equal steps on which scores are counted.
    """

    def __init__(self, noisy: NoisyInput, classifier: BaseClassifier, *, levels: int) -> None:
        self._noisy = noisy
        self._classifier = classifier
        self._levels = levels
        self._votes = Votes(classifier.num_classes, classifier.device)
        self._n = 0

    def pilot(self, n0: int) -> Job[None]:
        """Select the class with the highest mean score over ``n0`` samples; the first step.

        Histograms are wanted for the winner only, and the winner is known last. So they are kept for the leaders of
        the first chunk; should another class win, the same noise is run once more for it.
        """
        check_count("n0", n0)
        classes, device = self._classifier.num_classes, self._classifier.device
        first = min(self._noisy.chunk, n0)
        head = Kept()
        yield from self._draw("pilot", 0, first, [head])
        means, votes = MeanScores(classes, device), Votes(classes, device)
        means.add(head.scores)
        histograms = Histograms(means.highest(min(_CANDIDATES, classes)), levels=self._levels)
        votes.add(head.scores)
        histograms.add(head.scores)
        yield from self._draw("pilot", first, n0 - first, [means, votes, histograms])
        prediction = means.winner()
        if prediction not in histograms:
            histograms = self._histograms_of(prediction)
            yield from self._draw("pilot", 0, n0, [histograms])
        self._n0, self._prediction = n0, prediction
        self._pilot = histograms.of(prediction)
        self._pilot_votes = votes.counts()
        self._histograms = self._histograms_of(prediction)

    def grow(self, n: int) -> Job[None]:
        """Draw estimation samples until there are ``n``: number ``n`` is the same noise however it is reached."""
        check_count("n", n)
        yield from self._draw("estimation", self._n, n - self._n, [self._votes, self._histograms])
        self._n = max(self._n, n)

    def price(self, samples: int) -> float:
        """What so many samples cost of alpha; see :meth:`smoothcert.sampling.noise.NoisyInput.price`."""
        return self._noisy.price(samples)

    def samples(self) -> Samples:
        """What has been sampled so far; waits for the device."""
        estimation = self._histograms.of(self._prediction)
        measures = {name: StageHistograms(pilot=self._pilot[name], sample=estimation[name]) for name in estimation}
        return Samples(
            prediction=self._prediction,
            sigma=self._noisy.sigma,
            seed=self._noisy.seed,
            content_hash=self._noisy.content_hash,
            pilot_votes=self._pilot_votes,
            votes=self._votes.counts().copy(),
            measures=measures,
            offset=self._noisy.offset,
            step=None if self._noisy.lattice is None else self._noisy.lattice.step,
            price=self.price(self._n0 + self._n),
        )

    def _draw(self, stage: str, start: int, count: int, into: Sequence[Reducer]) -> Job[None]:
        yield from draw_checked(self._noisy, self._classifier, stage, start, count, into)

    def _histograms_of(self, label: int) -> Histograms:
        return Histograms(torch.tensor([label], device=self._classifier.device), levels=self._levels)


def draw_checked(
    noisy: NoisyInput, classifier: BaseClassifier, stage: str, start: int, count: int, into: Sequence[Reducer]
) -> Job[None]:
    """Draw samples, and raise if the base classifier returned something invalid for one of them."""
    if count > 0:
        draw = Draw(noisy, stage, start, count, into)
        yield draw
        classifier.require_valid(draw.valid, f"the {stage} samples")


class Kept:
    """The scores themselves: for a few samples only."""

    def __init__(self) -> None:
        self._portions: list[Tensor] = []

    def add(self, scores: Tensor) -> None:
        """Add a portion, shape ``(rows, num_classes)``."""
        self._portions.append(scores)

    @property
    def scores(self) -> Tensor:
        """All of them, shape ``(samples, num_classes)``."""
        return torch.cat(self._portions)
