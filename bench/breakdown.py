"""Where the time of the sampler goes, by timers around its own parts; a CPU runs them one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bench.contenders import Contender, Round, Stand, sampler_contender, unavailable
from bench.networks import build
from bench.table import Table
from smoothcert.sampling.classifier import BaseClassifier
from smoothcert.sampling.noise import NoisyInput
from smoothcert.sampling.packing import Draw

# Scores are the forward pass and the softmax, so their own share is what is left of them.
_PARTS = {
    "noise": (NoisyInput, "write"),
    "forward pass": (BaseClassifier, "_forward"),
    "scores": (BaseClassifier, "scores"),
    "counts": (Draw, "take"),
}


def breakdown(network: str, size: Round, backends: Sequence[str], *, clock: Callable[[], float]) -> Table:
    """Shares of the time, one row a backend."""
    table = Table(
        f"Where the time goes ({network}, batches of {size.batch_size}), % of the sampler's time",
        ("backend", "forward pass", "noise", "softmax and checks", "votes and histograms", "the rest"),
    )
    stand = Stand(build(network), size)
    for backend in backends:
        if reason := unavailable(Contender("sampler", backend)):
            table.notes.append(f"{backend}: {reason}.")
            continue
        run = stand.round(sampler_contender(stand.network, backend, "float32", size.device))
        run()
        seconds = dict.fromkeys(_PARTS, 0.0)
        with _timed(seconds, clock):
            start = clock()
            run()
            total = clock() - start
        softmax = seconds["scores"] - seconds["forward pass"]
        parts = [seconds["forward pass"], seconds["noise"], softmax, seconds["counts"]]
        table.rows.append([backend, *(100 * part / total for part in (*parts, total - sum(parts)))])
    return table


@contextmanager
def _timed(seconds: dict[str, float], clock: Callable[[], float] = time.perf_counter) -> Iterator[None]:
    originals = {part: getattr(owner, name) for part, (owner, name) in _PARTS.items()}

    def wrap(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            start = clock()
            try:
                return function(*args, **kwargs)
            finally:
                seconds[part] += clock() - start

        return timed

    for part, (owner, name) in _PARTS.items():
        setattr(owner, name, wrap(part, originals[part]))
    try:
        yield
    finally:
        for part, (owner, name) in _PARTS.items():
            setattr(owner, name, originals[part])
