"""The few-lines Python interface: a smoothed classifier that predicts and certifies."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias, TypeVar, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from smoothcert._check import check_alpha, check_count
from smoothcert.certificate import Certificate, Certificates
from smoothcert.decision import DEFAULT_MAX_N, Decision, Question
from smoothcert.errors import InvalidArgumentError
from smoothcert.histogram import DEFAULT_LEVELS, DEFAULT_N, DEFAULT_PILOT
from smoothcert.models.adapt import as_module, outputs_of
from smoothcert.prediction import ABSTAIN
from smoothcert.progress import Reporter, interactive_reporter
from smoothcert.samples import Samples
from smoothcert.sampling import ConfidenceWarning, Job, LatticeChoice, Sampler, warn_if_too_few
from smoothcert.sampling.given import Given, run_each
from smoothcert.sampling.inputs import InputRange
from smoothcert.sampling.probe import probe
from smoothcert.scores import DEFAULT_MEASURES, Measure
from smoothcert.stopping import UntilDecided, UntilStable
from smoothcert.typing import FloatArray, IntArray

__all__ = ["ABSTAIN", "SmoothedClassifier"]

Result = TypeVar("Result")
Values: TypeAlias = Tensor | npt.ArrayLike
"""One input or a batch of them: only its number of dimensions tells whether one result comes or a list."""
OneByOne: TypeAlias = Iterator[Tensor | npt.ArrayLike]
Inputs: TypeAlias = Values | OneByOne


class SmoothedClassifier:
    r"""The base classifier averaged over Gaussian noise: predictions and certificates hold within a radius.

    The smoothed score of a class is the mean of the base classifier's score over ``x + N(0, sigma^2 I)``. It
    is a score, not a calibrated probability of being right.

    Inputs are single, with ``input_ndim`` dimensions, a batch with one more in front, or an iterator over or a list of
    single ones; results come single or as a list accordingly. Several inputs share forward passes, yet each is
    sampled with noise of its own, determined by ``seed`` and its content. No inputs give an empty list.

    Args:
        base_classifier: A module or function, of tensors or NumPy arrays, from a float32 batch ``(batch,
            *input_shape)`` to ``(batch, num_classes)`` class scores, or an estimator with ``predict_proba``; see
            :func:`smoothcert.models.adapt.as_module`. Normalization belongs to it, so that sigma and radii are in
            input units. A module is run in eval mode and left in the mode it came in.
        sigma: Standard deviation of the noise, in input units.
        num_classes: Number of classes, at least 2.
        input_ndim: Dimensions of a single input: 3 for images ``(C, H, W)``, 1 for rows of a table.
        input_range: Smallest and largest value an input may hold; ``None`` for any finite value.
        levels: Number of equal steps on which scores are counted.
        batch_size: Samples in one forward pass; ``None`` chooses one.
        device: Where to run; the module is moved there. ``None`` runs where its parameters are.
        precision: ``"float32"``, ``"bfloat16"`` or ``"float16"``. What is certified is the classifier at
            that precision.
        outputs: What the module returns: ``"logits"``, ``"probabilities"``, one ``"logit"`` of the second of two
            classes, or ``"labels"``, a logit for each of several that may apply together; ``None`` for probabilities
            of an estimator, and logits of all others.
        lattice: The step of the inputs, ``"auto"`` or ``None``; see below.
        measures: What is certified beside the class: ``"score"``, ``"margin"``, ``"lead"`` and measures of one's own.
        allow_unstable: Go on although the base classifier scores an input by its company in the batch or keeps state;
            certificates may then be wrong. It is tried on a few samples of the first input of each shape.

    Which noise: computers cannot draw Gaussian noise in floating point exactly, and an input that lies on a lattice
    does not need them to. An 8-bit image scaled to ``[0, 1]`` has the step ``1/255``, and ``"auto"`` sees that: its
    noise is exact, and its certificate says "no 8-bit image within this radius". For other data name their step, such
    as ``1/32768`` for 16-bit audio; an input between the points is rounded first, and every radius shrinks by the
    distance. With ``None``, and with ``"auto"`` for an input that is no 8-bit image, the noise is that of floating
    point, and certificates take it for Gaussian. ``Samples.step`` says which it was.

    Raises:
        InvalidArgumentError: If an argument is outside its domain.

    References:
        Cohen, Rosenfeld, Kolter (2019), https://arxiv.org/abs/1902.02918;
        Kumar, Levine, Feizi, Goldstein (2020), https://arxiv.org/abs/2009.08061.

    Example:
        >>> g = SmoothedClassifier(
        ...     torch.nn.Linear(4, 3, bias=False), sigma=0.5, num_classes=3, input_ndim=1
        ... )
        >>> certificate = g.certify(torch.full((4,), 0.5), n0=100, n=1_000, alpha=0.001, seed=0)
        >>> certificate.n
        1000
    """

    def __init__(
        self,
        base_classifier: object,
        sigma: float,
        num_classes: int,
        *,
        input_ndim: int = 3,
        input_range: InputRange | None = (0.0, 1.0),
        levels: int = DEFAULT_LEVELS,
        batch_size: int | None = None,
        device: torch.device | str | None = None,
        precision: str = "float32",
        outputs: str | None = None,
        lattice: LatticeChoice = "auto",
        measures: Sequence[str | Measure] = DEFAULT_MEASURES,
        allow_unstable: bool = False,
    ) -> None:
        self.input_ndim = check_count("input_ndim", input_ndim)
        self.allow_unstable = allow_unstable
        self._seen: set[tuple[int, ...]] = set()  # shapes of inputs for which the base classifier was probed
        module = as_module(base_classifier)
        known = outputs_of(module)
        if None not in (known, outputs) and outputs != known:
            raise InvalidArgumentError(
                f"outputs must be {known!r} for an estimator with predict_proba; got {outputs!r}"
            )
        self.sampler = Sampler(
            module,
            sigma=sigma,
            num_classes=num_classes,
            levels=levels,
            batch_size=batch_size,
            device=device,
            precision=precision,
            outputs=outputs or known or "logits",
            input_range=input_range,
            lattice=lattice,
            measures=measures,
        )

    @property
    def sigma(self) -> float:
        """Standard deviation of the noise, in input units."""
        return self.sampler.sigma

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return self.sampler.num_classes

    @overload
    def certify(
        self,
        x: OneByOne,
        *,
        n0: int = DEFAULT_PILOT,
        n: int = DEFAULT_N,
        alpha: float = 0.001,
        seed: int = 0,
        label: int | Iterable[int] | None = None,
        progress: bool = False,
    ) -> Certificates: ...

    @overload
    def certify(
        self,
        x: Values,
        *,
        n0: int = DEFAULT_PILOT,
        n: int = DEFAULT_N,
        alpha: float = 0.001,
        seed: int = 0,
        label: int | Iterable[int] | None = None,
        progress: bool = False,
    ) -> Certificate | Certificates: ...

    def certify(
        self,
        x: Inputs,
        *,
        n0: int = DEFAULT_PILOT,
        n: int = DEFAULT_N,
        alpha: float = 0.001,
        seed: int = 0,
        label: int | Iterable[int] | None = None,
        progress: bool = False,
    ) -> Certificate | Certificates:
        """Predict a class and certify its confidence within any radius.

        Args:
            x: One input, or several.
            n0: Number of pilot samples; they select the class and tune the dual bound.
            n: Number of estimation samples; the bounds are computed from them.
            alpha: Probability that a certificate is wrong, over the noise, in ``(0, 0.5]``.
            seed: Seed of the noise, a non-negative integer.
            label: The true class, or one for each input; only measures of it need it.
            progress: Whether to show progress, where somebody watches: on a terminal or in a notebook.

        Returns:
            One certificate, or a list of them.

        Raises:
            InvalidArgumentError: If an argument is outside its domain.
            ModelError: If the base classifier fails or returns something that is not class scores.

        Warns:
            ConfidenceWarning: If no outcome of so few samples could certify a class.
        """
        check_alpha(alpha)
        warn_if_too_few(n=n, alpha=alpha)
        given = Given.of(x, ndim=self.input_ndim)
        sampling = self._sampling(n0=n0, n=n, seed=seed, labels=given.labels(label))

        def job(one: Tensor) -> Job[Certificate]:
            return Certificate.from_samples((yield from sampling(one)), alpha=alpha)

        found = self._each(given, job, progress=progress, samples=n0 + n)
        return Certificates(found) if isinstance(found, list) else found

    @overload
    def certify_until(
        self,
        x: OneByOne,
        *,
        radii: float | Sequence[float] | FloatArray,
        tolerance: float,
        measure: str = "score",
        bound: str = "dual",
        n0: int = 1_000,
        first_n: int = 1_000,
        max_n: int = 100_000,
        alpha: float = 0.001,
        seed: int = 0,
        progress: bool = False,
    ) -> Certificates: ...

    @overload
    def certify_until(
        self,
        x: Values,
        *,
        radii: float | Sequence[float] | FloatArray,
        tolerance: float,
        measure: str = "score",
        bound: str = "dual",
        n0: int = 1_000,
        first_n: int = 1_000,
        max_n: int = 100_000,
        alpha: float = 0.001,
        seed: int = 0,
        progress: bool = False,
    ) -> Certificate | Certificates: ...

    def certify_until(
        self,
        x: Inputs,
        *,
        radii: float | Sequence[float] | FloatArray,
        tolerance: float,
        measure: str = "score",
        bound: str = "dual",
        n0: int = 1_000,
        first_n: int = 1_000,
        max_n: int = 100_000,
        alpha: float = 0.001,
        seed: int = 0,
        progress: bool = False,
    ) -> Certificate | Certificates:
        """Certify with as many samples as it takes until more would hardly change the bounds.

        Estimation samples double from ``first_n``, earlier ones kept, and the bounds at ``radii`` are computed at each
        look. Sampling stops when none of them moved by ``tolerance`` or more since the look before, or when twice as
        many samples would exceed ``max_n``.

        What is guaranteed: with ``K`` the number of possible looks, fixed by ``first_n`` and ``max_n``, the certificate
        that is returned has ``alpha / K`` for its ``alpha``. Hence with probability at least ``1 - alpha`` over the
        noise a statement, such as the lower bound at one radius, is true at all ``K`` looks, and so at the one sampling
        stopped at, whatever stopped it. It is one statement at a time, as for :meth:`certify`. The tolerance guarantees
        nothing: a bound that hardly moved may yet move later.

        Args:
            x: One input, or several.
            radii: L2 radii in input units, one or a flat list.
            tolerance: In units of the measure, above 0.
            measure: ``"score"`` or ``"margin"``.
            bound: One of ``"dual"``, ``"cdf"``, ``"hoeffding"``, ``"clopper_pearson"``.
            n0: Number of pilot samples.
            first_n: Number of estimation samples at the first look.
            max_n: Largest number of estimation samples.
            alpha: Probability that a statement is wrong, over the noise, in ``(0, 0.5]``.
            seed: Seed of the noise, a non-negative integer.
            progress: As for :meth:`certify`.

        Returns:
            One certificate or a list of them; ``n`` is the number of samples used, ``alpha`` is divided by the looks.

        Raises:
            InvalidArgumentError: If an argument is outside its domain.
            ModelError: If the base classifier fails or returns something that is not class scores.
        """
        sizes = {"n0": n0, "first_n": first_n, "max_n": max_n}
        until = UntilStable(radii=radii, tolerance=tolerance, measure=measure, bound=bound, alpha=alpha, **sizes)
        found = self._each(x, lambda one: until.job(self.sampler, one, seed=seed), progress=progress)
        return Certificates(found) if isinstance(found, list) else found

    @overload
    def decide(
        self,
        x: OneByOne,
        *,
        threshold: float,
        radius: float,
        measure: str = "score",
        alpha: float = 0.001,
        n0: int | None = None,
        max_n: int = DEFAULT_MAX_N,
        seed: int = 0,
        progress: bool = False,
    ) -> list[Decision]: ...

    @overload
    def decide(
        self,
        x: Values,
        *,
        threshold: float,
        radius: float,
        measure: str = "score",
        alpha: float = 0.001,
        n0: int | None = None,
        max_n: int = DEFAULT_MAX_N,
        seed: int = 0,
        progress: bool = False,
    ) -> Decision | list[Decision]: ...

    def decide(
        self,
        x: Inputs,
        *,
        threshold: float,
        radius: float,
        measure: str = "score",
        alpha: float = 0.001,
        n0: int | None = None,
        max_n: int = DEFAULT_MAX_N,
        seed: int = 0,
        progress: bool = False,
    ) -> Decision | list[Decision]:
        """Answer one question with as few samples as it takes: does the value stay above a threshold within a radius?

        With probability at least ``1 - alpha`` over the noise, and whenever it stops, the answer is not wrong.
        ``"certified"``: no shift within the radius brings the smoothed value of the prediction down to the threshold.
        ``"refuted"``: no certificate can say so, because the distribution of the scores does not allow it; it does not
        say that such a shift exists. ``"undecided"``: ``max_n`` samples did not settle it.

        Neither the batch size nor the other inputs change the answer or the number of samples.

        Args:
            x: One input, or several.
            threshold: Value to stay above, in the range of the measure and below its upper end.
            radius: L2 radius in input units.
            measure: ``"score"``, ``"margin"``, or ``"vote"``, of which 1/2 is the threshold of the class.
            alpha: Probability that an answer is wrong, over the noise, in ``(0, 0.5]``.
            n0: Number of pilot samples; they select the class and shape the first bets. Default: 100, for votes 32.
            max_n: Largest number of estimation samples.
            seed: Seed of the noise, a non-negative integer.
            progress: As for :meth:`certify`.

        Returns:
            One decision, or a list of them.

        Raises:
            InvalidArgumentError: If an argument is outside its domain.
            ModelError: If the base classifier fails or returns something that is not class scores.
        """
        question = Question(measure, threshold, radius)
        n0 = question.pilot_samples if n0 is None else n0
        until = UntilDecided(question=question, n0=n0, max_n=max_n, alpha=alpha)
        return self._each(x, lambda one: until.answer(self.sampler, one, seed=seed), progress=progress)

    @overload
    def predict(
        self, x: OneByOne, *, n: int = 1_000, alpha: float = 0.001, seed: int = 0, progress: bool = False
    ) -> IntArray: ...

    @overload
    def predict(
        self, x: Values, *, n: int = 1_000, alpha: float = 0.001, seed: int = 0, progress: bool = False
    ) -> int | IntArray: ...

    def predict(
        self,
        x: Inputs,
        *,
        n: int = 1_000,
        alpha: float = 0.001,
        seed: int = 0,
        progress: bool = False,
    ) -> int | IntArray:
        """Class the smoothed classifier votes for most often, or :data:`ABSTAIN`.

        With probability at least ``1 - alpha`` over the samples, a class that is returned is the one that
        the base classifier returns most often under noise.

        Args:
            x: One input, or several.
            n: Number of samples.
            alpha: Probability that a returned class is wrong, over the sampling noise, in ``(0, 0.5]``.
            seed: Seed of the noise, a non-negative integer.
            progress: As for :meth:`certify`.

        Returns:
            A class, or an array of them, shape ``(batch,)``.

        Raises:
            InvalidArgumentError: If an argument is outside its domain.
            ModelError: If the base classifier fails or returns something that is not class scores.

        References:
            Procedure PREDICT of Cohen et al. (2019), https://arxiv.org/abs/1902.02918, after Hung and
            Fithian (2019).
        """
        check_alpha(alpha)
        labels = self._each(
            x, lambda one: self.sampler.predicting(one, n=n, alpha=alpha, seed=seed), progress=progress, samples=n
        )
        return np.array(labels, dtype=np.int64) if isinstance(labels, list) else labels

    @overload
    def sample(
        self,
        x: OneByOne,
        *,
        n0: int = DEFAULT_PILOT,
        n: int = DEFAULT_N,
        seed: int = 0,
        label: int | Iterable[int] | None = None,
        progress: bool = False,
    ) -> list[Samples]: ...

    @overload
    def sample(
        self,
        x: Values,
        *,
        n0: int = DEFAULT_PILOT,
        n: int = DEFAULT_N,
        seed: int = 0,
        label: int | Iterable[int] | None = None,
        progress: bool = False,
    ) -> Samples | list[Samples]: ...

    def sample(
        self,
        x: Inputs,
        *,
        n0: int = DEFAULT_PILOT,
        n: int = DEFAULT_N,
        seed: int = 0,
        label: int | Iterable[int] | None = None,
        progress: bool = False,
    ) -> Samples | list[Samples]:
        """What :meth:`certify` computes its certificates from, to be kept and asked later; the same arguments.

        Returns:
            Samples of one input, or a list of them.
        """
        given = Given.of(x, ndim=self.input_ndim)
        job = self._sampling(n0=n0, n=n, seed=seed, labels=given.labels(label))
        return self._each(given, job, progress=progress, samples=n0 + n)

    def _sampling(
        self, *, n0: int, n: int, seed: int, labels: Iterator[int | None]
    ) -> Callable[[Tensor], Job[Samples]]:
        """The job on one input after the other, each with its label."""
        n0, n = check_count("n0", n0), check_count("n", n)
        return lambda one: self.sampler.sampling(one, n0=n0, n=n, seed=seed, label=next(labels, None))

    def _each(
        self, x: Inputs | Given, job: Callable[[Tensor], Job[Result]], *, progress: bool, samples: int | None = None
    ) -> Result | list[Result]:
        """Run a job on one input or several; ``samples`` is what one takes, None where that is open."""
        reporter = interactive_reporter() if progress else Reporter()
        given = x if isinstance(x, Given) else Given.of(x, ndim=self.input_ndim)
        total = None if samples is None or given.count is None else samples * given.count

        def probing(one: Tensor) -> Job[Result]:
            return self._probing(one, job, samples=total)

        return run_each(self.sampler, given, probing, reporter=reporter, samples=samples)

    def _probing(self, x: Tensor, job: Callable[[Tensor], Job[Result]], *, samples: int | None) -> Job[Result]:
        """The same job, behind a look at the base classifier where inputs of this shape are new."""
        if not self.allow_unstable and tuple(x.shape) not in self._seen:
            few = self.sampler.noisy(x, seed=0).copies("predict", 0, 4)
            most = self.sampler.largest_batch(tuple(x.shape), samples=samples)
            found = probe(self.sampler.classifier, few, most=most)
            found.require_stable()
            for note in found.notes():
                warnings.warn(note, ConfidenceWarning, stacklevel=2)
            self._seen.add(tuple(x.shape))
        return (yield from job(x))
