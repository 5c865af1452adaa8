"""What every row of a run must satisfy, in one place: asked before a part is written, and of every column that is read.

A seal says that a part is as it was written. These checks say that what was written makes sense for this run: they hold
for parts from before there were seals, and for what somebody wrote by hand. All are vectorized over the rows, and each
is made as soon as the columns it needs are there.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from smoothcert.errors import RunError
from smoothcert.runs.config import DECIDED, IMPORTED, RunConfig
from smoothcert.runs.records import (
    RIVALS,
    STAGES,
    VOTES,
    column_type,
    filled,
    measures_in,
    one_array,
    pairs_in,
    required_columns,
    validity,
)
from smoothcert.scores import VOTE
from smoothcert.typing import AnyArray, IntArray

ANSWERS = ("certified", "refuted", "undecided")
_IMPORTED = {"index": pa.int64(), "id": pa.string(), "label": pa.int64(), "seconds": pa.float64()}
_IMPORTED |= {"error": pa.string(), "prediction": pa.int64()}
MOST_ROWS = 2**20
"""Inputs that a part may hold. Runs sampled here have a few hundred in each, imported logs all of theirs."""
MOST_BYTES = 2**31
"""Memory that a part may take. The largest parts that are written take a tenth of that."""


def check_columns(schema: pa.Schema, config: RunConfig) -> None:
    """Check that a part has the columns of its kind of run, each of its type; nothing is read for it.

    Raises:
        RunError: If it has not; the message is what follows the name of the file.
    """
    if len(set(schema.names)) != len(schema.names):
        raise RunError("has a column twice")
    imported = config.kind == IMPORTED
    required = [*_IMPORTED] if imported else required_columns(schema)
    if missing := [name for name in required if name not in schema.names]:
        raise RunError(f"lacks the column {missing[0]}")
    for field in schema:
        expected = _imported_type(field.name) if imported else column_type(field.name)
        if expected is None:
            raise RunError(f"has a column {field.name!r}, which no run has")
        if field.type != expected:
            raise RunError(f"has a column {field.name} of {field.type} where {expected} is expected")


def check_size(rows: int, most: int | None, *, held: int = 0) -> None:
    """Refuse a part that is too large, before memory is asked for or while it is.

    Args:
        rows: Rows it claims to have.
        most: Inputs that its name covers, if it has one.
        held: Bytes read so far.

    Raises:
        RunError: If it is; the message is what follows the name of the file.
    """
    limit = MOST_ROWS if most is None else min(most, MOST_ROWS)
    if rows > limit:
        raise RunError(f"claims {rows:,} rows, more than the {limit:,} it may have")
    if held > MOST_BYTES:
        raise RunError(f"takes more than the {MOST_BYTES:,} bytes of memory it may")


def check_rows(table: pa.Table, config: RunConfig) -> None:
    """Check rows by themselves and against the configuration of their run.

    Args:
        table: Rows by ascending index, with any of the columns of a run, ``index`` among them.
        config: The run's.

    Raises:
        RunError: If one cannot be; the message names the input.
    """
    if table.num_rows == 0:
        return
    rows = _Rows(table, config)
    rows.check_index()
    rows.check_scalars()
    if config.kind != IMPORTED:
        rows.check_votes()
        rows.check_histograms()
        rows.check_rivals()


class _Rows:
    """The rows of a table, and what is asked of them."""

    def __init__(self, table: pa.Table, config: RunConfig) -> None:
        self._table = table
        self._config = config
        self._names = frozenset(table.column_names)
        self._index = table["index"].to_numpy()
        failed = validity(table["error"]) if "error" in self._names else None
        self._sampled = None if failed is None else ~failed
        self._drawn: IntArray | None = None  # samples of each input of a decided run, once its votes are counted

    def check_index(self) -> None:
        """Each once, in order, none below 0."""
        self._refuse(self._index < 0, "its index is negative")
        if self._table["index"].null_count or np.any(np.diff(self._index) <= 0):
            raise RunError("its inputs are not in ascending order, each once")

    def check_scalars(self) -> None:
        """Columns of one value per input."""
        classes = self._config.num_classes
        for name in self._names & {"label", "prediction", "clean_prediction"}:
            self._refuse(self._outside(name, 0, classes - 1), f"its {name} is not one of the {classes} classes")
        for name in self._names & {"seconds", "offset", "step", "price"}:
            self._refuse(self._outside(name, 0.0, np.finfo(np.float64).max), f"its {name} cannot be")
        if self._config.kind == IMPORTED:
            return
        for name in self._names & {"sigma", "seed", "levels", "num_classes"}:
            value = getattr(self._config, name)
            self._refuse(self._outside(name, value, value), f"its {name} is not the run's, {value}")
        grid = () if set(self._config.measures) <= {VOTE} else ("levels",)  # votes have none
        for name in self._names & {"prediction", "num_classes", "sigma", "seed", "content_hash", *grid}:
            self._with_samples(name)
        if "clean_prediction" in self._names and self._sampled is not None:
            self._refuse(
                validity(self._table["clean_prediction"]) & ~self._sampled, "its clean_prediction has no samples"
            )
        if "answer" in self._names:
            answers = np.array([answer or "" for answer in self._table["answer"].to_pylist()])
            decided = self._config.kind == DECIDED
            self._refuse(~np.isin(answers, (*ANSWERS, "") if decided else ("",)), "its answer cannot be")
            if decided and self._sampled is not None:
                self._refuse((answers != "") != self._sampled, "it has an answer without samples, or none with them")

    def check_votes(self) -> None:
        """Votes of each stage are as many as samples, for distinct classes."""
        for votes, stage in zip(VOTES, STAGES, strict=True):
            self._check_sparse(votes, f"{votes}_classes", f"{votes}_counts", self._config.num_classes - 1, stage)

    def check_histograms(self) -> None:
        """Counts of each stage are as many as samples, in distinct cells of the grid."""
        names = list(measures_in(self._table.schema))
        names += [f"lead_{pair}" for pair in range(pairs_in(self._table.schema))]
        for name in names:
            for stage in STAGES:
                full = f"{name}_{stage}"
                self._check_sparse(full, f"{full}_cells", f"{full}_counts", self._config.levels, stage)

    def check_rivals(self) -> None:
        """Rivals are distinct classes other than the prediction, one for each pair of the lead but at most one."""
        if RIVALS not in self._names:
            return
        starts, rivals = self._lists(RIVALS)
        row = np.repeat(np.arange(len(self._index)), np.diff(starts))
        wrong = (rivals < 0) | (rivals >= self._config.num_classes)
        if "prediction" in self._names:
            wrong |= rivals == filled(self._table["prediction"], -1)[row]
        order = np.lexsort((rivals, row))
        again = (np.diff(rivals[order]) == 0) & (np.diff(row[order]) == 0)
        wrong[order[1:][again]] = True
        self._refuse_value(starts, wrong, "its rivals are not distinct other classes")
        pairs = [name for name in self._names if name.startswith("lead_") and name.endswith("_pilot_cells")]
        if len(pairs) == pairs_in(self._table.schema) > 0:
            held = np.sum([validity(self._table[name]) for name in pairs], axis=0)
            more = held - np.diff(starts)
            self._refuse((more < 0) | (more > 1), "it has not a pair of the lead for each rival and one for the rest")

    def _check_sparse(self, what: str, where: str, counts: str, last: int, stage: str) -> None:
        """Positions ascending from 0 to ``last``, counts positive, adding up to the samples of the stage."""
        for name in {where, counts} & self._names if not what.startswith("lead_") else ():
            self._with_samples(name)
        if where in self._names:
            starts, values = self._lists(where)
            self._refuse_value(starts, (values < 0) | (values > last), f"its {where} leave the grid")
            stays = np.concatenate(([False], np.diff(values) <= 0))[: len(values)]
            stays[starts[:-1][starts[:-1] < len(values)]] = False  # each row begins anew
            self._refuse_value(starts, stays, f"its {where} are not ascending")
        if counts in self._names:
            begins, numbers = self._lists(counts)
            if where in self._names:
                unequal = np.diff(starts) != np.diff(begins)
                self._refuse(unequal, f"its {where} and {counts} are not equally many")
            self._check_counts(what, counts, stage, begins, numbers)

    def _check_counts(self, what: str, name: str, stage: str, starts: IntArray, counts: AnyArray) -> None:
        sizes = [self._config.n0] if stage == "pilot" else self._config.sizes
        most = sizes[-1]
        total = np.concatenate(([0], np.cumsum(counts)))
        sums = total[starts[1:]] - total[starts[:-1]]
        self._refuse_value(starts, (counts < 1) | (counts > most), f"its {name} cannot be")
        held = validity(self._table[name])
        expected = np.full(len(sums), most)
        if stage == "sample":
            if self._drawn is not None:
                expected = self._drawn
            elif self._config.kind == DECIDED:  # each input took as many as it needed
                expected = np.clip(sums, 1, most)
            elif len(sizes) > 1:  # or as the run had before it grew
                expected = np.where(np.isin(sums, sizes), sums, most)
            if what == "votes":
                self._drawn = np.where(held, sums, most)
        for at in np.flatnonzero(held & (sums != expected))[:1]:
            raise RunError(f"input {self._index[at]}: its {name} add up to {sums[at]:,}, not {expected[at]:,}")

    def _lists(self, name: str) -> tuple[IntArray, AnyArray]:
        """Where each row begins and the last ends, and all values."""
        array = one_array(self._table[name])
        if array.values.null_count:
            raise RunError(f"its {name} hold nulls")
        offsets = array.offsets.to_numpy().astype(np.int64)
        return offsets - offsets[0], array.values.to_numpy()[offsets[0] : offsets[-1]]

    def _with_samples(self, name: str) -> None:
        """A column is there exactly for the inputs that were sampled."""
        if self._sampled is not None:
            there = validity(self._table[name])
            self._refuse(there != self._sampled, f"its {name} is there without samples, or missing with them")

    def _outside(self, name: str, low: float, high: float) -> AnyArray:
        """Where a number that is not null is outside a range; NaN is outside any."""
        values = filled(self._table[name], low)
        outside: AnyArray = ~((values >= low) & (values <= high))
        return outside

    def _refuse_value(self, starts: IntArray, wrong: AnyArray, reason: str) -> None:
        """Refuse the input whose list has a wrong value."""
        for at in np.flatnonzero(wrong)[:1]:
            raise RunError(f"input {self._index[np.searchsorted(starts, at, side='right') - 1]}: {reason}")

    def _refuse(self, wrong: AnyArray, reason: str) -> None:
        for row in np.flatnonzero(wrong)[:1]:
            raise RunError(f"input {self._index[row]}: {reason}")


def _imported_type(name: str) -> pa.DataType | None:
    if name == "checksum":
        return pa.binary(16)
    return _IMPORTED.get(name, pa.float64())
