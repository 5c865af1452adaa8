"""Samples a base classifier under noise: how inputs of a shape are run, and the jobs to be done with one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, TypeAlias

import numpy.typing as npt
import torch
from torch import Tensor

from smoothcert._check import MOST_LEVELS, MOST_SAMPLES, check_alpha, check_count, check_price, check_sigma
from smoothcert.discrete_gaussian import DiscreteGaussian
from smoothcert.errors import InvalidArgumentError, ModelError
from smoothcert.histogram import DEFAULT_LEVELS
from smoothcert.lattice import IMAGE_STEP, Lattice, is_8_bit_image
from smoothcert.prediction import most_voted
from smoothcert.samples import Samples
from smoothcert.sampling.batching import LARGEST, BatchSize, batch_size_for_cpu, fastest_batch_size
from smoothcert.sampling.chunks import content_hash
from smoothcert.sampling.classifier import BaseClassifier
from smoothcert.sampling.growing import Counted, GrowingSamples, draw_checked
from smoothcert.sampling.inputs import InputRange, check_input, check_input_range
from smoothcert.sampling.noise import NoisyInput
from smoothcert.sampling.packing import Job, Packer, Plan, Progress, Result
from smoothcert.sampling.reducer import Votes
from smoothcert.scores import DEFAULT_MEASURES, Measure, choose_measures

_LEAST_SIGMA = 1e-30
_PROBE = 8  # samples in the first forward pass

LatticeChoice: TypeAlias = float | Literal["auto"] | None
"""The step of the inputs; ``"auto"`` to look at each input; None for noise in floating point."""


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
        outputs: What the module returns: ``"logits"``, ``"probabilities"``, one ``"logit"`` of the second of two
            classes, or ``"labels"``, a logit for each of several that may apply together.
        input_range: Smallest and largest value an input may hold; ``None`` for any finite value.
        lattice: The step of the inputs, such as ``1/255`` for 8-bit images or ``1/32768`` for 16-bit audio: the noise
            is exact, and a certificate is a claim about every input on that lattice. An input between its points is
            rounded, and every certified radius shrinks by the distance. ``"auto"`` takes ``1/255`` for an input whose
            values all are ``k/255`` in ``[0, 1]``, and otherwise floating point. ``None`` is noise in floating point,
            which is Gaussian only approximately.
        measures: What is counted: ``"score"``, ``"margin"``, ``"lead"``, names for
            :func:`smoothcert.scores.load_measure`, or measures.

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
        lattice: LatticeChoice = "auto",
        measures: Sequence[str | Measure] = DEFAULT_MEASURES,
    ) -> None:
        self.sigma = check_sigma(sigma)
        if not _LEAST_SIGMA <= self.sigma <= 1.0 / _LEAST_SIGMA:
            raise InvalidArgumentError(
                f"sigma must be from {_LEAST_SIGMA:g} to {1.0 / _LEAST_SIGMA:g}, so that float32 holds the noise; "
                f"got {sigma!r}"
            )
        self._by_input = isinstance(lattice, str) and lattice == "auto"
        self._lattice = None if lattice is None or self._by_input else self._check_lattice(lattice)
        chosen, lead = choose_measures(measures)
        self.counted = Counted(chosen, lead, check_count("levels", levels, at_most=MOST_LEVELS))
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

    @property
    def planned_batch_size(self) -> int | None:
        """Samples in one forward pass over inputs of the shape that came first; None before there were any."""
        return next((plan.batch.size for plan in self._plans.values()), None)

    def largest_batch(self, shape: tuple[int, ...], *, samples: int | None) -> int:
        """Samples in the largest forward pass over inputs of a shape that has been seen, when so many are drawn."""
        return min(self._plans[shape].batch.size, LARGEST if samples is None else samples)

    def fix_batch_size(self, batch_size: int) -> None:
        """From now on run so many samples in one forward pass, so that the bits are those of others that do."""
        self.batch_size = check_count("batch_size", batch_size)
        self._plans.clear()

    def sample(
        self,
        x: Tensor | npt.ArrayLike,
        *,
        n0: int,
        n: int,
        seed: int,
        label: int | None = None,
        held: Samples | None = None,
        progress: Progress | None = None,
    ) -> Samples:
        """Select a class from ``n0`` samples, then count its measures in ``n`` others.

        Args:
            x: One input, any shape, floating point.
            n0: Number of pilot samples; they select the class, nothing is certified from them.
            n: Number of estimation samples, drawn apart from the pilot.
            seed: Seed of the noise, a non-negative integer.
            label: The true class, which only measures of it need.
            held: Samples of this input drawn before, with the same arguments but at most as many of them: only those
                beyond them are drawn, and the whole is returned.
            progress: Called after each batch with the number of samples in it.

        Returns:
            Votes, and histograms of the measures.

        Raises:
            InvalidArgumentError: If an argument is outside its domain.
            ModelError: If the base classifier fails or returns something that is not class scores.
        """
        job = self.sampling(x, n0=n0, n=n, seed=seed, label=label, held=held)
        [(_, samples)] = self.run([job], progress=progress)
        return samples

    def run(
        self, jobs: Iterable[Job[Result]], *, progress: Progress | None = None, fill: bool = False
    ) -> Iterator[tuple[int, Result]]:
        """Run jobs on many inputs together: every batch is kept full, each job gets what it would get alone.

        Args:
            jobs: From :meth:`sampling`, :meth:`predicting`, or written with :meth:`begin`. A lazy iterable is read only
                as far as it is needed to fill batches.
            progress: Called after each batch with the number of samples in it.
            fill: Whether to fill up the batches that jobs do not fill: results are then the same in every bit, whatever
                jobs are run together.

        Yields:
            Position of a job and its result, in the order in which they finish.

        Raises:
            ModelError: If not even one sample fits into memory; and whatever a job raises.
        """
        with self.classifier.evaluating():
            yield from Packer(
                jobs, scores=self.classifier.scores, plan=self._plans.__getitem__, progress=progress, fill=fill
            ).results()

    def sampling(
        self,
        x: Tensor | npt.ArrayLike,
        *,
        n0: int,
        n: int,
        seed: int,
        label: int | None = None,
        held: Samples | None = None,
    ) -> Job[Samples]:
        """The job behind :meth:`sample`."""
        check_count("n0", n0, at_most=MOST_SAMPLES)
        check_count("n", n, at_most=MOST_SAMPLES)
        growing = self.begin(x, seed=seed, label=label)
        if held is None:
            yield from growing.pilot(n0)
        elif held.n0 != n0 or held.n > n:
            raise InvalidArgumentError(
                f"held must have n0={n0} samples and at most n={n} others; got {held.n0} and {held.n}"
            )
        else:
            growing.resume(held)
        yield from growing.grow(n)
        return growing.samples()

    def predicting(self, x: Tensor | npt.ArrayLike, *, n: int, alpha: float, seed: int) -> Job[int]:
        """A job that returns the class that most often has the highest score, or :data:`smoothcert.prediction.ABSTAIN`.

        Its ``n`` samples are drawn for this purpose, apart from those of :meth:`sampling`.
        """
        check_count("n", n, at_most=MOST_SAMPLES)
        noisy, votes = self.noisy(x, seed=seed), Votes(self.num_classes, self.device)
        left = check_alpha(alpha) - check_price(noisy.price(n), alpha=alpha)
        yield from draw_checked(noisy, self.classifier, "predict", 0, n, [votes])
        return most_voted(votes.counts(), alpha=left)

    def begin(self, x: Tensor | npt.ArrayLike, *, seed: int, label: int | None = None) -> GrowingSamples:
        """One input without samples yet, for a job that decides on its way how many it needs."""
        return GrowingSamples(self.noisy(x, seed=seed), self.classifier, counted=self.counted, label=label)

    def noisy(self, x: Tensor | npt.ArrayLike, *, seed: int) -> NoisyInput:
        """One input, checked and on the device; inputs of its shape can be run from then on."""
        checked = check_input(x, input_range=self.input_range)
        noisy = NoisyInput(
            checked.to(self.device),
            sigma=self.sigma,
            seed=check_count("seed", seed, at_least=0),
            content_hash=content_hash(checked),
            lattice=self._lattice_of(checked),
        )
        if tuple(checked.shape) not in self._plans:
            with self.classifier.evaluating():
                self._plans[tuple(checked.shape)] = self._plan(noisy)
        return noisy

    def _check_lattice(self, step: float | str) -> Lattice:
        """The lattice of a step that suits sigma."""
        lattice = Lattice(step)  # type: ignore[arg-type]  # which says what a step must be
        DiscreteGaussian(step=lattice.step, sigma=self.sigma)
        return lattice

    def _lattice_of(self, x: Tensor) -> Lattice | None:
        """What an input lies on, if anything."""
        if not self._by_input:
            return self._lattice
        fits = IMAGE_STEP <= self.sigma <= 1.0 / IMAGE_STEP and is_8_bit_image(x.cpu().numpy())
        return Lattice(IMAGE_STEP) if fits else None

    def _plan(self, noisy: NoisyInput) -> Plan:
        """How to run inputs of this shape: it is tried on a few samples, with every check."""
        batch = BatchSize(self.batch_size or _PROBE)
        channels_last = self._probe(noisy, batch)
        if self.batch_size is None:
            batch = BatchSize(self._choose_batch_size(noisy, channels_last=channels_last))
        return Plan(batch, channels_last)

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
            scores, _ = self.classifier.scores(noisy.copies("pilot", 0, rows, channels_last=channels_last))
            scores.sum().item()  # waits for the device

        return fastest_batch_size(run)
