"""A run as a folder for others: its files, evidence of them, and a card that says what they are.

The folder is a run folder, so ``query``, ``report`` and ``verify`` take it as it is, and the Hugging Face Hub shows the
card and the records.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from smoothcert.bounds import exact_text
from smoothcert.errors import RunError
from smoothcert.files import write_file
from smoothcert.report.wording import percent, percent_below, percent_interval
from smoothcert.runs import Run, RunConfig
from smoothcert.sharing.model_index import as_yaml, one_line_name, task_of
from smoothcert.verify import export_run
from smoothcert.verify.run_evidence import run_files

CARD, EVIDENCE = "README.md", "evidence.json"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))
_LARGEST_SIZE = "100K<n<1M"
_MARKS = {ord(mark): f"&#{ord(mark)};" for mark in "\\`*_[]<|#~"}
_CITE = """@inproceedings{kumar2020certifying,
  title = {Certifying Confidence via Randomized Smoothing},
  author = {Kumar, Aounon and Levine, Alexander and Feizi, Soheil and Goldstein, Tom},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2020}
}
@inproceedings{cohen2019certified,
  title = {Certified Adversarial Robustness via Randomized Smoothing},
  author = {Cohen, Jeremy and Rosenfeld, Elan and Kolter, J. Zico},
  booktitle = {International Conference on Machine Learning},
  year = {2019}
}"""


def package(run: Run, *, repo: str, **asked: Any) -> dict[str, bytes]:
    """The files of the folder, by path: the run's own, evidence and card.

    Args:
        run: A run that sampled its inputs, all of them.
        repo: Name of the repository, for the commands in the card.
        asked: ``radii``, ``thresholds``, ``bounds`` and ``alpha`` as :func:`smoothcert.verify.export_run` takes them.

    Raises:
        InvalidArgumentError: If what is asked is outside its domain.
        DataError: If the run holds no certified input.
        RunError: If it holds no samples, is damaged, or inputs are missing.
    """
    if run.missing or run.short:
        lacks = f"{run.missing} of {run.expected} inputs" if run.missing else f"samples of {run.short} inputs"
        raise RunError(f"{run.path} lacks {lacks}: finish it with the command that made it first")
    evidence = export_run(run, **asked)
    text = json.dumps(evidence, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    files = dict(run_files(run))
    return {CARD: card(run.config, evidence, repo=repo).encode(), EVIDENCE: text.encode(), **files}


def write_package(run: Run, folder: Path, *, repo: str, **asked: Any) -> list[str]:
    """Write the folder, and return the paths in it.

    Args:
        run: The run.
        folder: Where; new or empty.
        repo: Name of the repository, for the commands in the card.
        asked: See :func:`package`.

    Raises:
        RunError: If the folder is not empty or cannot be written, or as :func:`package` does.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"{folder} is there already and is not empty: name a new folder")
    files = package(run, repo=repo, **asked)
    for name, content in files.items():
        write_file(folder / name, content)
    return list(files)


def card(config: RunConfig, evidence: Mapping[str, Any], *, repo: str) -> str:
    """The README of the repository: YAML for machines, then what was certified, how far, and how to check it."""
    results, method = evidence["results"], evidence["method"]
    inputs = results["inputs"]["certified"]
    title = one_line_name(f"Certified confidence: {config.model} on {config.data}, sigma {config.sigma:g}")
    head = {
        "pretty_name": title,
        "task_categories": [task_of(config)],
        "size_categories": [next((name for most, name in _SIZES if inputs < most), _LARGEST_SIZE)],
        "tags": ["smoothcert", "randomized-smoothing", "certified-robustness"],
        "configs": [{"config_name": "records", "data_files": "parts/*.parquet"}],
    }
    radii = ",".join(exact_text(radius) for radius in _radii(evidence))
    labelled = results["inputs"]["labelled"] > 0
    what = "right and certified" if labelled else "certified, right or wrong,"
    sections = [
        f"# {_plain(title)}",
        f"Lower bounds on the average confidence of a classifier under Gaussian noise, for {inputs:,} inputs: no "
        "change of an input within L2 distance R brings that confidence below the bound. The samples they follow from "
        "are in this repository, so that anything can be asked of them and checked. Made by "
        f"{_plain(evidence['written_by'])}.",
        "## What was certified",
        _table(["", ""], _facts(config, evidence)),
        "## Results",
        f"Fraction of the {inputs if not labelled else results['inputs']['labelled']:,} inputs that are {what} within "
        "each L2 radius, with its 95% interval over the inputs, and what it is at least of all such inputs, with 95% "
        f"confidence. Each statement about an input by itself is wrong with probability at most "
        f"{exact_text(method['alpha'])}.",
        _results(evidence),
        "## What it rests on",
        "\n".join(f"- {_plain(sentence)}" for sentence in (*evidence["assumptions"], *evidence["run"]["notes"])),
        "## Ask and verify",
        "\n".join(
            [
                "```shell",
                "pip install 'smoothcert[hub]'",
                f"smoothcert query hf://datasets/{repo} --radii {radii}",
                f"hf download {repo} --repo-type dataset --local-dir RUN",
                "smoothcert verify RUN/evidence.json   # every number in the evidence, and every file, against the run",
                "smoothcert report RUN --out report.html",
                "```",
            ]
        ),
        "`evidence.json` holds the results by all bounds, the method, versions and hashes of the files. Checksums show "
        "accidents and edits, not forgery: whoever has model and data can sample again with "
        "`smoothcert verify RUN --model-at-hand`.",
        "## Cite",
        f"```bibtex\n{_CITE}\n```",
    ]
    return f"---\n{as_yaml(head)}\n---\n\n" + "\n\n".join(sections) + "\n"


def _facts(config: RunConfig, evidence: Mapping[str, Any]) -> list[list[str]]:
    method, results = evidence["method"], evidence["results"]
    versions = ", ".join(f"{name} {number}" for name, number in evidence["run"]["versions"].items())
    facts = {
        "model": config.model,
        "weights": f"SHA-256 {config.weights_hash}" if config.weights_hash else "of unknown hash",
        "data": f"{config.data}, {results['inputs']['certified']:,} inputs",
        "noise": f"{method['noise']}, sigma {method['sigma']:g}, seed {method['seed']}",
        "samples": f"{method['n0']:,} + {method['n']:,} per input (pilot, estimation)",
        "made": f"{evidence['run']['created']} on {config.device}, {versions}",
    }
    return [[name, _plain(value)] for name, value in facts.items()]


def _results(evidence: Mapping[str, Any]) -> str:
    """The class, and every measure by the first bound; the others are in the evidence."""
    labelled = evidence["results"]["inputs"]["labelled"]
    of = labelled or evidence["results"]["inputs"]["certified"]
    radii, first = _radii(evidence), next(iter(evidence["method"]["bounds"]))
    rows = [row for row in _rows(evidence) if row["threshold"] is None or row["bound"] == first]
    cells = {(row["measure"], row["threshold"], row["bound"], row["radius"]): row for row in rows}
    lines = []
    for measure, threshold, bound in dict.fromkeys(key[:3] for key in cells):
        found = (cells[measure, threshold, bound, radius] for radius in radii)
        kept = "the class" if threshold is None else f"{measure} > {exact_text(threshold)}"
        lines.append([_plain(kept), bound, *(_fraction(row, of) for row in found)])
    text = _table(["kept", "bound", *(f"R = {exact_text(radius)}" for radius in radii)], lines)
    if accuracy := evidence["results"].get("accuracy"):
        share = f"{percent(round(accuracy['value'] * labelled), labelled)} of the inputs with a label"
        text = f"The smoothed classifier is right on {share} and abstains on {_abstained(evidence)} of all.\n\n{text}"
    return text


def _rows(evidence: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(evidence["results"]["certified_accuracy"])


def _radii(evidence: Mapping[str, Any]) -> list[float]:
    return list(dict.fromkeys(row["radius"] for row in _rows(evidence)))


def _abstained(evidence: Mapping[str, Any]) -> str:
    inputs = evidence["results"]["inputs"]["certified"]
    return percent(round(evidence["results"]["abstention"]["value"] * inputs), inputs)


def _fraction(row: Mapping[str, Any], of: int) -> str:
    value = percent(round(row["certified_accuracy"] * of), of)
    return f"{value} ({percent_interval(row['ci_low'], row['ci_high'])}) ≥ {percent_below(row['population_lower'])}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _plain(text: object) -> str:
    """Text of strangers on one line, without what Markdown and HTML read as their own."""
    return one_line_name(text).translate(_MARKS)
