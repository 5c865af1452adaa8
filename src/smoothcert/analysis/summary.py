"""A run in one row: how often it is right, how often it abstains, how far its classes are certified, what it cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from smoothcert.analysis.bootstrap import Estimate, bootstrap_estimate
from smoothcert.analysis.inputs import NO_LABEL, Inputs, SkippedInput
from smoothcert.analysis.proportion import Proportion, proportion
from smoothcert.analysis.source import bounds_table
from smoothcert.analysis.stored_histograms import RunLike
from smoothcert.analysis.table import BoundsTable
from smoothcert.typing import AnyArray, FloatArray


@dataclass(frozen=True)
class RunSummary:
    """What a run found, over its inputs. Proportions carry exact 95% intervals, means and medians bootstrap ones.

    Args:
        inputs: Certified inputs.
        skipped: Inputs that could not be read, and why.
        unlabelled: Certified inputs without a label; they count nowhere a label is needed.
        sigma: Standard deviation of the noise, in input units.
        alpha: Probability that a certificate is wrong, over the sampling noise.
        n0: Pilot samples per input.
        n: Estimation samples per input; the most that any holds in a run that is growing.
        accuracy: Fraction of labelled inputs classified right, abstentions counted as wrong; ``None`` without labels.
        clean_accuracy: Fraction that the base classifier is right about without noise; ``None`` where the run does not
            say of all of them.
        one_draw_accuracy: Mean probability, estimated from the samples, that it is right under one draw of the noise.
        abstention: Fraction of inputs the smoothed classifier abstains on.
        mean_class_radius: Mean over inputs, 0 for abstentions; ``None`` where an imported log does not hold it.
        median_class_radius: Median over inputs, 0 for abstentions; ``None`` likewise.
        means: Mean of each smoothed measure of the prediction; empty where an imported log does not hold them.
        seconds: Sampling time of all inputs together.
        samples_per_second: Noisy samples, pilot included, over that time; ``None`` where no time was recorded.
    """

    inputs: int
    skipped: tuple[SkippedInput, ...]
    unlabelled: int
    sigma: float
    alpha: float
    n0: int
    n: int
    accuracy: Proportion | None
    clean_accuracy: Proportion | None
    one_draw_accuracy: Estimate | None
    abstention: Proportion
    mean_class_radius: Estimate | None
    median_class_radius: Estimate | None
    means: Mapping[str, Estimate]
    seconds: float
    samples_per_second: float | None


def summary(
    run: RunLike, *, alpha: float | None = None, table: BoundsTable | None = None, some: BoundsTable | None = None
) -> RunSummary:
    """Summarize a run.

    Args:
        run: The run; it may still be going on.
        alpha: Instead of the run's own.
        table: The run's bounds table, if there is one already.
        some: The table of some inputs, if the means of the smoothed measures are to be of these only.

    Raises:
        InvalidArgumentError: If ``alpha`` is outside ``(0, 1/2]``.
        DataError: If the run holds no certified input.
    """
    table = bounds_table(run if table is None else table, alpha=alpha)
    table.require_inputs()
    inputs = table.inputs
    labelled = int(inputs.labelled.sum())
    class_radius = table.class_radius() if table.answers.class_radius else None
    measures = table.answers.measures if table.answers.smoothed else ()
    means = {measure: _estimate(np.mean, (some or table).smoothed(measure)) for measure in measures}
    return RunSummary(
        inputs=len(inputs),
        skipped=inputs.skipped,
        unlabelled=len(inputs) - labelled,
        sigma=table.sigma,
        alpha=table.alpha,
        n0=int(run.config.n0),
        n=max(table.sizes, default=int(run.config.n)),
        accuracy=proportion(int(inputs.right.sum()), inputs=labelled) if labelled else None,
        clean_accuracy=_clean_accuracy(inputs),
        one_draw_accuracy=(
            _estimate(np.mean, inputs.one_draw[inputs.labelled]) if labelled and inputs.one_draw is not None else None
        ),
        abstention=proportion(int(inputs.abstained.sum()), inputs=len(inputs)),
        mean_class_radius=_estimate(np.mean, class_radius),
        median_class_radius=_estimate(np.median, class_radius),
        means={measure: found for measure, found in means.items() if found is not None},
        seconds=table.seconds,
        samples_per_second=table.drawn / table.seconds if table.seconds > 0.0 else None,
    )


def _clean_accuracy(inputs: Inputs) -> Proportion | None:
    """Of the labelled inputs, where all of them were classified without noise."""
    if inputs.clean is None or not inputs.has_labels:
        return None
    clean, labels = inputs.clean[inputs.labelled], inputs.labels[inputs.labelled]
    return None if (clean == NO_LABEL).any() else proportion(int(np.sum(clean == labels)), inputs=clean.size)


def _estimate(statistic: Callable[[AnyArray], np.floating], values: FloatArray | None) -> Estimate | None:
    if values is None:
        return None
    estimate = bootstrap_estimate(lambda chosen: float(statistic(values[chosen])), inputs=values.size)
    return Estimate(float(statistic(values)), None, None) if estimate is None else estimate
