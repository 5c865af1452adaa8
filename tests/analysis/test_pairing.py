"""The one rule of which inputs of two runs are the same, and that whatever compares runs follows it."""

from __future__ import annotations

import numpy as np
import pytest

from smoothcert.analysis import Inputs, bounds_table, compare, pair_inputs, paired_difference, sweep
from synthetic_runs import synthetic_run


def inputs(count, *, indices=None, ids=None, labels=None, contents=None):
    return Inputs(
        indices=np.arange(count) if indices is None else np.asarray(indices),
        ids=tuple(f"x{i}" for i in range(count)) if ids is None else tuple(ids),
        labels=np.arange(count) % 10 if labels is None else np.asarray(labels),
        predictions=np.zeros(count, dtype=np.int64),
        abstained=np.zeros(count, dtype=np.bool_),
        sizes=np.full(count, 1_000),
        contents=None if contents is None else tuple(contents),
    )


def test_content_finds_inputs_whatever_their_index_and_id():
    """A file was deleted: every later index is one less, and the ids are other paths."""
    first = inputs(20, contents=[f"c{i}" for i in range(20)])
    kept = [i for i in range(20) if i != 4]
    second = inputs(
        19, ids=[f"other/{i}" for i in kept], labels=[i % 10 for i in kept], contents=[f"c{i}" for i in kept]
    )
    found = pair_inputs(first, second)
    assert (found.by, found.first.tolist(), found.second.tolist()) == ("content", kept, list(range(19)))
    assert found.words == "paired on 19 of 20 inputs, by content"


def test_the_same_content_twice_is_two_inputs():
    one, other = inputs(3, contents=["a", "a", "b"], labels=[1, 1, 2]), inputs(2, contents=["a", "b"], labels=[1, 2])
    found = pair_inputs(one, other)
    assert (found.first.tolist(), found.second.tolist()) == ([0, 2], [0, 1])


def test_ids_pair_what_was_prepared_in_another_way_and_it_is_said():
    found = pair_inputs(inputs(5, contents="abcde"), inputs(5, contents="fghij"))
    assert (found.by, found.first.size) == ("id", 5)
    assert "prepared in different ways" in found.words


def test_indices_pair_only_what_does_not_say_its_content():
    log = inputs(20, ids=[f"log:{i}" for i in range(20)])
    assert pair_inputs(inputs(20, contents=[str(i) for i in range(20)]), log).by == "index"
    assert pair_inputs(inputs(20), inputs(20, ids=[f"y{i}" for i in range(20)])).by == "index"
    strangers = inputs(20, ids=[f"y{i}" for i in range(20)], contents=[f"y{i}" for i in range(20)])
    assert pair_inputs(inputs(20, contents=[str(i) for i in range(20)]), strangers).by is None


@pytest.mark.parametrize("labels", [[3] * 20, [*range(9), *range(11)], [-1] * 20])
def test_indices_alone_are_no_proof(labels):
    """One class only, a label that disagrees, no labels at all."""
    first = inputs(20, labels=labels if len(set(labels)) == 1 else None)
    second = inputs(20, ids=[f"y{i}" for i in range(20)], labels=labels)
    assert pair_inputs(first, second, labelled=labels[0] >= 0).by is None
    assert pair_inputs(inputs(9), inputs(9, ids=[f"y{i}" for i in range(9)])).by is None


def test_other_labels_are_other_data_and_a_missing_one_is_not():
    assert pair_inputs(inputs(12), inputs(12, labels=[*range(10), 0, 5])).by is None
    found = pair_inputs(inputs(12), inputs(12, labels=[*range(10), 0, -1]))
    assert (found.by, found.first.size, found.counted) == ("id", 11, (12, 11))


def test_without_labels_every_input_counts():
    found = pair_inputs(inputs(4, labels=[-1] * 4), inputs(4), labelled=False)
    assert (found.by, found.first.size, found.counted) == ("id", 4, (4, 4))


def test_with_an_input_missing_compare_and_sweep_pair_the_rest():
    """What was silently unpaired in one and paired in the other."""
    shapes = [(6.0, 1.0 + i / 200) for i in range(200)]
    runs = [synthetic_run(shapes, n=200, sigma=sigma) for sigma in (0.25, 0.5)]
    del runs[1].rows[17]
    tables = [bounds_table(run) for run in runs]
    asked = {"measure": "score", "radii": [0.25]}
    (note,) = compare(tables, ["a", "b"], bounds=["cdf"], thresholds=0.3, **asked).notes
    assert note == "b and a are paired on 199 of 200 inputs, by content"
    found = sweep(tables, bound="cdf", threshold=0.3, **asked)
    assert found.notes == ("runs are paired on 199 of 200 inputs, by content",)
    row = compare(tables, ["a", "b"], bounds=["cdf"], thresholds=0.3, **asked).rows[1]
    kept = [table.lower(bound="cdf", **asked)[:, 0] > 0.3 for table in tables]
    kept = [np.delete(kept[0], 17), kept[1]]
    assert row.difference == paired_difference(
        only_first=int(np.sum(kept[0] & ~kept[1])), only_second=int(np.sum(kept[1] & ~kept[0])), inputs=199
    )
    assert [share.inputs for share in found.points[0].accuracies] == [200, 199]


def test_without_labels_fractions_certified_are_compared():
    runs = [synthetic_run([(20.0, 1.0)] * 12, labels=[None] * 12), synthetic_run([(20.0, 1.0)] * 12, sigma=0.5)]
    runs[1].rows[:3] = [  # wrong, but certified
        synthetic_run([(20.0, 1.0)] * 3, labels=[9, 9, 9], sigma=0.5).rows[i] for i in range(3)
    ]
    tables = [bounds_table(run) for run in runs]
    found = compare(tables, ["a", "b"], bounds=["cdf"], radii=0.1, thresholds=0.3)
    assert not found.labelled
    assert [row.accuracy.count for row in found.rows] == [12, 12]
    assert found.rows[1].difference.inputs == 12
    assert "right or wrong" in found.notes[-1]
    (point,) = sweep(tables, radii=0.1, bound="cdf", threshold=0.3).points
    assert [share.count for share in point.accuracies] == [12, 12]
