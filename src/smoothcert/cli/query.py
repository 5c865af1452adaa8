"""``smoothcert query``: certified accuracies of stored runs, or everything certified about one input."""

from __future__ import annotations

from typing import Annotated

import typer

from smoothcert.cli.given import given
from smoothcert.cli.options import Format, Joint, Runs, names, numbers

_ASKING = ("measure", "bound", "radii", "thresholds", "alpha", "joint")


def query(
    context: typer.Context,
    runs: Runs,
    measure: Annotated[
        str | None,
        typer.Option(
            help="Some of score, margin, class (kept as it is, at any threshold); default: what the run holds."
        ),
    ] = None,
    bound: Annotated[
        str | None,
        typer.Option(help="Some of dual, cdf, hoeffding, clopper_pearson; default: the first three the run holds."),
    ] = None,
    radii: Annotated[str, typer.Option(help="L2 radii in input units.")] = "0,0.25,0.5",
    thresholds: Annotated[str, typer.Option(help="Confidences that must be kept.")] = "0.5,0.7,0.9",
    alpha: Annotated[float | None, typer.Option(help="Instead of the run's own.")] = None,
    joint: Annotated[
        Joint,
        typer.Option(help="What alpha is for: each statement, all about an input together, or about the data set."),
    ] = Joint.each,
    input: Annotated[str | None, typer.Option(help="One input, by its id or index, instead of them all.")] = None,
    format: Annotated[Format, typer.Option(help="Table for people; csv and json hold exact numbers.")] = Format.table,
) -> None:
    """Answer from stored samples: certified accuracy over the inputs, or the certificates of one input.

    Certified accuracy is the fraction of all inputs, abstentions counted as wrong, whose prediction is right
    and whose certified lower bound at the radius is above the threshold; its interval is a 95% one over the
    inputs. With --joint a whole table can be claimed: alpha is divided by the number of statements of a bound
    (the best of several bounds is not a claim). A run made with --decide answers its own question
    only, with what it cost.
    """
    from smoothcert.cli import answers, decided, printing
    from smoothcert.runs import Run
    from smoothcert.runs.config import DECIDED

    question = answers.Question(
        measures=None if measure is None else names("measure", measure),
        bounds=None if bound is None else names("bound", bound),
        radii=numbers("radii", radii),
        thresholds=numbers("thresholds", thresholds),
        alpha=alpha,
        joint=joint.value,
    )
    opened = [Run.open(path) for path in runs]
    if any(run.config.kind == DECIDED for run in opened):
        decided.require_no_other_question(opened, given(context, _ASKING))
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
    if format is Format.json:
        typer.echo(printing.as_json(json_value))
    elif format is Format.csv:
        typer.echo(printing.as_csv(rows))
    else:
        typer.echo("\n\n".join(texts))
