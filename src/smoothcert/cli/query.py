"""``smoothcert query``: certified accuracies of stored runs, or everything certified about its inputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from cyclopts import Group, Parameter

from smoothcert.cli.options import Bounds, Names, Numbers, PlaceOrNone, Runs, open_runs
from smoothcert.console import printable, say
from smoothcert.errors import InvalidArgumentError
from smoothcert.files import write_file
from smoothcert.urls import AnyPath

if TYPE_CHECKING:
    from smoothcert.cli.asking import Asked, Inquiry
    from smoothcert.cli.printing import Layout, Row, Table
    from smoothcert.runs import Run

_Rows: TypeAlias = Literal["table", "markdown", "latex", "csv", "json", "parquet"]
Format: TypeAlias = Literal["table", "markdown", "latex", "csv", "json", "parquet", "model-card"]
_QUESTION = Parameter(group=Group("The question", sort_key=1))
_ABOUT = {"input": "about each input", "dataset": "about all inputs"}
_INPUTS = Group("About one input, or each", sort_key=2)
_ANSWER = Parameter(group=Group("The answer", sort_key=3))


def query(
    runs: Runs,
    /,
    *,
    measure: Annotated[Names | None, _QUESTION] = None,
    bound: Annotated[Bounds | None, _QUESTION] = None,
    radii: Annotated[Numbers | None, _QUESTION] = None,
    thresholds: Annotated[Numbers | None, _QUESTION] = None,
    alpha: Annotated[float | None, _QUESTION] = None,
    joint: Annotated[Literal["each", "input", "dataset"] | None, _QUESTION] = None,
    input: Annotated[str | None, Parameter(group=_INPUTS)] = None,
    per_input: Annotated[bool, Parameter(group=_INPUTS)] = False,
    format: Annotated[Format, _ANSWER] = "table",
    out: Annotated[PlaceOrNone, _ANSWER] = None,
) -> None:
    """Answer from stored samples: certified accuracy over the inputs, or what is certified about each of them.

    Certified accuracy is the fraction of all inputs, abstentions counted as wrong, whose prediction is right
    and whose certified lower bound at the radius is above the threshold. In brackets stands its 95% interval over the
    inputs; after it, what is true of all such inputs with 95% confidence, wrong certificates included. Without labels
    it is the fraction certified, right or wrong. A run made with --decide answers its own question only, with what it
    cost.

    For example:

        smoothcert query RUN --radii 0,0.25,0.5 --thresholds 0.5,0.7
        smoothcert query RUN --joint dataset
        smoothcert query RUN --input cat.png --measure margin
        smoothcert query RUN --per-input --format csv --out inputs.csv
        smoothcert query SHARD-1 SHARD-2 SHARD-3

    Args:
        runs: Run folders; those with shares of one run, such as its shards, are asked as one.
        measure: Some of score, margin, the other measures of the run, and class (the class itself is kept, at no
            threshold). Default: what the run holds.
        bound: Some of dual, cdf, hoeffding, clopper_pearson. Default: the first three the run holds; with --per-input
            the first.
        radii: L2 radii, in input units. Default: 0,0.25,0.5.
        thresholds: Values the measure must stay above. Default: 0.5,0.7,0.9.
        alpha: Probability that a certificate is wrong. Default: the run's own.
        joint: What alpha is the probability for: each statement by itself, all that is said of one input, or all that
            is said of the data set. It is divided by the number of statements of a bound; the best of several bounds is
            no claim. Default: each.
        input: One input, by its id, by its index in the data set, or by '#3' as the third of the run.
        per_input: One line for each input, with its prediction, class radius, lower bounds and certified radii.
        format: A table for people, Markdown or LaTeX (booktabs); csv, json or parquet with exact numbers; model-card
            is the YAML for the head of a model card, by default of the class and the first measure by the first bound.
        out: Write to this file instead; parquet needs one.
    """
    from smoothcert.analysis.joint import EACH
    from smoothcert.cli.asking import Asked
    from smoothcert.runs.config import DECIDED

    if input is not None and per_input:
        raise InvalidArgumentError("--input is about one input and --per-input about all: give one of them")
    opened = open_runs(runs)
    asked = Asked(measure, bound, radii, thresholds, alpha, joint or EACH)
    if format == "model-card":
        _put(_model_card(opened, asked, about_inputs=input is not None or per_input), out, "a model-index")
        return
    if any(run.config.kind == DECIDED for run in opened):
        given = {"measure": measure, "bound": bound, "radii": radii, "thresholds": thresholds, "alpha": alpha}
        options = [f"--{name}" for name, value in (given | {"joint": joint}).items() if value is not None]
        answer = _decided(opened, options, wanted=input, per_input=per_input)
    elif input is not None:
        answer = _one_input(opened, asked, input)
    elif per_input:
        answer = _per_input(opened, asked)
    else:
        answer = _accuracy(opened, asked)
    _deliver(answer, format, out)


@dataclass(frozen=True)
class _Answer:
    """An answer in each form it may be wanted in.

    Args:
        rows: Flat rows of exact numbers.
        blocks: For people: lines about each run, and its tables.
        value: What JSON says, where that is not the rows.
        notes: What a reader must know, a sentence each; beside rows they are said on standard error.
    """

    rows: list[Row]
    blocks: Iterable[tuple[list[str], list[Table]]]
    value: list[Row] | None = None
    notes: Sequence[str] = ()


def _deliver(answer: _Answer, format: _Rows, out: AnyPath | None) -> None:
    """Print an answer, or write it to a file."""
    from smoothcert.cli import printing

    for note in answer.notes if format in ("csv", "json", "parquet") else ():
        say(note, err=True)
    if format == "parquet":
        if out is None:
            raise InvalidArgumentError("--format parquet needs --out FILE: it is no text")
        write_file(out, printing.as_parquet(answer.rows))
        say(f"{len(answer.rows):,} rows in {out}")
        return
    if format == "json":
        text = printing.as_json(answer.rows if answer.value is None else answer.value)
    elif format == "csv":
        text = printing.as_csv(answer.rows)
    else:
        layout: Layout = format
        text = "\n\n".join(printing.layout_text(layout, lines, tables) for lines, tables in answer.blocks)
    _put(text, out, f"{len(answer.rows):,} rows")


def _put(text: str, out: AnyPath | None, what: str) -> None:
    if out is None:
        say(text)
    else:
        write_file(out, f"{printable(text)}\n")
        say(f"{what} in {out}")


def _model_card(runs: Sequence[Run], asked: Asked, *, about_inputs: bool) -> str:
    """Certified accuracies of one run as the YAML of a model card."""
    from smoothcert.analysis.certified_accuracy import CLASS
    from smoothcert.cli.answers import accuracy_rows
    from smoothcert.cli.asking import Inquiry
    from smoothcert.sharing import model_index_yaml

    if about_inputs or len(runs) != 1:
        raise InvalidArgumentError("--format model-card is about all inputs of one run")
    inquiry = Inquiry.of(runs[0], asked)
    if not asked.measures:
        inquiry = replace(inquiry, measures=list(dict.fromkeys([CLASS, *inquiry.named[:1]])))
    if not asked.bounds:
        inquiry = replace(inquiry, bounds=inquiry.bounds[:1])
    return model_index_yaml(runs[0].config, accuracy_rows(inquiry))


def _accuracy(runs: Sequence[Run], asked: Asked) -> _Answer:
    """Certified accuracies: one line per measure, threshold and bound, one column per radius."""
    from smoothcert.cli.answers import accuracy_rows
    from smoothcert.cli.asking import Inquiry

    inquiries = [Inquiry.of(run, asked) for run in runs]
    tables = [accuracy_rows(inquiry) for inquiry in inquiries]
    blocks = (
        (_run_lines(inquiry, rows), [_accuracy_table(rows)]) for inquiry, rows in zip(inquiries, tables, strict=True)
    )
    notes = [note for inquiry in inquiries for note in (*_notes(inquiry.run), *inquiry.reach_notes())]
    return _Answer([row for rows in tables for row in rows], blocks, notes=notes)


def _notes(run: Run) -> list[str]:
    return [f"note: {note}" for note in run.notes]


def _run_lines(inquiry: Inquiry, rows: Sequence[Row]) -> list[str]:
    from smoothcert.bounds import ceil_digits
    from smoothcert.cli.printing import number_text
    from smoothcert.report.wording import samples_words, step_words

    run, table, counted = inquiry.run, inquiry.table, rows[0]
    alpha = f"alpha {number_text(table.alpha)}"
    if inquiry.joint != "each":
        alpha += f" for all lines of a bound together {_ABOUT[inquiry.joint]} (each statement at {_shares(rows)})"
    what = "certified accuracy" if counted["labelled"] else "without labels: fraction certified, right or wrong"
    lines = [
        f"{run.label}: {counted['inputs']} inputs"
        + (f" with a label ({counted['unlabelled']} more without)" if counted["unlabelled"] else "")
        + (f" ({counted['skipped']} more skipped as unreadable)" if counted["skipped"] else "")
        + (f", {counted['missing']} of {run.expected} missing" if counted["missing"] else "")
        + f", sigma {run.config.sigma:g}, {alpha}, n0 {run.config.n0:,}, n {samples_words(table.sizes)}",
        *_notes(run),
        *inquiry.reach_notes(),
    ]
    if table.step is not None:
        lines.append(
            f"certificates hold for every input on the lattice of step {step_words(table.step)} within the radius, in "
            f"exact arithmetic; the noise costs {ceil_digits(table.price, 1)} of alpha for each input"
        )
    lines.append(
        f"{what} [95% interval over the inputs] ≥ what it is at least of all such inputs, with 95% confidence, wrong "
        "certificates included"
    )
    return lines


def _shares(rows: Iterable[Row]) -> str:
    """Alpha of a statement of each bound, rounded up; of each measure, too, where it depends on that."""
    from smoothcert.bounds import ceil_digits

    at: dict[str, dict[str, str]] = {}
    for row in rows:
        at.setdefault(row["bound"], {})[row["measure"]] = ceil_digits(row["alpha"])
    return ", ".join(
        f"{bound} {next(iter(shares.values()))}"
        if len(set(shares.values())) == 1
        else ", ".join(f"{bound} {share} of {measure}" for measure, share in shares.items())
        for bound, shares in at.items()
    )


def _accuracy_table(rows: Sequence[Row]) -> Table:
    from smoothcert.cli.printing import number_text

    radii = list(dict.fromkeys(row["radius"] for row in rows))
    cells = {(row["measure"], row["threshold"], row["bound"], row["radius"]): _fraction(row) for row in rows}
    names = [list(dict.fromkeys(row[name] for row in rows)) for name in ("measure", "threshold", "bound")]
    lines = [line for line in product(*names) if (*line, radii[0]) in cells]
    body = [[m, number_text(t), b, *(cells[m, t, b, radius] for radius in radii)] for m, t, b in lines]
    return ["measure", "threshold", "bound", *(f"radius {number_text(radius)}" for radius in radii)], body, 3


def _fraction(row: Row) -> str:
    from smoothcert.bounds import floor_decimals
    from smoothcert.cli.printing import proportion_text

    certified = round(row["certified_accuracy"] * row["inputs"])
    fraction = proportion_text(certified, row["inputs"], row["ci_low"], row["ci_high"])
    return f"{fraction} ≥ {floor_decimals(row['population_lower'], 3)}"


def _one_input(runs: Sequence[Run], asked: Asked, wanted: str) -> _Answer:
    """Everything certified about one input of each run."""
    from smoothcert.cli.answers import input_answer, input_rows
    from smoothcert.cli.asking import Inquiry

    found = [input_answer(Inquiry.of(run, asked, one_input=True), wanted) for run in runs]
    return _Answer([row for answer in found for row in input_rows(answer)], map(_input_block, found), found)


def _input_block(answer: Row) -> tuple[list[str], list[Table]]:
    from smoothcert.bounds import ceil_digits
    from smoothcert.cli.printing import lower_text, number_text, upper_text

    named = f" ({answer['class_name']})" if answer["class_name"] else ""
    label = "" if answer["label"] is None else f", label {answer['label']}"
    radius = f"class radius {lower_text(answer['class_radius'])}"
    radius = "abstained" if answer["abstained"] else radius
    prediction = "none" if answer["prediction"] is None else answer["prediction"]
    bounds = [
        [row["measure"], row["bound"], number_text(row["radius"]), lower_text(row["lower"]), upper_text(row["upper"])]
        for row in answer["bounds"]
    ]
    radii = [
        [
            row["measure"],
            row["bound"],
            number_text(row["threshold"]),
            "any" if row["radius"] is None else lower_text(row["radius"]),
        ]
        for row in answer["radii"]
    ]
    lines = [
        f"{answer['run']}: input {answer['index']} ({answer['id']})",
        f"prediction {prediction}{named}{label}, {radius}, sigma {answer['sigma']:g}, "
        f"alpha {number_text(answer['alpha'])}, n0 {answer['n0']:,}, n {answer['n']:,}",
    ]
    if answer["joint"] != "each":
        each = [f"class radius {ceil_digits(answer['alpha_class_radius'])}", *filter(None, [_shares(answer["bounds"])])]
        lines.append(
            f"alpha is for the class radius and all lines of a bound together {_ABOUT[answer['joint']]} "
            f"(each statement at {', '.join(each)})"
        )
    tables: list[Table] = [
        (["measure", "bound", "radius", "lower", "upper"], bounds, 2),
        (["measure", "bound", "threshold", "certified radius"], radii, 2),
    ]
    return lines, [table for table in tables if table[1]]


def _per_input(runs: Sequence[Run], asked: Asked) -> _Answer:
    """One line for each input of the runs."""
    from smoothcert.cli.answers import per_input_rows
    from smoothcert.cli.asking import Inquiry

    inquiries = [Inquiry.of(run, asked) for run in runs]
    if not asked.bounds:  # one line per input: the first bound
        inquiries = [replace(inquiry, bounds=inquiry.bounds[:1]) for inquiry in inquiries]
    tables = [per_input_rows(inquiry) for inquiry in inquiries]
    blocks = ((_each_lines(inquiry), [_rows_table(rows)]) for inquiry, rows in zip(inquiries, tables, strict=True))
    notes = [note for inquiry in inquiries for note in _notes(inquiry.run)]
    return _Answer([row for rows in tables for row in rows], blocks, notes=notes)


def _each_lines(inquiry: Inquiry) -> list[str]:
    from smoothcert.cli.printing import number_text
    from smoothcert.report.wording import samples_words

    run, config = inquiry.run, inquiry.run.config
    missing = f", {run.missing} of {run.expected} missing" if run.missing else ""
    together = "" if inquiry.joint == "each" else f" for all that is said {_ABOUT[inquiry.joint]} by a bound"
    return [
        f"{run.label}, per input{missing}: sigma {config.sigma:g}, alpha {number_text(inquiry.table.alpha)}{together}, "
        f"n0 {config.n0:,}, n {samples_words(inquiry.table.sizes)}",
        *_notes(run),
    ]


def _rows_table(rows: Sequence[Row]) -> Table:
    """Flat rows for people: what is the same for all is left out, bounds are rounded down."""
    from smoothcert.cli.printing import columns, lower_text

    kept = [name for name in columns(rows) if name not in ("run", "sigma", "alpha", "joint", "n0", "question")]
    kept = [name for name in kept if name != "error" or any(row["error"] for row in rows)]

    def text(value: object) -> str:
        return lower_text(value) if isinstance(value, float) else "—" if value is None else str(value)

    return kept, [[text(row.get(name)) for name in kept] for row in rows], 2


def _decided(runs: Sequence[Run], options: Sequence[str], *, wanted: str | None, per_input: bool) -> _Answer:
    """The one answer of runs that decided a question."""
    from smoothcert.cli import decided

    decided.require_no_other_question(runs, options)
    notes = [note for run in runs for note in _notes(run)]
    if wanted is not None:
        rows = [decided.input_row(run, wanted) for run in runs]
        return _Answer(rows, ((decided.input_lines(row), []) for row in rows))
    if per_input:
        tables = [decided.decided_input_rows(run) for run in runs]
        blocks = ((decided.decided_lines(run), [_rows_table(rows)]) for run, rows in zip(runs, tables, strict=True))
        return _Answer([row for rows in tables for row in rows], blocks, notes=notes)
    return _Answer(
        [decided.decided_row(run) for run in runs],
        ((decided.decided_lines(run), [decided.decided_table(run)]) for run in runs),
        notes=notes,
    )
