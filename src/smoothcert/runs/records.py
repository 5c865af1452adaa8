"""One input's share of a run, and its exact image in Parquet.

A histogram of thousands of cells holds a few hundred to a few thousand that are not empty, so each is stored
as two sparse list columns, ``*_cells`` (ascending) and ``*_counts``. Delta encoding and zstd bring the histograms of
one input to a few kilobytes. The columns are plain enough to be read by any Parquet reader, and say themselves what
they hold: there is a set for each measure of the run, with its range in the metadata, and one per pair of the lead.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from smoothcert.errors import RunError
from smoothcert.histogram import ScoreHistogram
from smoothcert.samples import Samples, StageHistograms
from smoothcert.scores import MARGIN, SCORE
from smoothcert.typing import AnyArray, IntArray

STAGES = ("pilot", "sample")
VOTES = ("pilot_votes", "votes")
RIVALS = "rivals"
CHECKSUM = "checksum"
_LEAD_RANGE = (-1.0, 1.0)
_LEAD = re.compile(r"lead_(\d+)")
_HISTOGRAM = re.compile(r"(.+)_(?:pilot|sample)_(?:cells|counts)")

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
    pa.field("offset", pa.float64()),
    pa.field("step", pa.float64()),
    pa.field("price", pa.float64()),
    pa.field("clean_prediction", pa.int64()),
]
SCALARS = tuple(field.name for field in _SCALARS)
"""Names of the columns that are one value per input."""
_LATER = frozenset({"answer", "offset", "step", "price", "clean_prediction"})  # columns that the first runs lack


def _list_fields(name: str, where: str, ends: tuple[float, float] | None = None) -> list[pa.Field]:
    metadata = None if ends is None else {"lower": repr(float(ends[0])), "upper": repr(float(ends[1]))}
    return [
        pa.field(f"{name}_{where}", pa.list_(pa.int32()), metadata=metadata),
        pa.field(f"{name}_counts", pa.list_(pa.int64()), metadata=metadata),
    ]


def make_schema(ranges: Mapping[str, tuple[float, float]], *, pairs: int = 0) -> pa.Schema:
    """Columns of a table of records, without the checksum that the store adds.

    Args:
        ranges: Smallest and largest value of each measure, by its name.
        pairs: Pairs of the lead; 0 where it was not sampled.

    Example:
        >>> make_schema({"score": (0.0, 1.0)}, pairs=1).names[-9:-4]
        ['score_pilot_cells', 'score_pilot_counts', 'score_sample_cells', 'score_sample_counts', 'rivals']
    """
    leads = {f"lead_{pair}": _LEAD_RANGE for pair in range(pairs)}
    return pa.schema(
        [
            *_SCALARS,
            *(field for name in VOTES for field in _list_fields(name, "classes")),
            *_histogram_fields(ranges),
            *([pa.field(RIVALS, pa.list_(pa.int32()))] if pairs else []),
            *_histogram_fields(leads),
        ]
    )


def _histogram_fields(ranges: Mapping[str, tuple[float, float]]) -> list[pa.Field]:
    return [
        field
        for name, ends in ranges.items()
        for stage in STAGES
        for field in _list_fields(f"{name}_{stage}", "cells", ends)
    ]


SCHEMA = make_schema({measure.name: (measure.lower, measure.upper) for measure in (SCORE, MARGIN)})
"""Columns of a run of the two usual measures; histograms and votes are sparse, and null where the input was skipped."""


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
    """Records as an Arrow table with the columns of :func:`make_schema`.

    Raises:
        RunError: If the records were not sampled with the same measures.
    """
    sampled = [record.samples for record in records if record.samples is not None]
    first = sampled[0].measures if sampled else {}
    for record in records:
        if record.samples is not None and tuple(record.samples.measures) != tuple(first):
            raise RunError(
                f"input {record.index} was sampled with the measures {', '.join(record.samples.measures)}, "
                f"others of the run with {', '.join(first)}"
            )
    ranges = {name: _ends(stages) for name, stages in first.items()}
    pairs = max((len(samples.lead) for samples in sampled), default=0)
    schema = make_schema(ranges, pairs=pairs)
    columns: dict[str, pa.Array] = {}
    for field in _SCALARS:
        columns[field.name] = pa.array([_scalar(record, field.name) for record in records], type=field.type)
    whole = [record.samples for record in records]
    for name in VOTES:
        columns.update(
            _sparse_columns(name, "classes", [None if s is None else _sparse(getattr(s, name)) for s in whole])
        )
    for name in first:
        for stage in STAGES:
            found = [None if s is None else getattr(s.measures[name], stage).to_sparse() for s in whole]
            columns.update(_sparse_columns(f"{name}_{stage}", "cells", found))
    for pair in range(pairs):
        for stage in STAGES:
            found = [
                None if s is None or len(s.lead) <= pair else getattr(s.lead[pair], stage).to_sparse() for s in whole
            ]
            columns.update(_sparse_columns(f"lead_{pair}_{stage}", "cells", found))
    if pairs:
        columns[RIVALS] = pa.array([None if s is None else list(s.rivals) for s in whole], type=pa.list_(pa.int32()))
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def to_parquet(table: pa.Table, *, compact: bool = True) -> bytes:
    """The table as one Parquet file in memory, so that only one plain write meets the disk.

    Args:
        table: Records, or whatever columns the kind of run has.
        compact: Whether to spend time on making it small; not worth it for a record that is merged soon.
    """
    leaves = {
        field.name: f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name
        for field in table.schema
    }
    positions = [leaf for leaf in leaves.values() if leaf.endswith(("_cells.list.element", "_classes.list.element"))]
    sink = io.BytesIO()
    pq.write_table(
        table,
        sink,
        compression="zstd" if compact else "snappy",
        use_dictionary=[leaf for leaf in leaves.values() if leaf not in positions] if compact else False,
        column_encoding=dict.fromkeys(positions, "DELTA_BINARY_PACKED"),
        write_statistics=False,
    )
    return sink.getvalue()


def from_table(table: pa.Table) -> Iterator[Record]:
    """Records of a table with the columns of :func:`make_schema`; the inverse of :func:`to_table`.

    Raises:
        RunError: If the table does not say the range of a measure.
    """
    scalars = {name: table[name].to_pylist() for name in SCALARS if name in table.column_names}
    for name in _LATER:
        scalars.setdefault(name, [None] * table.num_rows)
    lists = {field.name: list_rows(table[field.name]) for field in table.schema if pa.types.is_list(field.type)}
    ranges = ranges_in(table.schema)
    pairs = pairs_in(table.schema)
    present = [table[f"lead_{pair}_pilot_cells"].is_valid().to_numpy() for pair in range(pairs)]
    for row in range(table.num_rows):
        at = {name: values[row] for name, values in scalars.items()}
        samples = None
        if at["error"] is None:
            held = sum(bool(there[row]) for there in present)
            samples = _samples(at, {name: rows[row] for name, rows in lists.items()}, ranges, held)
        yield Record(at["index"], at["id"], at["label"], at["seconds"], samples, at["error"], at["answer"])


def measures_in(schema: pa.Schema) -> tuple[str, ...]:
    """Names of the measures that a table has histograms of, in its order; the pairs of the lead are not among them."""
    found = dict.fromkeys(
        match[1] for name in schema.names if (match := _HISTOGRAM.fullmatch(name)) and not _LEAD.fullmatch(match[1])
    )
    return tuple(found)


def pairs_in(schema: pa.Schema) -> int:
    """Number of pairs of the lead that a table has histograms of."""
    found = [_LEAD.fullmatch(match[1]) for name in schema.names if (match := _HISTOGRAM.fullmatch(name))]
    return max((int(match[1]) + 1 for match in found if match), default=0)


def ranges_in(schema: pa.Schema) -> dict[str, tuple[float, float]]:
    """Smallest and largest value of each measure of a table.

    Raises:
        RunError: If the table does not say.
    """
    usual = {measure.name: (measure.lower, measure.upper) for measure in (SCORE, MARGIN)}
    found = {}
    for name in measures_in(schema):
        metadata = schema.field(f"{name}_pilot_cells").metadata or {}
        try:
            found[name] = (float(metadata[b"lower"]), float(metadata[b"upper"]))
        except (KeyError, ValueError) as error:
            if name not in usual:
                raise RunError(f"nothing says the range of the measure {name}") from error
            found[name] = usual[name]
    return found


def column_type(name: str) -> pa.DataType | None:
    """Type that a column of sampled records of this name must have; None if there is no such column."""
    if name == CHECKSUM:
        return pa.binary(16)
    if name in SCALARS:
        return next(field.type for field in _SCALARS if field.name == name)
    if name == RIVALS or name in {f"{votes}_classes" for votes in VOTES}:
        return pa.list_(pa.int32())
    if name in {f"{votes}_counts" for votes in VOTES}:
        return pa.list_(pa.int64())
    if _HISTOGRAM.fullmatch(name):
        return pa.list_(pa.int32() if name.endswith("_cells") else pa.int64())
    return None


def select_columns(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """Some columns of a table of records, null where it lacks one, as a table of skipped inputs lacks every measure.

    Raises:
        RunError: If no run has a column of that name.
    """
    for name in names:
        if name not in table.column_names:
            if (kind := column_type(name)) is None:
                raise RunError(f"has no column {name!r}")
            table = table.append_column(name, pa.nulls(table.num_rows, kind))
    return table.select(list(names))


def required_columns(schema: pa.Schema) -> list[str]:
    """Columns that a table of records with these measures and pairs must have, whatever its age."""
    ranges = dict.fromkeys(measures_in(schema), _LEAD_RANGE)
    return [name for name in make_schema(ranges, pairs=pairs_in(schema)).names if name not in _LATER]


def list_rows(column: pa.ChunkedArray) -> list[AnyArray]:
    """Rows of a list column as NumPy arrays; an empty one where the row is null."""
    array = one_array(column)
    offsets = array.offsets.to_numpy()
    values = array.values.to_numpy(zero_copy_only=False)
    return [values[start:end] for start, end in pairwise(offsets.tolist())]


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array, whatever its chunks."""
    if column.num_chunks == 1:
        return column.chunk(0)
    combined = column.combine_chunks()  # for no chunk at all, some versions of Arrow give chunks again
    return pa.concat_arrays(combined.chunks) if isinstance(combined, pa.ChunkedArray) else combined


def validity(column: pa.ChunkedArray | pa.Array) -> AnyArray:
    """Which rows are not null."""
    if column.null_count == 0:
        return np.ones(len(column), dtype=np.bool_)
    valid: AnyArray = column.is_valid().to_numpy(zero_copy_only=False)
    return valid


def filled(column: pa.ChunkedArray | pa.Array, value: float) -> AnyArray:
    """A column of numbers with ``value`` where it is null."""
    array = one_array(column) if isinstance(column, pa.ChunkedArray) else column
    numbers: AnyArray = (array.fill_null(value) if array.null_count else array).to_numpy(zero_copy_only=False)
    return numbers


def _scalar(record: Record, name: str) -> object:
    if hasattr(record, name):
        value = getattr(record, name)
        # A name of a file need not be UTF-8; what stands for its other bytes is stored as people see it.
        return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
    if record.samples is None:
        return None
    if name == "levels":
        counted = (*record.samples.measures.values(), *record.samples.lead)
        return counted[0].sample.levels if counted else None  # votes have no grid
    return getattr(record.samples, name)


def _ends(stages: StageHistograms) -> tuple[float, float]:
    return float(stages.sample.lower), float(stages.sample.upper)


def _sparse(votes: IntArray) -> tuple[IntArray, IntArray]:
    classes = np.flatnonzero(votes)
    return classes, votes[classes]


def _sparse_columns(name: str, where: str, pairs: Sequence[tuple[IntArray, IntArray] | None]) -> dict[str, pa.Array]:
    sizes = [0 if pair is None else len(pair[0]) for pair in pairs]
    offsets = pa.array(np.concatenate(([0], np.cumsum(sizes))).astype(np.int32))
    missing = pa.array([pair is None for pair in pairs], type=pa.bool_())
    present = [pair for pair in pairs if pair is not None]
    positions, counts = (
        np.concatenate([pair[side] for pair in present]) if present else np.empty(0, np.int64) for side in (0, 1)
    )
    return {
        f"{name}_{where}": pa.ListArray.from_arrays(offsets, pa.array(positions.astype(np.int32)), mask=missing),
        f"{name}_counts": pa.ListArray.from_arrays(offsets, pa.array(counts.astype(np.int64)), mask=missing),
    }


def _samples(
    at: dict[str, Any], lists: dict[str, AnyArray], ranges: Mapping[str, tuple[float, float]], pairs: int
) -> Samples:
    def votes(name: str) -> IntArray:
        dense = np.zeros(at["num_classes"], dtype=np.int64)
        dense[lists[f"{name}_classes"]] = lists[f"{name}_counts"]
        return dense

    def stages(name: str, ends: tuple[float, float]) -> StageHistograms:
        lower, upper = ends
        pilot, sample = (
            ScoreHistogram.from_sparse(
                lists[f"{name}_{stage}_cells"],
                lists[f"{name}_{stage}_counts"],
                lower=lower,
                upper=upper,
                levels=at["levels"],
            )
            for stage in STAGES
        )
        return StageHistograms(pilot, sample)

    return Samples(
        prediction=at["prediction"],
        sigma=at["sigma"],
        seed=at["seed"],
        content_hash=at["content_hash"],
        pilot_votes=votes("pilot_votes"),
        votes=votes("votes"),
        measures={name: stages(name, ends) for name, ends in ranges.items()},
        rivals=tuple(int(rival) for rival in lists[RIVALS]) if pairs else (),
        lead=tuple(stages(f"lead_{pair}", _LEAD_RANGE) for pair in range(pairs)),
        offset=at["offset"] or 0.0,
        step=at["step"],
        price=at["price"] or 0.0,
        clean_prediction=at["clean_prediction"],
    )
