"""The only loop that runs the base classifier: noise, forward pass, reduction, batch after batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy.typing as npt
import torch
from torch import Tensor

from smoothcert._check import check_count, check_sigma
from smoothcert.errors import ModelError
from smoothcert.histogram import DEFAULT_LEVELS, ScoreHistogram
from smoothcert.samples import Samples, StageHistograms
from smoothcert.sampling.batching import BatchSize, batch_size_for_cpu, fastest_batch_size
from smoothcert.sampling.classifier import BaseClassifier
from smoothcert.sampling.inputs import InputRange, check_input, check_input_range
from smoothcert.sampling.noise import NoisyInput, content_hash
from smoothcert.sampling.reducer import Histograms, MeanScores, Votes
from smoothcert.typing import IntArray

Progress = Callable[[int], None]

_CANDIDATES = 8  # classes whose pilot histograms are kept before the winner is known
_PROBE = 8  # samples in the first forward pass


@dataclass
class Plan:
    """How inputs of one shape are run: decided once, on the first of them."""

    batch: BatchSize
    channels_last: bool


class Sampler:
    """Samples a base classifier under Gaussian noise and keeps counts.

    The noise depends on the seed and the input only (:mod:`smoothcert.sampling.noise`), not on the batch
    size. Memory is bounded by the batch, whatever the number of samples. Forward passes of different batch
    sizes may differ in the last bits, because libraries choose other kernels; a score that lies within them
    of a grid point may then move by one level.

    Args:
        base_classifier: Module that maps a float32 batch ``(batch, *input_shape)`` to ``(batch,
            num_classes)``. It is run in eval mode and left in the mode it came in.
        sigma: Standard deviation of the noise, in input units.
        num_classes: Number of classes, at least 2.
        levels: Number of equal steps on which scores are counted.
        batch_size: Samples in one forward pass; ``None`` chooses by the input's size on a CPU and by
            measurement elsewhere. Halved, with a warning, when memory runs out.
        device: Where to run; the module is moved there. ``None`` runs where its parameters are.
        precision: ``"float32"``, ``"bfloat16"`` or ``"float16"``: the last two run the forward pass under
            autocast. Noise and softmax are float32 always.
        outputs: Whether the module returns ``"logits"`` or ``"probabilities"``.
        input_range: Smallest and largest value an input may hold; ``None`` for any finite value.

    Raises:
        InvalidArgumentError: If an argument is outside its domain.
    """

    def __init__(
        self,
        base_classifier: Callable[[Tensor], Tensor],
        *,
        sigma: float,
        num_classes: int,
        levels: int = DEFAULT_LEVELS,
        batch_size: int | None = None,
        device: torch.device | str | None = None,
        precision: str = "float32",
        outputs: str = "logits",
        input_range: InputRange | None = (0.0, 1.0),
    ) -> None:
        self.sigma = check_sigma(sigma)
        self.levels = check_count("levels", levels)
        self.batch_size = None if batch_size is None else check_count("batch_size", batch_size)
        self.input_range = check_input_range(input_range)
        self.classifier = BaseClassifier(
            base_classifier, num_classes=num_classes, outputs=outputs, precision=precision, device=device
        )
        self._plans: dict[tuple[int, ...], Plan] = {}

    @property
    def num_classes(self) -> int:
        """Number of classes of the base classifier."""
        return self.classifier.num_classes

    @property
    def device(self) -> torch.device:
        """Where the base classifier runs and the noise is drawn."""
        return self.classifier.device

    def sample(
        self, x: Tensor | npt.ArrayLike, *, n0: int, n: int, seed: int, progress: Progress | None = None
    ) -> Samples:
        """Select a class from ``n0`` samples, then sample its score and margin ``n`` times.

        Args:
            x: One input, any shape, floating point.
            n0: Number of pilot samples; they select the class, nothing is certified from them.
            n: Number of estimation samples, drawn apart from the pilot.
            seed: Seed of the noise, a non-negative integer.
            progress: Called after each batch with the number of samples in it.

        Returns:
            Votes, and histograms of both measures for the selected class.

        Raises:
            InvalidArgumentError: If an argument is outside its domain.
            ModelError: If the base classifier fails or returns something that is not class scores.
        """
        check_count("n0", n0)
        check_count("n", n)
        noisy = self.noisy(x, seed=seed)
        with self.classifier.evaluating():
            prediction, pilot_votes, pilot = self._pilot(noisy, n0, progress)
            votes = Votes(self.num_classes, self.device)
            histograms = Histograms(torch.tensor([prediction], device=self.device), levels=self.levels)
            for scores in self.stream(noisy, "estimation", 0, n, progress=progress):
                votes.add(scores)
                histograms.add(scores)
        estimation = histograms.of(prediction)
        measures = {name: StageHistograms(pilot=pilot[name], sample=estimation[name]) for name in estimation}
        return Samples(
            prediction=prediction,
            sigma=self.sigma,
            seed=int(seed),
            content_hash=noisy.content_hash,
            pilot_votes=pilot_votes,
            votes=votes.counts(),
            score=measures["score"],
            margin=measures["margin"],
        )

    def votes(self, x: Tensor | npt.ArrayLike, *, n: int, seed: int, progress: Progress | None = None) -> IntArray:
        """How often each class has the highest score among ``n`` samples drawn for this purpose.

        Args:
            x: One input, any shape, floating point.
            n: Number of samples.
            seed: Seed of the noise, a non-negative integer.
            progress: Called after each batch with the number of samples in it.

        Returns:
            Shape ``(num_classes,)``.

        Raises:
            InvalidArgumentError: If an argument is outside its domain.
            ModelError: If the base classifier fails or returns something that is not class scores.
        """
        check_count("n", n)
        votes = Votes(self.num_classes, self.device)
        for scores in self.stream(self.noisy(x, seed=seed), "predict", 0, n, progress=progress):
            votes.add(scores)
        return votes.counts()

    def noisy(self, x: Tensor | npt.ArrayLike, *, seed: int) -> NoisyInput:
        """One input, checked and on the device, ready for :meth:`stream`."""
        checked = check_input(x, input_range=self.input_range)
        return NoisyInput(
            checked.to(self.device),
            sigma=self.sigma,
            seed=check_count("seed", seed, at_least=0),
            content_hash=content_hash(checked),
        )

    def stream(
        self, noisy: NoisyInput, stage: str, start: int, count: int, *, progress: Progress | None = None
    ) -> Iterator[Tensor]:
        """Class scores of samples ``start`` to ``start + count - 1`` of a stage, batch after batch.

        What a consumer does with them decides what is computed; it may stop at any time. Outputs are checked
        when the stream is exhausted, so that no batch waits for the device; a consumer that stops early asks
        ``classifier.require_valid`` itself.

        Args:
            noisy: From :meth:`noisy`.
            stage: One of :data:`smoothcert.sampling.noise.STAGES`.
            start: Number of the first sample.
            count: How many.
            progress: Called after each batch with the number of samples in it.

        Yields:
            Shape ``(batch, num_classes)``, float32, on the device.

        Raises:
            ModelError: If the base classifier returns something that is not class scores, or if not even one
                sample fits into memory.
        """
        with self.classifier.evaluating():
            plan = self._plan(noisy)
            at, end = start, start + count
            while at < end:
                rows = min(plan.batch.size, end - at)
                try:
                    scores = self.classifier.scores(noisy.copies(stage, at, rows, channels_last=plan.channels_last))
                except (RuntimeError, MemoryError) as error:
                    plan.batch.shrink(rows, error)  # raises again what is not about memory
                    continue
                plan.batch.announce()
                yield scores
                at += rows
                if progress is not None:
                    progress(rows)
            self.classifier.require_valid(f"the {stage} samples")

    def _pilot(
        self, noisy: NoisyInput, n0: int, progress: Progress | None
    ) -> tuple[int, IntArray, dict[str, ScoreHistogram]]:
        """Prediction, votes and the prediction's histograms, from the pilot samples.

        Histograms are wanted for the winner only, and the winner is known last. So they are kept for the
        leaders of the first chunk; should another class win, the same noise is run once more for it.
        """
        first = min(noisy.chunk, n0)
        head = torch.cat(list(self.stream(noisy, "pilot", 0, first, progress=progress)))
        means, votes = MeanScores(self.num_classes, self.device), Votes(self.num_classes, self.device)
        means.add(head)
        histograms = Histograms(means.highest(min(_CANDIDATES, self.num_classes)), levels=self.levels)
        votes.add(head)
        histograms.add(head)
        for scores in self.stream(noisy, "pilot", first, n0 - first, progress=progress):
            means.add(scores)
            votes.add(scores)
            histograms.add(scores)
        prediction = means.winner()
        if prediction not in histograms:
            histograms = Histograms(torch.tensor([prediction], device=self.device), levels=self.levels)
            for scores in self.stream(noisy, "pilot", 0, n0):
                histograms.add(scores)
        return prediction, votes.counts(), histograms.of(prediction)

    def _plan(self, noisy: NoisyInput) -> Plan:
        """How to run inputs of this shape; the first is tried on a few samples, with every check."""
        shape = tuple(noisy.x.shape)
        if shape not in self._plans:
            batch = BatchSize(self.batch_size or _PROBE)
            channels_last = self._probe(noisy, batch)
            if self.batch_size is None:
                batch = BatchSize(self._choose_batch_size(noisy, channels_last=channels_last))
            self._plans[shape] = Plan(batch, channels_last)
        return self._plans[shape]

    def _probe(self, noisy: NoisyInput, batch: BatchSize) -> bool:
        """Check the base classifier on a few samples; return whether to lay batches out channels-last.

        That layout is the faster one for convolutions on CPUs and in half precision. Modules that insist on
        the other, by a ``view`` of a feature map, get it.
        """
        convolutions = noisy.x.ndim == 3 and self.classifier.has_convolutions
        channels_last = convolutions and (self.device.type == "cpu" or self.classifier.precision != "float32")
        while True:
            rows = min(_PROBE, batch.size)
            try:
                self.classifier.probe(noisy.copies("pilot", 0, rows, channels_last=channels_last))
            except ModelError:
                if not channels_last:
                    raise
                channels_last = False
            except (RuntimeError, MemoryError) as error:
                batch.shrink(rows, error)
            else:
                return channels_last

    def _choose_batch_size(self, noisy: NoisyInput, *, channels_last: bool) -> int:
        if self.device.type == "cpu":
            return batch_size_for_cpu(noisy.x.numel())

        def run(rows: int) -> None:
            scores = self.classifier.scores(noisy.copies("pilot", 0, rows, channels_last=channels_last))
            scores.sum().item()  # waits for the device

        return fastest_batch_size(run)
