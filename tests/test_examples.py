"""Classifiers that are no PyTorch network on photographs: command line, run, report, a line per input.

The page ``docs/how-to/examples.md`` shows these, and a classifier of texts, with what came out; here they are smaller,
and what comes out is compared with what is known of it.
"""

from __future__ import annotations

import csv
import json
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from scipy.stats import norm

import smoothcert as sc
from smoothcert.cli.app import run as run_command
from smoothcert.data import Dataset
from smoothcert.sampling import ConfidenceWarning
from torchvision_ops import import_torchvision

RADII = (0.0, 0.25)
N = 800


@dataclass(frozen=True)
class Answers:
    """What a run says: certified accuracy by radius, at a score above 1/2; a line per input; the page."""

    accuracy: dict[float, float]
    inputs: list[dict[str, str]]
    page: str

    def column(self, name: str) -> list[float]:
        return [float(line[name]) for line in self.inputs]

    @property
    def right(self) -> float:
        return float(np.mean([line["label"] == line["prediction"] for line in self.inputs]))


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """Certify on the command line, in an empty folder, and ask for everything that can be had without knowing more."""
    monkeypatch.chdir(tmp_path)

    def asked(
        model: str, data: str, *flags: object, radii: tuple[float, ...] = RADII, measure: str = "score"
    ) -> Answers:
        given = ["--model", model, "--data", data, "--n0", 50, "--n", N, "--quiet", *flags]
        run_command(["certify", *map(str, given), "--out", "RUN"])
        question = [
            "--measure",
            measure,
            "--bound",
            "dual",
            "--thresholds",
            "0.5",
            "--radii",
            ",".join(map(str, radii)),
        ]
        run_command(["query", "RUN", *question, "--format", "json", "--out", "accuracy.json"])
        run_command(["query", "RUN", *question, "--per-input", "--format", "csv", "--out", "inputs.csv"])
        run_command(["report", "RUN", "--out", "report.html"])
        rows: list[dict[str, Any]] = json.loads(Path("accuracy.json").read_text(encoding="utf-8"))
        with Path("inputs.csv").open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
        answers = Answers(
            {row["radius"]: row["certified_accuracy"] for row in rows}, lines, Path("report.html").read_text("utf-8")
        )
        check(answers, radii, measure)
        return answers

    return asked


def check(answers: Answers, radii: tuple[float, ...], measure: str) -> None:
    """What holds of every run, whatever was certified."""
    bounds = [f"{measure}_dual_lower_at_{radius:g}" for radius in radii]
    columns = {"id", "label", "prediction", "abstained", "sigma", "n", "class_radius", f"{measure}_mean"}
    assert columns | {*bounds, f"{measure}_dual_radius_above_0.5"} <= set(answers.inputs[0])
    assert len({line["id"] for line in answers.inputs}) == len(answers.inputs)
    assert not any(line["error"] for line in answers.inputs)
    accuracy = [answers.accuracy[radius] for radius in radii]
    assert accuracy == sorted(accuracy, reverse=True)
    for line in answers.inputs:
        values = [float(line[bound]) for bound in bounds]
        assert float(line[f"{measure}_mean"]) >= values[0] >= values[-1] >= 0
        assert math.isnan(radius := float(line["class_radius"] or "nan")) or radius >= 0
    for radius, bound in zip(radii, bounds, strict=True):  # the table is the lines, counted
        certified = [line["label"] == line["prediction"] and float(line[bound]) > 0.5 for line in answers.inputs]
        assert answers.accuracy[radius] == pytest.approx(np.mean(certified))
    assert "<svg" in answers.page
    assert "RUN" in answers.page


def digits(split: str, limit: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    data: Dataset = sc.load_data("digits", split=split, limit=limit)
    examples = [data.load(i) for i in range(len(data))]
    return np.stack([one.x for one in examples]), np.array([one.label for one in examples])


def test_an_onnx_file_of_another_library(ask, tmp_path):
    pytest.importorskip("onnxruntime")
    exporter = pytest.importorskip("skl2onnx")
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, y = digits("train")
    rows = np.tile(x.reshape(len(x), 64), (4, 1))
    rows = (rows + np.random.default_rng(0).normal(scale=0.25, size=rows.shape)).astype(np.float32)
    fitted = linear_model.LogisticRegression(max_iter=500, C=0.1).fit(rows, np.tile(y, 4))
    (tmp_path / "digits.onnx").write_bytes(exporter.to_onnx(fitted, rows[:1]).SerializeToString())
    answers = ask("onnx:digits.onnx", "digits", "--limit", 25, "--sigma", 0.25)
    test, labels = digits("test", 25)
    assert answers.column("label") == labels.tolist()
    # Under noise a linear model mostly says what it says without, and its file says what it says.
    clean = fitted.predict(test.reshape(25, 64))
    assert np.mean(np.array(answers.column("prediction")) == clean) >= 0.9
    assert answers.accuracy[0.0] >= 0.7
    assert answers.accuracy[0.25] >= 0.3


def test_a_scikit_learn_pipeline_on_a_table(ask, tmp_path):
    skops = pytest.importorskip("skops.io")
    from sklearn.datasets import load_breast_cancer
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    table = load_breast_cancer()
    names = table.target_names[table.target]
    order = np.random.default_rng(0).permutation(len(names))
    train, test = order[:400], order[400:440]
    rows = ((table.data - table.data[train].mean(axis=0)) / table.data[train].std(axis=0)).round(3)
    pipeline = make_pipeline(PCA(10), LogisticRegression(max_iter=1000)).fit(rows[train], names[train])
    skops.dump(pipeline, tmp_path / "tumours.skops")
    with (tmp_path / "tumours.csv").open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow([*table.feature_names, "diagnosis"])
        lines.writerows([*rows[i], names[i]] for i in test)
    flags = ["--label-column", "diagnosis", "--lattice", 0.001, "--sigma", 0.5]
    answers = ask("sklearn:tumours.skops", "csv:tumours.csv", *flags, radii=(0.0, 0.5))
    # Texts of the column are the classes of the pipeline, in its order.
    assert [pipeline.classes_[int(line["label"])] for line in answers.inputs] == names[test].tolist()
    assert {line["class_name"] for line in answers.inputs} == {"benign", "malignant"}
    assert answers.accuracy[0.0] >= 0.9
    assert answers.accuracy[0.5] >= 0.75


RATE = 8000
FORMANTS = {"one": [(400, 800), (650, 1200)], "two": [(320, 1600), (310, 900)], "three": [(350, 1500), (280, 2300)]}
LISTENER = """
import torch

class Listener(torch.nn.Module):
    def __init__(self):
        super().__init__()
        convolution = torch.nn.Conv1d(64, 16, 5, padding=2)
        self.layers = torch.nn.Sequential(
            convolution, torch.nn.ReLU(), torch.nn.AdaptiveAvgPool1d(4), torch.nn.Flatten(), torch.nn.Linear(64, 3)
        )

    def forward(self, x):
        frames = x[:, 0].unfold(1, 256, 128) * torch.hann_window(256)
        spectrum = torch.fft.rfft(frames).abs()[..., 1:65]
        return self.layers(torch.log(spectrum + 1).transpose(1, 2))
"""


def speak(word: str, rng: np.random.Generator) -> np.ndarray:
    """An eighth of a second of harmonics near two gliding formants, by a speaker drawn at random."""
    place = np.linspace(0, 1, RATE // 8)
    first, last = rng.uniform(0.9, 1.1) * np.array(FORMANTS[word])
    formants = first + (last - first) * place[:, None]
    pitch = rng.uniform(90, 220) * (1 - 0.2 * place)[:, None]
    k = np.arange(1, 30)
    loud = sum(np.exp(-(((k * pitch - formants[:, [i]]) / 120) ** 2)) for i in (0, 1))
    sound = (loud * np.sin(2 * np.pi / RATE * k * np.cumsum(pitch)[:, None])).sum(axis=1)
    return (0.7 * sound / np.abs(sound).max()).astype(np.float32)


def test_a_network_on_sounds(ask, tmp_path):
    soundfile = pytest.importorskip("soundfile")
    names: dict[str, Any] = {}
    (tmp_path / "listener.py").write_text(LISTENER, encoding="utf-8")
    exec(compile(LISTENER, "listener.py", "exec"), names)
    rng = np.random.default_rng(0)
    words = sorted(FORMANTS)
    sounds = torch.from_numpy(np.stack([speak(word, rng) for word in words for _ in range(30)]))[:, None]
    labels = torch.arange(3).repeat_interleave(30)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        listener = names["Listener"]()
        optimizer = torch.optim.Adam(listener.parameters(), 1e-2)
        for _ in range(80):
            batch = torch.randint(len(sounds), (48,))
            scores = listener(sounds[batch] + 0.1 * torch.randn(48, *sounds.shape[1:]))
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(scores, labels[batch]).backward()
            optimizer.step()
    save_file(listener.state_dict(), tmp_path / "listener.safetensors")
    energies = {}
    for word in words:
        (tmp_path / "spoken" / word).mkdir(parents=True)
        for speaker in range(5):
            sound = speak(word, rng)
            energies[f"{word}/{speaker}.wav"] = float(np.square(sound, dtype=np.float64).sum())
            soundfile.write(tmp_path / "spoken" / word / f"{speaker}.wav", sound, RATE, subtype="PCM_16")
    flags = ["--weights", "listener.safetensors", "--sigma", 0.1]
    answers = ask("python:listener.py:Listener", "audiofolder:spoken", *flags, radii=(0.0, 0.2))
    assert {line["id"]: words[int(line["label"])] for line in answers.inputs} == {
        name: name.partition("/")[0] for name in energies
    }
    assert answers.accuracy[0.0] >= 0.8
    assert answers.accuracy[0.2] >= 0.5
    decibels = [
        10 * math.log10(float(line["class_radius"]) ** 2 / energies[line["id"]])
        for line in answers.inputs
        if line["abstained"] == "False"
    ]
    assert (
        -60 < min(decibels) <= max(decibels) < -20
    )  # of 800 samples: at most 2.3 sigma, against sounds of size 5 to 10


RULE = """
import numpy as np

def species(x):
    small = x[:, 0] < 2.5
    large = ~small & (x[:, 0] + 2.5 * x[:, 1] > 9)
    return np.stack([small, ~small & ~large, large], axis=1).astype(np.float64)
"""


def test_a_numpy_function(ask, tmp_path):
    pytest.importorskip("sklearn")
    from sklearn.datasets import load_iris

    iris = load_iris()
    petals, labels = iris.data[::3, 2:], iris.target[::3]
    (tmp_path / "flower.py").write_text(RULE, encoding="utf-8")
    table = np.column_stack([petals, labels])
    np.savetxt(tmp_path / "petals.csv", table, delimiter=",", header="length,width,label", comments="", fmt="%g")
    flags = ["--outputs", "probabilities", "--lattice", 0.1, "--sigma", 0.4]
    answers = ask("python:flower.py:species", "csv:petals.csv", *flags, radii=(0.0, 0.2))
    assert answers.column("label") == labels.tolist()
    assert answers.accuracy[0.0] >= 0.85
    assert answers.accuracy[0.2] >= 0.7
    # Setosa is a half-plane, so that its smoothed score is known; on a lattice of millimetres it ends at 2.45 cm.
    for (length, _), line in zip(petals, answers.inputs, strict=True):
        if line["prediction"] == "0":
            distance = 2.45 - length
            assert float(line["score_dual_lower_at_0"]) <= norm.cdf(distance / 0.4) + 1e-6
            assert float(line["class_radius"]) <= distance + 0.05
            assert float(line["score_mean"]) == pytest.approx(norm.cdf(distance / 0.4), abs=0.04)


def test_a_vision_transformer_of_hugging_face(ask, tmp_path, capsys):
    pytest.importorskip("transformers")
    import_torchvision()  # transformers imports it
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = ViTConfig(**shape, image_size=16, patch_size=8, id2label=dict(enumerate("0123456789")))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = ViTForImageClassification(config).eval()
    network.save_pretrained(tmp_path / "vit")
    ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(tmp_path / "vit")
    images, labels = digits("test", 8)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        file = tmp_path / "photos" / str(label) / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image[0] * 255).round().astype(np.uint8)).save(file)
    with warnings.catch_warnings():
        warnings.simplefilter("always", ConfidenceWarning)  # the command line prints it
        answers = ask("hf:vit", "imagefolder:photos", "--sigma", 0.25)
    assert "guessing would be 10.0%: few or no inputs can be certified" in capsys.readouterr().err
    assert [line["id"] for line in answers.inputs] == sorted(line["id"] for line in answers.inputs)
    assert all(line["id"].startswith(f"{line['label']}/") for line in answers.inputs)
    # Ten scores that nobody trained are a tenth each: none is certified above a half, and the run warns.
    assert answers.accuracy == {0.0: 0.0, 0.25: 0.0}
    assert all(0.05 < score < 0.3 for score in answers.column("score_mean"))


def test_a_torchscript_file(ask, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that torch.export is to take its place
        torch.jit.save(torch.jit.trace(sc.load_model("digits"), torch.rand(2, 1, 8, 8)), tmp_path / "digits.pt")
    answers = ask("torchscript:digits.pt", "digits", "--limit", 25, "--sigma", 0.25)
    assert answers.accuracy[0.0] >= 0.9
    assert answers.accuracy[0.25] >= 0.8
    # The program is that of the bundled network; noise depends on the seed and the input alone, and so do the samples.
    same_flags = ["--limit", "25", "--sigma", "0.25", "--n0", "50", "--n", str(N), "--quiet"]
    run_command(["certify", "--model", "digits", "--data", "digits", *same_flags, "--out", "SAME"])
    for record, same in zip(sc.Run.open("RUN").records(), sc.Run.open("SAME").records(), strict=True):
        assert record.samples.n == same.samples.n
        assert record.samples.prediction == same.samples.prediction
        assert sc.Certificate.from_samples(record.samples, alpha=0.001).score.lower([0.0, 0.25]) == pytest.approx(
            sc.Certificate.from_samples(same.samples, alpha=0.001).score.lower([0.0, 0.25]), abs=1e-4
        )
