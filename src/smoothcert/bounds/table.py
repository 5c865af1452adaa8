"""The table of bounds: what each is called, what it needs and holds over, and how many inputs are bounded at once.

Everything that treats one bound unlike another reads it here. A new bound is one entry and one file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol, TypeAlias

import numpy as np

from smoothcert._check import check_alpha, check_count, check_price, check_radii, check_sigma, check_threshold
from smoothcert.bounds.cdf import cdf_lower_many, clopper_pearson_cdf_lower_many
from smoothcert.bounds.deal import mirrored_seed
from smoothcert.bounds.dual import dual_lower_many, dual_shift_above
from smoothcert.bounds.hoeffding import hoeffding_lower_many
from smoothcert.bounds.shift import LARGEST_SHIFT
from smoothcert.bounds.stack import Histograms, HistogramStack
from smoothcert.errors import InvalidArgumentError
from smoothcert.typing import FloatArray

LARGEST_ROOT = 64.0  # in units of sigma; beyond it float64 cannot tell any probability from 0
Over: TypeAlias = Literal["radii", "thresholds"]


class LowerOfMany(Protocol):
    """Lower bounds of many inputs on one grid."""

    def __call__(
        self, pilots: HistogramStack, samples: HistogramStack, *, r: FloatArray, alpha: float, seeds: Sequence[int]
    ) -> FloatArray:
        """Bounds at radii in units of sigma, shape ``(inputs, radii)``."""


class ShiftAbove(Protocol):
    """Certified radius of one input."""

    def __call__(
        self, threshold: float, *, pilot: HistogramStack, sample: HistogramStack, alpha: float, seed: int
    ) -> float:
        """Largest shift, in units of sigma, up to which the certificate is above the threshold."""


@dataclass(frozen=True, kw_only=True)
class Bound:
    """One bound on the smoothed value of a measure.

    Args:
        name: What it is asked for by.
        label: What a legend calls it.
        lower_of_many: Computes it; an upper bound is a lower bound on the mirrored score.
        simultaneous_over: What all the statements about one input hold together over, at no cost in alpha.
        needs_pilot: Whether the pilot tunes it. The others ignore the pilot.
        shift_above: Finds the certified radius of a threshold; None where one statement covers all radii, so that the
            radius is where the bound falls to the threshold.
        chunk: Inputs that are bounded at once: enough to spread the overhead of a call, few enough for the cache.
    """

    name: str
    label: str
    lower_of_many: LowerOfMany
    simultaneous_over: tuple[Over, ...]
    needs_pilot: bool
    chunk: int
    shift_above: ShiftAbove | None = None

    @property
    def holds(self) -> str:
        """What a statement holds for, in words."""
        if "radii" in self.simultaneous_over:
            return "for each input by itself, for all radii and thresholds together"
        return "for each input and radius by itself, and for all thresholds at that radius together"

    def statements(self, radii: int) -> int:
        """How many statements bounds at so many radii are: what alpha is divided by to make them hold together."""
        return 1 if "radii" in self.simultaneous_over else check_count("radii", radii)


def _of_samples(function: Callable[..., FloatArray]) -> LowerOfMany:
    def lower(
        pilots: HistogramStack, samples: HistogramStack, *, r: FloatArray, alpha: float, seeds: Sequence[int]
    ) -> FloatArray:
        return function(samples, r=r, alpha=alpha)

    return lower


TABLE: Mapping[str, Bound] = {
    bound.name: bound
    for bound in (
        Bound(
            name="dual",
            label="dual (this package)",
            lower_of_many=dual_lower_many,
            simultaneous_over=("thresholds",),
            needs_pilot=True,
            chunk=32,
            shift_above=dual_shift_above,
        ),
        Bound(
            name="cdf",
            label="CDF (Kumar et al. 2020)",
            lower_of_many=_of_samples(cdf_lower_many),
            simultaneous_over=("radii", "thresholds"),
            needs_pilot=False,
            chunk=128,
        ),
        Bound(
            name="hoeffding",
            label="baseline (mean only)",
            lower_of_many=_of_samples(hoeffding_lower_many),
            simultaneous_over=("radii", "thresholds"),
            needs_pilot=False,
            chunk=128,
        ),
        Bound(
            name="clopper_pearson",
            label="CDF, Clopper-Pearson band",
            lower_of_many=_of_samples(clopper_pearson_cdf_lower_many),
            simultaneous_over=("radii", "thresholds"),
            needs_pilot=False,
            chunk=128,
        ),
    )
}
BOUNDS = tuple(TABLE)
"""Names of the bounds."""


def bound_named(name: str) -> Bound:
    """The bound of this name.

    Raises:
        InvalidArgumentError: If there is none; the message lists those there are.

    Example:
        >>> bound_named("dual").simultaneous_over
        ('thresholds',)
    """
    if name not in TABLE:
        raise InvalidArgumentError(f"bound must be one of {', '.join(BOUNDS)}; got {name!r}")
    return TABLE[name]


def lower_bounds(
    pilots: Histograms,
    samples: Histograms,
    *,
    radii: float | Sequence[float] | FloatArray,
    sigma: float,
    alpha: float,
    bound: str = "dual",
    seeds: Sequence[int] | None = None,
    offsets: Sequence[float] | FloatArray | None = None,
    prices: Sequence[float] | FloatArray | None = None,
) -> FloatArray:
    """Certified lower bounds of many inputs; each row as :meth:`ScoreCertificate.lower` gives it.

    Works in chunks, so that memory beyond the histograms and the result is bounded.

    Args:
        pilots: Pilot histograms on one grid, one per input.
        samples: Estimation histograms on the same grid, one per input.
        radii: L2 radii in input units, shape ``(radii,)``.
        sigma: Standard deviation of the noise, in input units.
        alpha: Failure probability of each statement.
        bound: One of ``BOUNDS``.
        seeds: Of the deal of the dual bound, one per input, each as :func:`deal_seed` makes it; None for 0.
        offsets: L2 distances from the inputs to the points that were sampled around, one per input: every radius is
            measured from the input and so grows by it. None for 0.
        prices: Parts of ``alpha`` that are spent already, one per input, such as how far the noise may be from Gaussian
            in total variation. None for 0.

    Returns:
        Shape ``(inputs, radii)``.

    Raises:
        InvalidArgumentError: If an argument is outside its domain.
    """
    chosen, level, scale = bound_named(bound), check_alpha(alpha), check_sigma(sigma)
    asked = check_radii(radii)
    rows = [np.empty((0, asked.size))]
    for some in _chunks(pilots, samples, seeds, offsets, prices, size=chosen.chunk):
        with np.errstate(over="ignore"):  # of radii near the largest float64
            shifts = np.minimum((asked + some.offset) / scale, LARGEST_SHIFT)
        rows.append(
            chosen.lower_of_many(some.pilots, some.samples, r=shifts, alpha=some.left_of(level), seeds=some.seeds)
        )
    return np.concatenate(rows)


def upper_bounds(
    pilots: Histograms,
    samples: Histograms,
    *,
    radii: float | Sequence[float] | FloatArray,
    sigma: float,
    alpha: float,
    bound: str = "dual",
    seeds: Sequence[int] | None = None,
    offsets: Sequence[float] | FloatArray | None = None,
    prices: Sequence[float] | FloatArray | None = None,
) -> FloatArray:
    """Certified upper bounds of many inputs: the mirror of :func:`lower_bounds`, with the same arguments.

    The deal has :func:`mirrored_seed` of each seed.
    """
    own = [mirrored_seed(seed) for seed in _seeds(seeds, len(samples))]
    lower = partial(
        lower_bounds,
        radii=radii,
        sigma=sigma,
        alpha=alpha,
        bound=bound,
        seeds=own,
        offsets=offsets,
        prices=prices,
    )
    if len(samples) == 0:
        return lower(pilots, samples)
    bet_on, drawn = HistogramStack.of(pilots), HistogramStack.of(samples)
    mirrored = bet_on.mirrored if bound_named(bound).needs_pilot else bet_on
    return drawn.lower + drawn.upper - lower(mirrored, drawn.mirrored)


def certified_radii(
    pilots: Histograms,
    samples: Histograms,
    *,
    threshold: float,
    sigma: float,
    alpha: float,
    bound: str = "dual",
    seeds: Sequence[int] | None = None,
    offsets: Sequence[float] | FloatArray | None = None,
    prices: Sequence[float] | FloatArray | None = None,
) -> FloatArray:
    """Certified radii of a threshold of many inputs; each as :meth:`ScoreCertificate.radius` gives it.

    Args:
        pilots: Pilot histograms on one grid, one per input.
        samples: Estimation histograms on the same grid, one per input.
        threshold: The value to stay above.
        sigma: Standard deviation of the noise, in input units.
        alpha: Failure probability of each statement.
        bound: One of ``BOUNDS``.
        seeds: As for :func:`lower_bounds`.
        offsets: As for :func:`lower_bounds`; radii shrink by them, not below 0.
        prices: As for :func:`lower_bounds`.

    Returns:
        Shape ``(inputs,)``, in input units; ``inf`` if the threshold lies below the range of the measure.

    Raises:
        InvalidArgumentError: If an argument is outside its domain.
    """
    chosen, least, level = bound_named(bound), check_threshold(threshold), check_alpha(alpha)
    scale = check_sigma(sigma)
    found = []
    for one in _chunks(pilots, samples, seeds, offsets, prices, size=1):
        if least < one.samples.lower:
            shift = math.inf
        elif chosen.shift_above is not None:
            [seed] = one.seeds
            shift = chosen.shift_above(least, pilot=one.pilots, sample=one.samples, alpha=one.left_of(level), seed=seed)
        else:
            lower = partial(chosen.lower_of_many, one.pilots, one.samples, alpha=one.left_of(level), seeds=one.seeds)
            shift = _root(lower, least)
        found.append(max(scale * shift - one.offset, 0.0))
    return np.asarray(found, dtype=np.float64)


@dataclass(frozen=True)
class _Chunk:
    """Consecutive inputs that share offset and price."""

    pilots: HistogramStack
    samples: HistogramStack
    seeds: Sequence[int]
    offset: float
    price: float

    def left_of(self, alpha: float) -> float:
        """What the price leaves of alpha."""
        return alpha - check_price(self.price, alpha=alpha)


def _chunks(
    pilots: Histograms,
    samples: Histograms,
    seeds: Sequence[int] | None,
    offsets: Sequence[float] | FloatArray | None,
    prices: Sequence[float] | FloatArray | None,
    *,
    size: int,
) -> Iterator[_Chunk]:
    """The inputs, at most ``size`` at a time."""
    inputs = len(samples)
    if len(pilots) != inputs:
        raise InvalidArgumentError(f"pilots and samples must pair up; got {len(pilots)} and {inputs}")
    deals = _seeds(seeds, inputs)
    away, paid = _per_input("offsets", offsets, inputs), _per_input("prices", prices, inputs)
    if inputs == 0:
        return
    bet_on, drawn = HistogramStack.of(pilots), HistogramStack.of(samples)
    start = 0
    while start < inputs:
        near = slice(start, start + size)
        same = (away[near] == away[start]) & (paid[near] == paid[start])
        some = slice(start, start + (int(np.argmin(same)) or same.size))
        yield _Chunk(bet_on[some], drawn[some], deals[some], float(away[start]), float(paid[start]))
        start = some.stop


def _per_input(name: str, values: Sequence[float] | FloatArray | None, inputs: int) -> FloatArray:
    array = np.zeros(inputs) if values is None else np.asarray(values, dtype=np.float64)
    if array.shape != (inputs,) or not np.all(np.isfinite(array) & (array >= 0.0)):
        raise InvalidArgumentError(f"{name} must be finite and at least 0, one per input; got {values!r}")
    return array


def _seeds(seeds: Sequence[int] | None, inputs: int) -> Sequence[int]:
    if seeds is None:
        return [0] * inputs
    if len(seeds) != inputs:
        raise InvalidArgumentError(f"seeds must be one per input; got {len(seeds)} for {inputs} inputs")
    return [check_count("seed", seed, at_least=0) for seed in seeds]


def _root(lower: Callable[..., FloatArray], threshold: float) -> float:
    """Largest ``r`` with ``lower(r) > threshold``, for a non-increasing ``lower``; never above the true one.

    Args:
        lower: Maps ``r``, radii in units of sigma of shape ``(radii,)``, to bounds of shape ``(1, radii)``.
        threshold: The value to stay above.

    Returns:
        In units of sigma, to an absolute precision of 1e-9 from below; 0.0 if not even ``lower(0) > threshold``, and
        ``inf`` if the bound never falls to the threshold.
    """
    inside, outside = 0.0, LARGEST_ROOT
    first, last = lower(r=np.array([inside, outside]))[0]
    if not first > threshold:
        return 0.0
    if last > threshold:
        return math.inf
    while outside - inside > 1e-9:
        # 15 radii at once divide the interval by 16: the same work as a bisection in a quarter of the calls.
        grid = np.linspace(inside, outside, 17)
        above = lower(r=grid[1:-1])[0] > threshold
        last_above = int(np.argmin(above)) if not above.all() else 15
        inside, outside = float(grid[last_above]), float(grid[last_above + 1])
    return inside


def split_alpha(
    alpha: float, *, radii: int = 1, thresholds: int = 1, measures: int = 1, sides: int = 1, inputs: int = 1
) -> float:
    """Failure probability of each statement, so that all of them hold together with probability ``1 - alpha``.

    The union bound: ``alpha`` divided by the number of statements. Count only what a bound is not simultaneous over
    already: the CDF, Clopper-Pearson and Hoeffding bounds need no split over radii and thresholds.

    Args:
        alpha: Failure probability of the statements together, in ``(0, 1/2]``.
        radii: Number of radii.
        thresholds: Number of thresholds, where each has its own certified radius.
        measures: 2 for score and margin.
        sides: 2 for lower and upper bounds.
        inputs: Number of inputs, to claim a whole data set. Without it expect up to ``alpha * inputs`` wrong inputs.

    Raises:
        InvalidArgumentError: If a count is not a positive integer or ``alpha`` is outside its domain.

    Example:
        >>> round(split_alpha(0.001, radii=5, measures=2), 6)
        0.0001
    """
    total = 1
    counts = {"radii": radii, "thresholds": thresholds, "measures": measures, "sides": sides, "inputs": inputs}
    for name, count in counts.items():
        total *= check_count(name, count)
    return check_alpha(alpha) / total
