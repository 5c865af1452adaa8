"""The studies run from the first command to the page, on data as small as it gets."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

STUDIES = Path(__file__).resolve().parents[1] / "studies"


@pytest.fixture
def studies(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The folder of the studies on the path, as for a script started there."""
    known = set(sys.modules)
    monkeypatch.syspath_prepend(str(STUDIES))
    yield
    for name in set(sys.modules) - known:
        if Path(getattr(sys.modules[name], "__file__", None) or "").parent == STUDIES:
            del sys.modules[name]


def run(name: str, *arguments: object, monkeypatch: pytest.MonkeyPatch) -> None:
    found = spec_from_file_location(f"study_{name}", STUDIES / f"{name}.py")
    assert found is not None
    assert found.loader is not None
    script = module_from_spec(found)
    found.loader.exec_module(script)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
    script.main()


def stripes(path: Path, count: int, *, seed: int) -> Path:
    """Images of 16x16 with stripes that lie or stand: two classes that noise does not hide."""
    generator = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        wave = (np.sin(np.arange(16) * 1.6 + generator.uniform(0, 6)) > 0) * 255
        pixels = np.broadcast_to(wave[None, :] if i % 2 else wave[:, None], (16, 16))
        file = io.BytesIO()
        Image.fromarray(np.stack([pixels] * 3, axis=2).astype(np.uint8)).save(file, "PNG")
        rows.append({"image": {"bytes": file.getvalue(), "path": None}, "label": i % 2})
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_the_cifar10_study_trains_certifies_and_writes_its_page(
    studies: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {
        "arch": "resnet8",
        "width": 16,
        "training": {"epochs": 4},
        "sigmas": ["0.25", "0.5"],
        "image_of_row": 1,
        "images": {"stride": 1, "limit": 12, "n0": 50, "n": 200},
        "more": {"sigmas": ["0.25"], "stride": 4, "limit": 3, "n0": 50, "n": 2000},
        "radii": [0.0, 0.25],
        "sweep_radii": [0.0, 0.25],
        "thresholds": [0.5, 0.7],
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    train, test = stripes(tmp_path / "train.parquet", 256, seed=1), stripes(tmp_path / "test.parquet", 20, seed=2)
    arguments = (
        *("--runs", tmp_path / "runs", "--train-data", f"parquet:{train}", "--test-data", f"parquet:{test}"),
        *("--config", tmp_path / "config.json", "--out", tmp_path / "results"),
    )
    run("cifar10", *arguments, monkeypatch=monkeypatch)
    page = (tmp_path / "results" / "README.md").read_text()
    assert "12 images" in page
    assert "## 200 samples against 2,000" in page
    for name in page.split("](")[1:]:
        assert (tmp_path / "results" / name.partition(")")[0]).is_file()
    rows = (tmp_path / "results" / "certified-accuracy-0.25.csv").read_text().splitlines()
    assert len(rows) == 1 + 3 * 3 * 2 * 2  # measures, bounds, thresholds, radii
    certified = {tuple(row.split(",")[:4]): float(row.split(",")[4]) for row in rows[1:]}
    assert certified["score", "dual", "0.5", "0.0"] >= 0.75, "the stripes were not learned"

    capsys.readouterr()
    run("cifar10", *arguments, monkeypatch=monkeypatch)
    assert "smoothcert train" not in capsys.readouterr().out, "what is trained was trained again"
    assert (tmp_path / "results" / "README.md").read_text() == page


def test_what_the_gpu_study_made_becomes_a_page_elsewhere(
    studies: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {
        "arch": "resnet8",
        "width": 16,
        "training": {"epochs": 1},
        "sigmas": ["0.25", "0.5"],
        "image_of_row": 1,
        "images": {"stride": 1, "limit": 4, "n0": 20, "n": 100},
        "more": {"sigmas": [], "stride": 1, "limit": 1, "n0": 20, "n": 100},
        "radii": [0.0],
        "sweep_radii": [0.0],
        "thresholds": [0.5, 0.7],
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    train, test = stripes(tmp_path / "train.parquet", 64, seed=1), stripes(tmp_path / "test.parquet", 8, seed=2)
    common = (
        *("--runs", tmp_path / "runs", "--config", tmp_path / "config.json"),
        *("--train-data", f"parquet:{train}", "--test-data", f"parquet:{test}"),
    )
    run(
        *("gpu", *common, "--device", "cpu", "--backend", "torch", "--precision", "float32"),
        *("--at-once", 1, "--steps", "train,certify"),
        monkeypatch=monkeypatch,
    )
    run("cifar10", *common, "--only", "page", "--out", tmp_path / "results", monkeypatch=monkeypatch)
    page = (tmp_path / "results" / "README.md").read_text()
    assert "| 0.25 | resnet8, 16 channels | 1 |" in page
    assert "torch, float32, cpu" in page


def test_a_projection_to_more_samples_is_the_bound_of_the_repeated_histogram(studies: None, tmp_path: Path) -> None:
    from smoothcert.certify import RunSpec, certify_run

    fewer = import_module("fewer_samples")
    spec = RunSpec.of(model="digits", data="digits", sigma=0.25, n0=50, n=400, limit=4)
    run = certify_run(spec, out=tmp_path / "run")
    same, more = (fewer.cdf_at(run, n, radii=[0.0, 0.25]) for n in (400, 4_000))
    from smoothcert.analysis import bounds_table

    np.testing.assert_array_equal(same, bounds_table(run).lower(measure="score", bound="cdf", radii=[0.0, 0.25]))
    assert (more > same).all()
    with pytest.raises(ValueError, match="multiple"):
        fewer.cdf_at(run, 500, radii=[0.0])


def test_the_published_logs_make_a_page(
    studies: None, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("--logs", shared / "reference", "--runs", tmp_path / "runs", "--out", tmp_path / "results")
    run("published_logs", *arguments, monkeypatch=monkeypatch)
    page = (tmp_path / "results" / "README.md").read_text()
    logs = list((shared / "reference").glob("*/*.tsv"))
    assert page.count("\n## ") == len(logs) + 1  # the last is about pairs of them
    assert page == (STUDIES / "results" / "published_logs" / "README.md").read_text(), "the committed page is another"


def test_votes_are_counted_until_every_method_settles(
    studies: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from smoothcert.certify import RunSpec, certify_run

    spec = RunSpec.of(model="digits", data="digits", sigma=0.25, n0=50, n=1_200, limit=3)
    certify_run(spec, out=tmp_path / "runs" / "sigma_0.25")
    study = import_module("class_certificates")
    monkeypatch.setattr(study, "BOUNDARY_REPEATS", 10)
    monkeypatch.setattr(sys, "argv", ["x", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "results")])
    study.main()
    page = (tmp_path / "results" / "README.md").read_text()
    assert "## Sigma 0.25, 3 images, up to 1,200 votes" in page
    assert (tmp_path / "results" / "votes-used.svg").is_file()
    rows = (tmp_path / "results" / "class-certificates.csv").read_text().splitlines()
    assert len(rows) == 1 + 3 * 5  # radii and methods
    assert all(row.endswith(",0") for row in rows[1:]), "an answer is wrong"


def test_the_thresholds_of_the_rivals_are_those_of_their_definitions(studies: None) -> None:
    from scipy.stats import beta, binom

    study = import_module("class_certificates")
    every = np.arange(1, 400)
    for p0 in (0.7, 0.95):
        high, low = study._binomial_thresholds(every, p0, np.full(every.size, 0.001))
        possible = high <= every
        assert (binom.sf(high[possible] - 1, every[possible], p0) <= 0.001).all()
        assert (binom.sf(high[possible] - 2, every[possible], p0) > 0.001).all()
        assert (beta.ppf(0.001, high[possible], every[possible] - high[possible] + 1) > p0).all()
        assert (binom.cdf(low[low >= 0], every[low >= 0], p0) <= 0.001).all()
        fewest = study._mixture_threshold(every, p0)
        assert (np.diff(fewest) >= 0).all()
        assert (fewest >= np.minimum(high, every + 1) - 1).all(), "looking all the time must not be cheaper"


def test_the_denoiser_learns_the_scores_of_the_clean_picture_and_goes_on(
    studies: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import types

    import torch
    from safetensors.torch import load_file, save_file
    from torch import nn

    from smoothcert.models.denoised import resolve_denoiser

    known = types.ModuleType("efficientnet_lite0")
    known.classifier = lambda: nn.Sequential(  # type: ignore[attr-defined]
        nn.Conv2d(3, 4, 8, stride=8), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 5)
    )
    monkeypatch.setitem(sys.modules, "efficientnet_lite0", known)
    study = import_module("tune_denoiser")
    monkeypatch.setattr(study, "SIZE", 32)
    monkeypatch.setattr(study, "BATCH", 4)
    (tmp_path / "photos").mkdir()
    for name, side in (("a.png", 40), ("b.jpg", 300)):
        pixels = np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / name)
    given, out = tmp_path / "ffdnet.safetensors", tmp_path / "tuned.safetensors"
    save_file(import_module("half_size_ffdnet").denoiser(0.25).state_dict(), given)
    weights = [load_file(given)["conv3.weight"]]
    for steps in (3, 6):
        arguments = ("--photos", tmp_path / "photos", "--denoiser-weights", given, "--out", out, "--steps", steps)
        monkeypatch.setattr(sys, "argv", ["x", *map(str, arguments)])
        study.main()
        weights.append(load_file(out)["conv3.weight"])
    assert "3 steps done" in capsys.readouterr().out
    assert not any(torch.equal(one, other) for one, other in pairwise(weights))
    denoiser = resolve_denoiser(f"python:{STUDIES / 'half_size_ffdnet.py'}:denoiser", sigma=0.5, weights=out)
    assert float(denoiser.sigma) == 0.25
    assert denoiser(torch.zeros(2, 3, 16, 24)).shape == (2, 3, 16, 24)


def test_the_imagenet_study_certifies_decides_and_writes_pages(
    studies: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a classifier of two classes in place of ImageNet's, and a denoiser that only averages."""
    from dataclasses import replace

    import torch
    from safetensors.torch import save_file

    study = import_module("imagenet")
    classifier = tmp_path / "classifier.py"
    classifier.write_text(
        "import torch\n"
        "class Sides(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.scale = torch.nn.Parameter(torch.tensor(20.0))\n"
        "    def forward(self, x):\n"
        "        y = x.mean((1, 2, 3))\n"
        "        return self.scale * torch.stack([0 * y, y - 0.5], 1)\n"
    )
    weights = tmp_path / "identity.safetensors"
    identity = import_module("half_size_ffdnet").denoiser(0.25).state_dict()
    for name, value in identity.items():
        torch.nn.init.dirac_(value) if name.endswith("weight") else value.zero_()
    save_file(identity, weights)
    rows = []
    for value in (20, 40, 124, 60, 126, 80, 129, 180, 131, 200, 220, 240):
        file = io.BytesIO()
        Image.new("RGB", (16, 16), (value,) * 3).save(file, "PNG")
        rows.append({"image": {"bytes": file.getvalue(), "path": None}, "label": int(value > 127)})
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "val.parquet")
    monkeypatch.setattr(study, "CLASSIFIER", f"python:{classifier}:Sides")
    monkeypatch.setattr(study, "SIZE", 16)
    monkeypatch.setattr(study, "N0", 4)
    monkeypatch.setattr(study, "CERTIFIED", tuple(replace(c, n=40) for c in study.CERTIFIED))
    arguments = (
        *("--runs", tmp_path / "runs", "--data", f"parquet:{tmp_path / 'val.parquet'}", "--stride", 2),
        *("--denoiser-weights", weights, "--tuned", weights, "--decide-stride", 2),
        *("--backend", "torch", "--out", tmp_path / "results"),
    )
    asked = tuple(replace(d, most=20) for d in study.DECIDED if d.question == "class@0.25")
    monkeypatch.setattr(study, "DECIDED", asked)
    monkeypatch.setattr(sys, "argv", ["x", *map(str, arguments)])
    study.main()
    for folder in (".", "tuned-0.25", "tuned-0.5"):
        page = (tmp_path / "results" / folder / "README.md").read_text()
        assert "4 + 40 samples per image, alpha 0.001, 6 images" in page
        assert (tmp_path / "results" / folder / "radius.svg").is_file()
    decided = (tmp_path / "results" / "decided.md").read_text()
    assert "| 0.25 | as it is | `class@0.25` | 6 | 32 + 20 |" in decided
    assert "| 0.5 | tuned | `class@0.25` | 6 | 32 + 20 |" in decided
    assert "`class@0.25`, sigma 0.5, on the 6 images of both: " in decided


def test_denoisers_are_put_side_by_side(studies: None) -> None:
    study = import_module("denoisers")
    row = [0.25, "FFDNet", 100, 0.45, 0.3502, 0.5527, 2.71, 4.49]
    assert "| 0.25 | FFDNet | .450 | .350 to .553 | 2.7 | 4.5 |" in study.page([row])
    assert "| 2.7 | 4.5 | 31.0 |" in study.page([[*row, 31.0]])
