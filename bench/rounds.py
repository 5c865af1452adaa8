"""Rounds that take turns, so that a busy machine slows all rows alike; ratios are of rounds run next to each other."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

from scipy.stats import binom

CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


def take_turns(
    rows: Mapping[str, Callable[[], object]],
    *,
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
    slow: float = 40.0,
) -> dict[str, list[float]]:
    """Seconds of every row, repeat by repeat, after a round each that is not counted.

    The order turns by one row each time and is run backwards every other time, so that neighbours stay neighbours and
    each is as often first. A row that has used up ``slow`` seconds sits out the remaining repeats; its list is then
    shorter.
    """
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    used = dict.fromkeys(rows, 0.0)
    names = list(rows)
    for repeat in range(repeats + 1):
        at = repeat % len(names)
        for name in (names[at:] + names[:at])[:: 1 if repeat % 2 else -1]:
            if repeat > 1 and used[name] > slow:
                continue
            start = clock()
            rows[name]()
            taken = clock() - start
            used[name] += taken
            if repeat:
                seconds[name].append(taken)
    return seconds


def interval(reference: Sequence[float], own: Sequence[float]) -> tuple[float, float]:
    """Of the median behind :func:`ratio`, at 95% or as near as there are rounds: the sign test, inverted."""
    ratios = sorted(r / o for r, o in zip(reference, own, strict=False))
    outside = max(0, int(binom.ppf(0.025, len(ratios), 0.5)) - 1)
    return ratios[outside], ratios[-1 - outside]


def ratio(reference: Sequence[float], own: Sequence[float]) -> float:
    """How many times faster ``own`` is than ``reference``: the median over the repeats both took part in."""
    return statistics.median(r / o for r, o in zip(reference, own, strict=False))
