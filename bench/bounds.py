"""How much each bound certifies, side by side at equal total budgets: ``make bench-bounds``.

Prints a table a distribution and, at the end, each target with what was reached.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from distributions import LEVELS, Distribution, real, synthetic

from smoothcert.bounds import cdf_lower, dual_lower, hoeffding_lower
from smoothcert.histogram import ScoreHistogram

ALPHA = 0.001
BUDGET, SMALL_BUDGET = 100_000, 4_000
PILOT_SHARE = 0.02
DRAWS = 20
SHIFTS = np.array([0.0, 0.5, 1.0, 2.0, 3.0, 4.0])


def histograms(source: Distribution, total: int, rng: np.random.Generator) -> tuple[ScoreHistogram, ScoreHistogram]:
    """A pilot and a sample of ``total`` scores together."""
    n0 = round(PILOT_SHARE * total)
    return tuple(  # type: ignore[return-value]
        ScoreHistogram(source.draw(n, rng), source.lower, source.upper) for n in (n0, total - n0)
    )


def mean_bounds(source: Distribution, total: int) -> dict[str, np.ndarray]:
    """Bounds averaged over draws; those of the paper get the whole budget as one sample."""
    rng = np.random.default_rng(0)
    rows: dict[str, list[np.ndarray]] = {"dual": [], "cdf": [], "hoeffding": []}
    for draw in range(DRAWS):
        pilot, sample = histograms(source, total, rng)
        whole = sample.merge(pilot)
        rows["dual"].append(dual_lower(pilot, sample, r=SHIFTS, alpha=ALPHA, seed=draw))
        rows["cdf"].append(cdf_lower(whole, r=SHIFTS, alpha=ALPHA))
        rows["hoeffding"].append(hoeffding_lower(whole, r=SHIFTS, alpha=ALPHA))
    return {name: np.mean(values, axis=0) for name, values in rows.items()}


def main() -> int:
    """Print the tables and the targets."""
    sources = synthetic() + real()
    step = {source.name: (source.upper - source.lower) / LEVELS for source in sources}
    known, bounds, small, limit, attained = {}, {}, {}, {}, {}
    print(f"lower bounds on the smoothed score, alpha = {ALPHA}, mean of {DRAWS} draws, r = R / sigma")
    print(f"dual and cdf: {BUDGET:,} samples in all; dual-4k: {SMALL_BUDGET:,} in all; known: distribution known")
    print("distance: from known to dual, less one grid level, as a multiple of the normal limit z sd / sqrt(n), and")
    print("of the distance to the certificate of the worst distribution that so many samples cannot rule out")
    for source in sources:
        known[source.name] = source.certificate(SHIFTS)
        bounds[source.name] = mean_bounds(source, BUDGET)
        small[source.name] = mean_bounds(source, SMALL_BUDGET)
        limit[source.name] = source.normal_limit(SHIFTS, n=BUDGET, alpha=ALPHA)
        print(f"\n{source.name:28s}" + "".join(f"{f'r = {r:g}':>9s}" for r in SHIFTS))
        rows = {**bounds[source.name], "dual-4k": small[source.name]["dual"], "known": known[source.name]}
        for name in ("hoeffding", "cdf", "dual-4k", "dual", "known"):
            print(f"  {name:26s}" + "".join(f"{value:9.4f}" for value in rows[name]))
        excess = (known[source.name] - bounds[source.name]["dual"] - step[source.name]) / limit[source.name]
        print(f"  {'distance / normal limit':26s}" + "".join(f"{value:9.2f}" for value in excess))
        reachable = np.array([source.information_limit(float(r), n=BUDGET, alpha=ALPHA) for r in SHIFTS])
        attained[source.name] = (known[source.name] - bounds[source.name]["dual"] - step[source.name]) / (
            known[source.name] - reachable
        )
        print(f"  {'distance / information':26s}" + "".join(f"{value:9.2f}" for value in attained[source.name]))
    confident = [s.name for s in sources if s.confident]
    others = [s.name for s in sources if not s.confident]
    gain = {s.name: bounds[s.name]["dual"] - bounds[s.name]["cdf"] for s in sources}
    closed = {name: gain[name] / (known[name] - bounds[name]["cdf"]) for name in confident}
    excess = {n: (known[n] - bounds[n]["dual"] - step[n]) / limit[n] for n in others}
    by_radius = np.array([closed[name] for name in confident])
    worst_small = min(float((small[n]["dual"] - bounds[n]["cdf"])[2:4].min()) for n in confident)
    targets = [
        ("dual - cdf, least over all", min(float(g.min()) for g in gain.values()), -0.002, None),
        ("dual - cdf at r >= 1, least over all", min(float(g[2:].min()) for g in gain.values()), 0.0, None),
        ("distance closed, confident, r = 1, 2", float(by_radius[:, 2:4].mean()), 0.90, None),
        ("distance closed, confident, r = 3", float(by_radius[:, 4].mean()), 0.74, None),
        ("dual with 4,000 - cdf with 100,000, r = 1, 2", worst_small, 0.0, None),
        ("distance / normal limit, others, synthetic", greatest(excess, "CIFAR", False), None, 1.3),
        ("distance / normal limit, others, CIFAR-10", greatest(excess, "CIFAR", True), None, 1.3),
        ("  the same at r <= 1", greatest({n: e[:3] for n, e in excess.items()}, "CIFAR", True), None, 1.3),
        ("milliseconds, dual, 7 radii, 10,000 levels", milliseconds(sources[0]), None, 5.0),
    ]
    missed = 0
    print()
    for what, value, at_least, at_most in targets:
        met = (at_least is None or value >= at_least) and (at_most is None or value <= at_most)
        missed += not met
        goal = f"at least {at_least:g}" if at_least is not None else f"at most {at_most:g}"
        print(f"{'met   ' if met else 'MISSED'}  {what:46s} {value:9.4f}   {goal}")
    print(f"{len(targets) - missed} of {len(targets)} targets met")
    return 0


def greatest(ratios: dict[str, np.ndarray], prefix: str, wanted: bool) -> float:
    """Largest ratio over the distributions whose names begin with a prefix, or do not."""
    return max((float(r.max()) for name, r in ratios.items() if name.startswith(prefix) == wanted), default=0.0)


def milliseconds(source: Distribution) -> float:
    """Median time of one input's dual bound at 7 radii from 100,000 samples."""
    pilot, sample = histograms(source, BUDGET, np.random.default_rng(1))
    times = []
    for _ in range(30):
        start = time.perf_counter()
        dual_lower(pilot, sample, r=np.linspace(0.0, 3.0, 7), alpha=ALPHA)
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times))


if __name__ == "__main__":
    sys.exit(main())
