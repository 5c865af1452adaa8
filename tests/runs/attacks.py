"""What can happen to a stored run, and whether every way of reading it notices."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from smoothcert.errors import RunError
from smoothcert.histogram import ScoreHistogram
from smoothcert.runs import Record, Run, RunConfig, RunStore
from smoothcert.runs.part import encode_part, part_name, read_part
from smoothcert.runs.records import CHECKSUM, to_parquet, to_table
from smoothcert.runs.seals import add_checksums, prepare_seal, seal
from smoothcert.samples import StageHistograms

from .synthetic import CONFIG, make_record, make_samples, varied

INPUTS = 12
MERGED = part_name(0, 7)
"""The first eight inputs lie in one part, the last four in one each."""


def make_run(folder: Path, config: RunConfig = CONFIG) -> Path:
    store = RunStore(folder, replace(config, inputs=INPUTS, indices=(0, INPUTS, 1)), merge_every=8)
    for index in range(INPUTS):
        store.append(make_record(index))
    store._lock.release()  # not closed: singles stay
    return folder


def readings(folder: Path, names: Collection[str] | None = None) -> Iterator[tuple[str, object]]:
    """Ways to read a run, all unless named, and what comes of each: something that can be compared, or the error."""
    for name, way in ways().items():
        if names is None or name in names:
            yield name, _found(way, folder)


def ways() -> dict[str, Callable[[Run], object]]:
    """Every way to read a run."""
    columns = {
        "few columns": ["index", "label", "prediction"],
        "ids": ["index", "id"],
        "votes": ["index", "error", "prediction", "pilot_votes_counts", "votes_classes", "votes_counts"],
        "score": ["index", "levels", "score_pilot_cells", "score_pilot_counts", "score_sample_counts"],
        "cells": ["margin_sample_cells"],
    }
    return {
        "length": len,
        "skipped": lambda run: [(r.index, r.error) for r in run.skipped],
        "records": lambda run: [_plain(r) for r in run.iter_records()],
        "one record": lambda run: _plain(run.record(3)),
        "find": lambda run: run.find("#2"),
        "measures": lambda run: (run.ranges, run.pairs),
        "resume": lambda run: sorted(RunStore(run.path, run.config, merge_every=99).present),
        **{name: lambda run, names=names: _rows(run, names) for name, names in columns.items()},
        "all columns": lambda run: _rows(run, None),
    }


def _found(way: Callable[[Run], object], folder: Path) -> object:
    try:
        return way(Run.open(folder))
    except RunError as error:
        return error


def outcome(folder: Path, before: dict[str, object], named: set[str]) -> list[str]:
    """Readings of a damaged run that gave neither the old answer nor an error that names one of the files."""
    wrong = []
    for name, found in readings(folder):
        if isinstance(found, RunError):
            text = str(found)
            if "\n" in text or not any(file in text for file in named):
                wrong.append(f"{name} says {text!r}")
        elif found != before[name]:
            wrong.append(f"{name} changed in silence")
    return wrong


def flip_bit(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def corruptions() -> dict[str, Callable[[Path], set[str]]]:
    """What is done to the folder of parts; each gives the names of which an error must have one."""
    return {
        **{f"{name} part": _on(MERGED, change) for name, change in _BYTES.items()},
        **{f"{name} instead of a part": _on(MERGED, change) for name, change in _SPECIAL.items()},
        **{f"{name}, with Parquet's own checksums": _on(MERGED, change) for name, change in _EDITS.items()},
        **{f"{name}, sealed again": _sealed(change) for name, change in _NONSENSE.items()},
        **{f"part of a run with another {field}": _foreign(field) for field in _OTHERS},
        "two parts swapped": _swapped,
        "part renamed to a free index": _renamed(part_name(40)),
        "part renamed to another range": _renamed(part_name(0, 9)),
        "part renamed beyond recognition": _renamed("part-x.parquet"),
        "part copied under a free index": _copied(part_name(40)),
        "part copied beyond recognition": _copied("copy of part-00000000-00000007.parquet"),
        "two records of one input": _twice,
    }


def _plain(record: Record) -> object:
    samples = record.samples
    held = samples and [
        samples.prediction,
        samples.votes.tolist(),
        [(name, hash(s.pilot), hash(s.sample)) for name, s in samples.measures.items()],
    ]
    return (record.index, record.id, record.label, record.seconds, record.error, held)


def _rows(run: Run, columns: list[str] | None) -> object:
    return [row for table in run.tables(columns) for row in table.to_pylist()]


def _on(name: str, change: Callable[[Path], None]) -> Callable[[Path], set[str]]:
    def attack(parts: Path) -> set[str]:
        change(parts / name)
        return {name}

    return attack


def _rewritten(change: Callable[[pa.Table], pa.Table], *, checked: bool = True) -> Callable[[Path], None]:
    """Rows changed by hand in a Parquet file that is whole in itself."""

    def rewrite(path: Path) -> None:
        pq.write_table(change(pq.read_table(path)), path, write_page_checksum=checked)

    return rewrite


def _set(column: str, row: int, value: object) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        at = table.schema.get_field_index(column)
        values = table[column].to_pylist()
        values[row] = value
        return table.set_column(at, table.schema.field(at), pa.array(values, type=table.schema.field(at).type))

    return change


def _replaced(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def replace_it(path: Path) -> None:
        path.unlink()
        make(path)

    return replace_it


def _socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # names of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def _many_rows(path: Path) -> None:
    """Two megabytes that would be gigabytes of nulls in memory."""
    chunk = pa.nulls(2**22, pa.string())
    pq.write_table(pa.table({"index": pa.chunked_array([chunk] * 40), "id": pa.chunked_array([chunk] * 40)}), path)


_BYTES: dict[str, Callable[[Path], None]] = {
    "a truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "an emptied": lambda path: os.truncate(path, 0),
    "a lengthened": lambda path: path.write_bytes(path.read_bytes() + b"PAR1"),
    "a doubled": lambda path: path.write_bytes(path.read_bytes() * 2),
    "a zeroed": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "a garbage": lambda path: path.write_bytes(random.Random(1).randbytes(4_000)),
    "a half zeroed": lambda path: path.write_bytes(path.read_bytes()[:3_000] + bytes(path.stat().st_size - 3_000)),
    "an unsealed": lambda path: path.write_bytes(path.read_bytes().replace(b"smoothcert.part", b"smoothcert.trap")),
}
_SPECIAL: dict[str, Callable[[Path], None]] = {
    "a folder": _replaced(lambda path: path.mkdir()),
    "a pipe": _replaced(os.mkfifo),
    "a socket": _replaced(_socket),
    "an endless device": _replaced(lambda path: path.symlink_to("/dev/zero")),
    "a file of endless rows": _many_rows,
}
_EDITS: dict[str, Callable[[Path], None]] = {
    "a label edited": _rewritten(_set("label", 2, 0)),
    "a prediction edited": _rewritten(_set("prediction", 2, 0)),
    "votes edited": _rewritten(_set("votes_counts", 2, [170, 30])),
    "a row dropped": _rewritten(lambda table: table.slice(1)),
    "a middle row dropped": _rewritten(lambda table: pa.concat_tables([table.slice(0, 3), table.slice(4)])),
    "a row doubled": _rewritten(lambda table: pa.concat_tables([table.slice(0, 1), table])),
    "rows reversed": _rewritten(lambda table: table.take(list(range(table.num_rows))[::-1])),
    "a column dropped": _rewritten(lambda table: table.drop_columns(["margin_sample_cells"])),
    "a column of another type": _rewritten(
        lambda table: table.set_column(0, "index", table["index"].cast(pa.float64()))
    ),
    "a nested column": _rewritten(
        lambda table: table.append_column("deep", pa.array([[[[{"x": [1]}]]]] * table.num_rows))
    ),
}


def _sealed(change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], set[str]]:
    """Rows that make no sense, in a part that is sealed as ours are: a fault of a writer, or a forgery."""

    def attack(parts: Path) -> set[str]:
        config = Run.open(parts.parent).config
        table = change(read_part(parts / MERGED, config).drop_columns([CHECKSUM]))
        content = to_parquet(prepare_seal(add_checksums(table, config.fingerprint), config.fingerprint))
        (parts / MERGED).write_bytes(seal(content, config.fingerprint))
        return {MERGED}

    return attack


_NONSENSE: dict[str, Callable[[pa.Table], pa.Table]] = {
    "a label out of the classes": _set("label", 1, 3),
    "a negative label": _set("label", 1, -1),
    "a prediction out of the classes": _set("prediction", 1, 7),
    "a prediction of a skipped input": _set("prediction", 6, 1),
    "no prediction of a sampled input": _set("prediction", 1, None),
    "another sigma": _set("sigma", 1, 0.5),
    "another seed": _set("seed", 1, 8),
    "other levels": _set("levels", 1, 2**40),
    "another number of classes": _set("num_classes", 1, 2**40),
    "an answer in a sampled run": _set("answer", 1, "certified"),
    "time that is NaN": _set("seconds", 1, float("nan")),
    "negative time": _set("seconds", 1, -1.0),
    "an offset that is infinite": _set("offset", 1, float("inf")),
    "too many votes": _set("votes_counts", 1, [200, 1]),
    "negative votes": _set("votes_counts", 1, [201, -1]),
    "votes for one class twice": _set("votes_classes", 1, [0, 0]),
    "votes for no class": _set("votes_classes", 1, [0, 3]),
    "fewer cells than counts": _set("score_sample_cells", 1, [5]),
    "a cell twice": lambda table: _set("score_sample_cells", 1, _cells(table, 0))(table),
    "a cell beyond the grid": lambda table: _set("score_sample_cells", 1, _cells(table, 101))(table),
    "a negative cell": lambda table: _set("score_sample_cells", 1, _cells(table, -1))(table),
    "counts that add up to another n": _set("margin_pilot_counts", 1, [19]),
    "a null within cells": lambda table: _set("score_sample_cells", 1, _cells(table, None))(table),
    "a negative index": _set("index", 0, -4),
    "an index twice": _set("index", 3, 2),
    "no histogram of a sampled input": _set("score_sample_counts", 1, None),
    "no rows": lambda table: table.slice(0, 0),
}


def _cells(table: pa.Table, last: int | None) -> list[int | None]:
    cells = table["score_sample_cells"][1].as_py()
    return [last, *cells[1:]] if last is not None and last < 0 else [*cells[:-1], last]


_OTHERS: dict[str, Callable[[RunConfig], RunConfig]] = {
    "sigma": lambda config: varied(config, sigma=0.5),
    "n": lambda config: varied(config, n=100),
    "seed": lambda config: varied(config, seed=3),
    "grid": lambda config: varied(config, levels=50),
    "data": lambda config: replace(config, data_fingerprint="cd" * 32),
    "classifier": lambda config: replace(config, identity={"model.py": "ef" * 32}),
}


def _foreign(field: str) -> Callable[[Path], set[str]]:
    def attack(parts: Path) -> set[str]:
        config = _OTHERS[field](Run.open(parts.parent).config)
        n, levels = config.n, config.levels
        records = []
        for index in range(8):
            record = make_record(index)
            if record.samples is not None:
                samples = make_samples(index, n=n, levels=levels)
                record = replace(record, samples=replace(samples, sigma=config.sigma, seed=config.seed))
            records.append(record)
        (parts / MERGED).write_bytes(encode_part(to_table(records), config))
        return {MERGED}

    return attack


def _swapped(parts: Path) -> set[str]:
    one, other = parts / part_name(8), parts / part_name(9)
    one.rename(parts / "between")
    other.rename(one)
    (parts / "between").rename(other)
    return {one.name, other.name}


def _renamed(name: str) -> Callable[[Path], set[str]]:
    def attack(parts: Path) -> set[str]:
        (parts / MERGED).rename(parts / name)
        return {name}

    return attack


def _copied(name: str) -> Callable[[Path], set[str]]:
    def attack(parts: Path) -> set[str]:
        (parts / name).write_bytes((parts / MERGED).read_bytes())
        return {name}

    return attack


def _twice(parts: Path) -> set[str]:
    """A second record of an input, sound in itself, with one sample moved to another cell."""
    record = make_record(3)
    assert record.samples is not None
    score = record.samples.score
    moved = score.sample.counts.copy()
    full = int(np.argmax(moved))
    moved[full] -= 1
    moved[full - 1] += 1
    other = StageHistograms(score.pilot, ScoreHistogram(moved, 0.0, 1.0))
    samples = replace(record.samples, measures={**record.samples.measures, "score": other})
    config = Run.open(parts.parent).config
    content = encode_part(to_table([replace(record, samples=samples)]), config)
    (parts / part_name(3)).write_bytes(content)
    return {part_name(3)}
