"""The histograms of a run, a few hundred inputs at a time, straight from its columns: memory is that of one chunk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from smoothcert.bounds import deal_seed
from smoothcert.bounds.stack import HistogramStack
from smoothcert.errors import DataError
from smoothcert.runs.records import make_schema, select_columns
from smoothcert.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from smoothcert.runs import RunConfig

CHUNK = 256
"""Inputs held in memory at once: a part of a finished run."""
STAGES = ("pilot", "sample")
VOTE = "vote"
_VOTES = {"pilot": "pilot_votes", "sample": "votes"}


class RunLike(Protocol):
    """What the analyses need of a run."""

    @property
    def config(self) -> RunConfig:
        """What defines the run."""

    @property
    def ranges(self) -> Mapping[str, tuple[float, float]]:
        """Smallest and largest value of each measure it holds histograms of."""

    @property
    def pairs(self) -> int:
        """Number of pairs of the lead it holds histograms of; 0 where there are none."""

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The records by ascending index, with these columns of ``smoothcert.runs.records``."""


class Held:
    """Some inputs of a run, read once and held in memory.

    Args:
        run: The run.
        indices: The inputs.
    """

    def __init__(self, run: RunLike, indices: IntArray) -> None:
        self._run, self._indices = run, indices
        self._table: pa.Table | None = None
        self.config, self.ranges, self.pairs = run.config, run.ranges, run.pairs

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """All of them in one table, with these columns."""
        if self._table is None:
            every = make_schema(self.ranges, pairs=self.pairs).names
            self._table = pa.concat_tables([_rows(part, self._indices) for part in self._run.tables(every)])
        yield self._table if columns is None else select_columns(self._table, columns)


class Certifiable(NamedTuple):
    """Consecutive inputs and all that their bounds are computed from: the arguments of ``smoothcert.bounds``."""

    pilots: HistogramStack
    samples: HistogramStack
    seeds: list[int]  # of the deal of the dual bound
    offsets: FloatArray  # from the input to the point that was sampled around
    prices: FloatArray  # of the noise, in alpha

    def first(self, rows: int) -> Certifiable:
        """The first so many inputs."""
        pilots, samples, seeds, offsets, prices = self
        return Certifiable(pilots[:rows], samples[:rows], seeds[:rows], offsets[:rows], prices[:rows])


def certifiable(run: RunLike, measure: str, *, ends: tuple[float, float], indices: IntArray) -> Iterator[Certifiable]:
    """Histograms of some inputs and what their certificates need beside them, chunk by chunk in their order.

    Args:
        run: A run sampled here.
        measure: Name of the columns: a stored measure, or a pair of the lead such as ``"lead_0"``.
        ends: Smallest and largest value of it.
        indices: Inputs that the run holds samples of, ascending; it may hold more by now.

    Yields:
        At most ``CHUNK`` inputs.

    Raises:
        DataError: If the run mixes grids.
    """
    for table in _tables(run, measure, indices=indices):
        noise = zip(table["seed"].to_pylist(), table["content_hash"].to_pylist(), strict=True)
        offsets, prices = (table[name].fill_null(0.0).to_numpy() for name in ("offset", "price"))
        yield Certifiable(
            _stack(table, measure, "pilot", ends),
            _stack(table, measure, "sample", ends),
            [deal_seed(seed, content, measure) for seed, content in noise],
            offsets,
            prices,
        )


def no_inputs(ends: tuple[float, float]) -> Certifiable:
    """A chunk without inputs, for the shape of what is computed from it."""
    none = np.empty(0, dtype=np.int64)
    nothing = HistogramStack(np.zeros(1, dtype=np.int64), none, none, *ends, levels=1)
    return Certifiable(nothing, nothing, [], np.empty(0), np.empty(0))


def _tables(run: RunLike, measure: str, *, indices: IntArray) -> Iterator[pa.Table]:
    """Rows of at most ``CHUNK`` inputs at a time, on one grid."""
    if measure == VOTE:
        columns = ["prediction", *(f"{_VOTES[stage]}_{side}" for stage in STAGES for side in ("classes", "counts"))]
    else:
        columns = [f"{measure}_{stage}_{side}" for stage in STAGES for side in ("cells", "counts")]
    every = run.tables(["index", "levels", "seed", "content_hash", "offset", "price", *columns])
    for table in in_chunks((_rows(table, indices) for table in every), CHUNK):
        levels = np.unique(table["levels"])
        if levels.size > 1:
            raise DataError(f"all inputs of a run must be on one grid of scores; got grids of {levels} levels")
        yield table


def _rows(table: pa.Table, indices: IntArray) -> pa.Table:
    wanted = np.isin(table["index"], indices)
    return table if wanted.all() else table.filter(pa.array(wanted))


def _stack(table: pa.Table, measure: str, stage: str, ends: tuple[float, float]) -> HistogramStack:
    if measure == VOTE:
        return _vote_stack(table, stage)
    starts, cells = lists(table[f"{measure}_{stage}_cells"])
    counts = lists(table[f"{measure}_{stage}_counts"])[1]
    if (empty := np.flatnonzero(np.diff(starts) == 0)).size and stage == "sample":
        index = table["index"][int(empty[0])].as_py()
        raise DataError(f"input {index} has no samples of {measure}, though others of the run have")
    levels = table["levels"][0].as_py()
    return HistogramStack.checked(starts, cells, counts, lower=ends[0], upper=ends[1], levels=levels)


def _vote_stack(table: pa.Table, stage: str) -> HistogramStack:
    """Votes for the prediction as a measure: 1 where its score is the highest, else 0, on a grid of one step."""
    name = _VOTES[stage]
    starts, counts = lists(table[f"{name}_counts"])
    row = np.repeat(np.arange(table.num_rows), np.diff(starts))
    own = lists(table[f"{name}_classes"])[1] == table["prediction"].to_numpy()[row]
    votes = np.zeros((table.num_rows, 2), dtype=np.int64)
    np.add.at(votes, (row, own.astype(np.int64)), counts)
    held = votes > 0
    starts = np.concatenate(([0], np.cumsum(held.sum(axis=1))))
    return HistogramStack.checked(
        starts, np.nonzero(held)[1].astype(np.int64), votes[held], lower=0.0, upper=1.0, levels=1, exact=True
    )


def lists(column: pa.ChunkedArray) -> tuple[IntArray, IntArray]:
    """A column of lists of integers: where each row's begin and the last's end, and all values one after the other."""
    array = column.combine_chunks()
    offsets = array.offsets.to_numpy().astype(np.int64)
    values = array.values.to_numpy()[offsets[0] : offsets[-1]].astype(np.int64)
    return offsets - offsets[0], values


def row_sums(column: pa.ChunkedArray) -> IntArray:
    """Sum of each row of a column of lists of integers."""
    starts, values = lists(column)
    total = np.concatenate(([0], np.cumsum(values)))
    return total[starts[1:]] - total[starts[:-1]]


def in_chunks(tables: Iterable[pa.Table], size: int) -> Iterator[pa.Table]:
    """The same rows in tables of ``size`` rows, the last of fewer: small ones are put together, large ones cut."""
    held: list[pa.Table] = []
    room = size
    for table in tables:
        start = 0
        while start < table.num_rows:
            held.append(table.slice(start, room))
            start += held[-1].num_rows
            room -= held[-1].num_rows
            if room == 0:
                yield pa.concat_tables(held)
                held, room = [], size
    if held:
        yield pa.concat_tables(held)
