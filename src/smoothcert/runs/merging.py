"""Several folders with shares of one run, such as those of several machines, put together into one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from smoothcert.errors import RunError
from smoothcert.runs.config import RunConfig
from smoothcert.runs.parts import UNSEALED, concat_parts
from smoothcert.runs.records import CHECKSUM
from smoothcert.runs.run import Run
from smoothcert.runs.seals import record_checksums
from smoothcert.runs.store import MERGE_EVERY, RunStore
from smoothcert.urls import AnyPath, to_path

_CIRCUMSTANCES = (CHECKSUM, "seconds")  # may differ between two records of one input that hold the same


def merge_runs(sources: Sequence[AnyPath | str], out: AnyPath | str) -> Run:
    """Put runs of one configuration together.

    The sources are only read. An input that several of them hold is taken once; where one could not read it and another
    sampled it, the samples are taken. A merge that was interrupted goes on when it is called again, and ``out`` may
    itself be one of the sources. Inputs come in order, so memory holds a few hundred of each source at a time.

    Args:
        sources: Run folders.
        out: The run folder to write.

    Returns:
        The run; :attr:`~smoothcert.runs.Run.missing_indices` says which inputs it lacks.

    Raises:
        RunError: If there is no source, one is of another run, naming what differs, two hold different samples of one
            input, naming both, a part is damaged, or ``out`` cannot be written.
    """
    runs = [Run.open(source) for source in sources]
    if not runs:
        raise RunError("there must be at least one run to merge")
    for run in runs:
        if run.config.schema == UNSEALED:
            raise RunError(f"{run.path} cannot be merged: it is of schema 1, from before records carried checksums")
    for run in runs[1:]:
        if differences := runs[0].config.difference(run.config):
            told = ", ".join(map(str, differences))
            raise RunError(f"{runs[0].path} and {run.path} are shares of different runs: {told}")
    target = to_path(out)
    with RunStore(target, _together([run.config for run in runs])) as store:
        if store.present and all(run.path.resolve() != target.resolve() for run in runs):
            runs.insert(0, Run.open(target))  # what was merged before is compared, too
        for table in _in_parts(_in_order(runs)):
            new = table.filter(pa.array(~np.isin(table["index"].to_numpy(), list(store.present))))
            if new.num_rows:
                store.put_table(new)
    return Run.open(target)


def _together(configs: Sequence[RunConfig]) -> RunConfig:
    """The config of the whole: that of the source that expects the most inputs, and all their notes."""
    notes = dict.fromkeys(note for config in configs for note in config.notes)
    return replace(max(configs, key=lambda config: config.inputs or 0), notes=tuple(notes))


def _in_order(runs: Sequence[Run]) -> Iterator[pa.Table]:
    """Rows of all runs by ascending index, each input once.

    Of every run some rows are held. All runs have given every row up to the smallest of their last ones, so those can
    be compared and passed on.
    """
    coming = [run.tables() for run in runs]
    held = [next(tables, None) for tables in coming]
    while any(table is not None for table in held):
        ends = [table["index"][-1].as_py() for table in held if table is not None]
        bound = min(ends)
        ready, owners = [], []
        for at, table in enumerate(held):
            if table is None:
                continue
            rows = int(np.searchsorted(table["index"].to_numpy(), bound, side="right"))
            ready.append(table.slice(0, rows))
            owners += [at] * rows
            held[at] = table.slice(rows) if rows < table.num_rows else next(coming[at], None)
        yield _once(concat_parts(ready), np.array(owners), runs)


def _once(table: pa.Table, owners: np.ndarray, runs: Sequence[Run]) -> pa.Table:
    """The rows by ascending index, each input once, samples before none."""
    index = table["index"].to_numpy()
    failed = table["error"].is_valid().to_numpy()
    order = np.lexsort((owners, failed, index))
    again = np.flatnonzero(np.diff(index[order]) == 0)
    if again.size:
        lasting = table.drop_columns([name for name in _CIRCUMSTANCES if name in table.column_names])
        contents = record_checksums(lasting, "")
        for first, second in zip(order[again], order[again + 1], strict=True):
            if contents[first] != contents[second] and not failed[second]:
                both = " and ".join(str(runs[owners[row]].path) for row in (first, second))
                raise RunError(f"{both} hold different samples of input {index[first]}: one is wrong")
        order = np.delete(order, again + 1)
    return table.take(order)


def _in_parts(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of the size of a part."""
    held: list[pa.Table] = []
    rows = 0
    for table in tables:
        held.append(table)
        rows += table.num_rows
        while rows >= MERGE_EVERY:
            whole = concat_parts(held)
            yield whole.slice(0, MERGE_EVERY)
            held, rows = [whole.slice(MERGE_EVERY)], rows - MERGE_EVERY
    if rows:
        yield concat_parts(held)
