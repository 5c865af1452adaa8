"""A published log as a run folder, so that whatever reads a run reads it too.

Layout::

    RUN/config.json     kind "imported"; what is known of how the log was made, and notes on what it lacks
    RUN/parts/*.parquet one row per input: what the log says about it, null where it abstains

The columns of the bounds are named ``measure:bound:radius``, such as ``score:cdf:0.25``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy.special import ndtri

from smoothcert._check import check_alpha, check_choice, check_count, check_sigma
from smoothcert.errors import DataError, InvalidArgumentError
from smoothcert.runs.config import IMPORTED, RunConfig, current_versions, evenly_spaced, now
from smoothcert.runs.imported_log import ABSTAINED, COHEN, ImportedLog, read_log
from smoothcert.runs.run import Run
from smoothcert.runs.store import RunStore, check_folder
from smoothcert.scores import MEASURES
from smoothcert.spec import RunSpec
from smoothcert.typing import FloatArray
from smoothcert.urls import AnyPath, to_path

PAPERS = {COHEN: "Cohen et al. 2019", "kumar2020": "Kumar et al. 2020"}
CLASS_RADIUS = "class_radius"
UNKNOWN = "unknown"
_PUBLISHED_N0, _PUBLISHED_N, _PUBLISHED_ALPHA = 100, 100_000, 0.001  # the defaults of both authors' programs
_MEASURE_NAMES = {"pred_score": "score", "score": "score", "margin": "margin"}
_ABSTAIN_BELOW = {
    "score": ", also at thresholds below 0.5, where the authors' program abstains",
    "margin": ", also at thresholds below 0, where the authors' program abstains",
}
_PARTS_OF_NAME = 6  # of the path: published logs lie in folders such as cifar10/margin/noise_0.25


@dataclass(frozen=True)
class _DataSet:
    """What the index of a row can be checked against."""

    size: int
    classes: int


_DATA = {"cifar10": _DataSet(10_000, 10), "imagenet": _DataSet(50_000, 1_000)}


def import_log(
    path: Path | str,
    *,
    out: AnyPath | str,
    measure: str | None = None,
    sigma: float | None = None,
    data: str | None = None,
    model: str | None = None,
    alpha: float = _PUBLISHED_ALPHA,
    n: int = _PUBLISHED_N,
    n0: int = _PUBLISHED_N0,
    rows: int | None = None,
) -> Run:
    """Read a log published by Cohen et al. or Kumar et al. into a run folder.

    What a log holds is answered exactly as its numbers say; everything else is refused by whoever asks. Importing the
    same log into the same folder again changes nothing.

    Args:
        path: The log; see :mod:`smoothcert.runs.imported_log` for its two forms.
        out: The run folder.
        measure: ``"score"`` or ``"margin"``, for the form of Kumar et al.; None to read it from the name of the log,
            as in ``cifar10-margin-noise_0.25.tsv`` or ``cifar10/pred_score/noise_0.25``.
        sigma: Standard deviation of the noise, in input units; None to read it from the name.
        data: Name of the data set; None to read it from the name.
        model: Name of the base classifier; None to read it from the name.
        alpha: Failure probability the log was made at; logs do not say.
        n: Number of estimation samples the log was made with.
        n0: Number of samples that selected the class.
        rows: Rows the complete log has; None to derive it from the size of the data set and the steps of the index.

    Returns:
        The run. Its config's ``notes`` say what was cut off, how many abstain, and what does not add up.

    Raises:
        DataError: If the log is not in one of the two forms; the message names the file and the line.
        InvalidArgumentError: If an argument is outside its domain, or neither given nor in the name of the log.
        RunError: If the folder holds another run or cannot be written.
    """
    source = Path(path)
    out = to_path(out)
    check_folder(out)
    log = read_log(source)
    named = "/".join(source.parts[-_PARTS_OF_NAME:])
    held = _measure(log, named, measure)
    noise = check_sigma(_sigma(log, named) if sigma is None else sigma)
    failure, samples = check_alpha(alpha), check_count("n", n)
    data_set = data or _last(r"(cifar10|imagenet)", named) or UNKNOWN
    _check_classes(log, data_set)
    expected = _expected_rows(log, data_set) if rows is None else check_count("rows", rows)
    classes = 1 + int(max(log.labels.max(), log.predictions.max()))
    spec = RunSpec.of(
        model=model or _last(r"(resnet\d+)", named) or UNKNOWN,
        data=data_set,
        stride=log.stride or 1,
        sigma=noise,
        n0=n0,
        n=n,
        alpha=alpha,
    )
    config = RunConfig(
        kind=IMPORTED,
        spec=spec,
        model=str(spec.model.name),
        data=data_set,
        data_fingerprint=f"{held or 'class'}:{log.digest}",
        num_classes=max(classes, _DATA[data_set].classes) if data_set in _DATA else classes,
        device=UNKNOWN,
        inputs=expected,
        indices=evenly_spaced(range(0, (expected or 0) * (log.stride or 1), log.stride or 1)),
        versions=current_versions(),
        created=now(),
        notes=tuple(_notes(log, source.name, held, sigma=noise, alpha=failure, n=samples, expected=expected)),
    )
    with RunStore(out, config) as store:
        store.put_table(_table(log, data_set, held))
    return Run.open(out)


def bound_column(measure: str, bound: str, radius: float) -> str:
    """Name of the column of one bound at one radius.

    Example:
        >>> bound_column("score", "cdf", 0.25)
        'score:cdf:0.25'
    """
    return f"{measure}:{bound}:{radius:g}"


def _measure(log: ImportedLog, named: str, given: str | None) -> str | None:
    """The measure the bounds are on, None for a log of class radii."""
    if log.form == COHEN:
        if given is not None:
            raise InvalidArgumentError(
                f"measure is for logs with bounds on one; this log holds class radii; got {given!r}"
            )
        return None
    found = given or _MEASURE_NAMES.get(_last(r"(pred_score|score|margin)", named))
    if found is None:
        raise InvalidArgumentError(
            f"measure must be one of {', '.join(MEASURES)}: the columns are the same for both, and the name of the log "
            "does not say which"
        )
    ends = MEASURES[check_choice("measure", found, tuple(MEASURES))]
    for bound, values in log.lower.items():
        for row in np.flatnonzero(np.any((values < ends.lower) | (values > ends.upper), axis=1)):
            raise DataError(
                f"input {log.indices[row]} has a {bound} bound outside [{ends.lower:g}, {ends.upper:g}], the range of "
                f"a {found}: is the log about another measure?"
            )
    return found


def _sigma(log: ImportedLog, named: str) -> float:
    number = r"_?(\d+\.\d+)"
    found = (_last(f"sigma{number}", named) if log.form == COHEN else "") or _last(f"(?:noise|sigma){number}", named)
    if not found:
        raise InvalidArgumentError(
            "sigma must be given: the columns do not say it, and neither does the name of the log, as noise_0.25 would"
        )
    return float(found)


def _last(pattern: str, named: str) -> str:
    """The last match in the name, nearest to the file."""
    found: list[str] = re.findall(pattern, named)
    return found[-1] if found else ""


def _check_classes(log: ImportedLog, data: str) -> None:
    """Refuse a class or an index that the data set does not have."""
    if data not in _DATA:
        return
    known = _DATA[data]
    for row in np.flatnonzero((log.labels >= known.classes) | (log.predictions >= known.classes)):
        raise DataError(
            f"input {log.indices[row]} has label {log.labels[row]} and prediction {log.predictions[row]}; {data} has "
            f"the classes 0 to {known.classes - 1}: is the log about other data? Name them as data"
        )
    if log.indices[-1] >= known.size:
        raise DataError(
            f"input {log.indices[-1]} is in the log; {data} has {known.size:,}: is the log about other data? "
            "Name them as data"
        )


def _expected_rows(log: ImportedLog, data: str) -> int | None:
    """Rows of the complete log: every stride-th input of the data set."""
    if data not in _DATA or log.stride is None:
        return None
    return -(-_DATA[data].size // log.stride)


def _notes(
    log: ImportedLog,
    name: str,
    measure: str | None,
    *,
    sigma: float,
    alpha: float,
    n: int,
    expected: int | None,
) -> list[str]:
    """What a reader of the numbers must know."""
    if measure is None:
        held = "class radii"
    else:
        held = f"cdf and hoeffding lower bounds on the {measure} at radii {', '.join(f'{r:g}' for r in log.radii)}"
    notes = [
        f"imported from {name}, a log in the form of {PAPERS[log.form]}: {held}, printed with three digits and rounded "
        "to nearest, so a value may be half a unit of its last digit above what was certified"
    ]
    if log.abstained:
        notes.append(
            f"{log.abstained} of {len(log)} inputs are abstentions, which the log writes as zeros: they carry no "
            f"certificate and count as wrong{_ABSTAIN_BELOW.get(measure or '', '')}"
        )
    if log.cut_line is not None:
        notes.append(f"line {log.cut_line}, the last, was cut off in writing and is left out")
    if expected is not None and len(log) != expected:
        notes.append(
            f"the log stops after {len(log)} of {expected} rows: every fraction is of the {len(log)} it holds"
            if len(log) < expected
            else f"the log has {len(log)} rows where {expected} were expected"
        )
    if beyond := _beyond_reach(log, sigma=sigma, alpha=alpha, n=n):
        notes.append(beyond)
    return notes


def _beyond_reach(log: ImportedLog, *, sigma: float, alpha: float, n: int) -> str | None:
    """A class radius that n unanimous votes cannot certify at alpha, with what would explain it."""
    if log.class_radius is None or not np.any(log.class_radius > 0.0):
        return None
    largest = float(np.nanmax(log.class_radius))
    reach = sigma * float(ndtri(alpha ** (1.0 / n)))
    if largest <= 1.005 * reach:  # three printed digits
        return None
    fitting = [
        other for other in (0.002, 0.005, 0.01, 0.02, 0.05) if largest <= 1.005 * sigma * ndtri(other ** (1 / n))
    ]
    hint = f"; it fits alpha={fitting[0]:g}, to be given as alpha" if fitting else ""
    return (
        f"the largest class radius, {largest:g} or {largest / sigma:.2f} sigma, is more than {n:,} votes certify at "
        f"alpha={alpha:g}, which is {reach / sigma:.2f} sigma{hint}"
    )


def _table(log: ImportedLog, data: str, measure: str | None) -> pa.Table:
    abstained = log.predictions == ABSTAINED
    columns = {
        "index": pa.array(log.indices),
        "id": pa.array([f"{data}:{index}" for index in log.indices]),
        "label": pa.array(log.labels),
        "seconds": pa.array(np.nan_to_num(log.seconds)),
        "error": pa.nulls(len(log), pa.string()),
        "prediction": pa.array(log.predictions, mask=abstained),
    }
    if log.class_radius is not None:
        columns[CLASS_RADIUS] = _nullable(log.class_radius)
    for bound, values in log.lower.items():
        for radius, column in zip(log.radii, values.T, strict=True):
            columns[bound_column(str(measure), bound, radius)] = _nullable(column)
    return pa.table(columns)


def _nullable(values: FloatArray) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))
