"""What is known of each input without a bound: a few numbers per input, whatever the run holds of it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from smoothcert.bounds import class_radius
from smoothcert.histogram import grid_points
from smoothcert.runs.config import RunConfig
from smoothcert.runs.records import SCHEMA, list_rows, pairs_in, ranges_in, select_columns
from smoothcert.typing import FloatArray, IntArray

_KEPT = ("index", "id", "label", "prediction", "seconds", "error", "answer")


def input_table(tables: Iterable[pa.Table], config: RunConfig) -> pa.Table:
    """One row per input; see :meth:`smoothcert.runs.Run.per_input` for the columns.

    Args:
        tables: Records with all columns.
        config: The run's.
    """
    found = [_columns(table, config) for table in tables]
    return pa.concat_tables(found or [_columns(SCHEMA.empty_table(), config)], promote_options="default")


def _columns(table: pa.Table, config: RunConfig) -> pa.Table:
    kept = select_columns(table, _KEPT)
    n0, n = (_sums(table, f"{name}_counts") for name in ("pilot_votes", "votes"))
    sampled = n > 0
    radius = np.full(table.num_rows, np.nan)
    if sampled.any():
        own = _own_votes(table, kept["prediction"].to_pylist())
        radius[sampled] = class_radius(own[sampled], n=n[sampled], sigma=float(config.sigma), alpha=config.alpha)
    return pa.table(
        {
            **{name: kept[name] for name in _KEPT[:4]},
            "abstained": pa.array(radius == 0.0, mask=~sampled),
            "class_radius": pa.array(radius, mask=~sampled),
            "n0": n0,
            "n": n,
            **{name: kept[name] for name in _KEPT[4:]},
            **{f"{name}_mean": pa.array(values, mask=~sampled) for name, values in _means(table, config).items()},
        }
    )


def _means(table: pa.Table, config: RunConfig) -> dict[str, FloatArray]:
    """Mean of the estimation samples as stored: at most one step of the grid too low; NaN where there are none."""
    ranges = ranges_in(table.schema)
    found = {name: _mean(table, name, ends, config.levels) for name, ends in ranges.items()}
    leads = [_mean(table, f"lead_{pair}", (-1.0, 1.0), config.levels) for pair in range(pairs_in(table.schema))]
    if leads:
        found["lead"] = np.fmin.reduce(leads)
    return found


def _mean(table: pa.Table, name: str, ends: tuple[float, float], levels: int) -> FloatArray:
    points = grid_points(*ends, levels)
    pairs = zip(list_rows(table[f"{name}_sample_cells"]), list_rows(table[f"{name}_sample_counts"]), strict=True)
    means = [counts @ points[cells] / counts.sum() if len(counts) else np.nan for cells, counts in pairs]
    return np.array(means, dtype=np.float64)


def _sums(table: pa.Table, name: str) -> IntArray:
    return np.array([int(row.sum()) for row in list_rows(table[name])], dtype=np.int64)


def _own_votes(table: pa.Table, predictions: list[int | None]) -> IntArray:
    """Votes for the prediction of each input."""
    rows = zip(list_rows(table["votes_classes"]), list_rows(table["votes_counts"]), predictions, strict=True)
    return np.array([int(counts[classes == own].sum()) for classes, counts, own in rows], dtype=np.int64)
