"""The bounds table of a run that was sampled here: any radius, any threshold, any bound, any alpha."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeAlias, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smoothcert._check import check_alpha, check_choice
from smoothcert.analysis.bounds_table import NO_LABEL, BoundsTable, Inputs, SkippedInput
from smoothcert.analysis.imported_bounds import ImportedBounds, ImportedRun
from smoothcert.analysis.stored_histograms import Dealt, RunLike, dealt, lists, stacks
from smoothcert.analysis.workers import spread
from smoothcert.bounds import bound_named, certified_radii, class_radius, lower_bounds, upper_bounds
from smoothcert.errors import DataError
from smoothcert.runs.records import SCHEMA
from smoothcert.scores import MEASURES
from smoothcert.typing import FloatArray

Source: TypeAlias = "RunLike | BoundsTable"
COLUMNS = (
    "index",
    "id",
    "label",
    "seconds",
    "error",
    "prediction",
    "pilot_votes_counts",
    "votes_classes",
    "votes_counts",
)


class SampledBounds(BoundsTable):
    """Bounds computed from the histograms of each input.

    The histograms stay on disk and are read anew for every bound, in chunks: in memory is what was computed, a few
    numbers an input. A run that goes on keeps the inputs it had when the table was made.

    Args:
        run: The run.
        inputs: The inputs, one row each.
        class_radius: Cohen's radius of each input, 0 where abstained, shape ``(inputs,)``.
        alpha: Probability that a certificate is wrong, over the sampling noise.
        seconds: Time sampling took, all inputs together.
        drawn: Samples drawn in that time, pilot included.
    """

    def __init__(
        self, run: RunLike, inputs: Inputs, *, class_radius: FloatArray, alpha: float, seconds: float, drawn: int
    ) -> None:
        super().__init__(inputs, alpha=alpha, sigma=float(run.config.sigma), seconds=seconds, drawn=drawn)
        self._run = run
        self._class_radius = class_radius

    @classmethod
    def from_run(cls, run: RunLike, *, alpha: float | None = None) -> SampledBounds:
        """Read what does not need the histograms.

        Args:
            run: The run.
            alpha: Instead of the run's own. To claim several statements together, divide by their number.

        Raises:
            InvalidArgumentError: If ``alpha`` is outside ``(0, 1/2]``.
        """
        level = check_alpha(run.config.alpha if alpha is None else alpha)
        certified = []
        skipped: list[SkippedInput] = []
        votes, n = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
        drawn = 0
        for table in run.tables(COLUMNS):
            failed = table["error"].is_valid()
            skipped += [
                SkippedInput(row["id"], row["error"] or "no reason recorded")
                for row in table.filter(failed).to_pylist()
            ]
            rows = table.filter(pc.invert(failed))
            if rows.num_rows == 0:
                continue
            starts, counts = lists(rows["votes_counts"])
            row = np.repeat(np.arange(rows.num_rows), np.diff(starts))
            own = lists(rows["votes_classes"])[1] == rows["prediction"].to_numpy()[row]
            votes.append(np.bincount(row[own], counts[own], rows.num_rows).astype(np.int64))
            n.append(np.bincount(row, counts, rows.num_rows).astype(np.int64))
            drawn += int(counts.sum()) + int(lists(rows["pilot_votes_counts"])[1].sum())
            certified.append(rows.select(["index", "id", "label", "seconds", "prediction"]))
        known = pa.concat_tables(certified) if certified else SCHEMA.empty_table()
        radius = class_radius(np.concatenate(votes), n=np.concatenate(n), sigma=float(run.config.sigma), alpha=level)
        inputs = Inputs(
            indices=known["index"].to_numpy(),
            ids=tuple(known["id"].to_pylist()),
            labels=known["label"].fill_null(NO_LABEL).to_numpy(),
            predictions=known["prediction"].to_numpy(),
            abstained=radius == 0.0,
            skipped=tuple(skipped),
        )
        seconds = float(known["seconds"].to_numpy().sum())
        return cls(run, inputs, class_radius=radius, alpha=level, seconds=seconds, drawn=drawn)

    def class_radius(self) -> FloatArray:
        """Cohen's radius of each input; 0 where abstained."""
        return self._class_radius

    def smoothed(self, measure: str) -> FloatArray:
        """Mean of each input's estimation samples, at most one grid step below it."""
        check_choice("measure", measure, tuple(MEASURES))
        key = ("smoothed", measure)
        if key not in self._known:
            samples = stacks(self._run, measure, indices=self.inputs.indices, stages=["sample"])
            means = [sample.means for (sample,) in samples]
            self._known[key] = np.concatenate([*means, np.empty(0)])
        return self._known[key]

    def _bounds(self, side: str, measure: str, bounds: Sequence[str], radii: FloatArray) -> FloatArray:
        function = upper_bounds if side == "upper" else lower_bounds
        answer = partial(_each_bound, function, bounds=bounds, radii=radii, sigma=self.sigma, alpha=self.alpha)
        chunks = dealt(self._run, measure, indices=self.inputs.indices)
        # Those without a pilot take less time than it takes to hand over the histograms.
        slow = any(bound_named(bound).needs_pilot for bound in bounds)
        found = spread(answer, chunks) if slow else map(answer, chunks)
        return np.concatenate([np.empty((len(bounds), 0, radii.size)), *found], axis=1)

    def _radius(self, measure: str, bound: str, threshold: float, rows: int) -> FloatArray:
        chunks = dealt(self._run, measure, indices=self.inputs.indices)
        answer = partial(_radii, threshold=threshold, sigma=self.sigma, alpha=self.alpha, bound=bound)
        return np.concatenate([np.empty(0), *spread(answer, _first(rows, chunks))])


def _first(rows: int, chunks: Iterable[Dealt]) -> Iterator[Dealt]:
    """The chunks of the first so many inputs."""
    for chunk in chunks:
        if rows <= 0:
            break
        yield Dealt(chunk.pilots[:rows], chunk.samples[:rows], chunk.seeds[:rows])
        rows -= len(chunk.seeds)


def _each_bound(
    function: Callable[..., FloatArray], chunk: Dealt, *, bounds: Sequence[str], **asked: Any
) -> FloatArray:
    """Several bounds of a chunk of inputs; shape ``(bounds, inputs, radii)``."""
    pilots, samples, seeds = chunk
    return np.stack([function(pilots, samples, seeds=seeds, bound=bound, **asked) for bound in bounds])


def _radii(chunk: Dealt, **asked: Any) -> FloatArray:
    """Certified radii of a chunk of inputs."""
    return certified_radii(chunk.pilots, chunk.samples, seeds=chunk.seeds, **asked)


def bounds_table(source: Source, *, alpha: float | None = None) -> BoundsTable:
    """The bounds table of a run, or the table itself if that is what came.

    Args:
        source: A run, or a table made before: pass the table to several analyses to compute each bound once.
        alpha: Instead of the run's own; a table already has one.

    Raises:
        InvalidArgumentError: If ``alpha`` is outside ``(0, 1/2]``.
        DataError: If a table or an imported log was made at another alpha, or the run decided a single question.
    """
    if isinstance(source, BoundsTable):
        table = source
    elif source.config.kind == "decided":
        raise DataError(
            f"the run decided {source.config.question} and can answer nothing else: it stopped sampling each input "
            "when that was settled, and a bound needs a number of samples that was fixed before"
        )
    elif source.config.kind == "imported":
        table = ImportedBounds.from_run(cast(ImportedRun, source))
    else:
        return SampledBounds.from_run(source, alpha=alpha)
    if alpha is not None and alpha != table.alpha:
        raise DataError(f"the bounds were made at alpha={table.alpha:g} and cannot answer alpha={alpha:g}")
    return table
