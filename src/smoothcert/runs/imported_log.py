"""The logs published with two papers, read strictly: every line is what its authors' program writes, or named as wrong.

Two forms, both tab-separated with a header line and one row per input:

* Cohen, Rosenfeld and Kolter (2019), https://arxiv.org/abs/1902.02918: ``idx label predict radius correct time``; the
  radius within which the class cannot change.
* Kumar, Levine, Feizi and Goldstein (2020), https://arxiv.org/abs/2009.08061: ``idx label predict``, then
  ``exp_cdf_RR`` and ``exp_RR``, the CDF bound and the baseline on one measure at radius ``RR / 100``, then
  ``correct time``.

In both ``predict`` is -1 where the smoothed classifier abstains, and every number of such a row is written as zero. A
zero is not a valid lower bound on a margin, so those numbers are not read at all.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from smoothcert.errors import DataError
from smoothcert.files import read_file
from smoothcert.typing import FloatArray, IntArray

COHEN, KUMAR = "cohen2019", "kumar2020"
ABSTAINED = -1
_HEAD, _TAIL = ["idx", "label", "predict"], ["correct", "time"]
_COHEN_COLUMNS = [*_HEAD, "radius", *_TAIL]
_BOUND_COLUMN = re.compile(r"exp_(cdf_)?([0-9]{2,6})")
_INTEGER = re.compile(r"[-+]?[0-9]{1,9}")
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,4})?")
_LARGEST = 2**28  # bytes; the logs published have some 700,000
_TIME = re.compile(r"(?:(\d+) days?, )?(\d+):(\d{2}):(\d{2}(?:\.\d+)?)")
FORMS = (
    f"{' '.join(_COHEN_COLUMNS)} (Cohen et al.) or "
    f"{' '.join(_HEAD)} exp_cdf_RR ... exp_RR ... {' '.join(_TAIL)} (Kumar et al.)"
)


@dataclass(frozen=True, eq=False)
class ImportedLog:
    """What a log holds, by ascending index.

    Args:
        form: ``COHEN`` or ``KUMAR``.
        indices: Position of each input in its data set, shape ``(inputs,)``.
        labels: Class of each input, shape ``(inputs,)``.
        predictions: Predicted class, ``ABSTAINED`` where there is none, shape ``(inputs,)``.
        seconds: Time spent on each input, NaN where the log does not say, shape ``(inputs,)``.
        class_radius: Class radius, NaN where abstained, shape ``(inputs,)``; None in the form of Kumar et al.
        radii: Radii of the bounds, ascending, shape ``(radii,)``; empty in the form of Cohen et al.
        lower: Lower bounds for ``"cdf"`` and ``"hoeffding"``, NaN where abstained, shape ``(inputs, radii)``.
        digest: SHA-256 of the file.
        cut_line: Number of a last line that was cut off in writing and is left out, if there is one.
    """

    form: str
    indices: IntArray
    labels: IntArray
    predictions: IntArray
    seconds: FloatArray
    class_radius: FloatArray | None
    radii: FloatArray
    lower: dict[str, FloatArray]
    digest: str
    cut_line: int | None = None

    def __len__(self) -> int:
        """Number of inputs."""
        return self.indices.size

    @property
    def abstained(self) -> int:
        """Number of abstentions."""
        return int(np.sum(self.predictions == ABSTAINED))

    @property
    def stride(self) -> int | None:
        """The one distance between indices, or None if there are several or the first is not 0."""
        steps = np.unique(np.diff(self.indices))
        return int(steps[0]) if steps.size == 1 and self.indices[0] == 0 else None


def read_log(path: Path | str) -> ImportedLog:
    """Read a log in one of the two forms.

    A last line with fewer columns was cut off in writing: it is left out and its number returned.

    Raises:
        DataError: If the file cannot be read, has other columns, or holds a row its authors' program cannot write; the
            message names the file and the line.
    """
    file = Path(path)
    try:
        content = read_file(file, at_most=_LARGEST)
        lines = content.decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read as a log: {error}") from error
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise DataError(f"{file} is empty; a log begins with the columns {FORMS}")
    columns = lines[0].split("\t")
    bounds = _bound_columns(file, columns)
    rows, cut = [], None
    for number, line in enumerate(lines[1:], start=2):
        fields = line.split("\t")
        if len(fields) < len(columns) and number == len(lines):
            cut = number
        elif len(fields) != len(columns):
            raise DataError(f"{file}, line {number}: {len(fields)} columns where the header has {len(columns)}")
        else:
            rows.append(_Row(file, number, dict(zip(columns, fields, strict=True))))
    if not rows:
        raise DataError(f"{file} holds no complete row after its header")
    return _assemble(rows, bounds, cut, hashlib.sha256(content).hexdigest())


@dataclass(frozen=True)
class _Row:
    """One line and where it stands, so that every complaint can say so."""

    file: Path
    line: int
    fields: dict[str, str]

    def integer(self, column: str) -> int:
        text = self.fields[column]
        if not _INTEGER.fullmatch(text):  # int() also takes 1_0 and digits of other scripts
            raise self.error(f"{column} must be an integer of at most 9 digits; got {text[:40]!r}")
        return int(text)

    def number(self, column: str) -> float:
        text = self.fields[column]
        value = float(text) if _NUMBER.fullmatch(text) else float("nan")
        if not np.isfinite(value):
            raise self.error(f"{column} must be a finite number; got {text[:40]!r}")
        return value

    def seconds(self) -> float:
        text = self.fields["time"]
        if found := _TIME.fullmatch(text):
            days, hours, minutes, rest = found.groups(default="0")
            return ((int(days) * 24 + int(hours)) * 60 + int(minutes)) * 60 + float(rest)
        # Otherwise cut off or absent; no certificate depends on it.
        return float(text) if _NUMBER.fullmatch(text) and np.isfinite(float(text)) else float("nan")

    def error(self, problem: str) -> DataError:
        return DataError(f"{self.file}, line {self.line}: {problem}")


def _bound_columns(file: Path, columns: list[str]) -> dict[str, dict[float, str]]:
    """Column of each bound and radius, radii ascending; empty in the form of Cohen et al."""
    if columns == _COHEN_COLUMNS:
        return {}
    middle = columns[len(_HEAD) : -len(_TAIL)]
    known = [_BOUND_COLUMN.fullmatch(name) for name in middle]
    if columns[: len(_HEAD)] != _HEAD or columns[-len(_TAIL) :] != _TAIL or not middle or not all(known):
        strange = [name for name, found in zip(middle, known, strict=True) if not found] or columns
        raise DataError(f"{file}, line 1: unknown columns {', '.join(strange)}; a log has the columns {FORMS}")
    found: dict[str, dict[float, str]] = {"cdf": {}, "hoeffding": {}}
    for match in known:
        if match:
            at = found["cdf" if match[1] else "hoeffding"]
            if at.get(radius := int(match[2]) / 100.0, match[0]) != match[0]:
                raise DataError(f"{file}, line 1: {at[radius]} and {match[0]} are both radius {radius:g}")
            at[radius] = match[0]
    if len(set(columns)) != len(columns) or found["cdf"].keys() != found["hoeffding"].keys():
        raise DataError(f"{file}, line 1: each radius needs exp_cdf_RR and exp_RR once; got {', '.join(middle)}")
    return {bound: dict(sorted(at.items())) for bound, at in found.items()}


def _assemble(rows: list[_Row], bounds: dict[str, dict[float, str]], cut: int | None, digest: str) -> ImportedLog:
    seen: dict[int, int] = {}
    for row in rows:
        index = row.integer("idx")
        if index < 0:
            raise row.error(f"idx must be at least 0; got {index}")
        if index in seen:
            raise row.error(f"input {index} is already in line {seen[index]}")
        seen[index] = row.line
        _check_prediction(row)
    rows = sorted(rows, key=lambda row: row.integer("idx"))
    return ImportedLog(
        form=KUMAR if bounds else COHEN,
        indices=np.array([row.integer("idx") for row in rows], dtype=np.int64),
        labels=np.array([row.integer("label") for row in rows], dtype=np.int64),
        predictions=np.array([row.integer("predict") for row in rows], dtype=np.int64),
        seconds=np.array([row.seconds() for row in rows]),
        class_radius=None if bounds else np.array([_class_radius(row) for row in rows]),
        radii=np.array(list(bounds.get("cdf", {})), dtype=np.float64),
        lower={bound: np.array([_lower(row, list(at.values())) for row in rows]) for bound, at in bounds.items()},
        digest=digest,
        cut_line=cut,
    )


def _check_prediction(row: _Row) -> None:
    label, predicted, correct = row.integer("label"), row.integer("predict"), row.integer("correct")
    if label < 0 or predicted < ABSTAINED:
        raise row.error(f"label must be at least 0 and predict at least -1; got {label} and {predicted}")
    if correct != int(label == predicted):
        raise row.error(f"correct must be 1 where predict is the label and 0 elsewhere; got {correct}")


def _class_radius(row: _Row) -> float:
    radius = row.number("radius")
    if radius < 0.0:
        raise row.error(f"radius must be at least 0; got {radius:g}")
    return float("nan") if row.integer("predict") == ABSTAINED else radius


def _lower(row: _Row, columns: list[str]) -> list[float]:
    if row.integer("predict") == ABSTAINED:
        return [float("nan")] * len(columns)
    values = [row.number(name) for name in columns]
    for (near, wide), (far, narrow) in pairwise(zip(columns, values, strict=True)):
        if narrow > wide:  # rounding to three digits keeps the order
            raise row.error(f"a lower bound cannot grow with the radius; {near} is {wide:g} and {far} {narrow:g}")
    return values
