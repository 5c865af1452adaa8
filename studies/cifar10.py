"""CIFAR-10, as in Kumar et al. (2020), section 4, and past it.

Trains a ResNet at each sigma, certifies test images, and writes tables and figures to ``results/cifar10``::

    python studies/cifar10.py --runs runs/cifar10 [--backend onnxruntime] [--train-data ... --test-data ...]

What is trained or sampled already is not done again, so it can be stopped and repeated.
"""

import argparse
import json
from pathlib import Path

from fewer_samples import fewer_samples
from safetensors import safe_open
from steps import BOUNDS, HERE, RESULTS, fraction, markdown, smoothcert, write_csv

from smoothcert.analysis import (
    BoundsTable,
    Estimate,
    bounds_table,
    calibration,
    certified_accuracy,
    radius_correlation,
    summary,
    sweep,
)
from smoothcert.runs import Run

OUT = RESULTS / "cifar10"
FIGURES = ("accuracy-over-threshold", "accuracy-over-radius", "correlation", "calibration", "distribution", "placement")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="folder of the networks and runs")
    parser.add_argument("--train-data", default="cifar10", help="default: cifar10, from the Hugging Face hub")
    parser.add_argument("--test-data", default="cifar10")
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--config", type=Path, default=HERE / "cifar10.json")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    config = json.loads(options.config.read_text())
    options.out.mkdir(parents=True, exist_ok=True)

    runs = {}
    for sigma, noise in config["noise"].items():
        train(sigma, noise, config, options)
        runs[sigma] = certify(f"sigma_{sigma}", sigma, noise, config, options)
    paper = config["paper"]
    more = certify(f"sigma_{paper['sigma']}_n_{paper['n']}", paper["sigma"], paper, config, options)

    tables = {sigma: bounds_table(run) for sigma, run in runs.items()}
    for sigma, run in runs.items():
        for kind in FIGURES:
            smoothcert("figure", kind, run.path, "--out", options.out / f"{kind}-{sigma}.svg")
    report = [
        "# CIFAR-10\n\nWritten by `studies/cifar10.py`; what the runs are is in `studies/cifar10.json`.\n",
        networks(config, options),
        *(accuracies(sigma, run, tables[sigma], config, options) for sigma, run in runs.items()),
        fewer_samples(
            runs[paper["sigma"]],
            tables[paper["sigma"]],
            more,
            thresholds=config["thresholds"],
            radii=config["radii"],
            out=options.out,
        ),
        other_tables(tables),
        best_sigmas(runs, list(tables.values()), config, options),
        cost({**runs, f"{paper['sigma']}, n = {paper['n']:,}": more}),
    ]
    (options.out / "README.md").write_text("\n".join(report), encoding="utf-8")
    print(f"written: {options.out / 'README.md'}")


def weights(sigma: str, options: argparse.Namespace) -> Path:
    return options.runs / f"sigma_{sigma}.safetensors"


def train(sigma: str, noise: dict, config: dict, options: argparse.Namespace) -> None:
    file = weights(sigma, options)
    if not file.exists():
        data = ("--data", options.train_data, "--test-data", options.test_data)
        shape = ("--arch", config["arch"], "--epochs", noise["epochs"])
        smoothcert("train", *data, "--sigma", sigma, *shape, "--out", file)


def certify(name: str, sigma: str, size: dict, config: dict, options: argparse.Namespace) -> Run:
    out = options.runs / name
    smoothcert(
        *("certify", "--model", f"cifar:{config['arch']}", "--weights", weights(sigma, options)),
        *("--data", options.test_data),
        *("--sigma", sigma, "--n0", size["n0"], "--n", size["n"], "--limit", size["limit"]),
        *("--backend", options.backend, "--out", out),
    )
    return Run.open(out)


def networks(config: dict, options: argparse.Namespace) -> str:
    rows = []
    for sigma, noise in config["noise"].items():
        with safe_open(weights(sigma, options), framework="np") as file:
            header = file.metadata()
        accuracy, images = float(header["noisy_accuracy"]), int(header["test_images"])
        rows.append([sigma, config["arch"], noise["epochs"], f"{accuracy:.4f}", f"{images:,}"])
    table = markdown(["sigma", "network", "epochs", "accuracy under one noise draw", "test images"], rows)
    return f"## The networks\n\n{table}"


def accuracies(sigma: str, run: Run, table: BoundsTable, grid: dict, options: argparse.Namespace) -> str:
    """Certified accuracy at every threshold and radius, the three bounds side by side."""
    rows = certified_accuracy(table, measures=("score", "margin"), radii=grid["radii"], thresholds=grid["thresholds"])
    header = ["measure", "bound", "threshold", "radius", "certified_accuracy", "ci_low", "ci_high", "inputs", "alpha"]
    write_csv(options.out / f"certified-accuracy-{sigma}.csv", header, [[getattr(r, h) for h in header] for r in rows])
    parts = [f"## Certified accuracy at sigma {sigma}, n = {run.config.n:,}, {rows[0].inputs} images\n"]
    for threshold in (0.5, 0.7):
        cells = {(r.measure, r.bound, r.radius): r.certified_accuracy for r in rows if r.threshold == threshold}
        lines = [
            [measure, title, *(fraction(cells[measure, bound, radius]) for radius in grid["radii"])]
            for measure in ("score", "margin")
            for bound, title in BOUNDS.items()
        ]
        page = markdown(["measure", "bound", *(f"R = {radius:g}" for radius in grid["radii"])], lines)
        parts.append(f"Confidence kept above {threshold:g}:\n\n{page}")
    parts.append(f"![certified accuracy over the threshold](accuracy-over-threshold-{sigma}.svg)\n")
    return "\n".join(parts)


def other_tables(tables: dict[str, BoundsTable]) -> str:
    rows = []
    for sigma, bounds in tables.items():
        relation, reliability = radius_correlation(bounds), calibration(bounds)
        rows.append([sigma, shown(relation.pearson), shown(relation.spearman), shown(reliability.error)])
    table = markdown(["sigma", "Pearson", "Spearman", "expected calibration error"], rows)
    return f"## Score against class radius, and calibration of the smoothed score\n\n{table}"


def shown(estimate: Estimate | None) -> str:
    """With its 95% interval; not defined where all inputs are alike."""
    if estimate is None:
        return "not defined"
    return f"{estimate.value:.3f} [{estimate.ci_low:.3f}, {estimate.ci_high:.3f}]"


def best_sigmas(runs: dict[str, Run], tables: list[BoundsTable], config: dict, options: argparse.Namespace) -> str:
    lines = []
    for threshold in (0.3, 0.5, 0.7):
        found = sweep(tables, radii=config["sweep_radii"], threshold=threshold)
        lines.append([f"c = {threshold:g}", *("" if p.best is None else f"{p.best:g}" for p in found.points)])
    paths = [run.path for run in runs.values()]
    smoothcert("sweep", *paths, "--threshold", 0.5, "--out", options.out / "sweep.svg")
    table = markdown(["score kept above", *(f"R = {radius:g}" for radius in config["sweep_radii"])], lines)
    return f"## The best sigma for a radius\n\n{table}\n![sweep](sweep.svg)\n"


def cost(runs: dict[str, Run]) -> str:
    rows = []
    for name, run in runs.items():
        found = summary(run)
        samples = found.inputs * (found.n0 + found.n)
        rows.append(
            [name, found.inputs, f"{samples:,}", f"{found.seconds / 60:.0f} min", run.config.spec.sampling.backend]
        )
    table = markdown(["sigma", "images", "samples", "time sampling", "backend"], rows)
    return f"## Cost\n\n{table}"


if __name__ == "__main__":
    main()
