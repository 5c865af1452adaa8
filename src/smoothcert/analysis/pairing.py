"""Which inputs of two runs are the same ones, and the difference of two fractions over them.

The one rule, for whatever compares runs: inputs are paired by their content (the hash of what the classifier saw) or,
where that pairs fewer, by id. Where a run does not hold contents, as a published log, index is the last resort. A pair
counts where both have a label (where a run has no labels at all: always). A pairing in which two labels disagree is not
about the same data and is dropped; so is one by index that fewer than ten inputs of at least two classes support.
Fractions are of all inputs that count in their own run, differences over the pairs; without pairs a difference is
unpaired.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from smoothcert.analysis.difference import FractionDifference, paired_difference, unpaired_difference
from smoothcert.analysis.inputs import BoolArray, Inputs
from smoothcert.typing import IntArray

CONTENT, ID, INDEX = "content", "id", "index"
_FEWEST_BY_INDEX = 10  # that so many labels agree is no coincidence


@dataclass(frozen=True, eq=False)
class Pairing:
    """The inputs that two runs share.

    Args:
        by: What they were found by, ``"content"``, ``"id"`` or ``"index"``; None where there are no pairs.
        first: Rows of the paired inputs in the first run, shape ``(pairs,)``.
        second: Rows of the same inputs in the second run, shape ``(pairs,)``.
        counted: How many inputs count in the first and in the second run.
        prepared_differently: Whether both runs hold contents and those of the pairs differ, as when one resized.
    """

    by: str | None
    first: IntArray
    second: IntArray
    counted: tuple[int, int]
    prepared_differently: bool = False

    @property
    def words(self) -> str:
        """How the inputs are paired.

        Example:
            >>> Pairing("content", np.arange(199), np.arange(199), (200, 199)).words
            'paired on 199 of 200 inputs, by content'
        """
        if self.by is None:
            return "unpaired: their inputs are not known to be the same, so the difference may be due to the inputs"
        found = f"paired on {self.first.size:,} of {max(self.counted):,} inputs, by {self.by}"
        return (
            f"{found}, though the classifiers saw them prepared in different ways" * self.prepared_differently or found
        )


def pair_inputs(first: Inputs, second: Inputs, *, labelled: bool = True) -> Pairing:
    """Find the inputs that two runs share.

    Args:
        first: Inputs of one run.
        second: Inputs of the other.
        labelled: Whether only inputs with labels count.
    """
    counts = [inputs.labelled if labelled else np.ones(len(inputs), dtype=np.bool_) for inputs in (first, second)]
    counted = (int(counts[0].sum()), int(counts[1].sum()))
    keys: dict[str, tuple[Sequence[Hashable], Sequence[Hashable]]] = {}
    if first.contents is not None and second.contents is not None:
        keys[CONTENT] = (first.contents, second.contents)
    keys[ID] = (first.ids, second.ids)
    if CONTENT not in keys:
        keys[INDEX] = (first.indices.tolist(), second.indices.tolist())
    best = Pairing(None, np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), counted)
    for by, (ours, theirs) in keys.items():
        if best.first.size == min(counted):  # every input that can be paired is
            break
        mine, others = _matches(ours, theirs)
        known = first.labelled[mine] & second.labelled[others]
        if np.any(known & (first.labels[mine] != second.labels[others])):
            continue
        both = counts[0][mine] & counts[1][others]
        mine, others = mine[both], others[both]
        weak = mine.size < _FEWEST_BY_INDEX or np.unique(first.labels[mine]).size < 2
        if mine.size > best.first.size and not (by == INDEX and weak):
            best = Pairing(by, mine, others, counted, prepared_differently=by == ID and CONTENT in keys)
    return best


def difference(first: BoolArray, second: BoolArray, pairing: Pairing) -> FractionDifference:
    """The second fraction minus the first, paired over the inputs both runs have.

    Args:
        first: Which inputs of the first run keep what is asked, shape ``(inputs,)``; only counted ones do.
        second: The same of the second run.
        pairing: The inputs the two share.
    """
    if pairing.by is None:
        return unpaired_difference(int(first.sum()), pairing.counted[0], int(second.sum()), pairing.counted[1])
    one, other = first[pairing.first], second[pairing.second]
    return paired_difference(
        only_first=int(np.sum(one & ~other)), only_second=int(np.sum(other & ~one)), inputs=one.size
    )


def _matches(ours: Sequence[Hashable], theirs: Sequence[Hashable]) -> tuple[IntArray, IntArray]:
    """Rows with equal keys; where a key is there several times, its n-th row here belongs to its n-th there."""
    places: dict[Hashable, list[int]] = defaultdict(list)
    for row in range(len(theirs) - 1, -1, -1):
        places[theirs[row]].append(row)
    pairs = [(row, places[key].pop()) for row, key in enumerate(ours) if places.get(key)]
    mine, others = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return mine, others
