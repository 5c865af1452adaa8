"""``smoothcert query``: certified accuracies of stored runs, or everything certified about one input."""

from __future__ import annotations

from typing import Literal

from smoothcert.cli.options import Bounds, Format, Names, Numbers, Runs, open_runs
from smoothcert.console import say


def query(
    runs: Runs,
    /,
    *,
    measure: Names | None = None,
    bound: Bounds | None = None,
    radii: Numbers | None = None,
    thresholds: Numbers | None = None,
    alpha: float | None = None,
    joint: Literal["each", "input", "dataset"] | None = None,
    input: str | None = None,
    format: Format = "table",
) -> None:
    """Answer from stored samples: certified accuracy over the inputs, or the certificates of one input.

    Certified accuracy is the fraction of all inputs, abstentions counted as wrong, whose prediction is right
    and whose certified lower bound at the radius is above the threshold; its interval is a 95% one over the
    inputs. With --joint a whole table can be claimed: alpha is divided by the number of statements of a bound
    (the best of several bounds is not a claim). A run made with --decide answers its own question
    only, with what it cost.

    For example:

        smoothcert query RUN --radii 0,0.25,0.5 --thresholds 0.5,0.7

    Args:
        runs: Run folders.
        measure: Some of score, margin, class (kept as it is, at any threshold). Default: what the run holds.
        bound: Some of dual, cdf, hoeffding, clopper_pearson. Default: the first three the run holds.
        radii: L2 radii, in input units. Default: 0,0.25,0.5.
        thresholds: Values the measure must stay above. Default: 0.5,0.7,0.9.
        alpha: Probability that a certificate is wrong. Default: the run's own.
        joint: What alpha is for: each statement, all about one input together, or all about the data set.
        input: One input, by its id or index, instead of all.
        format: A table for people, or csv or json with exact numbers.
    """
    from smoothcert.cli import answers, decided, printing
    from smoothcert.runs.config import DECIDED

    question = answers.Question(
        measures=measure,
        bounds=bound,
        radii=(0.0, 0.25, 0.5) if radii is None else radii,
        thresholds=(0.5, 0.7, 0.9) if thresholds is None else thresholds,
        alpha=alpha,
        joint=joint or "each",
    )
    opened = open_runs(runs)
    if any(run.config.kind == DECIDED for run in opened):
        asking = {"measure": measure, "bound": bound, "radii": radii, "thresholds": thresholds, "alpha": alpha}
        given = [f"--{name}" for name, value in (asking | {"joint": joint}).items() if value is not None]
        decided.require_no_other_question(opened, given)
        if input is None:
            rows = json_value = [decided.decided_row(run) for run in opened]
            texts = map(decided.decided_text, opened)
        else:
            rows = json_value = [decided.input_row(run, input) for run in opened]
            texts = map(decided.input_text, rows)
    elif input is not None:
        found = [answers.input_answer(run, question, input) for run in opened]
        texts = map(printing.input_text, found)
        json_value, rows = found, [row for answer in found for row in answers.input_rows(answer)]
    else:
        tables = [answers.accuracy_rows(run, question) for run in opened]
        texts = map(printing.accuracy_text, opened, tables)
        rows = json_value = [row for table in tables for row in table]
    if format == "json":
        say(printing.as_json(json_value))
    elif format == "csv":
        say(printing.as_csv(rows))
    else:
        say("\n\n".join(texts))
