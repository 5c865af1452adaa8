"""The bounds table of an imported log: what its columns say and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa

from smoothcert._check import check_choice
from smoothcert.analysis.inputs import Inputs
from smoothcert.analysis.table import Askable, BoundsTable
from smoothcert.bounds import BOUNDS, exact_text
from smoothcert.errors import DataError
from smoothcert.scores import MEASURES
from smoothcert.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from smoothcert.runs import RunConfig

NO_CLASS = -1
_TOLERANCE = 1e-9  # 0.1 + 0.2 asks for the column of 0.3


class ImportedRun(Protocol):
    """What is read of an imported run."""

    @property
    def config(self) -> RunConfig:
        """What is known of how the log was made."""

    def tables(self) -> Iterator[pa.Table]:
        """The rows, by ascending index."""


class ImportedBounds(BoundsTable):
    """Bounds read from a published log.

    An abstained input has no certificate: its lower bounds are the lower end of the measure's range, which says
    nothing and is always true, and its class radius is 0. Numbers are taken as printed, so certified accuracies are
    those of the authors' scripts.

    Args:
        inputs: The inputs, one row each.
        lower: For each measure and bound, from radius to the bounds of all inputs, shape ``(inputs,)``.
        class_radius: Class radius of each input, or None if the log does not hold it.
        alpha: Failure probability the log was made at.
        sigma: Standard deviation of the noise, in input units.
        seconds: Time the authors' program took, 0 where not known.
        drawn: Samples it drew in that time.
    """

    def __init__(
        self,
        inputs: Inputs,
        *,
        lower: dict[tuple[str, str], dict[float, FloatArray]],
        class_radius: FloatArray | None,
        alpha: float,
        sigma: float,
        seconds: float = 0.0,
        drawn: int = 0,
    ) -> None:
        super().__init__(
            None, inputs, class_radius=class_radius, alpha=alpha, sigma=sigma, seconds=seconds, drawn=drawn
        )
        self._lower = lower
        grids = [frozenset(at) for at in lower.values()]
        self.answers = Askable(
            measures=tuple(m for m in MEASURES if any(measure == m for measure, _ in lower)),
            bounds=tuple(b for b in BOUNDS if any(bound == b for _, bound in lower)),
            radii=tuple(sorted(frozenset.intersection(*grids))) if grids else (),
            upper=False,
            smoothed=False,
            class_radius=class_radius is not None,
        )

    @classmethod
    def from_log(cls, run: ImportedRun) -> ImportedBounds:
        """Read the rows of an imported run.

        Raises:
            DataError: If there are none, because the import was interrupted.
        """
        parts = list(run.tables())
        if not parts:
            raise DataError("the imported run holds no row: its import was interrupted; import the log again")
        rows = pa.concat_tables(parts)
        known = rows["prediction"].is_valid().to_numpy()
        inputs = Inputs(
            indices=_integers(rows["index"]),
            ids=tuple(rows["id"].to_pylist()),
            labels=_integers(rows["label"]),
            predictions=_integers(rows["prediction"].fill_null(NO_CLASS)),
            abstained=np.asarray(~known, dtype=np.bool_),
            sizes=np.full(len(known), run.config.n, dtype=np.int64),
        )
        lower: dict[tuple[str, str], dict[float, FloatArray]] = {}
        for name in rows.column_names:
            if name.count(":") == 2:
                measure, bound, radius = name.split(":")
                values = rows[name].fill_null(MEASURES[measure].lower)
                lower.setdefault((measure, bound), {})[float(radius)] = _floats(values)
        held = "class_radius" in rows.column_names
        seconds = float(_floats(rows["seconds"]).sum())
        return cls(
            inputs,
            lower=lower,
            class_radius=_floats(rows["class_radius"].fill_null(0.0)) if held else None,
            alpha=float(run.config.alpha),
            sigma=float(run.config.sigma),
            seconds=seconds,
            drawn=len(inputs) * (run.config.n0 + run.config.n) if seconds > 0.0 else 0,
        )

    def ends(self, measure: str) -> tuple[float, float]:
        """Smallest and largest value of a measure that a log may hold."""
        return self._ranges[check_choice("measure", measure, tuple(self._ranges))]

    def class_radius(self) -> FloatArray:
        """Class radius of each input as printed; 0 where abstained.

        Raises:
            DataError: If the log holds bounds on a measure instead.
        """
        if self._class_radius is None:
            raise DataError(f"the imported log holds no class radii; it holds {self._held()}")
        return self._class_radius

    def smoothed(self, measure: str) -> FloatArray:
        """Not in any published log.

        Raises:
            DataError: Always.
        """
        raise DataError(f"the imported log does not hold the smoothed {measure} itself; it holds {self._held()}")

    def _bounds(self, side: str, measure: str, bounds: Sequence[str], radii: FloatArray) -> None:
        if side == "upper":
            raise DataError(f"the imported log holds no upper bounds; it holds {self._held()}")
        for bound in bounds:
            at = self._columns(measure, bound)
            values = np.stack([at[self._column(at, radius)] for radius in radii], axis=1)
            values.setflags(write=False)
            self._known[side, measure, bound, radii.tobytes()] = values

    def _radius(self, measure: str, bound: str, threshold: float, rows: int) -> FloatArray:
        """Largest radius of the log at which each input is above the threshold: certified, though not the largest."""
        if threshold < MEASURES[measure].lower:
            return np.full(rows, np.inf)
        at = self._columns(measure, bound)
        above = np.stack([values[:rows] > threshold for values in at.values()], axis=1)
        return np.asarray(np.where(above, np.array(list(at)), 0.0).max(axis=1), dtype=np.float64)

    def _columns(self, measure: str, bound: str) -> dict[float, FloatArray]:
        if (measure, bound) not in self._lower:
            raise DataError(f"the imported log holds no {bound} bound on the {measure}; it holds {self._held()}")
        return self._lower[measure, bound]

    def _column(self, at: dict[float, FloatArray], radius: float) -> float:
        for held in at:
            if abs(held - radius) <= _TOLERANCE:
                return held
        raise DataError(f"the imported log does not hold radius {exact_text(radius)}; it holds {self._held()}")

    def _held(self) -> str:
        held = []
        for measure in self.answers.measures:
            names = " and ".join(bound for found, bound in self._lower if found == measure)
            radii = ", ".join(exact_text(radius) for radius in self.answers.radii or ())
            held.append(f"{names} lower bounds on the {measure} at radii {radii}")
        if self._class_radius is not None:
            held.append("class radii, which answer the measure 'class' at any radius")
        return f"{' and '.join(held)}, all at alpha={exact_text(self.alpha)}"


def _integers(column: Any) -> IntArray:
    return np.asarray(column.to_numpy(), dtype=np.int64)


def _floats(column: Any) -> FloatArray:
    return np.asarray(column.to_numpy(), dtype=np.float64)
