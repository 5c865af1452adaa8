"""Distributions of scores on which the bounds are compared: each a probability for every grid point, known exactly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats
from scipy.special import ndtr, ndtri

LEVELS = 10_000
REAL_SCORES = Path(__file__).parent / "data" / "cifar10_scores.npz"


@dataclass(frozen=True)
class Distribution:
    """Scores on the grid of a measure, floored to it."""

    name: str
    masses: np.ndarray  # (LEVELS + 1,)
    lower: float = 0.0
    upper: float = 1.0
    confident: bool = False

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Counts of ``n`` samples, shape ``(LEVELS + 1,)``."""
        return rng.multinomial(n, self.masses)

    def certificate(self, r: np.ndarray) -> np.ndarray:
        """Certificate with the distribution known, shape ``(radii,)``."""
        survival = np.cumsum(self.masses[::-1])[::-1][1:].clip(0.0, 1.0)
        width = (self.upper - self.lower) / LEVELS
        return self.lower + width * ndtr(ndtri(survival)[:, None] - r).sum(axis=0)

    def normal_limit(self, r: np.ndarray, *, n: int, alpha: float) -> np.ndarray:
        """``z_alpha sd(psi) / sqrt(n)`` with the best linearization, shape ``(radii,)``."""
        survival = np.cumsum(self.masses[::-1])[::-1][1:].clip(1e-300, 1.0 - 1e-16)
        slope = np.exp(ndtri(survival)[:, None] * r - r * r / 2)
        width = (self.upper - self.lower) / LEVELS
        psi = np.concatenate((np.zeros((1, r.size)), np.cumsum(slope * width, axis=0)))
        mean = self.masses @ psi
        return stats.norm.isf(alpha) * np.sqrt(self.masses @ (psi - mean) ** 2 / n)

    def information_limit(self, r: float, *, n: int, alpha: float) -> float:
        """Smallest certificate of a distribution that ``n`` samples cannot tell from this one at level ``alpha``.

        The least ``Theta_r(Q)`` with ``n KL(self | Q) <= z_alpha^2 / 2``, where ``Q`` may put mass on the lowest score
        though no sample is ever seen there. A bound that holds for every distribution cannot lie above it for long.
        It agrees with the normal limit where that one applies; where what matters is rarer than ``1 / n``, the normal
        limit promises what nobody can certify.
        """
        delta = stats.norm.isf(alpha) ** 2 / (2 * n)
        masses = self.masses.copy()
        masses[0] += 1e-3 * delta  # a place for unseen mass
        masses /= masses.sum()
        worst = masses
        for _ in range(15):
            survival = np.cumsum(worst[::-1])[::-1][1:].clip(1e-300, 1.0 - 1e-16)
            slope = ndtri(survival) * r
            drop = np.append(np.cumsum(np.exp(slope - slope.max())[::-1])[::-1], 0.0)
            value = 1.0 - drop / drop[0]
            low, high = -20.0, 40.0
            for _ in range(40):
                middle = 0.5 * (low + high)
                inverse = 1.0 / (1.0 + np.exp(middle) * value)
                growth = np.log(masses @ inverse) - masses @ np.log(inverse)
                low, high = (middle, high) if growth < delta else (low, middle)
            inverse = 1.0 / (1.0 + np.exp(low) * value)
            worst = 0.5 * worst + 0.5 * masses * inverse / (masses @ inverse)
        return float(Distribution("", worst / worst.sum(), self.lower, self.upper).certificate(np.array([r]))[0])


def from_survival(name: str, survival: object, *, confident: bool = False) -> Distribution:
    """Floor a distribution on [0, 1] to the grid."""
    points = np.append(np.linspace(0.0, 1.0, LEVELS + 1), 2.0)
    at_or_above = np.asarray(survival(points), dtype=np.float64)  # type: ignore[operator]
    at_or_above[0], at_or_above[-1] = 1.0, 0.0
    masses = np.maximum(-np.diff(at_or_above), 0.0)
    return Distribution(name, masses / masses.sum(), confident=confident)


def beta(a: float, b: float, *, confident: bool = False) -> Distribution:
    """Beta(a, b)."""
    return from_survival(f"Beta({a:g}, {b:g})", stats.beta(a, b).sf, confident=confident)


def synthetic() -> list[Distribution]:
    """The four confident distributions and the hard ones."""
    mixture = ((0.90, stats.beta(60, 0.5)), (0.09, stats.beta(5, 3)), (0.01, stats.beta(1, 20)))
    atoms = np.zeros(LEVELS + 1)
    atoms[0], atoms[-1] = 0.001, 0.999
    return [
        beta(20, 1, confident=True),
        beta(5, 1, confident=True),
        beta(8, 0.3, confident=True),
        beta(60, 0.5, confident=True),
        beta(0.5, 0.2),
        beta(2, 2),
        Distribution("atoms {0: .001, 1: .999}", atoms),
        from_survival("mixture with a far tail", lambda t: sum(w * part.sf(t) for w, part in mixture)),
    ]


def real() -> list[Distribution]:
    """Scores and margins of CIFAR-10 test images under a noise-trained ResNet-20, as sampled once; none if absent."""
    if not REAL_SCORES.exists():
        return []
    stored = np.load(REAL_SCORES)
    found = []
    for key in sorted(stored.files):
        measure, image = key.split("_", 1)
        counts = stored[key].astype(np.float64)
        lower = 0.0 if measure == "score" else -1.0
        found.append(Distribution(f"CIFAR-10 {image} {measure}", counts / counts.sum(), lower=lower))
    return found
