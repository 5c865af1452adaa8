"""Writes a run until it ends or is killed: ``python killed_writer.py FOLDER COUNT``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from runs.synthetic import CONFIG, make_record
from smoothcert.runs import RunStore

if __name__ == "__main__":
    with RunStore(sys.argv[1], CONFIG, merge_every=3) as store:
        for index in range(int(sys.argv[2])):
            if index not in store.present:
                store.append(make_record(index))
