"""``smoothcert plan``: what a run would take, before it is begun."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter, Token

from smoothcert.cli.options import Quiet, numbers
from smoothcert.console import one_line, say
from smoothcert.errors import InvalidArgumentError
from smoothcert.spec import RunSpec

if TYPE_CHECKING:
    from smoothcert.certify.planning import Cost, Estimate, Plan

_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")


def _workers(_: Any, tokens: list[Token]) -> tuple[int, ...]:
    found = [count for token in tokens for count in numbers(token.keyword or "", token.value)]
    if not all(count.is_integer() and 1 <= count <= 10**6 for count in found):
        raise InvalidArgumentError(
            f"--for-workers must be whole numbers, at least 1, such as 1,8,64; got {tokens[-1].value!r}"
        )
    return tuple(int(count) for count in found)


def plan(
    *,
    spec: Annotated[RunSpec, Parameter(name="*")],
    seconds: float = 60.0,
    crews: Annotated[tuple[int, ...], Parameter(name="--for-workers", converter=_workers, n_tokens=1)] = (1, 8, 64),
    config: Path | None = None,
    format: Literal["text", "json"] = "text",
    quiet: Quiet = False,
) -> None:
    """Sample some inputs for a minute, and say what the whole run would take: time, device-hours and disk.

    Both ways are planned: a fixed number of samples per input, and one question decided with as few as it takes. Takes
    the options of "certify" but --out, and stores nothing.

    For example:

        smoothcert plan --model digits --data digits --sigma 0.25
        smoothcert plan --model digits --data digits --sigma 0.25 --decide score:0.7@0.5 --seconds 20 --for-workers 1,16

    Args:
        spec: The run.
        seconds: Time to sample for, about; loading comes on top.
        crews: Numbers of workers whose time is wanted, each with a device like this one.
        config: File with options by name, as for "certify".
        format: Text for people, or json.
    """
    from smoothcert.certify.planning import plan_run
    from smoothcert.cli.sampling import show_warning
    from smoothcert.progress import reporter_for

    with warnings.catch_warnings():
        warnings.showwarning = show_warning
        found = plan_run(spec, seconds=seconds, reporter=reporter_for(sys.stderr, quiet=quiet))
    if format == "json":
        from smoothcert.cli.printing import as_json

        say(as_json(found.to_dict(crews)))
    else:
        say("\n".join(_lines(found, crews)))


def _lines(plan: Plan, crews: tuple[int, ...]) -> list[str]:
    from smoothcert.certify.planning import STORED_PER_SECOND
    from smoothcert.cli.printing import table_text
    from smoothcert.progress import duration

    fixed, decided = plan.fixed, plan.decided
    ways = (fixed, decided)
    rows = [
        ["samples per input", *(_range(cost.samples, lambda samples: f"{samples:,.0f}") for cost in ways)],
        ["device-hours", *(_range(cost.device_hours, _hours) for cost in ways)],
        *([f"time, {_crew(n)}", *(_range(cost.wall_seconds(n), duration) for cost in ways)] for n in crews),
        ["disk", *(_range(cost.disk, _size) for cost in ways)],
    ]
    rate = _range(fixed.rate, lambda rate: f"{rate:,.0f}")
    lines = [
        f"{plan.model} on {plan.data}, {fixed.inputs:,} inputs, sigma {plan.sigma:g}, on {plan.device}",
        f"sampled {fixed.looked_at:,} inputs with {fixed.most:,} samples each: {rate} samples/s",
        f"decided {decided.looked_at:,} inputs with at most {decided.most:,} samples each",
        *([f"{plan.failed:,} inputs could not be read or sampled"] if plan.failed else []),
    ]
    assumed = [
        "Assumed: inputs like those, the rate measured here on every worker, and work that divides perfectly, up to",
        f"{STORED_PER_SECOND:,.0f} records/s that one process stores; with --shard every worker stores its own.",
        f"Not included: {duration(plan.loading)} for every worker to load model and data.",
    ]
    table = table_text(["", *map(_way, ways)], rows, numeric_from=1).splitlines()
    return [*map(one_line, lines), "", *table, "", *map(one_line, assumed)]


def _way(cost: Cost) -> str:
    return "fixed number" if cost.question is None else f"{cost.question} decided"


def _crew(count: int) -> str:
    return "1 worker" if count == 1 else f"{count:,} workers"


def _range(estimate: Estimate, text: Any) -> str:
    """A number, and the range it lies in, where the two differ as people see them."""
    value, low, high = (text(number) for number in (estimate.value, estimate.low, estimate.high))
    return value if low == high else f"{value} ({low} to {high})"


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.3g}"


def _size(count: float) -> str:
    unit = 0
    while count >= 1000 and unit < len(_UNITS) - 1:
        count, unit = count / 1000, unit + 1
    return f"{count:.3g} {_UNITS[unit]}"
