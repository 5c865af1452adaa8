"""Small things to run: records made of known scores, a tiny classifier, data that are arrays."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from smoothcert.errors import DataError
from smoothcert.histogram import ScoreHistogram
from smoothcert.runs import Record, Run, RunConfig
from smoothcert.samples import Samples, StageHistograms
from smoothcert.scores import MARGIN, SCORE, Measure
from smoothcert.spec import RunSpec

CONFIG = RunConfig(
    spec=RunSpec.of(model="tiny", data="arrays", sigma=0.25, n0=20, n=200, seed=7, levels=100),
    model="tiny",
    data="arrays",
    data_fingerprint="ab" * 32,
    num_classes=3,
    inputs=40,
    indices=(0, 40, 1),
    created="2024-01-01T00:00:00+00:00",
)


def varied(config: RunConfig, **options: Any) -> RunConfig:
    """The same run with other options."""
    return replace(config, spec=config.spec.vary(**options))


def make_samples(
    index: int, *, n0: int = 20, n: int = 200, levels: int = 100, shape: tuple[float, float] = (8.0, 0.5)
) -> Samples:
    """Scores of a Beta distribution, different for every index."""
    generator = np.random.default_rng(index)

    def stages(measure: Measure) -> StageHistograms:
        pilot, sample = (
            ScoreHistogram.from_samples(
                measure.lower + (measure.upper - measure.lower) * generator.beta(*shape, size=size),
                lower=measure.lower,
                upper=measure.upper,
                levels=levels,
            )
            for size in (n0, n)
        )
        return StageHistograms(pilot, sample)

    return Samples(
        prediction=index % 3,
        sigma=0.25,
        seed=7,
        content_hash=f"{index:064x}",
        pilot_votes=generator.multinomial(n0, [0.8, 0.2, 0.0]).astype(np.int64),
        votes=generator.multinomial(n, [0.8, 0.0, 0.2]).astype(np.int64),
        measures={measure.name: stages(measure) for measure in (SCORE, MARGIN)},
    )


def make_record(index: int) -> Record:
    """A record that depends on nothing but its index; every seventh is a skipped input."""
    if index % 7 == 6:
        return Record(index, f"file {index}.png", None, 0.125, None, f"file {index}.png cannot be read")
    return Record(index, f"file {index}.png", index % 3, 0.1 * index, make_samples(index))


def same(one: Record, other: Record, *, seconds: bool = True) -> bool:
    """Whether two records are equal in every bit, with or without the time they took."""
    names = [f.name for f in fields(Record) if f.name not in {"samples", "seconds"}]
    if seconds:
        names.append("seconds")
    if any(getattr(one, name) != getattr(other, name) for name in names):
        return False
    a, b = one.samples, other.samples
    if a is None or b is None:
        return a is b
    return (
        (a.prediction, a.sigma, a.seed, a.content_hash) == (b.prediction, b.sigma, b.seed, b.content_hash)
        and np.array_equal(a.votes, b.votes)
        and np.array_equal(a.pilot_votes, b.pilot_votes)
        and (a.score, a.margin) == (b.score, b.margin)
    )


def assert_same_run(path: Path, other: Path) -> None:
    """Two runs hold the same records, whatever time they took."""
    ours, theirs = Run.open(path).records(), Run.open(other).records()
    assert [r.index for r in ours] == [r.index for r in theirs]
    assert all(same(one, two, seconds=False) for one, two in zip(ours, theirs, strict=True))


class ArraySource:
    """Data that are arrays: bright images of class 2, dark ones of class 0, others of class 1."""

    def __init__(
        self, count: int = 12, *, unreadable: Collection[int] = (), labels: list[int | None] | None = None
    ) -> None:
        self.name = "arrays"
        self.class_names: tuple[str, ...] | None = None
        self.indices = list(range(count))
        self.fingerprint = f"{count}:{labels}"
        self._labels = labels or [index % 3 for index in range(count)]
        self._unreadable = frozenset(unreadable)

    def id(self, index: int) -> str:
        return f"array {index}"

    def label(self, index: int) -> int | None:
        return self._labels[index]

    def read(self, index: int) -> npt.NDArray[np.float32]:
        if index in self._unreadable:
            raise DataError(f"image array {index} cannot be read: it is broken")
        image = np.random.default_rng(index).uniform(0.0, 0.1, size=(1, 4, 4))
        return (image + 0.45 * (index % 3)).astype(np.float32)


class MarkedSource(ArraySource):
    """The same, but that a pixel of some inputs is far above all others, noise included."""

    def __init__(self, count: int = 12, *, marked: Collection[int], **options: Any) -> None:
        super().__init__(count, **options)
        self._marked = frozenset(marked)

    def read(self, index: int) -> npt.NDArray[np.float32]:
        image = super().read(index)
        image[0, 0, 0] = 5.0 if index in self._marked else image[0, 0, 0]
        return image
