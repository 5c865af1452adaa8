"""Several folders with shares of one run, such as those of several machines, put together into one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from smoothcert.errors import RunError
from smoothcert.runs.config import RunConfig
from smoothcert.runs.extent import joined
from smoothcert.runs.part import UNSEALED, concat_parts
from smoothcert.runs.run import Run
from smoothcert.runs.store import MERGE_EVERY, RunStore, holds_run
from smoothcert.urls import AnyPath, to_path


def merge_runs(sources: Sequence[AnyPath | str], out: AnyPath | str) -> Run:
    """Put shares of one run together: shards, or copies that went on or grew in different places.

    The sources are only read. An input that several of them hold is taken once: samples go before none, more samples
    before fewer. A merge that was interrupted goes on when it is called again, and ``out`` may itself be one of the
    sources. Inputs come in order, so memory holds a few hundred of each source at a time.

    Args:
        sources: Run folders.
        out: The run folder to write.

    Returns:
        The run, as far as the one goes that goes farthest; :attr:`~smoothcert.runs.Run.missing_indices` says which
        inputs it lacks.

    Raises:
        RunError: If there is no source, one is of another run, naming what differs, two hold different samples of one
            input, naming both, a part is damaged, or ``out`` cannot be written.
    """
    target, folders = to_path(out), [to_path(source) for source in sources]
    if not folders:
        raise RunError("there must be at least one run to merge")
    if holds_run(target) and all(folder.resolve() != target.resolve() for folder in folders):
        folders.insert(0, target)  # what was merged before is compared, too
    whole = Run.open(folders)
    if whole.config.schema == UNSEALED:
        raise RunError(f"{whole.path} cannot be merged: it is of schema 1, from before records carried checksums")

    def settle(kept: RunConfig, config: RunConfig) -> RunConfig:
        return joined([kept, config], names=[target, "what is merged"])

    with RunStore(target, whole.config, settle=settle) as store:
        for table in _in_parts(whole.tables()):
            store.put_table(table)
    return Run.open(target)


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
