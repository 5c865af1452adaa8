"""What ``query`` says of a run that decided one question for every input."""

from __future__ import annotations

from collections.abc import Sequence

from smoothcert.analysis.decided import decided_summary
from smoothcert.analysis.proportion import Proportion
from smoothcert.cli.answers import sampled_record, skipped_rows
from smoothcert.cli.printing import Row, Table, number_text, proportion_text
from smoothcert.decision import Question
from smoothcert.errors import InvalidArgumentError
from smoothcert.runs import Run
from smoothcert.runs.config import DECIDED


def require_no_other_question(runs: Sequence[Run], options: Sequence[str]) -> None:
    """Refuse what a decided run cannot answer: another question, or to stand beside runs of another kind.

    Args:
        runs: The runs asked, at least one of them decided.
        options: Options of the command line that ask something else, as written there.

    Raises:
        InvalidArgumentError: Naming the option or the run, and what can be answered.
    """
    decided = next(run for run in runs if run.config.kind == DECIDED)
    what = f"{decided.label} decided {decided.config.question} and can answer nothing else"
    if options:
        raise InvalidArgumentError(f"{what}: leave out {', '.join(options)}")
    other = [run for run in runs if run.config.kind != DECIDED]
    if other:
        raise InvalidArgumentError(f"{what}: query {other[0].label} on its own")


def decided_row(run: Run) -> Row:
    """The run's summary as one flat row of exact numbers; its certified accuracy is of the inputs with a label."""
    found = decided_summary(run)
    accuracy = found.certified_accuracy
    return {
        "run": run.label,
        "measure": found.question.measure,
        "bound": "sequential",
        "threshold": found.question.threshold,
        "radius": found.question.radius,
        "certified_accuracy": None if accuracy is None else accuracy.value,
        "ci_low": None if accuracy is None else accuracy.ci_low,
        "ci_high": None if accuracy is None else accuracy.ci_high,
        "inputs": found.inputs,
        "labelled_inputs": 0 if accuracy is None else accuracy.inputs,
        "alpha": found.alpha,
        "certified": found.certified.value,
        "refuted": found.refuted.value,
        "undecided": found.undecided.value,
        "skipped": found.skipped,
        "missing": run.missing,
        "n0": found.n0,
        "max_n": found.max_n,
        "mean_samples": found.mean_samples,
        "median_samples": found.median_samples,
        "times_fewer": found.times_fewer,
    }


def decided_lines(run: Run) -> list[str]:
    """What was asked, in a line, and what a reader must know."""
    found = decided_summary(run)
    asked = found.question
    skipped = f" ({found.skipped} more skipped as unreadable)" if found.skipped else ""
    missing = f", {run.missing} of {run.expected} missing" if run.missing else ""
    return [
        f"{run.label}: {asked.measure} above {number_text(asked.threshold)} within {number_text(asked.radius)}? "
        f"{found.inputs} inputs{skipped}{missing}, sigma {run.config.sigma:g}, "
        f"alpha {number_text(found.alpha)} per input, n0 {found.n0:,}, at most {found.max_n:,}",
        *(f"note: {note}" for note in run.notes),
    ]


def decided_table(run: Run) -> Table:
    """The run's summary for people: what, and how much."""
    found = decided_summary(run)
    accuracy = found.certified_accuracy
    some = f", of the {accuracy.inputs:,} with a label" if accuracy and accuracy.inputs < found.inputs else ""
    rows = [
        (f"certified accuracy{some}", _share(accuracy)),
        ("certified, right or wrong", _share(found.certified)),
        ("refuted", _share(found.refuted)),
        ("undecided", _share(found.undecided)),
        ("samples, mean", f"{found.mean_samples:,.1f}"),
        ("samples, median", f"{found.median_samples:,.1f}"),
        ("fewer than 100,000 by", f"{found.times_fewer:,.1f} times"),
    ]
    return ["of the inputs", "[95% interval over the inputs]"], rows, 2


def decided_input_rows(run: Run) -> list[Row]:
    """One flat row per input: the answer and what it took."""
    rows = []
    for record in run.iter_records():
        if record.samples is not None:
            samples = record.samples
            rows.append(
                {
                    "run": run.label,
                    "index": record.index,
                    "id": record.id,
                    "label": record.label,
                    "prediction": samples.prediction,
                    "question": run.config.question,
                    "answer": record.answer,
                    "sigma": run.config.sigma,
                    "alpha": run.config.alpha,
                    "n0": samples.n0,
                    "n": samples.n,
                    "error": None,
                }
            )
    return sorted([*rows, *skipped_rows(run)], key=lambda row: row["index"])


def input_row(run: Run, wanted: str) -> Row:
    """The answer about one input as one flat row of exact numbers.

    Raises:
        DataError: If the run does not hold the input, or it was skipped.
    """
    config, record, samples = run.config, *sampled_record(run, wanted)
    asked, names = Question.parse(str(config.question)), config.class_names
    return {
        "run": run.label,
        "index": record.index,
        "id": record.id,
        "label": record.label,
        "prediction": samples.prediction,
        "class_name": names[samples.prediction] if names else None,
        "measure": asked.measure,
        "threshold": asked.threshold,
        "radius": asked.radius,
        "answer": record.answer,
        "alpha": config.alpha,
        "sigma": config.sigma,
        "n0": samples.n0,
        "n": samples.n,
        "max_n": config.n,
        "samples": samples.n0 + samples.n,
    }


def input_lines(row: Row) -> list[str]:
    """The answer about one input for people."""
    named = f" ({row['class_name']})" if row["class_name"] else ""
    label = "" if row["label"] is None else f", label {row['label']}"
    return [
        f"{row['run']}: input {row['index']} ({row['id']})",
        f"{row['measure']} above {number_text(row['threshold'])} within {number_text(row['radius'])}? {row['answer']}",
        f"prediction {row['prediction']}{named}{label}, sigma {row['sigma']:g}, alpha {number_text(row['alpha'])}, "
        f"{row['samples']:,} samples used: n0 {row['n0']:,}, n {row['n']:,} of at most {row['max_n']:,}",
    ]


def _share(share: Proportion | None) -> str:
    if share is None:
        return "— (no labels)"
    return proportion_text(share.count, share.inputs, share.ci_low, share.ci_high)
