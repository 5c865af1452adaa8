"""Runs at several sigmas: which sigma certifies most at each radius, and whether the best one grows with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from smoothcert._check import check_radii, check_threshold
from smoothcert.analysis.certified_accuracy import CLASS, CLASS_BOUND, kept_inputs
from smoothcert.analysis.pairing import Pairing, difference, pair_inputs
from smoothcert.analysis.proportion import Proportion, proportion
from smoothcert.analysis.table import BoundsTable, common_bound
from smoothcert.errors import InvalidArgumentError
from smoothcert.typing import FloatArray


@dataclass(frozen=True)
class SweepPoint:
    """All sigmas at one radius.

    Args:
        radius: L2 radius in input units.
        accuracies: Certified accuracy at each sigma of the sweep.
        best: Sigma with the highest one, the smallest of those equal; None where none certifies an input.
        tied: Other sigmas these inputs do not tell from the best: the 95% interval of the difference holds 0. Paired
            over the inputs two runs share; not corrected for the number of sigmas.
    """

    radius: float
    accuracies: tuple[Proportion, ...]
    best: float | None
    tied: tuple[float, ...] = ()


@dataclass(frozen=True)
class Sweep:
    """Certified accuracy of several sigmas over the radius.

    The best sigma is picked on the inputs it is then reported for, so its accuracy is a little optimistic.

    Args:
        measure: ``"class"`` or a measure of the runs.
        bound: The bound that certified.
        threshold: The confidence that must be kept; None for ``"class"``.
        sigmas: Standard deviations of the noise, ascending.
        points: One for each radius, ascending.
        notes: How the inputs of the runs are paired and what their fractions are of, a sentence each.
        labelled: Whether the fractions are of inputs that are right; if not, of inputs certified, right or wrong.
    """

    measure: str
    bound: str
    threshold: float | None
    sigmas: tuple[float, ...]
    points: tuple[SweepPoint, ...]
    notes: tuple[str, ...] = ()
    labelled: bool = True

    @property
    def grows(self) -> bool | None:
        """Whether the best sigma never falls as the radius grows, as far as these inputs tell.

        So it is if at each radius a sigma can be picked that is the best or not told from it, and no smaller than those
        picked before. None if one sigma is the best wherever there is one.
        """
        held = [(point.best, *point.tied) for point in self.points if point.best is not None]
        if len({best for best, *_ in held}) < 2:
            return None
        reached = 0.0
        for good in held:
            reached = min((sigma for sigma in good if sigma >= reached), default=np.inf)
        return bool(np.isfinite(reached))

    @property
    def _in_order(self) -> bool:
        best = [sigma for sigma, _, _ in self.ranges]
        return best == sorted(best)

    @property
    def ranges(self) -> list[tuple[float, float, float]]:
        """Stretches of radii with the same best sigma: that sigma, the first radius and the last."""
        found: list[tuple[float, float, float]] = []
        for point in self.points:
            if point.best is None:
                continue
            if found and found[-1][0] == point.best:
                found[-1] = (point.best, found[-1][1], point.radius)
            else:
                found.append((point.best, point.radius, point.radius))
        return found

    @property
    def rule(self) -> str:
        """What the sweep says about the rule of thumb that the best sigma grows with the radius."""
        named = [
            f"sigma {sigma:g} " + (f"at radius {low:g}" if low == high else f"from radius {low:g} to {high:g}")
            for sigma, low, high in self.ranges
        ]
        if not named:
            return "no sigma certifies an input at any of these radii"
        verdict = {
            True: "the best sigma grows with the radius" + ("" if self._in_order else ", as far as these inputs tell"),
            False: "the best sigma does not simply grow with the radius",
            None: "one sigma is the best at every radius that is certified",
        }[self.grows]
        return f"{verdict}: {', '.join(named)}"


def sweep(
    tables: Sequence[BoundsTable],
    *,
    radii: float | Sequence[float] | FloatArray,
    measure: str = "score",
    bound: str | None = None,
    threshold: float = 0.5,
) -> Sweep:
    """Certified accuracy over the radius for runs that differ in sigma.

    Which inputs count is the rule of :mod:`smoothcert.analysis.certified_accuracy`, how those of two runs are paired
    that of :mod:`smoothcert.analysis.pairing`; the notes say how many were.

    Args:
        tables: Bounds of the runs, each at a sigma of its own.
        radii: Radii in input units, shape ``(radii,)`` or one number.
        measure: ``"class"`` or a measure of the runs.
        bound: One of :data:`smoothcert.bounds.BOUNDS`; None for the first of dual, cdf, hoeffding that all hold.
        threshold: The confidence that must be kept; not used by ``"class"``.

    Raises:
        InvalidArgumentError: If there are fewer than two runs, two have the same sigma, or an argument is outside its
            domain.
        DataError: If a run has no certified input, or does not hold what is asked.

    References:
        Cohen et al. (2019), Section 4: sigma trades accuracy at small radii for reach at large ones,
        https://arxiv.org/abs/1902.02918.
    """
    ordered = sorted(tables, key=lambda table: table.sigma)
    sigmas = [table.sigma for table in ordered]
    if len(sigmas) < 2 or len(set(sigmas)) != len(sigmas):
        raise InvalidArgumentError(
            "runs must be at least two, each at another sigma; got sigma "
            + (", ".join(f"{sigma:g}" for sigma in sigmas) or "of no run")
        )
    distances = np.unique(check_radii(radii))
    cut = None if measure == CLASS else check_threshold(threshold)
    by = CLASS_BOUND if measure == CLASS else bound or common_bound(ordered)
    for table in ordered:
        table.require_inputs()
    labelled = all(table.inputs.has_labels for table in ordered)
    pairings = {
        (i, j): pair_inputs(ordered[i].inputs, ordered[j].inputs, labelled=labelled)
        for i in range(len(ordered))
        for j in range(len(ordered))
        if i != j
    }
    kept = [
        kept_inputs(table, measure=measure, bound=by, threshold=cut, radii=distances, labelled=labelled)
        for table in ordered
    ]
    counted = [pairings[i, (i + 1) % len(ordered)].counted[0] for i in range(len(ordered))]
    points = []
    for position, radius in enumerate(distances):
        own = [rows[:, position] for rows in kept]
        accuracies = tuple(proportion(int(row.sum()), inputs=n) for row, n in zip(own, counted, strict=True))
        first = int(np.argmax([accuracy.value for accuracy in accuracies]))
        if accuracies[first].count == 0:
            points.append(SweepPoint(float(radius), accuracies, None))
            continue
        tied = tuple(
            sigma
            for other, sigma in enumerate(sigmas)
            if other != first and difference(own[other], own[first], pairings[other, first]).ci_low <= 0.0
        )
        points.append(SweepPoint(float(radius), accuracies, sigmas[first], tied))
    notes = _pairing_notes(sigmas, pairings)
    if not labelled:
        notes.append("a run has no labels, so every fraction is of inputs certified, right or wrong")
    return Sweep(measure, by, cut, tuple(sigmas), tuple(points), tuple(notes), labelled)


def _pairing_notes(sigmas: Sequence[float], pairings: dict[tuple[int, int], Pairing]) -> list[str]:
    """One sentence where all pairs of runs are paired alike, else one for each."""
    words = {(i, j): pairings[i, j].words for i, j in combinations(range(len(sigmas)), 2)}
    if len(set(words.values())) == 1:
        return [f"runs are {next(iter(words.values()))}"]
    return [f"sigma {sigmas[i]:g} and {sigmas[j]:g} are {said}" for (i, j), said in words.items()]
