"""Throughput of one network: bare loop, the sampler by backend and precision, and ART, in turns."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench import memory
from bench.contenders import ART, BASELINE, Contender, Round, Stand, sampler_contender, unavailable
from bench.networks import Network, build, missing
from bench.rounds import interval, ratio, take_turns
from bench.table import Cell, Table
from bench.targets import Check
from smoothcert.errors import SmoothcertError

COLUMNS = (
    "row",
    "samples/s",
    "x eager float32",
    "x own bare loop",
    "s per image (n0 + n = 100,000)",
    "peak memory, MB",
)
_IMAGE = 100_000
_DEFAULT = ("torch", "float32")
_CONTROL = "control"  # the first row once more: what the machine can tell apart


@dataclass(frozen=True)
class Plan:
    """What to measure on one network."""

    network: str
    size: Round
    backends: Sequence[tuple[str, str]]
    """Of the sampler: backend and precision."""
    repeats: int
    art: bool = True
    overhead: float = 0.95
    """Target: the sampler's speed as a part of that of its own bare loop, at least."""
    best_backend: float | None = None
    """Target: how many times faster than eager float32 the best row of the sampler must be."""


def speed(plan: Plan, *, clock: Callable[[], float], threads: int, with_memory: bool) -> tuple[Table, list[Check]]:
    """The table of one network and the targets it is held to."""
    place = "" if plan.size.device == "cpu" else f" on {plan.size.device}"
    table = Table(f"{plan.network}{place}, batches of {plan.size.batch_size}", COLUMNS)
    if absent := missing(plan.network):
        table.rows.append([f"not measured: {absent} not installed", None, None, None, None, None])
        return table, [Check(f"{plan.network}: all targets", None, f"not measured, {absent} not installed")]
    network = build(plan.network)
    stand = Stand(network, plan.size)
    runs: dict[str, Callable[[], object]] = {}
    contenders: dict[str, Contender] = {}
    reasons: dict[str, str] = {}
    for contender in _contenders(plan, network):
        contenders[contender.label] = contender
        try:
            if reason := unavailable(contender):
                reasons[contender.label] = reason
            else:
                runs[contender.label] = stand.round(contender)
        except SmoothcertError as error:
            reasons[contender.label] = f"not measured: {error}"
    turns = {label: runs[label] for label in _neighbours(contenders) if label in runs}
    turns[_CONTROL] = runs[BASELINE.label]
    seconds = take_turns(turns, repeats=plan.repeats, clock=clock)
    control = ratio(seconds[BASELINE.label], seconds[_CONTROL])
    for label, contender in contenders.items():
        if label in reasons:
            table.rows.append([label, None, None, None, None, None])
            table.notes.append(f"{label}: {reasons[label]}.")
            continue
        own = seconds[label]
        rate = plan.size.samples / statistics.median(own)
        same = contender.counterpart.label if contender.kind == "sampler" else None
        weighed = with_memory and (contender.kind != "bare" or contender == BASELINE)
        used = memory.peak(plan.network, contender, plan.size, threads=threads) if weighed else None
        cells: list[Cell] = [label, rate, ratio(seconds[BASELINE.label], own)]
        cells += [ratio(seconds[same], own) if same in seconds else None, _IMAGE / rate, used]
        table.rows.append(cells)
    table.notes.append(
        f"Medians of up to {plan.repeats} rounds of {plan.size.n0} + {plan.size.n} samples, taken in turns. The first "
        f"row against itself: {control:.3f}; what differs from 1 by no more than that is noise."
    )
    return table, _checks(plan, contenders, seconds)


def _contenders(plan: Plan, network: Network) -> list[Contender]:
    samplers = [sampler_contender(network, *pair, plan.size.device) for pair in plan.backends]
    bare = dict.fromkeys([BASELINE, *(sampler.counterpart for sampler in samplers)])
    return [*bare, *samplers, *([Contender(ART)] if plan.art else [])]


def _neighbours(contenders: dict[str, Contender]) -> list[str]:
    """Labels in the order of the turns: what is compared is run next to each other."""
    order: dict[str, None] = {BASELINE.label: None}
    for label, contender in contenders.items():
        if contender.kind == "sampler":
            order |= dict.fromkeys((contender.counterpart.label, label))
            if (contender.backend, contender.precision) == _DEFAULT:
                order[Contender(ART).label] = None
    return list(order)


def _checks(plan: Plan, contenders: dict[str, Contender], seconds: dict[str, list[float]]) -> list[Check]:
    samplers = {label: c for label, c in contenders.items() if c.kind == "sampler" and label in seconds}
    checks = [
        Check(
            f"{plan.network}, {label}: at least {plan.overhead:.0%} of its own bare loop",
            ratio(seconds[c.counterpart.label], seconds[label]) >= plan.overhead,
            _with_interval(seconds[c.counterpart.label], seconds[label]),
        )
        for label, c in samplers.items()
        if c.counterpart.label in seconds
    ]
    art = Contender(ART).label
    if plan.art:
        default = next((label for label, c in samplers.items() if (c.backend, c.precision) == _DEFAULT), "")
        name = f"{plan.network}: never slower than ART at equal n"
        if art in seconds and default:
            met = ratio(seconds[art], seconds[default]) >= 1.0
            checks.append(Check(name, met, f"{_with_interval(seconds[art], seconds[default])} of its speed"))
        else:
            checks.append(Check(name, None, "not measured"))
    if plan.best_backend and samplers:
        times, label = max((ratio(seconds[BASELINE.label], seconds[label]), label) for label in samplers)
        name = f"{plan.network}: best row at least {plan.best_backend:g} times eager float32 contiguous"
        checks.append(Check(name, times >= plan.best_backend, f"{times:.2f} ({label})"))
    return checks


def _with_interval(reference: list[float], own: list[float]) -> str:
    """The ratio, and between which values it lies at 95%."""
    low, high = interval(reference, own)
    return f"{ratio(reference, own):.1%} [{low:.1%}, {high:.1%}]"
