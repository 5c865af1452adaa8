"""The page's section about a run that decided one question: how often which answer, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from smoothcert.analysis.decided import REFERENCE, DecidedSummary, decided_summary
from smoothcert.bounds import ceil_decimals, exact_text
from smoothcert.report.gallery import samples_taken
from smoothcert.report.svg import Chart, chart
from smoothcert.report.tables import Table, facts, provenance_rows, words_table
from smoothcert.report.wording import percent, percent_interval, proportion_words

if TYPE_CHECKING:
    from smoothcert.runs import Run
    from smoothcert.runs.config import RunConfig


@dataclass(frozen=True, eq=False)
class DecidedView:
    """Everything the page shows about a decided run."""

    decided: ClassVar[bool] = True

    key: str
    name: str
    config: RunConfig
    step: float | None
    facts: list[tuple[str, str]]
    found: DecidedSummary
    value: str
    interval: str
    expected_wrong: str
    summary: Table
    notes: tuple[str, ...]
    chart: Chart
    provenance: list[tuple[str, str]]


def decided_view(run: Run, *, key: str, name: str) -> DecidedView:
    """What the page shows about a decided run.

    Raises:
        DataError: If it holds no decided input yet.
    """
    found, step = decided_summary(run), _step(run)
    first = found.certified_accuracy or found.certified
    return DecidedView(
        key=key,
        name=name,
        config=run.config,
        step=step,
        facts=facts(run.config, found.inputs, step=step),
        found=found,
        value=percent(first.count, first.inputs),
        interval=percent_interval(first.ci_low, first.ci_high),
        expected_wrong=ceil_decimals(found.alpha * found.inputs, 2),
        summary=words_table(f"{key}-summary", "Summary", _summary(found)),
        notes=run.notes,
        chart=chart(samples_taken(found), prefix=key),
        provenance=provenance_rows(run.config, alpha=found.alpha),
    )


def _step(run: Run) -> float | None:
    """Step of the lattice all inputs were sampled on; None for noise in floating point."""
    steps = {step for table in run.tables(["step"]) for step in table["step"].to_pylist()}
    return steps.pop() if len(steps) == 1 else None


def _summary(found: DecidedSummary) -> list[tuple[str, str, str]]:
    at, radius = exact_text(found.question.threshold), exact_text(found.question.radius)
    asked = f"{found.question.measure} above {at} within {radius}"
    rows = [
        ("certified", proportion_words(found.certified), f"{asked}, right or wrong"),
        ("refuted", proportion_words(found.refuted), "the scores allow no such certificate, however many are drawn"),
        ("undecided", proportion_words(found.undecided), f"nothing is claimed after {found.max_n:,} samples"),
        ("mean samples", f"{found.mean_samples:,.1f}", f"{REFERENCE:,} is {found.times_fewer:,.1f} times as many"),
        ("median samples", f"{found.median_samples:,.1f}", f"of an input, {found.n0:,} of them the pilot"),
    ]
    if found.certified_accuracy is not None:
        rows.insert(0, ("certified accuracy", proportion_words(found.certified_accuracy), "certified and right"))
    if found.skipped:
        rows.append(("skipped inputs", f"{found.skipped:,}", "could not be read; in no fraction on this page"))
    return rows
