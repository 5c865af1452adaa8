"""Where the dual bound from few samples certifies more images than the paper's CDF bound from many."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from steps import markdown, write_csv

from smoothcert import ScoreHistogram
from smoothcert.analysis import BoundsTable, bounds_table, paired_difference
from smoothcert.bounds import lower_bounds
from smoothcert.runs import Run

HEADER = ("threshold", "radius", "dual", "cdf", "difference", "ci_low", "ci_high")


def fewer_samples(
    run: Run, table: BoundsTable, more: Run, *, thresholds: list[float], radii: list[float], out: Path
) -> str:
    """A section of the study: ``run`` by the dual bound against many samples, of few inputs in ``more``, by the CDF."""
    few, many = run.config.n, more.config.n
    right, dual = table.inputs.right, table.lower(measure="score", bound="dual", radii=radii)
    cdf = cdf_at(run, many, radii=radii)
    pairs = [(c, j) for c in thresholds for j in range(len(radii))]
    rows = []
    for c, j in pairs:
        ours, theirs = right & (dual[:, j] > c), right & (cdf[:, j] > c)
        gain = paired_difference(
            only_first=int((theirs & ~ours).sum()), only_second=int((ours & ~theirs).sum()), inputs=len(right)
        )
        rows.append([c, radii[j], ours.mean(), theirs.mean(), gain.value, gain.ci_low, gain.ci_high])
    write_csv(out / "fewer-samples.csv", HEADER, rows)

    drawn = bounds_table(more)
    real, real_dual = (drawn.lower(measure="score", bound=bound, radii=radii) for bound in ("cdf", "dual"))
    there = np.searchsorted(table.inputs.indices, drawn.inputs.indices)
    error = np.abs(cdf[there] - real).max()
    ours_there, theirs_there, both = (
        sum(int((bound[:, j] > c).sum()) for c, j in pairs) for bound in (dual[there], real, real_dual)
    )
    ahead, behind = (sum(1 for row in rows if sign * row[4] > 0) for sign in (1, -1))
    cells = [
        [f"c = {c:g}", *(_gain(row) for row in rows[at : at + len(radii)])]
        for c, at in zip(thresholds, range(0, len(rows), len(radii)), strict=True)
    ]
    header = ["", *(f"R = {radius:g}" for radius in radii)]
    return f"""## {few:,} samples against {many:,}, sigma {table.sigma:g}

Fraction of images right and certified by the dual bound from {few:,} samples, minus that by the paper's CDF bound
from {many:,}: same classifier, same {len(right)} images. Bold: the paired 95% interval over the images is above zero.
A blank: neither certifies an image.

{markdown(header, cells)}
The dual bound is ahead at {ahead} of the {len(rows)} pairs, behind at {behind}.

The CDF bound at {many:,} samples is projected: it is computed from the stored histogram with every count times
{many / few:g}, which is what it gives where the larger sample is distributed as the smaller one. Of {len(there)} of
the images {many:,} samples were really drawn: the projection is within {error:.4f} of the real bound at every radius.
Of the {len(pairs) * len(there)} triples of a threshold, a radius and one of these images the dual bound from {few:,}
samples certifies {ours_there}, the paper's from the real {many:,} {theirs_there}, the dual bound from those {both}.
"""


def cdf_at(run: Run, n: int, *, radii: list[float]) -> NDArray[np.float64]:
    """CDF lower bounds on each input's score, had each of its samples been drawn ``n / run.config.n`` times.

    A projection, not a certificate. Shape ``(inputs, radii)``.
    """
    times, rest = divmod(n, run.config.n)
    if rest:
        raise ValueError(f"n must be a multiple of the {run.config.n} samples of the run; got {n}")
    held = [record.samples for record in run.iter_records() if record.samples is not None]
    stages = [samples.score for samples in held]
    return lower_bounds(
        [s.pilot for s in stages],
        [ScoreHistogram(s.sample.counts * times, s.sample.lower, s.sample.upper) for s in stages],
        radii=radii,
        sigma=run.config.sigma,
        alpha=run.config.alpha,
        bound="cdf",
        offsets=[samples.offset for samples in held],
        prices=[samples.price for samples in held],
    )


def _gain(row: list[float]) -> str:
    _, _, ours, theirs, gain, low, _ = row
    if not (ours or theirs):
        return ""
    return f"**{gain:+.3f}**" if low > 0 else f"{gain:+.3f}"
