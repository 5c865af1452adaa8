from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smoothcert.errors import RunError
from smoothcert.histogram import ScoreHistogram
from smoothcert.runs import Record
from smoothcert.runs.checks import check_rows
from smoothcert.runs.config import RunConfig
from smoothcert.runs.records import SCHEMA, from_table, to_parquet, to_table
from smoothcert.samples import Samples, StageHistograms
from smoothcert.spec import RunSpec

from .synthetic import make_record, make_samples, same


def through_parquet(records, **how):
    return list(from_table(pq.read_table(io.BytesIO(to_parquet(to_table(records), **how)))))


@pytest.mark.parametrize("compact", [True, False])
def test_records_come_back_exactly(compact):
    records = [make_record(index) for index in range(15)]
    assert {r.samples is None for r in records} == {True, False}
    back = through_parquet(records, compact=compact)
    assert len(back) == 15
    assert all(same(one, other) for one, other in zip(records, back, strict=True))


def test_same_notices_a_difference():
    assert not same(make_record(0), make_record(1))
    one = make_record(0)
    assert not same(one, Record(one.index, one.id, one.label, one.seconds, make_samples(5)))


def test_nothing_comes_back_as_nothing():
    assert through_parquet([]) == []


def test_a_prediction_without_noise_comes_back_and_earlier_records_have_none():
    (samples,) = [make_samples(0)]
    asked = Record(0, "a", 1, 1.0, replace(samples, clean_prediction=2))
    (back,) = through_parquet([asked])
    assert back.samples.clean_prediction == 2
    assert back.samples == samples  # which compares what bounds are made of
    (early,) = from_table(to_table([asked]).drop_columns(["clean_prediction"]))
    assert early.samples.clean_prediction is None


@pytest.mark.parametrize("wrong", [-1, 3, 2**40])
def test_a_prediction_without_noise_is_checked_with_the_others(wrong):
    config = RunConfig(spec=RunSpec.of(sigma=0.25, n0=1, n=1), model="m", data="d", num_classes=3)
    table = to_table([Record(0, "a", 1, 1.0, None, "unreadable")]).select(["index", "error", "clean_prediction"])
    check_rows(table, config)
    with pytest.raises(RunError, match="input 0: its clean_prediction"):
        check_rows(table.set_column(2, "clean_prediction", pa.array([wrong])), config)
    with pytest.raises(RunError, match="its clean_prediction has no samples"):
        check_rows(table.set_column(2, "clean_prediction", pa.array([1])), config)


counts = st.lists(st.integers(0, 2**40), min_size=6, max_size=6).filter(any)


@settings(max_examples=30, deadline=None)
@given(counts, st.integers(0, 2**63 - 1), st.text(max_size=5), st.floats(0, 1e9))
def test_any_histogram_and_seed_survive(score, seed, name, seconds):
    total = sum(score)
    votes = np.array([0, total, 0], dtype=np.int64)
    stages = [StageHistograms(*[ScoreHistogram(np.array(score), low, 1.0)] * 2) for low in (0.0, -1.0)]
    samples = Samples(1, 0.12, seed, "ff", votes, votes, dict(zip(("score", "margin"), stages, strict=True)))
    (back,) = through_parquet([Record(2**40, name, None, seconds, samples)])
    assert same(back, Record(2**40, name, None, seconds, samples))


def test_a_thousand_scores_near_one_take_little_room():
    records = [Record(i, f"x{i}", 0, 1.0, make_samples(i, n0=100, n=1_000, levels=10_000)) for i in range(64)]
    assert len(to_parquet(to_table(records))) / 64 < 2_000  # the histograms alone are 320,000 in memory


def test_slices_of_a_table_are_read_right():
    records = [make_record(index) for index in range(15)]
    back = list(from_table(to_table(records).slice(4, 6)))
    assert all(same(one, other) for one, other in zip(records[4:10], back, strict=True))


def test_the_columns_are_plain_parquet():
    table = pq.read_table(io.BytesIO(to_parquet(to_table([make_record(1)]))))
    assert table.schema.names == SCHEMA.names
    cells = table["score_sample_cells"][0].as_py()
    assert cells == sorted(cells)
    assert sum(table["score_sample_counts"][0].as_py()) == 200
    assert table.schema.field("score_sample_cells").type == pa.list_(pa.int32())


@pytest.mark.parametrize("samples", [True, False])
def test_a_record_holds_samples_or_an_error(samples):
    with pytest.raises(RunError, match=r"input 3 \(x\)"):
        Record(3, "x", 0, 1.0, make_samples(0) if samples else None, "broken" if samples else None)
