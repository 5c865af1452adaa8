"""Certified accuracies of several runs side by side, and their differences, paired where the inputs are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from smoothcert._check import check_radii
from smoothcert.analysis.certified_accuracy import CLASS, CLASS_BOUND, check_thresholds, kept_inputs
from smoothcert.analysis.difference import FractionDifference
from smoothcert.analysis.pairing import Pairing, difference, pair_inputs
from smoothcert.analysis.proportion import Proportion, proportion
from smoothcert.analysis.table import DEFAULT_BOUNDS, BoundsTable
from smoothcert.bounds import BOUNDS, exact_text
from smoothcert.errors import DataError, InvalidArgumentError
from smoothcert.typing import FloatArray


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
        measure: ``"class"`` or a measure of the runs.
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
    difference: FractionDifference | None


@dataclass(frozen=True)
class Compared:
    """All that was compared.

    Args:
        measure: What had to be kept.
        contenders: The lines, the reference first.
        rows: One for each threshold, radius and contender, the contender changing fastest.
        notes: How inputs are paired and what could not be compared, a sentence each.
        labelled: Whether the fractions are of inputs that are right; if not, of inputs certified, right or wrong.
    """

    measure: str
    contenders: tuple[Contender, ...]
    rows: tuple[Comparison, ...]
    notes: tuple[str, ...]
    labelled: bool = True


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

    Which inputs count is the rule of :mod:`smoothcert.analysis.certified_accuracy`, how those of two runs are paired
    that of :mod:`smoothcert.analysis.pairing`; the notes say how many were. If the inputs of one run have no labels,
    all fractions are of inputs certified, right or wrong.

    Args:
        tables: Bounds of the runs.
        names: Their names, each once.
        measure: ``"class"`` or a measure of the runs.
        bounds: Some of :data:`smoothcert.bounds.BOUNDS`; None for all of dual, cdf and hoeffding. A run is left out
            where it does not hold a bound, which the notes say.
        radii: Radii in input units, shape ``(radii,)`` or one number.
        thresholds: Thresholds of the confidence, shape ``(thresholds,)`` or one number; not used by ``"class"``.

    Raises:
        InvalidArgumentError: If an argument is outside its domain.
        DataError: If no run holds what is asked, a run has no certified input, or an imported log not the radius.

    References:
        Tango (1998) for paired and Newcombe (1998) for unpaired intervals; see :mod:`smoothcert.analysis.difference`.
    """
    if not tables or len(tables) != len(names) or len(set(names)) != len(names):
        raise InvalidArgumentError(f"names must be one per run, each once; got {len(tables)} runs and {list(names)}")
    distances = check_radii(radii)
    cuts: list[float | None] = [None] if measure == CLASS else [float(cut) for cut in check_thresholds(thresholds)]
    for bound in bounds or ():
        if bound not in BOUNDS:
            raise InvalidArgumentError(f"bounds must be some of {', '.join(BOUNDS)}; got {bound!r}")
    lines, notes = _lines(tables, names, measure, bounds)
    held = {id(table): table for _, table in lines}.values()
    for table in held:
        table.require_inputs()
    labelled = all(table.inputs.has_labels for table in held)
    pairings = {id(table): pair_inputs(lines[0][1].inputs, table.inputs, labelled=labelled) for table in held}
    notes = [*_pairing_notes(lines, pairings), *notes]
    if not labelled:
        notes.append("a run has no labels, so every fraction is of inputs certified, right or wrong")
    if len({table.alpha for table in held}) > 1:
        alphas = dict.fromkeys(f"{line.run} {exact_text(table.alpha)}" for line, table in lines)
        notes.append(f"the failure probabilities alpha differ: {', '.join(alphas)}")
    rows = []
    for cut in cuts:
        kept = [
            kept_inputs(table, measure=measure, bound=line.bound, threshold=cut, radii=distances, labelled=labelled)
            for line, table in lines
        ]
        for column, radius in enumerate(distances):
            first = kept[0][:, column]
            for position, (line, table) in enumerate(lines):
                own, pairing = kept[position][:, column], pairings[id(table)]
                accuracy = proportion(int(own.sum()), inputs=pairing.counted[1])
                apart = difference(first, own, pairing) if position > 0 else None
                rows.append(Comparison(line, measure, cut, float(radius), accuracy, apart))
    return Compared(measure, tuple(line for line, _ in lines), tuple(rows), tuple(notes), labelled)


def _lines(
    tables: Sequence[BoundsTable], names: Sequence[str], measure: str, bounds: Sequence[str] | None
) -> tuple[list[tuple[Contender, BoundsTable]], list[str]]:
    lines, notes = [], []
    for table, name in zip(tables, names, strict=True):
        answers = table.answers
        if measure == CLASS:
            held = [CLASS_BOUND] if answers.class_radius else []
        elif measure in answers.measures:
            held = [bound for bound in bounds or DEFAULT_BOUNDS if bound in answers.bounds]
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


def _pairing_notes(lines: Sequence[tuple[Contender, BoundsTable]], pairings: dict[int, Pairing]) -> list[str]:
    reference, table = lines[0]
    others = {line.run: pairings[id(other)] for line, other in lines[1:] if other is not table}
    return [f"{run} and {reference.run} are {pairing.words}" for run, pairing in others.items()]
