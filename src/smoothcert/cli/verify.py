"""``smoothcert verify`` and ``export``: evidence of one input or a run, and whether claims follow from the samples."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from smoothcert.cli.options import Numbers, Place, PlaceOrNone
from smoothcert.console import one_line, say
from smoothcert.errors import InvalidArgumentError
from smoothcert.files import write_file
from smoothcert.urls import AnyPath

if TYPE_CHECKING:
    from smoothcert.verify import Check


def verify(
    source: Annotated[Place, Parameter(name="RUN|FILE")],
    /,
    *,
    inputs: int = 10,
    all_inputs: Annotated[bool, Parameter(negative=())] = False,
    model_at_hand: Annotated[bool, Parameter(negative=())] = False,
    against: PlaceOrNone = None,
    format: Literal["text", "json"] = "text",
) -> None:
    """Recompute what is claimed from the samples alone, by slow code of its own.

    Of a run: class radii, bounds and certified radii of its inputs, by every bound; of all inputs, certified accuracies
    as well. Of a file that "export" wrote: everything it claims, and of evidence of a run every hash, number and word,
    against the run in whose folder it lies or that --against names. Ends with code 0 if the samples support all of it,
    and with 1 if they do not; a file whose parts do not fit together, or do not fit the run, is a mistake and ends
    with 2.

    For example:

        smoothcert verify RUN
        smoothcert verify RUN --inputs 3 --model-at-hand
        smoothcert verify evidence.json --against RUN

    Args:
        source: A run folder, or a file of evidence.
        inputs: Of a run: how many inputs, evenly spaced. A second or more for each.
        all_inputs: Of a run: every input, and certified accuracies.
        model_at_hand: Of a run: load its model and data by their names, sample up to two inputs again, and compare.
        against: Of a file: the run it is said to be from. Default: the one in whose folder the file lies, if any.
        format: Text for people, or json: one object per claim.
    """
    from smoothcert.runs import Run
    from smoothcert.verify import read_run_evidence, verify_file, verify_run, verify_run_evidence

    count, again = None if all_inputs else inputs, 2 if model_at_hand else 0
    if source.is_dir():
        if against is not None:
            raise InvalidArgumentError("--against is for a file of evidence; a run is checked by itself")
        checks = verify_run(Run.open(source), inputs=count, resample=again)
    elif (document := read_run_evidence(source)) is not None:
        run = Run.open(_run_of(source) if against is None else against)
        checks = [*verify_run_evidence(document, run), *verify_run(run, inputs=count, resample=again)]
    else:
        if model_at_hand or all_inputs:
            raise InvalidArgumentError("--model-at-hand and --all-inputs are for a run; this file is about one input")
        checks = verify_file(source, against=None if against is None else Run.open(against))
    _print(checks, format)
    if not all(check.ok for check in checks):
        raise SystemExit(1)


def _run_of(source: AnyPath) -> AnyPath:
    """The folder of a file of evidence, if a run lies there."""
    from smoothcert.runs.store import holds_run

    if not holds_run(source.parent):
        raise InvalidArgumentError(
            f"{source} fits together, but its numbers are checked against the run: put it into the run's folder, or "
            "give --against RUN"
        )
    return source.parent


def export(
    run: Place,
    /,
    *,
    input: str | None = None,
    radii: Numbers | None = None,
    thresholds: Numbers | None = None,
    alpha: float | None = None,
    out: PlaceOrNone = None,
) -> None:
    """Write evidence as JSON: what is certified, on what assumptions, and what it follows from; "verify" checks it.

    Of one input: its samples, so that the file can be checked without the run, the model and this package. Of a run:
    accuracies, method, versions, and hashes of its files, so that a change of any number or file is found.

    For example:

        smoothcert export RUN --input 12 --out evidence.json
        smoothcert export RUN --out RUN/evidence.json

    Args:
        run: The run folder.
        input: The input, by its id, by its index in the data set, or by '#3' as the third of the run. Default: the
            whole run.
        radii: L2 radii of the bounds, in input units. Default: 0,0.25,0.5; of a run 0, 1 and 2 sigma.
        thresholds: Of an input, values whose certified radius is claimed, of the measures in whose range they lie;
            default: the middle of the range. Of a run, values that must be exceeded; default: 0.5,0.7,0.9.
        alpha: Probability that a claim is wrong. Default: the run's own.
        out: The file; without it, standard output.
    """
    from smoothcert.cli.options import open_runs
    from smoothcert.verify import export_input, export_run
    from smoothcert.verify.evidence import DEFAULT_RADII
    from smoothcert.verify.run_evidence import DEFAULT_THRESHOLDS

    (opened,) = open_runs([run])
    if input is None:
        document = export_run(opened, radii=radii, thresholds=thresholds or DEFAULT_THRESHOLDS, alpha=alpha)
    else:
        document = export_input(
            opened, opened.find(input), radii=radii or DEFAULT_RADII, thresholds=thresholds, alpha=alpha
        )
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    if out is None:
        say(text.rstrip("\n"))
    else:
        write_file(out, text)


def _print(checks: list[Check], format: str) -> None:
    if format == "json":
        say(json.dumps([vars(check) for check in checks], indent=1))
        return
    failed = [check for check in checks if not check.ok]
    for check in failed:
        say(
            one_line(f"NOT SUPPORTED  {check.claim}: claimed {_words(check.claimed)}, found {_words(check.recomputed)}")
        )
    for check in checks:
        if check.ok and check.claim.endswith("sampled again"):
            say(one_line(f"{check.claim}: {check.recomputed}"))
    say(f"{len(checks) - len(failed):,} of {len(checks):,} claims follow from the samples")


def _words(value: Any) -> str:
    return f"{value:.9g}" if isinstance(value, float) else str(value)
