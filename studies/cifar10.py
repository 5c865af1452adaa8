"""CIFAR-10, as in Kumar et al. (2020), section 4, and past it: the images of the published logs, beside those logs.

Trains a ResNet at each sigma, certifies test images, and writes tables and figures to ``results/cifar10``::

    python studies/cifar10.py --runs runs/cifar10 --train-data parquet:TRAIN --test-data parquet:TEST --logs FOLDER

What is trained or sampled already is not done again, so it can be stopped and repeated. ``--only`` takes one of the
steps: a GPU trains and certifies in minutes (``studies/gpu.py``), and the page is written anywhere.
"""

import argparse
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from beside_the_paper import beside_the_paper
from fewer_samples import fewer_samples
from safetensors import safe_open
from steps import BOUNDS, HERE, RESULTS, fraction, in_a_process, markdown, smoothcert, write_csv

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
MEASURES = ("score", "margin", "lead")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--runs", type=Path, required=True, help="folder of the networks and runs")
    parser.add_argument("--only", choices=("train", "certify", "page"), help="one of the three steps")
    parser.add_argument("--logs", type=Path, help="folder of the logs of Kumar et al., to be put beside our runs")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    config = json.loads(options.config.read_text())
    if options.only in ("train", None):
        train(config, options)
    if options.only in ("certify", None):
        for command in runs_to_make(config, options):
            smoothcert(*command)
    if options.only in ("page", None):
        write_page(config, options)


def write_page(config: dict, options: argparse.Namespace) -> None:
    """Tables and figures, from the runs as far as they are."""
    options.out.mkdir(parents=True, exist_ok=True)

    runs = {sigma: Run.open(options.runs / f"sigma_{sigma}") for sigma in config["sigmas"]}
    more = {sigma: Run.open(options.runs / f"sigma_{sigma}_more") for sigma in config["more"]["sigmas"]}
    tables = {sigma: bounds_table(run) for sigma, run in runs.items()}
    for sigma, run in runs.items():
        for kind in FIGURES:
            smoothcert("figure", kind, run.path, "--out", options.out / f"{kind}-{sigma}.svg")
    report = [
        "# CIFAR-10\n\nWritten by `studies/cifar10.py`; what the runs are is in `studies/cifar10.json`.\n",
        networks(config, options),
        *(accuracies(sigma, run, tables[sigma], config, options) for sigma, run in runs.items()),
        *paper(tables, more, config, options),
        *(
            fewer_samples(
                runs[sigma],
                tables[sigma],
                run,
                thresholds=config["thresholds"],
                radii=config["radii"],
                out=options.out,
            )
            for sigma, run in more.items()
        ),
        other_tables(tables),
        best_sigmas(runs, list(tables.values()), config, options),
        cost(runs | {f"{s}, n = {r.config.n:,}": r for s, r in more.items()}),
    ]
    (options.out / "README.md").write_text("\n".join(report), encoding="utf-8")
    print(f"written: {options.out / 'README.md'}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What training and certifying need, here and in ``gpu.py``."""
    parser.add_argument("--train-data", default="cifar10", help="default: cifar10, from the Hugging Face hub")
    parser.add_argument("--test-data", default="cifar10")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--at-once", type=int, default=1, help="networks trained at the same time, on a large GPU")
    parser.add_argument("--config", type=Path, default=HERE / "cifar10.json")


def weights(sigma: str, options: argparse.Namespace) -> Path:
    return options.runs / f"sigma_{sigma}.safetensors"


def train(config: dict, options: argparse.Namespace) -> None:
    """The networks that are missing, some at the same time if asked for."""
    missing = [sigma for sigma in config["sigmas"] if not weights(sigma, options).exists()]
    data = ("--data", options.train_data, "--test-data", options.test_data, "--device", options.device)
    recipe = [part for name, value in config["training"].items() for part in (f"--{name}", value)]
    shape = ("--arch", config["arch"], "--width", config["width"])
    commands = [
        ("train", *data, "--sigma", sigma, *shape, *recipe, "--out", weights(sigma, options)) for sigma in missing
    ]
    with ThreadPoolExecutor(options.at_once) as pool:
        list(pool.map(lambda command: in_a_process(*command), commands))


def runs_to_make(config: dict, options: argparse.Namespace) -> Iterator[tuple[object, ...]]:
    """Commands that sample, the run of each sigma first."""

    def command(sigma: str, name: str, size: dict) -> tuple[object, ...]:
        return (
            *("certify", "--model", f"cifar:{config['arch']}", "--weights", weights(sigma, options)),
            *("--data", options.test_data, "--stride", size["stride"], "--limit", size["limit"]),
            *("--sigma", sigma, "--n0", size["n0"], "--n", size["n"], "--device", options.device),
            *("--backend", options.backend, "--precision", options.precision, "--out", options.runs / name),
        )

    for sigma in config["sigmas"]:
        yield command(sigma, f"sigma_{sigma}", config["images"])
    for sigma in config["more"]["sigmas"]:
        yield command(sigma, f"sigma_{sigma}_more", config["more"])


def paper(tables: dict[str, BoundsTable], more: dict[str, Run], config: dict, options: argparse.Namespace) -> list[str]:
    """The section about the published logs, if they are at hand."""
    if options.logs is None:
        return []
    ours = {sigma: [table, *([bounds_table(more[sigma])] if sigma in more else [])] for sigma, table in tables.items()}
    places = {"runs": options.runs, "out": options.out}
    return [beside_the_paper(ours, options.logs, image_of_row=config["image_of_row"], **places)]


def networks(config: dict, options: argparse.Namespace) -> str:
    rows = []
    for sigma in config["sigmas"]:
        with safe_open(weights(sigma, options), framework="np") as file:
            header = file.metadata()
        recipe, images = json.loads(header["recipe"]), int(header["test_images"])
        shape = f"{config['arch']}, {recipe['width']} channels"
        accuracy = f"{float(header['noisy_accuracy']):.4f}"
        rows.append([sigma, shape, recipe["epochs"], f"{recipe['consistency']:g}", accuracy, f"{images:,}"])
    header = ["sigma", "network", "epochs", "consistency", "accuracy under one noise draw", "test images"]
    return f"## The networks\n\n{markdown(header, rows)}"


def accuracies(sigma: str, run: Run, table: BoundsTable, grid: dict, options: argparse.Namespace) -> str:
    """Certified accuracy at every threshold and radius, the three bounds side by side."""
    rows = certified_accuracy(
        table, measures=MEASURES, bounds=list(BOUNDS), radii=grid["radii"], thresholds=grid["thresholds"]
    )
    header = ["measure", "bound", "threshold", "radius", "certified_accuracy", "ci_low", "ci_high", "inputs", "alpha"]
    write_csv(options.out / f"certified-accuracy-{sigma}.csv", header, [[getattr(r, h) for h in header] for r in rows])
    parts = [f"## Certified accuracy at sigma {sigma}, n = {run.config.n:,}, {rows[0].inputs} images\n"]
    for threshold in (0.5, 0.7):
        cells = {(r.measure, r.bound, r.radius): r.certified_accuracy for r in rows if r.threshold == threshold}
        lines = [
            [measure, title, *(fraction(cells[measure, bound, radius]) for radius in grid["radii"])]
            for measure in MEASURES
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
        found, config = summary(run), run.config
        samples = found.inputs * (found.n0 + found.n)
        sampling = config.spec.sampling
        what = f"{sampling.backend}, {sampling.precision}, {config.device}"
        rows.append([name, found.inputs, f"{samples:,}", f"{found.seconds / 60:.1f} min", what])
    table = markdown(["sigma", "images", "samples", "time sampling", "by"], rows)
    return f"## Cost\n\n{table}"


if __name__ == "__main__":
    main()
