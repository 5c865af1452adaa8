"""One input's share of a run, and its exact image in Parquet.

A histogram of thousands of cells holds a few hundred to a few thousand that are not empty, so each is stored
as two sparse list columns, ``*_cells`` (ascending) and ``*_counts``. Delta encoding and zstd bring the four
histograms of one input to a few kilobytes. The columns are plain enough to be read by any Parquet reader.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from smoothcert.errors import RunError
from smoothcert.histogram import ScoreHistogram
from smoothcert.samples import Samples, StageHistograms
from smoothcert.scores import MEASURES, Measure
from smoothcert.typing import AnyArray, IntArray

_STAGES = ("pilot", "sample")
_VOTES = ("pilot_votes", "votes")
HISTOGRAMS = tuple(f"{measure}_{stage}" for measure in MEASURES for stage in _STAGES)
"""Names of the sparse histograms; each stands for a column of cells and one of counts."""

_SCALARS = [
    pa.field("index", pa.int64(), nullable=False),
    pa.field("id", pa.string(), nullable=False),
    pa.field("label", pa.int64()),
    pa.field("seconds", pa.float64(), nullable=False),
    pa.field("error", pa.string()),
    pa.field("answer", pa.string()),
    pa.field("prediction", pa.int64()),
    pa.field("num_classes", pa.int64()),
    pa.field("sigma", pa.float64()),
    pa.field("seed", pa.int64()),
    pa.field("levels", pa.int64()),
    pa.field("content_hash", pa.string()),
]
SCALARS = tuple(field.name for field in _SCALARS)
"""Names of the columns that are one value an input."""


def _list_fields(name: str, where: str) -> list[pa.Field]:
    return [
        pa.field(f"{name}_{where}", pa.list_(pa.int32())),
        pa.field(f"{name}_counts", pa.list_(pa.int64())),
    ]


SCHEMA = pa.schema(
    [
        *_SCALARS,
        *(field for name in _VOTES for field in _list_fields(name, "classes")),
        *(field for name in HISTOGRAMS for field in _list_fields(name, "cells")),
    ]
)
"""Columns of a part; the four histograms and two votes are sparse and null where the input was skipped."""

_LEAVES = {name: f"{name}.list.element" for name in SCHEMA.names if pa.types.is_list(SCHEMA.field(name).type)}
_POSITIONS = [leaf for name, leaf in _LEAVES.items() if not name.endswith("_counts")]
_DICTIONARY = [leaf for leaf in (_LEAVES.get(name, name) for name in SCHEMA.names) if leaf not in _POSITIONS]


@dataclass(frozen=True, eq=False)
class Record:
    """What a run holds about one input.

    Args:
        index: Position of the input in its source, before limit and stride.
        id: Stable name of the input.
        label: Its class, or None if unknown.
        seconds: Time spent on it.
        samples: What was sampled, or None if the input was skipped.
        error: Why it was skipped, or None.
        answer: In a decided run ``"certified"``, ``"refuted"`` or ``"undecided"``.

    Raises:
        RunError: Unless exactly one of ``samples`` and ``error`` is given.
    """

    index: int
    id: str
    label: int | None
    seconds: float
    samples: Samples | None
    error: str | None = None
    answer: str | None = None

    def __post_init__(self) -> None:
        """Check that the record says either what was sampled or why nothing was."""
        if (self.samples is None) == (self.error is None):
            raise RunError(f"the record of input {self.index} ({self.id}) must hold either samples or an error")


def to_table(records: Sequence[Record]) -> pa.Table:
    """Records as an Arrow table with the columns of :data:`SCHEMA`."""
    columns: dict[str, pa.Array] = {}
    for field in _SCALARS:
        columns[field.name] = pa.array([_scalar(record, field.name) for record in records], type=field.type)
    for name in _VOTES:
        pairs = [None if r.samples is None else _sparse(getattr(r.samples, name)) for r in records]
        columns[f"{name}_classes"], columns[f"{name}_counts"] = _list_columns(pairs)
    for name in HISTOGRAMS:
        pairs = [None if r.samples is None else _histogram(r.samples, name).to_sparse() for r in records]
        columns[f"{name}_cells"], columns[f"{name}_counts"] = _list_columns(pairs)
    return pa.Table.from_arrays([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def to_parquet(table: pa.Table, *, compact: bool = True) -> bytes:
    """The table as one Parquet file in memory, so that only one plain write meets the disk.

    Args:
        table: Columns of :data:`SCHEMA`.
        compact: Whether to spend time on making it small; not worth it for a record that is merged soon.
    """
    sink = io.BytesIO()
    pq.write_table(
        table,
        sink,
        compression="zstd" if compact else "snappy",
        use_dictionary=_DICTIONARY if compact else False,
        column_encoding=dict.fromkeys(_POSITIONS, "DELTA_BINARY_PACKED"),
        write_statistics=False,
    )
    return sink.getvalue()


def from_table(table: pa.Table) -> Iterator[Record]:
    """Records of a table with the columns of :data:`SCHEMA`; the inverse of :func:`to_table`."""
    scalars = {name: table[name].to_pylist() for name in SCALARS if name in table.column_names}
    scalars.setdefault("answer", [None] * table.num_rows)  # a column that the first runs lack
    lists = {name: list_rows(table[name]) for name in _LEAVES}
    for row in range(table.num_rows):
        at = {name: values[row] for name, values in scalars.items()}
        samples = None
        if at["error"] is None:
            samples = _samples(at, {name: rows[row] for name, rows in lists.items()})
        yield Record(at["index"], at["id"], at["label"], at["seconds"], samples, at["error"], at["answer"])


def list_rows(column: pa.ChunkedArray) -> list[AnyArray]:
    """Rows of a list column as NumPy arrays; an empty one where the row is null."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):  # no chunk at all
        return []
    offsets = array.offsets.to_numpy()
    values = array.values.to_numpy(zero_copy_only=False)
    return [values[start:end] for start, end in pairwise(offsets.tolist())]


def _scalar(record: Record, name: str) -> object:
    if hasattr(record, name):
        return getattr(record, name)
    if record.samples is None:
        return None
    return record.samples.score.sample.levels if name == "levels" else getattr(record.samples, name)


def _histogram(samples: Samples, name: str) -> ScoreHistogram:
    measure, stage = name.split("_")
    histogram: ScoreHistogram = getattr(samples.measure(measure), stage)
    return histogram


def _sparse(votes: IntArray) -> tuple[IntArray, IntArray]:
    classes = np.flatnonzero(votes)
    return classes, votes[classes]


def _list_columns(pairs: Sequence[tuple[IntArray, IntArray] | None]) -> tuple[pa.Array, pa.Array]:
    sizes = [0 if pair is None else len(pair[0]) for pair in pairs]
    offsets = pa.array(np.concatenate(([0], np.cumsum(sizes))).astype(np.int32))
    missing = pa.array([pair is None for pair in pairs], type=pa.bool_())
    present = [pair for pair in pairs if pair is not None]
    positions, counts = (
        np.concatenate([pair[side] for pair in present]) if present else np.empty(0, np.int64) for side in (0, 1)
    )
    return (
        pa.ListArray.from_arrays(offsets, pa.array(positions.astype(np.int32)), mask=missing),
        pa.ListArray.from_arrays(offsets, pa.array(counts.astype(np.int64)), mask=missing),
    )


def _samples(at: dict[str, Any], lists: dict[str, AnyArray]) -> Samples:
    def votes(name: str) -> IntArray:
        dense = np.zeros(at["num_classes"], dtype=np.int64)
        dense[lists[f"{name}_classes"]] = lists[f"{name}_counts"]
        return dense

    def stages(measure: Measure) -> StageHistograms:
        pilot, sample = (
            ScoreHistogram.from_sparse(
                lists[f"{measure.name}_{stage}_cells"],
                lists[f"{measure.name}_{stage}_counts"],
                lower=measure.lower,
                upper=measure.upper,
                levels=at["levels"],
            )
            for stage in _STAGES
        )
        return StageHistograms(pilot, sample)

    return Samples(
        prediction=at["prediction"],
        sigma=at["sigma"],
        seed=at["seed"],
        content_hash=at["content_hash"],
        pilot_votes=votes("pilot_votes"),
        votes=votes("votes"),
        measures={measure.name: stages(measure) for measure in MEASURES.values()},
    )
