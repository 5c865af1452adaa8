from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest

from smoothcert.cli.check import check
from smoothcert.errors import RunError
from smoothcert.runs import Run, RunStore, merge_runs, set_aside
from smoothcert.runs.part import part_name
from smoothcert.runs.store import lock_run

from .attacks import INPUTS, MERGED, make_run
from .synthetic import CONFIG, make_record, same
from .test_config import SCHEMA_1, first_layout


@pytest.fixture
def folder(tmp_path):
    return make_run(tmp_path / "run")


def damage(folder, name=MERGED):
    path = folder / "parts" / name
    content = bytearray(path.read_bytes())
    content[100] ^= 4
    path.write_bytes(content)


def code_of_check(folder, **options):
    try:
        check(folder, **options)
    except SystemExit as ended:
        return ended.code
    return 0


def test_a_whole_run(folder, capsys):
    state = Run.open(folder).state()
    assert (state.stored, state.expected, state.lacking, state.whole) == (12, 12, 0, True)
    assert state.sampled.tolist() == [i for i in range(12) if i != 6]
    assert [(s.index, s.reason) for s in state.skipped] == [(6, "file 6.png cannot be read")]
    assert [row[1] for row in state.rows()] == ["ok"] * 6 + ["skipped"] + ["ok"] * 5
    assert code_of_check(folder) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{folder}: 12 of 12 inputs are stored and whole",
        "  ok       0 to 5, 7 to 11",
        "  skipped  6: file 6.png cannot be read",
    ]


def test_an_unfinished_run_says_what_is_missing(folder):
    (folder / "parts" / part_name(9)).unlink()
    run = Run.open(folder)
    assert (len(run), run.expected, run.missing) == (11, 12, 1)
    assert run.missing_indices.tolist() == [9]
    state = run.state()
    assert not state.whole
    assert (9, "missing", "") in list(state.rows())
    assert code_of_check(folder) == 1


def test_strided_inputs_are_known_by_their_index(tmp_path):
    config = replace(CONFIG, inputs=4, indices=(0, 10, 3))
    with RunStore(tmp_path, config) as store:
        store.append(make_record(0))
        store.append(make_record(9))
    assert Run.open(tmp_path).missing_indices.tolist() == [3, 6]


def test_inputs_that_are_not_counted_one_by_one_are_only_counted(tmp_path):
    with RunStore(tmp_path, replace(CONFIG, inputs=4, indices=None)) as store:
        store.append(make_record(17))
    run = Run.open(tmp_path)
    assert run.missing == 3
    assert run.missing_indices is None
    assert run.state().missing is None


def test_a_repaired_run_is_filled_again(folder, capsys):
    damage(folder)
    damage(folder, part_name(10))
    with pytest.raises(RunError, match=rf"{MERGED} is damaged .*smoothcert check RUN --repair"):
        Run.open(folder).records()
    state = Run.open(folder).state()
    assert [part.path.name for part in state.damaged] == [MERGED, part_name(10)]
    assert state.missing.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 10]
    assert {row[1] for row in state.rows() if row[0] in (3, 10)} == {"damaged"}
    assert code_of_check(folder, repair=True) == 1
    out = capsys.readouterr().out
    assert f"  damaged  0 to 7: {MERGED} is damaged (its bytes do not match its seal)" in out
    assert "set aside in" in out
    assert sorted(os.listdir(folder / "damaged")) == [MERGED, part_name(10)]
    config = Run.open(folder).config
    with RunStore(folder, config) as store:
        assert store.present == {8, 9, 11}
        for index in sorted(set(range(INPUTS)) - store.present):
            store.append(make_record(index))
    assert all(same(record, make_record(record.index)) for record in Run.open(folder).records())
    assert Run.open(folder).state().whole


def test_what_was_set_aside_twice_is_kept_twice(folder):
    for _ in range(2):
        (folder / "parts" / part_name(8)).write_bytes(b"x")
        set_aside(folder)
    assert sorted(os.listdir(folder / "damaged")) == [part_name(8), f"{part_name(8)}.2"]
    assert set_aside(folder) == []


def test_nothing_is_repaired_while_the_run_is_written(folder):
    damage(folder)
    lock = lock_run(folder)
    with pytest.raises(RunError, match="another process is writing"):
        set_aside(folder)
    lock.release()
    assert len(set_aside(folder)) == 1


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("file 3.png", 3), ("3", 3), ("#1", 0), ("#12", 11)],
)
def test_an_input_is_found_by_id_index_or_place(folder, wanted, found):
    assert Run.open(folder).find(wanted) == found


@pytest.mark.parametrize(
    ("wanted", "hint"),
    [
        ("file 33.png", "near are 'file 3.png'"),
        ("99", "the nearest indices are 10, 11, and #1 to #12 count"),
        ("#0", "#1 to #12 count"),
        ("#13", "#1 to #12 count"),
        ("9" * 5000, "nearest indices"),
        ("xyz", "'file 0.png' .index 0. is its first"),
        ("-1", "holds no input '-1'"),
        ("²", "holds no input"),
        ("", "holds no input ''"),
    ],
)
def test_what_is_near_is_named(folder, wanted, hint):
    with pytest.raises(RunError, match=hint):
        Run.open(folder).find(wanted)


def test_an_id_goes_before_an_index(tmp_path):
    with RunStore(tmp_path, CONFIG) as store:
        store.append(replace(make_record(0), id="1"))
        store.append(make_record(1))
    assert Run.open(tmp_path).find("1") == 0


def test_one_row_per_input_in_pandas(folder):
    frame = Run.open(folder).to_pandas()
    assert frame["index"].tolist() == list(range(12))
    record = make_record(4)
    row = frame.iloc[4]
    assert (row["id"], row["label"], row["prediction"], row["n0"], row["n"]) == ("file 4.png", 1, 1, 20, 200)
    assert row["score_mean"] == pytest.approx(record.samples.score.sample.mean, abs=1e-12)
    assert row["margin_mean"] == pytest.approx(record.samples.margin.sample.mean, abs=1e-12)
    assert row["abstained"] == (row["class_radius"] == 0.0)
    assert frame.iloc[6]["error"] == "file 6.png cannot be read"
    assert np.isnan(frame.iloc[6]["score_mean"])
    assert frame.iloc[6]["n"] == 0


def test_an_empty_run_in_pandas(tmp_path):
    RunStore(tmp_path, CONFIG).close()
    assert len(Run.open(tmp_path).to_pandas()) == 0


def test_runs_from_before_checksums_are_read_and_say_so(folder):
    """A run as it was written then: no seal, no checksum, no offset, schema 1."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path in (folder / "parts").iterdir():
        table = pq.read_table(path).replace_schema_metadata(None)
        table = table.drop_columns(["checksum", "offset", "step", "price", "answer"])
        pq.write_table(pa.table(dict(zip(table.column_names, table.columns, strict=True))), path)
    values = SCHEMA_1 | {"num_classes": 3, "inputs": 12}
    (folder / "config.json").write_text(first_layout(values))
    run = Run.open(folder)
    assert any("before runs carried checksums" in note for note in run.notes)
    assert all(same(record, make_record(record.index)) for record in run.records())
    state = run.state()
    assert (state.whole, state.missing) == (True, None)
    with pytest.raises(RunError, match="schema 1, from before records carried checksums"):
        merge_runs([folder], folder.parent / "out")


def test_an_unsealed_part_of_a_new_run_is_refused(folder):
    import pyarrow.parquet as pq

    path = folder / "parts" / part_name(8)
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    with pytest.raises(RunError, match="carries no seal"):
        len(Run.open(folder))
