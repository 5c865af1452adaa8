"""The logs published with Cohen et al. (2019) and Kumar et al. (2020), read, compared and drawn.

::

    python studies/published_logs.py --logs FOLDER --runs runs/published

``FOLDER`` holds ``cohen2019/*.tsv`` and ``kumar2020/*.tsv``. Writes ``results/published_logs``.
"""

import argparse
from pathlib import Path

from steps import RESULTS, fraction, markdown, smoothcert

from smoothcert.analysis import bounds_table, certified_accuracy, class_certified_accuracy, radius_correlation
from smoothcert.runs import Run

RADII = {0.25: [0.0, 0.25, 0.5, 0.75], 0.5: [0.0, 0.25, 0.5, 0.75, 1.0]}
THRESHOLDS = [0.5, 0.7, 0.9]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logs", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True, help="folder the imported runs go to")
    parser.add_argument("--out", type=Path, default=RESULTS / "published_logs")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    confidences = {log.stem: imported(log, options) for log in sorted(options.logs.glob("kumar2020/*.tsv"))}
    radii = {log.stem: imported(log, options) for log in sorted(options.logs.glob("cohen2019/*.tsv"))}
    parts = [
        "# Published logs\n\nWritten by `studies/published_logs.py`.\n",
        *(confidence(name, run, options) for name, run in confidences.items()),
        *(classes(name, run) for name, run in radii.items()),
        correlations(confidences, radii, options),
    ]
    (options.out / "README.md").write_text("\n".join(parts), encoding="utf-8")
    print(f"written: {options.out / 'README.md'}")


def imported(log: Path, options: argparse.Namespace) -> Run:
    path = options.runs / log.stem
    if not path.exists():
        smoothcert("import", log, "--out", path)
    return Run.open(path)


def confidence(name: str, run: Run, options: argparse.Namespace) -> str:
    smoothcert("figure", "accuracy-over-threshold", run.path, "--out", options.out / f"{name}.svg")
    table = bounds_table(run)
    measure = next(m for m in ("score", "margin") if m in table.answers.measures)
    radii = [r for r in RADII[run.config.sigma] if table.answers.radii is None or r in table.answers.radii]
    rows = certified_accuracy(
        table, measures=[measure], bounds=["cdf", "hoeffding"], radii=radii, thresholds=THRESHOLDS
    )
    cells = {(r.bound, r.threshold, r.radius): r.certified_accuracy for r in rows}
    lines = [
        [f"{measure} > {c:g}", title, *(fraction(cells[bound, c, r]) for r in radii)]
        for c in THRESHOLDS
        for bound, title in (("cdf", "CDF"), ("hoeffding", "baseline"))
    ]
    body = markdown(["kept", "bound", *(f"R = {r:g}" for r in radii)], lines)
    return f"## {name}\n\n{rows[0].inputs} inputs, n = {run.config.n:,}.\n\n{body}\n![{name}]({name}.svg)\n"


def classes(name: str, run: Run) -> str:
    radii = [0.0, 0.25, 0.5, 0.75, 1.0, 1.5]
    found = class_certified_accuracy(run, radii=radii)
    body = markdown([f"R = {r:g}" for r in radii], [[fraction(share.value) for share in found]])
    return f"## {name}: the class kept\n\n{found[0].inputs} inputs.\n\n{body}"


def correlations(confidences: dict[str, Run], radii: dict[str, Run], options: argparse.Namespace) -> str:
    """Certified confidence of one log against class radius of the other: same classifier, same images."""
    rows = []
    for name, run in confidences.items():
        data, what, _ = name.split("-")
        other = next(r for log, r in radii.items() if log.startswith(f"{data}-") and r.config.sigma == run.config.sigma)
        measure = "margin" if what == "margin" else "score"
        found = radius_correlation(run, measure=measure, class_radii=other)
        out = f"correlation-{name}.svg"
        smoothcert("figure", "correlation", run.path, "--class-radii", other.path, "--out", options.out / out)
        both = (f"{e.value:.2f} [{e.ci_low:.2f}, {e.ci_high:.2f}]" for e in (found.pearson, found.spearman))
        rows.append([data, measure, run.config.sigma, len(found.values), *both, f"[figure]({out})"])
    header = ["data", "measure", "sigma", "images kept", "Pearson", "Spearman", ""]
    return f"""## Confidence against class radius

Certified confidence at radius 0 (CDF bound) of one log against the class radius of the other, over the images on
which neither abstains and both predict the same class. In brackets 95% bootstrap intervals over the images.

{markdown(header, rows)}"""


if __name__ == "__main__":
    main()
