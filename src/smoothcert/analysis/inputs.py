"""The inputs of a run: what is known about each of them, whatever is asked later."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from smoothcert.typing import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]
NO_LABEL = -1


@dataclass(frozen=True)
class SkippedInput:
    """An input that could not be read, and why."""

    id: str
    reason: str


@dataclass(frozen=True, eq=False)
class Inputs:
    """What is known about each certified input, whatever is asked later. All arrays have shape ``(inputs,)``.

    Args:
        indices: Position in the data set.
        ids: Stable name in the data set.
        labels: Class the input has; ``NO_LABEL`` where the data set does not say.
        predictions: Class the certificates are about.
        abstained: Whether the smoothed classifier gives no class; its class radius is 0 there.
        contents: SHA-256 of each input as the classifier saw it; None for a published log, which does not say.
        sizes: Number of estimation samples; they may differ in a run that is growing.
        skipped: Inputs that could not be read; they have no row.
        clean: Class the base classifier gives without noise; ``NO_LABEL`` where the run does not say.
        one_draw: Part of the noisy samples that are given the label; NaN where that is not known.
    """

    indices: IntArray
    ids: tuple[str, ...]
    labels: IntArray
    predictions: IntArray
    abstained: BoolArray
    sizes: IntArray
    contents: tuple[str, ...] | None = None
    skipped: tuple[SkippedInput, ...] = ()
    clean: IntArray | None = None
    one_draw: FloatArray | None = None

    def __len__(self) -> int:
        """Number of certified inputs."""
        return len(self.ids)

    def at(self, rows: IntArray) -> Inputs:
        """Some of them, in the order of their rows."""
        some: dict[str, Any] = {}
        for one in fields(self):
            values = getattr(self, one.name)
            if isinstance(values, np.ndarray):
                some[one.name] = values[rows]
            elif isinstance(values, tuple) and one.name != "skipped":
                some[one.name] = tuple(values[row] for row in rows)
        return replace(self, **some)

    @property
    def labelled(self) -> BoolArray:
        """Which inputs have a label."""
        return np.asarray(self.labels != NO_LABEL, dtype=np.bool_)

    @property
    def has_labels(self) -> bool:
        """Whether any input has a label. Without, fractions are of inputs certified, right or wrong."""
        return bool(self.labelled.any())

    @property
    def counted(self) -> BoolArray:
        """Which inputs a fraction is of: those with a label, or all where none has one."""
        return self.labelled if self.has_labels else np.ones(len(self), dtype=np.bool_)

    @property
    def countable(self) -> BoolArray:
        """Which inputs a certificate counts for: those that are right or, where none has a label, not abstained on."""
        return self.right if self.has_labels else ~self.abstained

    @property
    def predicted_right(self) -> BoolArray:
        """Which predictions equal the label, abstained or not; False without a label."""
        return np.asarray(self.labelled & (self.predictions == self.labels), dtype=np.bool_)

    @property
    def right(self) -> BoolArray:
        """Which inputs are classified right: predicted right and not abstained."""
        return np.asarray(self.predicted_right & ~self.abstained, dtype=np.bool_)
