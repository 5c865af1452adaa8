"""Runs made of known score distributions: what the analyses and the report are tested on, without a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from smoothcert.analysis.table import USUAL_ENDS
from smoothcert.histogram import ScoreHistogram
from smoothcert.runs.config import RunConfig
from smoothcert.runs.records import Record, select_columns, to_table
from smoothcert.samples import Samples, StageHistograms
from smoothcert.spec import RunSpec


@dataclass
class SyntheticRun:
    """A run in memory."""

    config: RunConfig
    rows: list[Record] = field(default_factory=list)
    path: str = "synthetic"
    part: int = 16

    def records(self) -> list[Record]:
        return self.rows

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        sampled = [record.samples for record in self.rows if record.samples is not None]
        measures = sampled[0].measures if sampled else {}
        return {name: (stages.sample.lower, stages.sample.upper) for name, stages in measures.items()} or USUAL_ENDS

    @property
    def pairs(self) -> int:
        return max((len(record.samples.lead) for record in self.rows if record.samples is not None), default=0)

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Part by part, as a stored run gives them."""
        for start in range(0, len(self.rows), self.part):
            table = to_table(self.rows[start : start + self.part])
            yield table if columns is None else select_columns(table, columns)


def beta_samples(
    a: float,
    b: float,
    *,
    prediction: int = 0,
    n0: int = 100,
    n: int = 1_000,
    sigma: float = 0.25,
    seed: int = 0,
    number: int = 0,
    num_classes: int = 10,
    levels: int = 1_000,
    more: bool = False,
) -> Samples:
    """Scores from Beta(a, b), the rest of each score on one other class, so that the margin is 2 score - 1.

    With ``more`` the lead, over that class and over the rest, and a measure ``swing`` from -2 to 3, 5 score - 2.
    """
    scores = np.random.default_rng(1_000 * seed + number).beta(a, b, size=n0 + n)
    pilot, sample = scores[:n0], scores[n0:]

    def votes(stage: np.ndarray) -> np.ndarray:
        counted = np.zeros(num_classes, dtype=np.int64)
        counted[prediction] = int(np.sum(stage >= 0.5))
        counted[(prediction + 1) % num_classes] += stage.size - counted[prediction]
        return counted

    def stages(lower: float, upper: float) -> StageHistograms:
        def histogram(x: np.ndarray) -> ScoreHistogram:
            return ScoreHistogram.from_samples(lower + (upper - lower) * x, lower=lower, upper=upper, levels=levels)

        return StageHistograms(histogram(pilot), histogram(sample))

    rest = StageHistograms(
        *(ScoreHistogram.from_samples(stage, lower=-1.0, upper=1.0, levels=levels) for stage in (pilot, sample))
    )
    return Samples(
        prediction=prediction,
        sigma=sigma,
        seed=seed,
        content_hash=f"{1_000 * seed + number:064x}",
        pilot_votes=votes(pilot),
        votes=votes(sample),
        measures={"score": stages(0.0, 1.0), "margin": stages(-1.0, 1.0)}
        | ({"swing": stages(-2.0, 3.0)} if more else {}),
        rivals=((prediction + 1) % num_classes,) if more else (),
        lead=(stages(-1.0, 1.0), rest) if more else (),
    )


def synthetic_run(
    shapes: Sequence[tuple[float, float]],
    *,
    labels: Sequence[int | None] | None = None,
    ids: Sequence[str] | None = None,
    skipped: Sequence[tuple[str, str]] = (),
    n0: int = 100,
    n: int = 1_000,
    sigma: float = 0.25,
    alpha: float = 0.001,
    class_names: tuple[str, ...] | None = None,
    model: str = "beta",
    path: str = "synthetic",
    seed: int = 0,
    more: bool = False,
) -> SyntheticRun:
    """One input for each Beta shape, predicted as class ``index % 10``; labels default to the prediction."""
    rows = []
    for index, (a, b) in enumerate(shapes):
        rows.append(
            Record(
                index=index,
                id=ids[index] if ids else f"beta:{index}",
                label=labels[index] if labels else index % 10,
                seconds=0.5,
                samples=beta_samples(
                    a, b, prediction=index % 10, n0=n0, n=n, sigma=sigma, seed=seed, number=index, more=more
                ),
                error=None,
            )
        )
    for position, (name, reason) in enumerate(skipped):
        rows.append(Record(index=len(shapes) + position, id=name, label=1, seconds=0.0, samples=None, error=reason))
    config = RunConfig(
        spec=RunSpec.of(
            model=model, data="beta", sigma=sigma, n0=n0, n=n, alpha=alpha, seed=seed, levels=1_000, outputs="logits"
        ),
        model=model,
        weights_hash="ab" * 32,
        data="beta",
        data_fingerprint="cd" * 32,
        num_classes=10,
        class_names=class_names,
        versions={"smoothcert": "0.1.0", "numpy": np.__version__},
        created="2024-01-01T00:00:00+00:00",
    )
    return SyntheticRun(config, rows, path)


def mixed_shapes(inputs: int, *, seed: int = 0) -> list[tuple[float, float]]:
    """From sure and right to hopeless, in the shapes real classifiers show."""
    generator = np.random.default_rng(seed)
    means = generator.beta(2.2, 0.7, size=inputs)
    spread = generator.uniform(0.8, 12.0, size=inputs)
    return [(max(float(m * s), 0.05), max(float((1 - m) * s), 0.05)) for m, s in zip(means, spread, strict=True)]


def mixed_run(inputs: int = 60, **options: object) -> SyntheticRun:
    """A run like a real one: mostly sure, sometimes wrong, more often wrong where unsure."""
    shapes = mixed_shapes(inputs)
    generator = np.random.default_rng(1)
    labels = [
        index % 10 if generator.uniform() < 0.35 + 0.65 * a / (a + b) else (index + 3) % 10
        for index, (a, b) in enumerate(shapes)
    ]
    return synthetic_run(shapes, labels=labels, **options)  # type: ignore[arg-type]
