"""What a run would cost: some of its inputs are sampled for a while, by the engine that would sample it, and forgotten.

Inputs are taken in an order that is spread over the whole data set wherever it stops. Nothing is stored, and the noise
has a seed of its own, so that a question or a size chosen by what is seen here is not chosen by the run's own samples.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from smoothcert.bounds.sequential import UNDECIDED
from smoothcert.certify.engine import LocalEngine, Task
from smoothcert.certify.prepare import Prepared, prepare
from smoothcert.certify.rehearsal import rehearse
from smoothcert.decision import CLASS
from smoothcert.errors import DataError, InvalidArgumentError
from smoothcert.progress import Reporter
from smoothcert.runs.config import DECIDED, SAMPLED
from smoothcert.runs.part import encode_part
from smoothcert.runs.records import Record, to_table
from smoothcert.runs.store import MERGE_EVERY
from smoothcert.samples import Samples
from smoothcert.scores import SCORE
from smoothcert.spec import RunSpec
from smoothcert.typing import AnyArray, IntArray

STORED_PER_SECOND = 550.0
"""Records that one process stores in a second, dozens at a time as workers of a cluster send them."""

_SEED = 0x5EED  # nothing drawn here enters a record
_SHARE = 0.4  # of the time, for a fixed number of samples; the rest is for the question
_FEWEST = 8  # inputs that the time should suffice for
_LARGEST_SHARE = 0.1  # of the time that one undecided input may take
_FIRST_CAP = 1_000  # samples that a question gets in any case
_STRETCHES = 8  # over which the rate is compared
_TAIL = 5  # inputs, at least, that the tail is estimated from
_FALLS = (0.5, 0.75)  # powers with which it may fall
_SIMULATED, _MOST_SIMULATED = 500, 4_000  # runs, and their inputs: the mean of more varies little
_REHEARSED = 2_000  # samples that the rehearsal takes a hundredth of: a short look is enough
_ALPHA = 0.025  # at either end of a range


@dataclass(frozen=True)
class Estimate:
    """A number that is not known exactly.

    Args:
        value: The best guess.
        low: It is hardly below.
        high: It is hardly above.
    """

    value: float
    low: float
    high: float

    def times(self, factor: float) -> Estimate:
        """The same in other units."""
        return Estimate(self.value * factor, self.low * factor, self.high * factor)

    def at_least(self, least: float) -> Estimate:
        """The same where something else takes so much."""
        return Estimate(max(self.value, least), max(self.low, least), max(self.high, least))


@dataclass(frozen=True)
class Cost:
    """What one way to sample a data set costs.

    Args:
        question: What is decided; None for a fixed number of samples per input.
        inputs: Inputs of the run.
        looked_at: Inputs that were sampled to find out.
        samples: Samples per input.
        rate: Samples a second of one worker.
        seconds: Seconds per input of one worker.
        record: Bytes per input on disk.
        most: Samples that an input was given here at most; fewer than in the run itself where time was short.
    """

    question: str | None
    inputs: int
    looked_at: int
    samples: Estimate
    rate: Estimate
    seconds: Estimate
    record: Estimate
    most: int

    @property
    def device_hours(self) -> Estimate:
        """Time of all workers together."""
        return self.seconds.times(self.inputs / 3600.0)

    @property
    def disk(self) -> Estimate:
        """Bytes of the whole run."""
        return self.record.times(self.inputs)

    def wall_seconds(self, workers: int) -> Estimate:
        """Time with so many workers and one writer: divided perfectly, up to what the writer can store."""
        return self.seconds.times(self.inputs / workers).at_least(self.inputs / STORED_PER_SECOND)


@dataclass(frozen=True)
class Plan:
    """What a run would cost, at a fixed number of samples and by a question.

    Args:
        model: The base classifier in words.
        data: The inputs in words.
        device: Where it was tried.
        sigma: Standard deviation of the noise.
        loading: Seconds until a worker can begin.
        failed: Inputs among those looked at that could not be read or sampled.
        fixed: Of a fixed number of samples.
        decided: Of the question.
    """

    model: str
    data: str
    device: str
    sigma: float
    loading: float
    failed: int
    fixed: Cost
    decided: Cost

    def to_dict(self, workers: Sequence[int]) -> dict[str, Any]:
        """Everything as values that JSON has."""
        return {
            **{name: value for name, value in vars(self).items() if not isinstance(value, Cost)},
            "stored_per_second": STORED_PER_SECOND,
            "ways": [
                {
                    **{name: _plain(value) for name, value in vars(cost).items()},
                    "device_hours": vars(cost.device_hours),
                    "disk": vars(cost.disk),
                    "wall_seconds": {str(count): vars(cost.wall_seconds(count)) for count in workers},
                }
                for cost in (self.fixed, self.decided)
            ],
        }


def plan_run(
    spec: RunSpec,
    *,
    seconds: float = 60.0,
    model: object | None = None,
    data: object | None = None,
    reporter: Reporter | None = None,
) -> Plan:
    """Sample some inputs for a while, and say what all would cost.

    Args:
        spec: The run. If it has no question, whether the score stays above 1/2 within a radius of sigma is planned
            beside it; if it has one, a fixed number of samples is.
        seconds: Time to sample for, about; loading comes on top.
        model: The base classifier, where it is no name; as :func:`smoothcert.certify.certify_run` takes it.
        data: The inputs, where they are no name.
        reporter: Shows notes.

    Raises:
        InvalidArgumentError: If ``seconds`` is not a positive number; and as ``certify_run`` does.
        DataError: If no input can be read; and as ``certify_run`` does.
        ModelError: As ``certify_run`` does.
    """
    if not 0.0 < seconds < math.inf:
        raise InvalidArgumentError(f"seconds must be a positive number; got {seconds!r}")
    reporter = reporter or Reporter()
    start = time.monotonic()
    run = prepare(spec.vary(on_unreadable="skip"), model=model, data=data, reporter=reporter)
    loading = time.monotonic() - start
    fixed, decided = _without_question(run), _with_question(run)
    config = fixed.config
    found = rehearse(run.sampler, run.data, num_classes=config.num_classes, n=config.n, samples=_REHEARSED)
    if not found.inputs:
        raise DataError(f"no input of {run.data.name} can be read")
    n = max(1, min(config.n, int(found.rate * seconds * _SHARE / _FEWEST) - config.n0))
    reporter.note(f"sampling inputs from all over the data, {config.n0:,} + {n:,} samples each")
    one = _look(_with_options(fixed, n=n), seconds * _SHARE)
    cap = int(one.rate.value * seconds * (1.0 - _SHARE) * _LARGEST_SHARE)
    cap = min(decided.config.n, max(_FIRST_CAP, cap))
    reporter.note(f"deciding {decided.config.question} with at most {decided.config.n0:,} + {cap:,} samples each")
    two = _look(_with_options(decided, max_n=cap), seconds * (1.0 - _SHARE))
    return Plan(
        model=config.model,
        data=config.data,
        device=str(run.sampler.device),
        sigma=config.sigma,
        loading=loading,
        failed=one.failed + two.failed,
        fixed=_fixed_cost(fixed, one, n=n),
        decided=_decided_cost(decided, two, cap=cap, rate=one.rate),
    )


def spread(count: int) -> Iterator[int]:
    """Positions of a data set in an order of which every beginning is spread over all of it.

    Example:
        >>> list(spread(8))
        [0, 4, 2, 6, 1, 5, 3, 7]
    """
    bits = max(1, (count - 1).bit_length())
    backwards = (int(f"{number:0{bits}b}"[::-1], 2) for number in range(2**bits))
    return (position for position in backwards if position < count)


def mean_until_decided(n: IntArray, settled: AnyArray, *, cap: int, most: int, inputs: int) -> Estimate:
    r"""Mean number of samples of a run until its question is answered, or ``most`` are used up, from a few inputs.

    An input whose certificate lies a distance :math:`\delta` from the threshold takes about :math:`1/\delta^2` samples,
    and near the threshold all distances are about as frequent; so the fraction that is not answered after ``t`` samples
    falls as :math:`t^{-1/2}`, at first a little faster. Few inputs take most of the samples, too few to average. Here
    their number is estimated, and the law says what they take.

    Args:
        n: Samples that each input took, shape ``(looked at,)``, at least one input.
        settled: Whether its question was answered, shape ``(looked at,)``.
        cap: Samples that it got at most.
        most: Samples that it may get in the run, at least ``cap``.
        inputs: Inputs of the run: the mean of a few depends on whether a heavy one is among them.

    Returns:
        The mean to expect, and the range in which that of the run lies with about 95%, as far as the law holds.

    Example:
        >>> few = np.array([32] * 90 + [1_000] * 10)
        >>> mean_until_decided(few, few < 1_000, cap=1_000, most=100_000, inputs=10_000).value
        1928.8
    """
    count = len(n)
    largest = min(count - 1, max(_TAIL, math.isqrt(count)))
    edge = cap if np.sum(~settled) >= largest else min(int(np.sort(n)[count - 1 - largest]), cap)
    beyond = int(np.sum((n > edge) | ~settled & (n >= edge)))
    body = np.minimum(n, edge)
    value = float(body.mean()) + beyond / count * 2.0 * (math.sqrt(float(edge) * most) - edge)
    generator, size = np.random.default_rng(_SEED), min(inputs, _MOST_SIMULATED)
    fraction = generator.beta(beyond + 0.5, count - beyond + 0.5, size=_SIMULATED)
    heavy = generator.binomial(size, fraction)
    falls = generator.uniform(*_FALLS, size=_SIMULATED)
    means = generator.normal(body.mean(), body.std() / math.sqrt(count), size=_SIMULATED).clip(body.min(), edge)
    for at, (many, power) in enumerate(zip(heavy.tolist(), falls.tolist(), strict=True)):
        taken = np.minimum(edge * generator.uniform(size=many) ** (-1.0 / power), most)
        means[at] += float((taken - edge).sum()) / size
    low, high = np.quantile(means, (_ALPHA, 1.0 - _ALPHA)).tolist()
    return Estimate(round(value, 1), min(low, value), max(high, value))


@dataclass(frozen=True, eq=False)
class _Looked:
    """What sampling for a while has shown.

    Args:
        records: Of the inputs that were sampled.
        failed: Number of those that could not be.
        seconds: Time it took.
        rate: Samples a second, and those of its slowest and fastest stretch.
        record: Bytes per input on disk.
    """

    records: list[Record]
    failed: int
    seconds: float
    rate: Estimate
    record: float

    @property
    def samples(self) -> list[Samples]:
        """What was sampled for each input."""
        return [record.samples for record in self.records if record.samples is not None]


def _look(run: Prepared, seconds: float) -> _Looked:
    """Begin inputs until the time is over, finish them, and count."""
    start = time.monotonic()
    drawn, marks = 0, [(0.0, 0)]

    def progress(samples: int) -> None:
        nonlocal drawn
        drawn += samples
        if (now := time.monotonic() - start) - marks[-1][0] >= seconds / _STRETCHES:
            marks.append((now, drawn))

    def tasks() -> Iterator[Task]:
        for count, position in enumerate(spread(len(run.data))):
            if count and time.monotonic() - start >= seconds:  # one in any case
                return
            yield Task(position)

    found = list(LocalEngine(run).records(tasks(), progress=progress))
    took = time.monotonic() - start
    sampled = [record for record in found if record.samples is not None]
    if not sampled:
        raise DataError(f"none of the {len(found)} inputs that were tried could be sampled: {found[0].error}")
    mean = drawn / took
    rates = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(marks)] or [mean]
    return _Looked(
        records=sampled,
        failed=len(found) - len(sampled),
        seconds=took,
        rate=Estimate(mean, min(mean, *rates), max(mean, *rates)),
        record=_record_bytes(run, sampled),
    )


def _record_bytes(run: Prepared, records: Sequence[Record]) -> float:
    """Bytes that one of these records takes in a part of many, its share of what a part has once included."""

    def size(some: Sequence[Record]) -> int:
        return len(encode_part(to_table(sorted(some, key=lambda record: record.index)), run.config))

    whole = size(records[:MERGE_EVERY])
    count = min(len(records), MERGE_EVERY)
    if count == 1:
        return float(whole)
    each = (whole - size(records[:1])) / (count - 1)
    return each + (whole - count * each) / MERGE_EVERY


def _fixed_cost(run: Prepared, looked: _Looked, *, n: int) -> Cost:
    config, each = run.config, run.config.n0 + run.config.n
    grown = (config.n / n) ** _growth(looked.samples)  # histograms fill up: more samples, more cells
    return Cost(
        question=None,
        inputs=len(run.data),
        looked_at=len(looked.records),
        samples=Estimate(each, each, each),
        rate=looked.rate,
        seconds=Estimate(each / looked.rate.value, each / looked.rate.high, each / looked.rate.low),
        record=Estimate(looked.record * math.sqrt(grown), looked.record, looked.record * grown),
        most=config.n0 + n,
    )


def _decided_cost(run: Prepared, looked: _Looked, *, cap: int, rate: Estimate) -> Cost:
    config, inputs = run.config, len(looked.records)
    n = np.array([samples.n for samples in looked.samples])
    settled = np.array([record.answer != UNDECIDED for record in looked.records])
    mean = mean_until_decided(n, settled, cap=cap, most=config.n, inputs=len(run.data))
    drawn = float(n.mean()) + config.n0
    # Looks and first batches cost time that full batches of one input do not.
    besides = max(0.0, looked.seconds / inputs - drawn / rate.value)
    samples = Estimate(mean.value + config.n0, mean.low + config.n0, mean.high + config.n0)
    return Cost(
        question=config.question,
        inputs=len(run.data),
        looked_at=inputs,
        samples=samples,
        rate=looked.rate,
        seconds=Estimate(
            besides + samples.value / rate.value, besides + samples.low / rate.high, besides + samples.high / rate.low
        ),
        record=Estimate(looked.record, looked.record, looked.record),
        most=config.n0 + cap,
    )


def _growth(samples: Iterable[Samples]) -> float:
    """Exponent with which cells of histograms fill up, from all the samples and a quarter of them."""
    whole = quarter = 0.0
    for one in samples:
        for stages in (*one.measures.values(), *one.lead):
            counts = stages.sample.to_sparse()[1]
            whole += len(counts)
            quarter += float(np.sum(1.0 - 0.75**counts))
    return math.log(whole / quarter) / math.log(4.0) if quarter > 0 else 0.0


def _with_options(run: Prepared, **options: Any) -> Prepared:
    """The same model and data, sampled otherwise."""
    spec = run.config.spec.vary(**options)
    config = replace(run.config, spec=spec, kind=SAMPLED if spec.sampling.decide is None else DECIDED)
    return replace(run, config=config)


def _without_question(run: Prepared) -> Prepared:
    if run.config.question is None:
        return _with_options(run, seed=_SEED)
    free = run.config.spec.vary(decide=None, max_n=None, n0=None, n=None).sampling.settled()
    return _with_options(run, decide=None, max_n=None, n0=free.n0, n=free.n, seed=_SEED)


def _with_question(run: Prepared) -> Prepared:
    if run.config.question is not None:
        return _with_options(run, seed=_SEED)
    sigma = run.config.sigma
    question = f"{SCORE.name}:0.5@{sigma}" if SCORE.name in run.config.measures else f"{CLASS}@{sigma}"
    free = run.config.spec.vary(decide=question, n=None, n0=None).sampling.settled()
    return _with_options(run, decide=question, n=None, n0=free.n0, max_n=free.max_n, seed=_SEED)


def _plain(value: object) -> object:
    return vars(value) if isinstance(value, Estimate) else value
