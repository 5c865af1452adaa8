"""A short soak with every change; the long one is ``make soak``."""

from __future__ import annotations

import os

import pytest

from .outcome import WRONG, Outcome, table
from .soaking import soak


@pytest.mark.skipif(os.name != "posix", reason="pipes, limits of processes and kill -9 are POSIX")
def test_nothing_is_lost_nor_silently_wrong_nor_executed(tmp_path):
    found = soak(tmp_path, seconds=0.0, seed=11, at_least=6, with_commands=False)
    assert found.examples == [], found.table()
    assert {outcome.tries for outcome in found.outcomes} == {6}
    assert all(outcome.noticed >= 3 for outcome in found.outcomes), found.table()


def test_the_table_counts_what_must_not_happen():
    outcome = Outcome("flips")
    outcome.count(noticed=True, wrong={})
    outcome.count(noticed=False, wrong={"silent": "a part"})
    outcome.count(noticed=False, wrong={})
    lines = table([outcome]).splitlines()
    assert lines[0].split("|")[1:6] == [" attack ", " tries ", " noticed ", " no harm ", " silent "]
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == [
        "flips",
        "3",
        "1",
        "1",
        "1",
        "0",
        "0",
        "0",
        "0",
        "0",
    ]
    assert lines[-1].split("|")[2].strip() == "3"
    assert len(WRONG) == 6
    assert outcome.examples == ["flips: silent: a part"]
