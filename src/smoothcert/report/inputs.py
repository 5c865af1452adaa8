"""Every input of the page: what its table, and what opens from it, are drawn from, packed for the page's script.

A page holds thousands of inputs and opens at once because none of them is in its markup: the script makes rows from
numbers as they are wanted. They lie in the page as one compressed block of columns, bounds rounded to four decimals on
their safe side, and the first rows also as a table, for whoever runs no script.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from smoothcert.analysis import BoundsTable, Inputs
from smoothcert.analysis.inputs import NO_LABEL
from smoothcert.bounds import bound_named, exact_text
from smoothcert.console import one_line
from smoothcert.report.tables import Classes, Column, Table, words_columns
from smoothcert.report.wording import class_name
from smoothcert.typing import AnyArray, FloatArray, IntArray

BINS = 40
"""Of the histograms of an input."""
SHOWN_WITHOUT_SCRIPT = 50
DECIMALS = 4
_STATES = ("right", "wrong", "abstained", "no label")
_WHOLE = 2**16 - 1  # all scores of an input are in one bin


@dataclass(frozen=True, eq=False)
class InputView:
    """What the page shows about each of some inputs.

    Args:
        table: The inputs and their bounds.
        measures: Measures that there are bounds on; the first heads the table that needs no script.
        bounds: Bounds, the first likewise.
        radii: Radii of the table's columns.
        grid: Radii of the curves, those among them.
        class_names: Names of the classes.
    """

    table: BoundsTable
    measures: tuple[str, ...]
    bounds: tuple[str, ...]
    radii: tuple[float, ...]
    grid: tuple[float, ...]
    class_names: tuple[str, ...] | None

    def fallback(self, name: str) -> Table:
        """The first inputs by the first measure and bound, as a table that needs no script."""
        inputs, answers = self.table.inputs, self.table.answers
        shown = slice(0, SHOWN_WITHOUT_SCRIPT)
        state = states(inputs)[shown]
        numbers: list[tuple[str, IntArray, int]] = []
        if answers.class_radius:
            numbers.append(("class radius", rounded(self.table.class_radius()[shown], DECIMALS), DECIMALS))
        if self.measures:
            first = self.measures[0]
            decimals = decimals_of(self.table.ends(first))
            if answers.smoothed:
                numbers.append((f"smoothed {first}", rounded(self.table.smoothed(first)[shown], decimals), decimals))
            lower = self.table.lower(measure=first, bound=self.bounds[0], radii=self.radii)[shown]
            numbers += [
                (f"{first} ≥ at {exact_text(radius)}", rounded(column, decimals), decimals)
                for radius, column in zip(self.radii, lower.T, strict=True)
            ]
        columns = (
            Column("index", "index"),
            *words_columns("input", "label", "prediction", "result"),
            *(Column(heading, heading) for heading, _, _ in numbers),
        )
        rows = tuple(
            (
                str(inputs.indices[row]),
                inputs.ids[row],
                class_name(int(inputs.labels[row]), self.class_names),
                class_name(int(inputs.predictions[row]), self.class_names),
                _STATES[state[row]],
                *(fixed(int(values[row]), decimals) for _, values, decimals in numbers),
            )
            for row in range(len(state))
        )
        return Table(name, "Every input", columns, rows, rows)

    def packed(self, classes: Classes | None) -> str:
        """All inputs, and what is certified of classes, for the page's script: see :func:`pack`."""
        inputs, table = self.table.inputs, self.table
        known = table.answers
        decimals = {measure: decimals_of(table.ends(measure)) for measure in self.measures}
        arrays: dict[str, AnyArray] = {
            "index": inputs.indices.astype(np.int32),
            "label": inputs.labels.astype(np.int32),
            "prediction": inputs.predictions.astype(np.int32),
            "state": states(inputs).astype(np.int32),
        }
        if inputs.clean is not None and (inputs.clean != NO_LABEL).any():
            arrays["clean"] = inputs.clean.astype(np.int32)
        if inputs.sizes is not None:
            arrays["n"] = inputs.sizes.astype(np.int32)
        if known.class_radius:
            arrays["class_radius"] = rounded(np.minimum(table.class_radius(), 1e5), DECIMALS).astype(np.int32)
        if classes is not None:
            arrays["classes"] = classes.labels.astype(np.int32)
            for measure, counts in classes.known.items():
                arrays[f"of_class|{measure}"] = counts.astype(np.int32)
            for (measure, bound), counts in classes.certified.items():
                arrays[f"of_class|{measure}|{bound}"] = counts.astype(np.int32)
        for measure in self.measures:
            scale = decimals[measure]
            if known.smoothed:
                arrays[f"smoothed|{measure}"] = rounded(table.smoothed(measure), scale).astype(np.int16)
            for bound in self.bounds:
                lower = table.lower(measure=measure, bound=bound, radii=self.grid)
                arrays[f"lower|{measure}|{bound}"] = rounded(lower, scale).astype(np.int16)
            above = [bound for bound in self.bounds if known.upper and holds_above(bound)]
            if above:
                uppers = table.uppers(measure=measure, bounds=above, radii=self.grid)
                for bound, upper in zip(above, uppers, strict=True):
                    arrays[f"upper|{measure}|{bound}"] = (-rounded(-upper, scale)).astype(np.int16)
            if known.smoothed:
                counts = table.histograms(measure, bins=BINS)
                most = np.maximum(counts.sum(axis=2, keepdims=True), 1)
                arrays[f"histogram|{measure}"] = (_WHOLE * counts // most).astype(np.uint16)
        more = {
            "ids": [one_line(name) for name in inputs.ids],
            "decimals": decimals,
            "ends": {measure: table.ends(measure) for measure in self.measures},
            "bins": BINS,
        }
        return pack(arrays, more)


def holds_above(bound: str) -> bool:
    """Whether upper bounds are shown: those of all radii at once cost no more statements, and little time."""
    return not bound_named(bound).needs_pilot


def states(inputs: Inputs) -> IntArray:
    """Position of each input's result in what results there are."""
    found = np.where(inputs.right, 0, 1)
    found[~inputs.labelled] = 3
    found[inputs.abstained] = 2
    return found


def decimals_of(ends: tuple[float, float]) -> int:
    """Decimals with which values of a range fit into 16 bits, at most four.

    Example:
        >>> decimals_of((0.0, 1.0)), decimals_of((-20.0, 20.0)), decimals_of((0.0, 5e5))
        (4, 3, -2)
    """
    largest = max(abs(end) for end in ends) or 1.0
    return min(DECIMALS, math.floor(math.log10((2**15 - 1) / largest)))


def rounded(values: FloatArray, decimals: int) -> IntArray:
    """Whole multiples of the last decimal, rounded down as :func:`smoothcert.bounds.floor_decimals` does.

    Example:
        >>> rounded(np.array([0.57, 0.99999, -0.00001]), 4).tolist()
        [5700, 9999, -1]
    """
    scale = 10.0**decimals
    found = np.floor(values * scale)
    found += (found + 1.0) / scale <= values
    found -= found / scale > values
    return np.asarray(found, dtype=np.int64)


def fixed(number: int, decimals: int, shown: int = 3) -> str:
    """A whole multiple of the last decimal as text with at most ``shown`` decimals, rounded down.

    Example:
        >>> fixed(5709, 4), fixed(-5, 4), fixed(31, 1), fixed(7, -1)
        ('0.570', '-0.001', '3.1', '70')
    """
    cut = max(decimals - shown, 0)
    whole, left = number // 10**cut, decimals - cut
    return f"{whole / 10**left:.{left}f}" if left > 0 else str(whole * 10**-left)


def pack(arrays: Mapping[str, AnyArray], more: Mapping[str, Any]) -> str:
    """Columns as one block of text: base64 of zlib of a header's length, the header and the columns.

    The header is JSON: ``more``, and under ``"columns"`` for each the place of its first value behind the header, in
    bytes, their number, and their type as NumPy writes it. Values are little-endian, wider ones first, so that each
    column begins at a multiple of its width.
    """
    order = sorted(arrays, key=lambda name: -arrays[name].itemsize)
    places, content, at = {}, [], 0
    for name in order:
        values = np.ascontiguousarray(arrays[name]).astype(arrays[name].dtype.newbyteorder("<"))
        places[name] = [at, values.size, values.dtype.str[1:]]
        content.append(values.tobytes())
        at += len(content[-1])
    header = json.dumps({**more, "columns": places}, ensure_ascii=True, separators=(",", ":")).encode()
    header += b" " * (-(4 + len(header)) % 8)
    whole = len(header).to_bytes(4, "little") + header + b"".join(content)
    return base64.b64encode(zlib.compress(whole, 6)).decode("ascii")


def unpack(text: str) -> dict[str, Any]:
    """What :func:`pack` was given, columns flat; what the page's script does."""
    whole = zlib.decompress(base64.b64decode(text))
    size = int.from_bytes(whole[:4], "little")
    found: dict[str, Any] = json.loads(whole[4 : 4 + size])
    columns = found.pop("columns")
    return found | {
        name: np.frombuffer(whole, np.dtype("<" + kind), count=count, offset=4 + size + at)
        for name, (at, count, kind) in columns.items()
    }
