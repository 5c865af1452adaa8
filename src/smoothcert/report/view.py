"""What the page shows about one run, computed: which inputs, which radii, which answers, and all that is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from smoothcert.analysis import BoundsTable, RunSummary, bounds_table, summary
from smoothcert.analysis.certified_accuracy import CLASS, CLASS_BOUND
from smoothcert.analysis.joint import DATASET, EACH, INPUT, About, Joint, prices_of
from smoothcert.analysis.stored_histograms import RunLike
from smoothcert.bounds import TABLE, ceil_decimals, exact_text, plain_number
from smoothcert.console import one_line
from smoothcert.errors import DataError, InvalidArgumentError
from smoothcert.report import gallery, tables
from smoothcert.report.inputs import BINS, InputView, holds_above
from smoothcert.report.pictures import Pictures, pictures_of
from smoothcert.report.plot import Plot
from smoothcert.report.svg import Chart, chart
from smoothcert.report.wording import held_words, step_words
from smoothcert.runs.config import IMPORTED, RunConfig
from smoothcert.scores import SCORE

PARTS_OF_RANGE = (0.5, 0.7, 0.9)
"""Default thresholds: of a score as they are; of a margin 0, 0.4 and 0.8, the same between two classes."""
ASKED = 20
"""Thresholds the first sentence offers."""
MOST_INPUTS = 10_000
"""Inputs a page holds; of a larger run every k-th, so that there are at most :data:`THINNED`."""
THINNED = 2_500
FINE, COARSE = 17, 9
"""Radii of the curves, of few inputs and of many."""
FEW = 2_000
_MOST_MARKS = 1_000  # of a scatter plot: more hide one another
_THRESHOLD_POINTS = 101
_CLASS_THRESHOLD = 0.5  # of the votes: more than half keep the class
_FOR = {
    EACH: "per statement",
    INPUT: "for all that one bound says of an input",
    DATASET: "for all that one bound says of the data set",
}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a page is asked to show; see :func:`smoothcert.report.write_report`."""

    radii: tuple[float, ...]
    thresholds: tuple[float, ...] | None
    measures: tuple[str, ...] | None
    bounds: tuple[str, ...]
    alpha: float | None
    joint: About
    max_inputs: int | None
    pictures: int
    thumbnails: bool


@dataclass(frozen=True, kw_only=True)
class RunView:
    """Everything the page shows about one run.

    Args:
        table: All its inputs; the first measure's fractions are of them.
        few: Those the page holds; all other numbers are of them.
        asked: What the page's script needs to answer the questions of the first sentence.
    """

    decided: ClassVar[bool] = False

    key: str
    name: str
    table: BoundsTable
    few: BoundsTable
    step: float | None
    config: RunConfig
    notes: tuple[str, ...]
    facts: list[tuple[str, str]]
    joint: str
    thresholds: dict[str, list[float]]
    found: RunSummary
    labelled: bool
    headline: tables.Share
    asked: dict[str, Any]
    expected_wrong: str
    key_tables: dict[str, list[tables.Share]]
    accuracies: tables.Table
    certified: tables.Table
    classes: tables.Table | None
    charts: list[Chart]
    summary: tables.Table
    inputs: tables.Table
    packed: str
    pictures: Pictures
    provenance: list[tuple[str, str]]


def run_view(run: RunLike, key: str, name: str, wanted: Wanted) -> RunView:
    """Compute it.

    Args:
        run: The run.
        key: Begins every identifier of its section.
        name: What its section is called.
        wanted: What is asked.

    Raises:
        DataError: If it holds no certified input, or nothing that is asked.
    """
    return _View(run, key, name, wanted).made()


def input_words(step: float | None) -> str:
    """What a certificate is about: inputs on the lattice of the step.

    Example:
        >>> input_words(1 / 255), input_words(None)
        ('8-bit image', 'input')
    """
    if step is None:
        return "input"
    return "8-bit image" if step_words(step) == "1/255" else f"input on the lattice of step {step_words(step)}"


class _View:
    """Makes what the page shows about one run."""

    def __init__(self, run: RunLike, key: str, name: str, wanted: Wanted) -> None:
        self.run, self.key, self.name, self.wanted = run, key, name, wanted
        self.config = run.config
        self.radii = list(wanted.radii)
        self.table = bounds_table(run, alpha=wanted.alpha)
        self.table.require_inputs()
        answers = self.table.answers
        held = answers.measures if wanted.measures is None else wanted.measures
        self.measures = tuple(measure for measure in held if measure in answers.measures)
        self.bounds = tuple(bound for bound in wanted.bounds if bound in answers.bounds)
        if not self.measures:
            self.bounds = self.bounds or (CLASS_BOUND,)
        if not self.bounds or not (self.measures or answers.class_radius):
            raise DataError(f"{name} holds none of the measures and bounds asked for; it holds {held_words(answers)}")
        largest = max(self.radii) or 4.0 * self.table.sigma
        inputs = len(self.table.inputs)
        at_most = wanted.max_inputs or (MOST_INPUTS if inputs <= MOST_INPUTS else THINNED)
        points = FINE if min(inputs, at_most) <= FEW else COARSE
        between = map(plain_number, np.linspace(0.0, largest, points))
        self.grid = tuple(answers.radii) if answers.radii else tuple(sorted({*self.radii, *between}))
        if wanted.joint != EACH:
            self.table = self._joint_table()
        self.thresholds = {
            measure: list(wanted.thresholds or _parts(self.table.ends(measure), PARTS_OF_RANGE))
            for measure in self.measures
        } or {CLASS: [_CLASS_THRESHOLD]}
        self.first = next(iter(self.thresholds))
        if self.measures and inputs > at_most:  # its fractions are of all
            self.table.lowers(measure=self.first, bounds=self.bounds, radii=self.radii)
        self.few = self.table.thinned(at_most)
        uppers = [bound for bound in self.bounds if holds_above(bound)]
        for measure in self.measures:  # at once: whatever is drawn and counted is among them
            self.few.ahead(measure=measure, bounds=self.bounds, uppers=uppers, radii=self.grid, bins=BINS)

    def _joint_table(self) -> BoundsTable:
        if self.config.kind == IMPORTED:
            raise InvalidArgumentError(
                f"joint must be each for an imported log, which spent its alpha; got {self.name}"
            )
        points = len(self.grid)
        joint = Joint(self.wanted.joint, self.table.alpha, len(self.table.inputs), self.run.pairs, prices_of(self.run))

        def share(measure: str, bound: str) -> float:
            uppers = points if holds_above(bound) else 0
            groups = len(self.measures) + 1  # and the class
            return joint.alpha_at(joint.share(measure, bound, groups=groups, lowers=points, uppers=uppers))

        return BoundsTable.from_run(self.run, alpha=self.wanted.alpha, share=share)

    def _of(self, measure: str) -> BoundsTable:
        """The inputs that fractions of a measure are of: all of them for the first."""
        return self.table if measure == self.first else self.few

    @cached_property
    def offered(self) -> dict[str, list[float]]:
        """Thresholds the first sentence can be asked, those of the tables among them."""
        if not self.measures:
            return {CLASS: [_CLASS_THRESHOLD]}
        found = {}
        for measure in self.measures:
            low, high = self.table.ends(measure)
            low = 0.0 if (low, high) == (-1.0, 1.0) else low  # a difference: below 0 another class is ahead
            grid = _parts((low, high), [step / ASKED for step in range(ASKED)])
            found[measure] = sorted({*grid, *self.thresholds[measure]})
        return found

    @cached_property
    def shares(self) -> dict[str, dict[str, list[tables.Share]]]:
        """Every answer, by measure and bound, at all thresholds offered."""
        return {
            measure: {
                bound: tables.shares(self._of(measure), measure=measure, bound=bound, radii=self.radii, thresholds=cuts)
                for bound in self.bounds
            }
            for measure, cuts in self.offered.items()
        }

    @cached_property
    def headline(self) -> tables.Share:
        """The first answer: the first measure by the first bound, at the first radius and about the middle."""
        radius = next((r for r in self.radii if r > 0.0), self.radii[0])
        cuts = self.thresholds[self.first]
        asked = (radius, 0.5 if 0.5 in cuts else cuts[0])
        return next(s for s in self.shares[self.first][self.bounds[0]] if (s.radius, s.threshold) == asked)

    def made(self) -> RunView:
        """All of it."""
        table, config, wanted, headline = self.table, self.config, self.wanted, self.headline
        found = summary(self.run, table=table, some=self.few)
        tabled = {
            measure: {
                bound: [share for share in shares if share.threshold in self.thresholds[measure]]
                for bound, shares in by_bound.items()
            }
            for measure, by_bound in self.shares.items()
        }
        classes = tables.by_class(
            {measure: self._of(measure) for measure in self.offered},
            bounds=self.bounds,
            radii=self.radii,
            thresholds=self.offered,
        )
        view = InputView(self.few, self.measures, self.bounds, tuple(self.radii), self.grid, config.class_names)
        pictures = pictures_of(config, self.few.inputs, at_most=wanted.pictures)
        return RunView(
            key=self.key,
            name=self.name,
            table=table,
            few=self.few,
            step=table.step,
            config=config,
            notes=tuple(getattr(self.run, "notes", config.notes)),
            facts=tables.facts(
                config,
                found.inputs,
                step=table.step,
                alpha=f"{exact_text(table.alpha)} {_FOR[wanted.joint]}",
                sizes=table.sizes,
            ),
            joint=wanted.joint,
            thresholds=self.thresholds,
            found=found,
            labelled=table.inputs.has_labels,
            headline=headline,
            asked=self._asked(pictures),
            expected_wrong=ceil_decimals(table.alpha * found.inputs, 2),
            key_tables={measure: by_bound[self.bounds[0]] for measure, by_bound in tabled.items()},
            accuracies=tables.accuracy_table(f"{self.key}-accuracy", found, imported=config.kind == IMPORTED),
            certified=tables.certified_table(
                f"{self.key}-certified",
                [share for by_bound in tabled.values() for shares in by_bound.values() for share in shares],
                labelled=table.inputs.has_labels,
            ),
            classes=None
            if classes is None
            else tables.class_table(
                f"{self.key}-classes",
                classes,
                measure=self.first,
                bound=self.bounds[0],
                threshold=headline.threshold,
                place=self.offered[self.first].index(headline.threshold),
                radii=self.radii,
                class_names=config.class_names,
            ),
            charts=[chart(plot, prefix=self.key) for plot in self._plots()],
            summary=tables.summary_table(f"{self.key}-summary", found, expected=config.expected),
            inputs=view.fallback(f"{self.key}-inputs"),
            packed=view.packed(classes),
            pictures=pictures,
            provenance=tables.provenance_rows(config, alpha=table.alpha, sizes=table.sizes),
        )

    def _plots(self) -> list[Plot]:
        own, grid, answers = {self.name: self.few}, np.array(self.grid), self.few.answers
        cuts = self.thresholds if self.measures else {}
        drawn = [gallery.accuracy_over_radius(own, thresholds=cuts, bounds=self.bounds, radii=grid)]
        if self.measures:
            over_threshold = gallery.accuracy_over_threshold(
                own, measures=self.measures, bounds=self.bounds, radii=self.radii, points=_THRESHOLD_POINTS
            )
            spread = gallery.distribution(own, measures=self.measures, bound=self.bounds[0], radii=grid)
            drawn = [over_threshold, *drawn, spread]
        if answers.smoothed and answers.class_radius:
            drawn.append(gallery.correlation(own, measures=self.measures, marks=_MOST_MARKS))
        if self.table.inputs.has_labels and answers.smoothed and SCORE.name in answers.measures:
            drawn.append(gallery.reliability(own))
        return drawn

    def _asked(self, pictures: Pictures) -> dict[str, Any]:
        """What the page's script answers from: every question of the first sentence, and how inputs are shown."""
        config, table, headline = self.config, self.table, self.headline
        return {
            "key": self.key,
            "radii": self.radii,
            "grid": self.grid,
            "thresholds": self.offered,
            "shown": self.thresholds,
            "answers": {
                f"{measure}|{bound}": [[share.value, share.interval, share.least, *share.exact] for share in found]
                for measure, by_bound in self.shares.items()
                for bound, found in by_bound.items()
            },
            "measures": list(self.offered),
            "bounds": list(self.bounds),
            "scopes": {bound: TABLE[bound].holds for bound in self.bounds},
            "names": {bound: TABLE[bound].label for bound in self.bounds},
            "start": [headline.measure, headline.bound, headline.radius, headline.threshold],
            "labelled": table.inputs.has_labels,
            "classNames": config.class_names and [one_line(name) for name in config.class_names],
            "alpha": table.alpha,
            "sigma": table.sigma,
            "n0": config.n0,
            "n": config.n,
            "what": input_words(table.step),
            "pictures": pictures.urls,
            "picturesNote": pictures.note,
            "thumbnails": self.wanted.thumbnails,
        }


def _parts(ends: tuple[float, float], parts: Sequence[float]) -> list[float]:
    """Values at some parts of a range."""
    return [round(ends[0] + (ends[1] - ends[0]) * part, 10) for part in parts]
