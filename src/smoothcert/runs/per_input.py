"""What is known of each input without a bound: a few numbers per input, whatever the run holds of it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from smoothcert._check import check_alpha, check_price
from smoothcert.bounds import TopVotes
from smoothcert.histogram import grid_points
from smoothcert.runs.config import DECIDED, RunConfig
from smoothcert.runs.records import SCHEMA, list_rows, one_array, pairs_in, ranges_in, select_columns
from smoothcert.typing import FloatArray, IntArray

_KEPT = ("index", "id", "label", "prediction", "seconds", "error", "answer", "clean_prediction")


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
    certified = sampled & (config.kind != DECIDED)  # samples that stopped when an answer was there bound nothing
    radius = np.full(table.num_rows, np.nan)
    if certified.any():
        rows = table.filter(pa.array(certified))
        radius[certified] = class_radii(rows, sigma=float(config.sigma), alpha=config.alpha)
    return pa.table(
        {
            **{name: kept[name] for name in _KEPT[:4]},
            "abstained": pa.array(radius == 0.0, mask=~certified),
            "class_radius": pa.array(radius, mask=~certified),
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


def class_radii(table: pa.Table, *, sigma: float, alpha: float) -> FloatArray:
    """Class radius of each input, paid for its offset and its noise; see ``smoothcert.bounds.TopVotes``.

    Args:
        table: Records of inputs that were sampled: predictions, votes, and offset and price where the run has them.
        sigma: Standard deviation of the noise, in input units.
        alpha: Failure probability of each radius, in ``(0, 1/2]``.

    Returns:
        Shape ``(inputs,)``; 0 where abstained.
    """
    rows = table.num_rows
    offset, price = (
        table[name].fill_null(0.0).to_numpy() if name in table.column_names else np.zeros(rows)
        for name in ("offset", "price")
    )
    votes = [_top_votes(table, stage) for stage in ("pilot_votes", "votes")]
    radii = np.empty(rows)
    for spent in np.unique(price):  # one for all inputs of a size
        some = price == spent
        (pilot, pilot_rival, n0), (sample, rival, n) = ((counts[some] for counts in stage) for stage in votes)
        top = TopVotes(pilot=pilot, pilot_rival=pilot_rival, n0=n0, sample=sample, sample_rival=rival, n=n)
        left = check_alpha(alpha) - check_price(float(spent), alpha=alpha)
        radii[some] = top.class_radius(sigma=sigma, alpha=left, offset=offset[some])
    return radii


def _top_votes(table: pa.Table, stage: str) -> tuple[IntArray, IntArray, IntArray]:
    """Of each input: votes for the prediction, most votes for another class, and all votes."""
    classes, counts = (one_array(table[f"{stage}_{side}"]) for side in ("classes", "counts"))
    row = np.repeat(np.arange(table.num_rows), np.diff(counts.offsets.to_numpy()))
    # Flattened, and not the values as they are: a slice of a column shares those of the whole.
    votes = counts.flatten().to_numpy()
    own = classes.flatten().to_numpy() == table["prediction"].to_numpy()[row]
    most = np.zeros(table.num_rows, dtype=np.int64)
    np.maximum.at(most, row[~own], votes[~own])
    return (
        np.bincount(row[own], votes[own], table.num_rows).astype(np.int64),
        most,
        np.bincount(row, votes, table.num_rows).astype(np.int64),
    )
