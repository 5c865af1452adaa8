"""Score distributions whose certificate is known without smoothcert: closed forms, and quadrature to about 1e-9.

``theta(r)`` is the least smoothed value any shift of ``r`` standard deviations can leave if only the distribution
``S`` of the score is known: ``a + integral of Phi(Phi^-1(S(t)) - r) dt``. Negative ``r`` gives the greatest value.
Probabilities near 1 are kept as their complements throughout.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import beta as beta_law

from smoothcert.histogram import ScoreHistogram


class Law(ABC):
    """A distribution of scores in ``[lower, upper]``."""

    lower: float = 0.0
    upper: float = 1.0

    @abstractmethod
    def tails(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``P(X >= t)`` and ``P(X < t)``, each accurate where it is small."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Samples, shape ``(size,)``."""

    def breaks(self) -> Sequence[float]:
        """Where the survival function jumps."""
        return ()

    def theta(self, r: float) -> float:
        nodes, weights = np.polynomial.legendre.leggauss(6)
        cuts = np.unique([self.lower, *self.breaks(), self.upper])
        total = self.lower
        for left, right in itertools.pairwise(cuts):
            # Panels shrink towards both ends of a piece: the survival function may be steep there.
            ladder = np.concatenate(([0.0], np.geomspace(1e-12, 0.5, 700)))
            ends = left + (right - left) * np.concatenate((ladder, 1.0 - ladder[-2::-1]))
            half = 0.5 * np.diff(ends)[:, None]
            t = 0.5 * (ends[:-1] + ends[1:])[:, None] + half * nodes
            above, below = self.tails(t)
            total += float(np.sum(half * weights * _shift(above, below, r)))
        return total

    def histogram(self, rng: np.random.Generator, size: int, levels: int) -> ScoreHistogram:
        return ScoreHistogram.from_samples(self.draw(rng, size), lower=self.lower, upper=self.upper, levels=levels)


def _shift(above: np.ndarray, below: np.ndarray, r: float) -> np.ndarray:
    with np.errstate(divide="ignore"):
        z = np.where(above < 0.5, ndtri(np.minimum(above, 0.5)), -ndtri(np.minimum(below, 0.5)))
    return ndtr(z - r)


@dataclass(frozen=True)
class Probit(Law):
    """Linear classifier with a probit score, noise of standard deviation 1: the certificate is attained."""

    u: float
    tau: float

    def tails(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        z = self.u - self.tau * ndtri(t)
        return ndtr(z), ndtr(-z)

    def theta(self, r: float) -> float:
        return float(ndtr((self.u - r) / np.hypot(self.tau, 1.0)))

    def baseline(self, r: float) -> float:
        """What the mean alone certifies."""
        return float(ndtr(self.u / np.hypot(self.tau, 1.0) - r))

    def draw(self, rng: np.random.Generator, size: int) -> np.ndarray:
        return ndtr((self.u + rng.standard_normal(size)) / self.tau)


@dataclass(frozen=True)
class Beta(Law):
    a: float
    b: float

    def tails(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        law = beta_law(self.a, self.b)
        return law.sf(t), law.cdf(t)

    def draw(self, rng: np.random.Generator, size: int) -> np.ndarray:
        return rng.beta(self.a, self.b, size)


@dataclass(frozen=True)
class Atoms(Law):
    """Finitely many values; the certificate is a finite sum."""

    values: tuple[float, ...]
    masses: tuple[float, ...]
    lower: float = 0.0
    upper: float = 1.0

    def theta(self, r: float) -> float:
        order = np.argsort(self.values)
        values, masses = np.asarray(self.values)[order], np.asarray(self.masses)[order]
        below = np.concatenate(([0.0], np.cumsum(masses)[:-1]))
        above = np.cumsum(masses[::-1])[::-1]
        gaps = np.diff(values, prepend=self.lower)
        return self.lower + float(gaps @ _shift(above, below, r))

    def tails(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at_least = np.asarray(self.values) >= np.asarray(t)[..., None]
        masses = np.asarray(self.masses)
        return (at_least * masses).sum(axis=-1), (~at_least * masses).sum(axis=-1)

    def breaks(self) -> Sequence[float]:
        return self.values

    def draw(self, rng: np.random.Generator, size: int) -> np.ndarray:
        return rng.choice(np.asarray(self.values), size=size, p=np.asarray(self.masses))

    def histogram(self, rng: np.random.Generator, size: int, levels: int) -> ScoreHistogram:
        return self.counted(rng.multinomial(size, self.masses), levels)

    def counted(self, counts: Sequence[int], levels: int) -> ScoreHistogram:
        """Histogram with the given number of samples at each value."""
        one = ScoreHistogram.empty(lower=self.lower, upper=self.upper, levels=levels)
        cells = np.searchsorted(one.points, self.values, side="right") - 1
        dense = np.zeros(levels + 1, dtype=np.int64)
        np.add.at(dense, cells, np.asarray(counts))
        return ScoreHistogram(dense, self.lower, self.upper)


@dataclass(frozen=True)
class Mixture(Law):
    parts: tuple[Law, ...]
    masses: tuple[float, ...]

    def tails(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        tails = [part.tails(t) for part in self.parts]
        return (
            sum(m * above for m, (above, _) in zip(self.masses, tails, strict=True)),
            sum(m * below for m, (_, below) in zip(self.masses, tails, strict=True)),
        )

    def breaks(self) -> Sequence[float]:
        return [b for part in self.parts for b in part.breaks()]

    def draw(self, rng: np.random.Generator, size: int) -> np.ndarray:
        sizes = rng.multinomial(size, self.masses)
        return rng.permutation(np.concatenate([p.draw(rng, k) for p, k in zip(self.parts, sizes, strict=True)]))


def survival_integral(shift: Callable[[float], float], survival: Sequence[float], ends: Sequence[float]) -> float:
    """The paper's sum, one threshold after another: ``sum (s_{i+1} - s_i) g(p_{i+1})``."""
    total = ends[0]
    for left, right, p in zip(ends[:-1], ends[1:], survival, strict=True):
        total += (right - left) * shift(p)
    return total
