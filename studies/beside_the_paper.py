"""Our runs beside the logs published with Kumar et al. (2020), on the same images."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from steps import fraction, markdown, smoothcert, write_csv

from smoothcert.analysis import BoundsTable, bounds_table, paired_difference
from smoothcert.runs import Run

THRESHOLDS = (0.5, 0.7)
HEADER = (
    *("log", "measure", "threshold", "radius", "images"),
    *("published_cdf", "published_baseline", "cdf", "dual", "gain", "ci_low", "ci_high"),
)


def beside_the_paper(
    tables: dict[str, list[BoundsTable]], logs: Path, *, image_of_row: int, runs: Path, out: Path
) -> str:
    """A section: each published log against our runs of the same sigma, of few samples and of as many as the paper's.

    Args:
        tables: Bounds of our runs, by sigma.
        logs: Folder with the logs.
        image_of_row: Row ``k`` of our test data is image ``image_of_row * k`` of the test set that the logs number.
        runs: Where imported runs go.
        out: Where the figures and the CSV go.
    """
    parts, rows = [], []
    for log in sorted(logs.glob("cifar10-*.tsv")):
        imported = runs / log.stem
        if not imported.exists():
            smoothcert("import", log, "--out", imported)
        published = bounds_table(Run.open(imported))
        sigma = f"{published.sigma:g}"
        measure = "margin" if "margin" in log.stem else "score"
        radii = [radius for radius in (0.0, 0.25, 0.5, 0.75) if radius in published.answers.radii]
        for ours in tables[sigma]:
            part, own = _one(log.stem, published, ours, measure=measure, radii=radii, image_of_row=image_of_row)
            parts.append(part)
            rows += own
    write_csv(out / "beside-the-paper.csv", HEADER, rows)
    return f"""## Beside the published logs

The same images, in pairs: ours are networks of another shape, trained for minutes; the paper's are ResNet-110. So two
things differ, and the tables part them: our CDF bound against the published one is the network, our dual bound against
our CDF bound is the method. "gain" is our dual bound minus the published CDF bound, bold where the paired 95% interval
over the images is above zero.

{"".join(parts)}"""


def _one(
    name: str, published: BoundsTable, ours: BoundsTable, *, measure: str, radii: list[float], image_of_row: int
) -> tuple[str, list[list[object]]]:
    """One log against one of our runs."""
    theirs_at, ours_at = _pairs(published, ours, image_of_row=image_of_row)
    images, samples = len(ours_at), ours.drawn // len(ours.inputs)
    measures = ["margin", "lead"] if measure == "margin" else [measure]
    lines, rows = [], []
    for c in THRESHOLDS:
        kept = {
            "published, CDF": _kept(published, measure, "cdf", radii, c)[theirs_at],
            "published, baseline": _kept(published, measure, "hoeffding", radii, c)[theirs_at],
            "ours, CDF": _kept(ours, measure, "cdf", radii, c)[ours_at],
        }
        kept |= {f"ours, dual, {own}": _kept(ours, own, "dual", radii, c)[ours_at] for own in measures}
        lines += [
            [f"> {c:g}", title, *(fraction(column.mean()) for column in certified.T)]
            for title, certified in kept.items()
        ]
        gains = []
        for j, radius in enumerate(radii):
            dual, cdf = kept[f"ours, dual, {measure}"][:, j], kept["published, CDF"][:, j]
            gain = paired_difference(
                only_first=int((cdf & ~dual).sum()), only_second=int((dual & ~cdf).sum()), inputs=images
            )
            gains.append(f"**{gain.value:+.3f}**" if gain.ci_low > 0 else f"{gain.value:+.3f}")
            means = (kept[title][:, j].mean() for title in list(kept)[:4])
            rows.append([name, measure, c, radius, images, *means, gain.value, gain.ci_low, gain.ci_high])
        lines.append([f"> {c:g}", "gain", *gains])
    table = markdown([measure, "", *(f"R = {radius:g}" for radius in radii)], lines)
    return (
        f"### {name}: {images} images, published n = 100,000, ours {samples:,} samples, pilot included\n\n{table}\n",
        rows,
    )


def _kept(table: BoundsTable, measure: str, bound: str, radii: list[float], threshold: float) -> NDArray[np.bool_]:
    """Whether each image is right and certified to stay above a threshold, shape ``(images, radii)``."""
    return table.inputs.right[:, None] & (table.lower(measure=measure, bound=bound, radii=radii) > threshold)


def _pairs(published: BoundsTable, ours: BoundsTable, *, image_of_row: int) -> tuple[list[int], list[int]]:
    """Rows of the images that both have, in the same order."""
    rows = {int(number): row for row, number in enumerate(published.inputs.indices)}
    numbers = [image_of_row * int(index) for index in ours.inputs.indices]
    both = [(rows[number], row) for row, number in enumerate(numbers) if number in rows]
    for theirs, own in both:
        if published.inputs.labels[theirs] != ours.inputs.labels[own]:
            raise ValueError(f"image {ours.inputs.ids[own]} has another label in the published log")
    return [theirs for theirs, _ in both], [own for _, own in both]
