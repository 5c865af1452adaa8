"""What is known of each input without a bound: a few numbers per input, whatever the run holds of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from smoothcert.bounds import class_radius
from smoothcert.histogram import grid_points
from smoothcert.runs.config import RunConfig
from smoothcert.runs.records import list_rows, pairs_in, ranges_in
from smoothcert.typing import FloatArray, IntArray


def input_columns(tables: Iterable[pa.Table], config: RunConfig) -> Iterator[dict[str, Any]]:
    """Columns of one value per input, table by table; see :meth:`smoothcert.runs.Run.to_pandas`.

    Args:
        tables: Records with all columns.
        config: The run's.
    """
    for table in tables:
        scalars = {
            name: table[name].to_pandas() if name in table.column_names else pa.nulls(table.num_rows).to_pandas()
            for name in ("index", "id", "label", "seconds", "error", "answer", "prediction")
        }
        n0, n = (_sums(table, f"{name}_counts") for name in ("pilot_votes", "votes"))
        sampled = n > 0
        radius = np.full(table.num_rows, np.nan)
        if sampled.any():
            own = _own_votes(table, scalars["prediction"])
            radius[sampled] = class_radius(own[sampled], n=n[sampled], sigma=float(config.sigma), alpha=config.alpha)
        yield {
            **{name: scalars[name] for name in ("index", "id", "label", "prediction")},
            "abstained": np.where(sampled, radius == 0.0, None),
            "class_radius": radius,
            "n0": n0,
            "n": n,
            **{name: scalars[name] for name in ("seconds", "error", "answer")},
            **{f"{name}_mean": values for name, values in _means(table, config.levels).items()},
        }


def _means(table: pa.Table, levels: int) -> dict[str, FloatArray]:
    """Mean of the estimation samples as stored: at most one step of the grid too low; NaN where there are none."""
    ranges = ranges_in(table.schema)
    found = {name: _mean(table, name, ends, levels) for name, ends in ranges.items()}
    leads = [_mean(table, f"lead_{pair}", (-1.0, 1.0), levels) for pair in range(pairs_in(table.schema))]
    if leads:
        found["lead"] = np.fmin.reduce(leads)
    return found


def _mean(table: pa.Table, name: str, ends: tuple[float, float], levels: int) -> FloatArray:
    points = grid_points(*ends, levels)
    pairs = zip(list_rows(table[f"{name}_sample_cells"]), list_rows(table[f"{name}_sample_counts"]), strict=True)
    return np.array([counts @ points[cells] / counts.sum() if len(counts) else np.nan for cells, counts in pairs])


def _sums(table: pa.Table, name: str) -> IntArray:
    return np.array([int(row.sum()) for row in list_rows(table[name])], dtype=np.int64)


def _own_votes(table: pa.Table, predictions: Any) -> IntArray:
    """Votes for the prediction of each input."""
    rows = zip(list_rows(table["votes_classes"]), list_rows(table["votes_counts"]), predictions, strict=True)
    return np.array([int(counts[classes == own].sum()) for classes, counts, own in rows], dtype=np.int64)
