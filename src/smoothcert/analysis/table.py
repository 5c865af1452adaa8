"""One row per input: what was predicted and what is certified about it. Every analysis reads this and nothing else."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smoothcert._check import check_alpha, check_choice, check_radii, check_threshold
from smoothcert.analysis.inputs import NO_LABEL, Inputs, SkippedInput
from smoothcert.analysis.stored_histograms import (
    VOTE,
    Certifiable,
    Held,
    RunLike,
    certifiable,
    lists,
    no_inputs,
    row_sums,
)
from smoothcert.analysis.workers import spread
from smoothcert.bounds import BOUNDS, bound_named, certified_radii, lower_bounds, upper_bounds
from smoothcert.errors import DataError
from smoothcert.runs.per_input import class_radii
from smoothcert.runs.records import SCHEMA
from smoothcert.scores import MEASURES
from smoothcert.typing import AnyArray, FloatArray, IntArray

COLUMNS = (
    "index",
    "id",
    "label",
    "seconds",
    "error",
    "prediction",
    "content_hash",
    "offset",
    "step",
    "price",
    "clean_prediction",
    "pilot_votes_classes",
    "pilot_votes_counts",
    "votes_classes",
    "votes_counts",
)
CLASS = "class"
"""Measure of Cohen et al.: the class itself is kept, at no threshold, by the Clopper-Pearson bound on the votes."""
CLASS_BOUND = "clopper_pearson"
LEAD = "lead"
LEAD_ENDS = (-1.0, 1.0)
USUAL_ENDS = {measure.name: (measure.lower, measure.upper) for measure in MEASURES.values()}
DEFAULT_BOUNDS = ("dual", "cdf", "hoeffding")
"""Bounds shown where none is asked for: ours, the paper's and its baseline."""
_KEPT = ["index", "id", "label", "seconds", "prediction", "content_hash", "step", "price", "clean_prediction"]
Share: TypeAlias = "Callable[[str, str], float]"
"""From a measure and a bound to the probability that one statement of it is wrong."""
_Key: TypeAlias = "tuple[str | float | bytes, ...]"  # what is known, beginning with its kind
_Job: TypeAlias = "Callable[[Certifiable], AnyArray]"  # to it, an input a row


@dataclass(frozen=True)
class Askable:
    """What a table can be asked; for the rest it says what it holds.

    Args:
        measures: Measures it has bounds on.
        bounds: Bounds it has.
        radii: Radii it has bounds at, or None for any.
        upper: Whether it has upper bounds.
        smoothed: Whether it has the smoothed measures themselves.
        class_radius: Whether it has class radii.
    """

    measures: tuple[str, ...] = tuple(MEASURES)
    bounds: tuple[str, ...] = BOUNDS
    radii: tuple[float, ...] | None = None
    upper: bool = True
    smoothed: bool = True
    class_radius: bool = True


class BoundsTable:
    """Certified bounds of every input of a run, computed when first asked for and kept.

    The histograms stay on disk and are read anew for every question, in chunks: in memory is what was computed, a few
    numbers per input. A run that goes on keeps the inputs it had when the table was made.

    Args:
        run: Where the histograms are; None where there are none.
        inputs: The inputs, one row each.
        class_radius: Cohen's radius of each input, 0 where abstained, shape ``(inputs,)``.
        alpha: Probability that a certificate is wrong, over the sampling noise.
        sigma: Standard deviation of the noise, in input units.
        seconds: Time sampling took, all certified inputs together; 0 where it is not known.
        drawn: Noisy samples drawn in that time, pilot included; 0 where it is not known.
        step: Step of the lattice all inputs were sampled on; None for noise in floating point, or where not known.
        price: What the noise costs of ``alpha``, at most.
        share: Instead of ``alpha`` for a measure and a bound, where it is shared out among statements.
    """

    def __init__(
        self,
        run: RunLike | None,
        inputs: Inputs,
        *,
        class_radius: FloatArray | None,
        alpha: float,
        sigma: float,
        seconds: float = 0.0,
        drawn: int = 0,
        step: float | None = None,
        price: float = 0.0,
        share: Share | None = None,
    ) -> None:
        self.inputs = inputs
        self._share = share
        self.step = step
        self.price = price
        self.alpha = alpha
        self.sigma = sigma
        self.seconds = seconds
        self.drawn = drawn
        self._ranges = {} if run is None else dict(run.ranges)
        if not self._ranges and (run is None or not set(run.config.measures) <= {LEAD, VOTE}):
            self._ranges = dict(USUAL_ENDS)  # nothing is known of an empty run
        if run is not None and run.pairs and LEAD not in self._ranges:
            self._ranges[LEAD] = LEAD_ENDS
        if run is not None and VOTE in run.config.measures:
            self._ranges[VOTE] = (0.0, 1.0)
        self.answers = Askable(measures=tuple(self._ranges), class_radius=class_radius is not None)
        self._run = run
        self._class_radius = class_radius
        self._known: dict[_Key, AnyArray] = {}

    @classmethod
    def from_run(cls, run: RunLike, *, alpha: float | None = None, share: Share | None = None) -> BoundsTable:
        """Read what does not need the histograms.

        Args:
            run: The run.
            alpha: Instead of the run's own. To claim several statements together, divide by their number.
            share: Instead of ``alpha`` for a measure and a bound, ``class`` by ``clopper_pearson`` among them.

        Raises:
            InvalidArgumentError: If ``alpha`` is outside ``(0, 1/2]``.
        """
        failure = check_alpha(run.config.alpha if alpha is None else alpha)
        sigma = float(run.config.sigma)
        certified = []
        skipped: list[SkippedInput] = []
        radii, one_draw = [np.empty(0)], [np.empty(0)]
        sizes = [np.empty(0, dtype=np.int64)]
        drawn = 0
        of_class = failure if share is None else check_alpha(share(CLASS, CLASS_BOUND))
        for table in run.tables(COLUMNS):
            failed = table["error"].is_valid()
            skipped += [
                SkippedInput(row["id"], row["error"] or "no reason recorded")
                for row in table.filter(failed).to_pylist()
            ]
            rows = table.filter(pc.invert(failed))
            if rows.num_rows == 0:
                continue
            radii.append(class_radii(rows, sigma=sigma, alpha=of_class))
            one_draw.append(_given_the_label(rows))
            sizes.append(row_sums(rows["votes_counts"]))
            drawn += int(sizes[-1].sum() + row_sums(rows["pilot_votes_counts"]).sum())
            certified.append(rows.select(_KEPT))
        known = pa.concat_tables(certified) if certified else SCHEMA.empty_table()
        radius = np.concatenate(radii)
        inputs = Inputs(
            indices=known["index"].to_numpy(),
            ids=tuple(known["id"].to_pylist()),
            labels=known["label"].fill_null(NO_LABEL).to_numpy(),
            predictions=known["prediction"].to_numpy(),
            abstained=radius == 0.0,
            sizes=np.concatenate(sizes),
            contents=tuple(known["content_hash"].to_pylist()),
            skipped=tuple(skipped),
            clean=known["clean_prediction"].fill_null(NO_LABEL).to_numpy(),
            one_draw=np.concatenate(one_draw),
        )
        seconds = float(known["seconds"].to_numpy().sum())
        steps = known["step"].unique().to_pylist() if certified else []
        return cls(
            run,
            inputs,
            class_radius=radius,
            alpha=failure,
            sigma=sigma,
            seconds=seconds,
            drawn=drawn,
            step=steps[0] if len(steps) == 1 else None,
            price=max(known["price"].drop_null().to_pylist(), default=0.0) if certified else 0.0,
            share=share,
        )

    def thinned(self, at_most: int) -> BoundsTable:
        """Every k-th of its inputs, beginning with the first: itself where they are few enough.

        Their histograms are held in memory once they are asked for.
        """
        rows = np.arange(0, len(self.inputs), max(1, -(-len(self.inputs) // at_most)))
        if rows.size == len(self.inputs):
            return self
        some = copy.copy(self)
        some.inputs = self.inputs.at(rows)
        some._run = None if self._run is None else Held(self._run, some.inputs.indices)
        some._class_radius = None if self._class_radius is None else self._class_radius[rows]
        some._known = {key: values[rows] for key, values in self._known.items() if key[0] != "radius"}
        return some

    def alpha_of(self, measure: str, bound: str) -> float:
        """Probability that one statement of a bound about a measure is wrong."""
        return self.alpha if self._share is None else self._share(measure, bound)

    @property
    def sizes(self) -> dict[int, int]:
        """How many inputs hold how many estimation samples, by ascending number."""
        found, counts = np.unique(self.inputs.sizes, return_counts=True)
        return dict(zip(found.tolist(), counts.tolist(), strict=True))

    def lower(self, *, measure: str, bound: str, radii: float | Sequence[float] | FloatArray) -> FloatArray:
        """Certified lower bounds on the smoothed measure of each input's prediction.

        For each input and radius: with probability at least ``1 - alpha`` over the sampling noise, no change of the
        input of L2 norm at most the radius takes the smoothed measure below the returned value. ``cdf`` and
        ``hoeffding`` hold for all radii of an input at once, ``dual`` for each radius by itself; no bound holds for
        all inputs at once at this alpha.

        Args:
            measure: One of those in ``answers.measures``, such as ``"score"``, ``"margin"`` and ``"lead"``.
            bound: One of :data:`smoothcert.bounds.BOUNDS`.
            radii: Radii in input units, shape ``(radii,)`` or one number.

        Returns:
            Shape ``(inputs, radii)``.

        Raises:
            InvalidArgumentError: If the measure or the bound is unknown, or a radius is not finite and >= 0.
            DataError: If the run does not hold what is asked.
        """
        return self._once("lower", measure, [bound], check_radii(radii))[0]

    def lowers(
        self, *, measure: str, bounds: Sequence[str], radii: float | Sequence[float] | FloatArray
    ) -> list[FloatArray]:
        """:meth:`lower` of several bounds, in one pass over what the run holds."""
        return self._once("lower", measure, bounds, check_radii(radii))

    def upper(self, *, measure: str, bound: str, radii: float | Sequence[float] | FloatArray) -> FloatArray:
        """Certified upper bounds: as :meth:`lower`, from above."""
        return self._once("upper", measure, [bound], check_radii(radii))[0]

    def uppers(
        self, *, measure: str, bounds: Sequence[str], radii: float | Sequence[float] | FloatArray
    ) -> list[FloatArray]:
        """:meth:`upper` of several bounds, in one pass over what the run holds."""
        return self._once("upper", measure, bounds, check_radii(radii))

    def radius(self, *, measure: str, bound: str, threshold: float, at_most: int | None = None) -> FloatArray:
        """Largest radius of each input up to which its lower bound is above a threshold.

        For each input one statement, wrong with probability at most ``alpha`` over the sampling noise.

        Args:
            measure: One of those in ``answers.measures``, such as ``"score"``, ``"margin"`` and ``"lead"``.
            bound: One of :data:`smoothcert.bounds.BOUNDS`.
            threshold: The value to stay above.
            at_most: Only the first so many inputs; ``None`` for all.

        Returns:
            Shape ``(inputs,)``; 0.0 where the bound is not above the threshold even at radius 0.

        Raises:
            InvalidArgumentError: If the measure or the bound is unknown, or the threshold is not finite.
            DataError: If the run does not hold what is asked.
        """
        self._check_names(measure, bound)
        rows = len(self.inputs) if at_most is None else min(at_most, len(self.inputs))
        key = ("radius", measure, bound, check_threshold(threshold), rows)
        if key not in self._known:
            self._known[key] = self._radius(measure, bound, float(threshold), rows)
        return self._known[key]

    def class_radius(self) -> FloatArray:
        """Cohen's radius of each input, within which the class cannot change; 0 where abstained; ``(inputs,)``.

        Raises:
            DataError: If the run holds none.
        """
        if self._class_radius is None:
            raise DataError("the run holds no class radii")
        return self._class_radius

    def smoothed(self, measure: str) -> FloatArray:
        """Estimate of each input's smoothed measure at radius 0, not a bound; shape ``(inputs,)``.

        The mean of its estimation samples, at most one grid step below it; the least one of the rivals' for the lead.
        """
        self._compute(measure, {("smoothed", measure): _means})
        return self._known["smoothed", measure]

    def histograms(self, measure: str, *, bins: int) -> IntArray:
        """Counts of each input's pilot and estimation samples in equal bins of the range, ``(inputs, 2, bins)``.

        Of the lead those against its strongest rival of the pilot.
        """
        self._compute(measure, {("histograms", measure, bins): partial(_binned, bins=bins)})
        return self._known["histograms", measure, bins]

    def ahead(
        self, *, measure: str, bounds: Sequence[str], uppers: Sequence[str], radii: Sequence[float], bins: int
    ) -> None:
        """Compute :meth:`lowers`, :meth:`uppers`, :meth:`smoothed` and :meth:`histograms` in one pass over the run.

        What the table cannot be asked is left out, and so is everything where nothing has to be read.
        """
        if self._run is None:
            return
        asked = check_radii(radii)
        self._compute(
            measure,
            {
                **self._jobs("lower", measure, bounds, asked),
                **self._jobs("upper", measure, uppers, asked),
                ("smoothed", measure): _means,
                ("histograms", measure, bins): partial(_binned, bins=bins),
            },
        )

    def ends(self, measure: str) -> tuple[float, float]:
        """Smallest and largest value a measure can take.

        Raises:
            InvalidArgumentError: If the run does not hold it.
        """
        return self._ranges[check_choice("measure", measure, self.answers.measures)]

    def require_inputs(self) -> None:
        """Raise ``DataError`` where there is no certified input to compute a fraction of."""
        if len(self.inputs) == 0:
            skipped = len(self.inputs.skipped)
            more = f"; {skipped} were skipped as unreadable" if skipped else ""
            raise DataError(f"the run holds no certified input yet, so there is nothing to count{more}")

    def require_labels(self, what: str) -> None:
        """Raise ``DataError`` where ``what`` needs labels and no input has one."""
        self.require_inputs()
        if not self.inputs.has_labels:
            raise DataError(f"{what} needs labels, and none of the {len(self.inputs)} inputs of the run has one")

    def _once(self, side: str, measure: str, bounds: Sequence[str], radii: FloatArray) -> list[FloatArray]:
        for bound in bounds:
            self._check_names(measure, bound)
        keys = {bound: (side, measure, bound, radii.tobytes()) for bound in bounds}
        missing = [bound for bound, key in keys.items() if not self._among(key, radii)]
        if missing:
            self._bounds(side, measure, missing, radii)
        return [self._known[keys[bound]] for bound in bounds]

    def _among(self, key: _Key, radii: FloatArray) -> bool:
        """Whether bounds are known: as they are, or among those at other radii, from where they are copied."""
        if key in self._known:
            return True
        for known, values in list(self._known.items()):
            if known[:3] == key[:3]:
                held = {radius: column for column, radius in enumerate(np.frombuffer(known[3]).tolist())}  # type: ignore[arg-type]
                if held.keys() >= set(radii.tolist()):
                    self._known[key] = values[:, [held[radius] for radius in radii.tolist()]]
                    self._known[key].setflags(write=False)
                    return True
        return False

    def _sampled(self, measure: str) -> RunLike:
        if self._run is None:
            raise DataError(f"there are no samples to bound the {measure} from")
        return self._run

    def _parts(self, measure: str) -> list[str]:
        """Names of the stored measures that one is the least of: itself, or the pairs of the lead."""
        if measure == LEAD and self._run is not None and measure not in self._run.ranges:
            return [f"{LEAD}_{pair}" for pair in range(self._run.pairs)]
        return [measure]

    def _certifiable(self, part: str) -> Iterator[Certifiable]:
        ends = self._ranges.get(part, LEAD_ENDS)
        return certifiable(self._sampled(part), part, ends=ends, indices=self.inputs.indices)

    def _bounds(self, side: str, measure: str, bounds: Sequence[str], radii: FloatArray) -> None:
        """Compute bounds of all inputs, each of shape ``(inputs, radii)``; ``side`` is ``"lower"`` or ``"upper"``."""
        self._compute(measure, self._jobs(side, measure, bounds, radii))

    def _jobs(self, side: str, measure: str, bounds: Sequence[str], radii: FloatArray) -> dict[_Key, _Job]:
        function = upper_bounds if side == "upper" else lower_bounds
        return {
            (side, measure, bound, radii.tobytes()): partial(
                _bounded,
                function=function,
                radii=radii,
                sigma=self.sigma,
                alpha=self.alpha_of(measure, bound),
                bound=bound,
            )
            for bound in bounds
        }

    def _compute(self, measure: str, jobs: Mapping[_Key, _Job]) -> None:
        """Do what is not done yet, in one pass over what the run holds of the measure, and keep it."""
        missing = {key: job for key, job in jobs.items() if key not in self._known}
        for position, part in enumerate(self._parts(measure) if missing else ()):
            # Of the lead the least over the rivals, each at full alpha: it is wrong only if that of the rival with the
            # least true value is. Any rival bounds it from above, and the strongest of the pilot serves.
            of_part = {key: job for key, job in missing.items() if position == 0 or key[0] in ("lower", "smoothed")}
            answer = partial(_answers, jobs=tuple(of_part.values()))
            # Bounds without a pilot take less time than it takes to hand over the histograms.
            slow = any(key[0] in ("lower", "upper") and bound_named(str(key[2])).needs_pilot for key in of_part)
            chunks = self._certifiable(part) if len(self.inputs) else iter([no_inputs(self.ends(measure))])
            found = zip(*(spread(answer, chunks) if slow else map(answer, chunks)), strict=True)
            for key, each in zip(of_part, found, strict=True):
                values = np.concatenate(each)
                self._known[key] = values if position == 0 else np.minimum(self._known[key], values)
                self._known[key].setflags(write=False)

    def _radius(self, measure: str, bound: str, threshold: float, rows: int) -> FloatArray:
        """Radii of the first ``rows`` inputs, shape ``(rows,)``."""
        alpha = self.alpha_of(measure, bound)
        answer = partial(_radii, threshold=threshold, sigma=self.sigma, alpha=alpha, bound=bound)
        found = [
            np.concatenate([np.empty(0), *spread(answer, _first(rows, self._certifiable(part)))])
            for part in self._parts(measure)
        ]
        return np.asarray(np.min(found, axis=0))

    def _check_names(self, measure: str, bound: str) -> None:
        self.ends(measure)
        bound_named(bound)


def common_bound(tables: Sequence[BoundsTable]) -> str:
    """The first usual bound that all tables hold; the very first where none is, for them to say what they hold."""
    return next((b for b in DEFAULT_BOUNDS if all(b in table.answers.bounds for table in tables)), DEFAULT_BOUNDS[0])


def _first(rows: int, chunks: Iterable[Certifiable]) -> Iterator[Certifiable]:
    """The chunks of the first so many inputs."""
    for chunk in chunks:
        if rows <= 0:
            break
        yield chunk.first(rows)
        rows -= len(chunk.samples)


def _answers(chunk: Certifiable, *, jobs: Sequence[_Job]) -> list[AnyArray]:
    return [job(chunk) for job in jobs]


def _bounded(chunk: Certifiable, *, function: Callable[..., FloatArray], **asked: Any) -> FloatArray:
    """One bound of a chunk of inputs."""
    return function(**chunk._asdict(), **asked)


def _means(chunk: Certifiable) -> FloatArray:
    return chunk.samples.means


def _binned(chunk: Certifiable, *, bins: int) -> IntArray:
    """Pilot and estimation samples in equal bins of the range, shape ``(inputs, 2, bins)``."""
    counts = np.empty((len(chunk.samples), 2, bins), dtype=np.int64)
    for stage, stack in enumerate((chunk.pilots, chunk.samples)):
        row = np.repeat(np.arange(len(stack)), np.diff(stack.starts))
        bin_of = np.minimum(stack.cells * bins // stack.levels, bins - 1)
        counts[:, stage] = np.bincount(row * bins + bin_of, stack.counts, len(stack) * bins).reshape(len(stack), bins)
    return counts


def _given_the_label(rows: pa.Table) -> FloatArray:
    """Part of the estimation samples of each input that are given its label; NaN where it has none."""
    starts, classes = lists(rows["votes_classes"])
    counts = lists(rows["votes_counts"])[1]
    row = np.repeat(np.arange(rows.num_rows), np.diff(starts))
    labels = rows["label"].fill_null(NO_LABEL).to_numpy()
    own = np.bincount(row, counts * (classes == labels[row]), rows.num_rows)
    return np.where(labels == NO_LABEL, np.nan, own / np.maximum(np.bincount(row, counts, rows.num_rows), 1))


def _radii(chunk: Certifiable, **asked: Any) -> FloatArray:
    """Certified radii of a chunk of inputs."""
    return certified_radii(**chunk._asdict(), **asked)
