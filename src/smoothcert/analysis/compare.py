"""Certified accuracies of several runs side by side, and their differences, paired where the inputs are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from smoothcert._check import check_radii
from smoothcert.analysis.bounds_table import BoolArray, BoundsTable, Inputs
from smoothcert.analysis.certified_accuracy import check_thresholds
from smoothcert.analysis.difference import Difference, paired_difference, unpaired_difference
from smoothcert.analysis.proportion import Proportion, proportion
from smoothcert.bounds import BOUNDS
from smoothcert.errors import DataError, InvalidArgumentError
from smoothcert.typing import FloatArray, IntArray

CLASS = "class"
"""Measure of Cohen et al.: the class itself is kept, at no threshold, by the Clopper-Pearson bound on the votes."""
CLASS_BOUND = "clopper_pearson"
_FEWEST_SHARED = 10  # inputs whose labels agree in both runs, where the ids are not the same


@dataclass(frozen=True)
class Contender:
    """One run by one bound: a line of the comparison.

    Args:
        run: Name of the run.
        bound: The bound.
    """

    run: str
    bound: str

    def __str__(self) -> str:
        """Run and bound."""
        return f"{self.run} ({self.bound})"


@dataclass(frozen=True)
class Comparison:
    """A contender's certified accuracy at one threshold and radius, and its difference from the first contender's.

    Args:
        contender: Whose it is.
        measure: ``"score"``, ``"margin"`` or ``"class"``.
        threshold: The confidence that must be kept; None for ``"class"``.
        radius: L2 radius in input units.
        accuracy: Certified accuracy over all its labelled inputs.
        difference: Certified accuracy minus the first contender's, over the inputs both have if these are the same;
            None for the first contender.
    """

    contender: Contender
    measure: str
    threshold: float | None
    radius: float
    accuracy: Proportion
    difference: Difference | None


@dataclass(frozen=True)
class Compared:
    """All that was compared.

    Args:
        measure: What had to be kept.
        contenders: The lines, the reference first.
        rows: One for each threshold, radius and contender, the contender changing fastest.
        notes: What could not be compared and how inputs were paired, a sentence each.
    """

    measure: str
    contenders: tuple[Contender, ...]
    rows: tuple[Comparison, ...]
    notes: tuple[str, ...]


def compare(
    tables: Sequence[BoundsTable],
    names: Sequence[str],
    *,
    measure: str = "score",
    bounds: Sequence[str] | None = None,
    radii: float | Sequence[float] | FloatArray,
    thresholds: float | Sequence[float] | FloatArray,
) -> Compared:
    """Compare certified accuracies; the first run by its first bound is what the others are compared with.

    Two runs are about the same inputs if every index they share has the same label in both and, unless the ids are the
    same too, at least ten are shared, so that it is no coincidence. Then the difference is over the shared inputs with
    a paired interval, else over all inputs with an unpaired one.

    Args:
        tables: Bounds of the runs.
        names: Their names, each once.
        measure: ``"score"``, ``"margin"`` or ``"class"``.
        bounds: Some of :data:`smoothcert.bounds.BOUNDS`; None for all of dual, cdf and hoeffding. A run is left out
            where it does not hold a bound, which the notes say.
        radii: Radii in input units, shape ``(radii,)`` or one number.
        thresholds: Thresholds of the confidence, shape ``(thresholds,)`` or one number; not used by ``"class"``.

    Raises:
        InvalidArgumentError: If an argument is outside its domain.
        DataError: If no run holds what is asked, a run has no labelled input, or an imported log not the radius.

    References:
        Tango (1998) for paired and Newcombe (1998) for unpaired intervals; see :mod:`smoothcert.analysis.difference`.
    """
    if not tables or len(tables) != len(names) or len(set(names)) != len(names):
        raise InvalidArgumentError(f"names must be one a run, each once; got {len(tables)} runs and {list(names)}")
    distances = check_radii(radii)
    cuts: list[float | None] = [None] if measure == CLASS else [float(cut) for cut in check_thresholds(thresholds)]
    for bound in bounds or ():
        if bound not in BOUNDS:
            raise InvalidArgumentError(f"bounds must be some of {', '.join(BOUNDS)}; got {bound!r}")
    lines, notes = _lines(tables, names, measure, bounds)
    for table in {id(table): table for _, table in lines}.values():
        table.require_labels("a comparison of certified accuracies")
    pairings = {id(table): _shared(lines[0][1].inputs, table.inputs) for _, table in lines}
    notes += _pairing_notes(lines, pairings)
    if len({table.alpha for _, table in lines}) > 1:
        alphas = dict.fromkeys(f"{line.run} {table.alpha:g}" for line, table in lines)
        notes.append(f"the failure probabilities alpha differ: {', '.join(alphas)}")
    rows = []
    for cut in cuts:
        kept = [_kept(table, measure, line.bound, cut, distances) for line, table in lines]
        for column, radius in enumerate(distances):
            first = kept[0][:, column]
            for position, (line, table) in enumerate(lines):
                own = kept[position][:, column]
                labelled = int(table.inputs.labelled.sum())
                difference = None
                if position > 0:
                    difference = _difference(first, lines[0][1].inputs, own, table.inputs, pairings[id(table)])
                accuracy = proportion(int(own.sum()), inputs=labelled)
                rows.append(Comparison(line, measure, cut, float(radius), accuracy, difference))
    return Compared(measure, tuple(line for line, _ in lines), tuple(rows), tuple(notes))


def _lines(
    tables: Sequence[BoundsTable], names: Sequence[str], measure: str, bounds: Sequence[str] | None
) -> tuple[list[tuple[Contender, BoundsTable]], list[str]]:
    lines, notes = [], []
    for table, name in zip(tables, names, strict=True):
        answers = table.answers
        if measure == CLASS:
            held = [CLASS_BOUND] if answers.class_radius else []
        elif measure in answers.measures:
            held = [bound for bound in bounds or ("dual", "cdf", "hoeffding") if bound in answers.bounds]
        else:
            held = []
        missing = [bound for bound in bounds or () if bound not in held] if measure != CLASS else []
        if not held:
            notes.append(f"{name} is left out: it does not hold {_asked(measure, bounds)}")
        elif missing:
            notes.append(f"{name} does not hold the {' and '.join(missing)} bound on the {measure}")
        lines += [(Contender(name, bound), table) for bound in held]
    if not lines:
        raise DataError(f"none of {', '.join(names)} holds {_asked(measure, bounds)}")
    return lines, notes


def _asked(measure: str, bounds: Sequence[str] | None) -> str:
    if measure == CLASS:
        return "class radii"
    named = f"the {' or '.join(bounds)} bound" if bounds else "bounds"
    return f"{named} on the {measure}"


def _shared(first: Inputs, second: Inputs) -> tuple[IntArray, IntArray] | None:
    """Rows of the labelled inputs both hold, or None if the two are not about the same data."""
    _, rows, other = np.intersect1d(first.indices, second.indices, assume_unique=True, return_indices=True)
    if np.any(first.labels[rows] != second.labels[other]):
        return None
    same_ids = [first.ids[row] for row in rows] == [second.ids[row] for row in other]
    if rows.size < _FEWEST_SHARED and not same_ids:
        return None
    both = first.labelled[rows]
    return (rows[both], other[both]) if both.any() else None


def _pairing_notes(
    lines: Sequence[tuple[Contender, BoundsTable]], pairings: dict[int, tuple[IntArray, IntArray] | None]
) -> list[str]:
    (reference, table), notes = lines[0], {}
    total = int(table.inputs.labelled.sum())
    for line, other in lines[1:]:
        if other is table:
            continue
        pairs = pairings[id(other)]
        own = int(other.inputs.labelled.sum())
        if pairs is None:
            notes[line.run] = (
                f"{line.run} is not about the inputs of {reference.run}: indices or labels differ, so its differences "
                "are unpaired and may be due to the inputs"
            )
        elif not pairs[0].size == own == total:
            notes[line.run] = (
                f"{line.run} shares {pairs[0].size} inputs with {reference.run}, which has {total}, and has {own}: its "
                "differences are over the shared ones"
            )
    return list(notes.values())


def _kept(table: BoundsTable, measure: str, bound: str, cut: float | None, radii: FloatArray) -> BoolArray:
    """Which inputs are right and keep what is asked, shape ``(inputs, radii)``."""
    right = table.inputs.right[:, None]
    if cut is None:
        return np.asarray(right & (table.class_radius()[:, None] >= radii), dtype=np.bool_)
    return np.asarray(right & (table.lower(measure=measure, bound=bound, radii=radii) > cut), dtype=np.bool_)


def _difference(
    first: BoolArray, inputs: Inputs, second: BoolArray, others: Inputs, pairs: tuple[IntArray, IntArray] | None
) -> Difference:
    if pairs is None:
        return unpaired_difference(
            int(first.sum()), int(inputs.labelled.sum()), int(second.sum()), int(others.labelled.sum())
        )
    one, other = first[pairs[0]], second[pairs[1]]
    return paired_difference(
        only_first=int(np.sum(one & ~other)), only_second=int(np.sum(other & ~one)), inputs=one.size
    )
