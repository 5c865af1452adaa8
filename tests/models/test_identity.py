"""What identifies a model of the user's own: whatever changes the function changes an entry, and nothing else does."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
import torch

from smoothcert.errors import ModelError
from smoothcert.models import resolve_model
from smoothcert.models.denoised import behind_denoiser
from smoothcert.models.identity import identify
from smoothcert.models.python_code import describe

MAIN = """
import os
import numpy as np, torch
from pathlib import Path
from {unique}_helper import scale
HERE = Path(__file__).parent
TABLE = np.load(HERE / "table.npy")

class Net(torch.nn.Linear):
    def forward(self, x): return scale(super().forward(x.flatten(1)))

def net():
    torch.manual_seed(0)
    return Net(4, 3)
def late():
    from {unique}_late import make
    return make()
def named(): return lambda x: x.flatten(1) @ torch.ones(4, 3)  # beside os.path.join("sub", "net.onnx")
def path(): return os.path.join(os.path.dirname(__file__), "sub", "net.onnx")
def opened():
    with open(HERE / "opened.txt") as file: bias = float(file.read())
    return lambda x: x.flatten(1) @ torch.ones(4, 3) + bias
def array(): return lambda x: np.asarray(x).reshape(len(x), -1) @ TABLE
def random():
    table = np.random.default_rng(int(os.environ["SEED"])).normal(size=(4, 3))
    return lambda x: np.asarray(x).reshape(len(x), -1) @ table
def denoise(sigma): return torch.nn.Identity()
"""
FILES = {"table.npy": None, "opened.txt": "1.5", "sub/net.onnx": "graph", "unrelated.txt": "x", "README.md": "y"}


@pytest.fixture
def folder(tmp_path, monkeypatch, request):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    unique = f"m{abs(hash(request.node.nodeid))}"
    (tmp_path / "sub").mkdir()
    for name, text in FILES.items():
        (tmp_path / name).write_text(text) if text else np.save(tmp_path / name, np.ones((4, 3)))
    (tmp_path / f"{unique}_helper.py").write_text(f"import {unique}_deep\ndef scale(x): return 2 * x\n")
    (tmp_path / f"{unique}_deep.py").write_text("DEEP = 1\n")
    (tmp_path / f"{unique}_late.py").write_text("import torch\ndef make(): return torch.nn.Linear(4, 3)\n")
    (tmp_path / "stranger.py").write_text("nothing = 1\n")
    (tmp_path / f"{unique}.py").write_text(MAIN.format(unique=unique))
    return tmp_path, unique


def fresh(folder, attribute):
    """The identity as another process would see it."""
    path, unique = folder
    for name in [name for name in sys.modules if unique in name]:
        del sys.modules[name]
    return dict(resolve_model(f"python:{path / unique}.py:{attribute}").identity)


def test_sources_and_files_are_listed_by_name(folder):
    _, unique = folder
    found = fresh(folder, "net")
    assert {f"code {unique}.py", f"code {unique}_helper.py", f"code {unique}_deep.py", "file table.npy"} <= set(found)
    assert found["class"] == f"{unique}.Net"
    assert not [key for key in found if "stranger" in key or "unrelated" in key or "README" in key]
    assert all(len(value) == 64 for key, value in found.items() if key.startswith(("code", "file")))


@pytest.mark.parametrize(
    ("edited", "attribute", "entry"),
    [
        ("{}.py", "net", "code {}.py"),
        ("{}_helper.py", "net", "code {}_helper.py"),
        ("{}_deep.py", "net", "code {}_deep.py"),
        ("{}_late.py", "late", "code {}_late.py"),
        ("opened.txt", "opened", "file opened.txt"),
        ("sub/net.onnx", "named", "file sub/net.onnx"),
        ("table.npy", "array", "file table.npy"),
    ],
)
def test_what_is_edited_changes_its_entry_alone(folder, edited, attribute, entry):
    path, unique = folder
    before = fresh(folder, attribute)
    assert fresh(folder, attribute) == before
    file = path / edited.format(unique)
    if file.suffix == ".npy":
        np.save(file, np.full((4, 3), 2.0))
    else:
        file.write_text(file.read_text() + ("\n# edited\n" if file.suffix == ".py" else "5"))
    after = fresh(folder, attribute)
    changed = {key for key in before | after if before.get(key) != after.get(key)}
    assert entry.format(unique) in changed
    assert changed <= {entry.format(unique), "arrays"}


def test_unrelated_files_change_nothing(folder):
    before = fresh(folder, "net")
    for name in ("stranger.py", "unrelated.txt", "README.md"):
        (folder[0] / name).write_text("other")
    assert fresh(folder, "net") == before


def test_the_second_loading_in_a_process_finds_what_the_first_found(folder):
    path, unique = folder
    name = f"python:{path / unique}.py:array"
    assert resolve_model(name).identity == resolve_model(name).identity == fresh(folder, "array")


def test_arrays_of_a_function_are_part_of_it(folder, monkeypatch):
    monkeypatch.setenv("SEED", "1")
    one = fresh(folder, "random")
    assert fresh(folder, "random") == one
    monkeypatch.setenv("SEED", "2")
    assert fresh(folder, "random")["arrays"] != one["arrays"]


def test_an_edit_after_the_import_is_refused(folder):
    path, unique = folder
    name = f"python:{path / unique}.py:net"
    resolve_model(name)
    (path / f"{unique}_helper.py").write_text("def scale(x): return 3 * x\n")
    with pytest.raises(ModelError, match=r"_helper\.py was edited after this process imported it"):
        resolve_model(name)


def test_the_folder_and_the_working_directory_do_not_matter(folder, monkeypatch):
    path, unique = folder
    before = fresh(folder, "named")
    monkeypatch.chdir(path / "sub")
    assert fresh(folder, "named") == before
    moved = path.with_name(path.name + "_moved")
    os.rename(path, moved)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(path)])
    sys.path_importer_cache.clear()
    monkeypatch.chdir(moved)
    assert fresh((moved, unique), "named") == before


def test_a_denoiser_adds_its_own_entries(folder):
    path, unique = folder
    model = resolve_model(f"python:{path / unique}.py:net")
    both = behind_denoiser(model, f"python:{path / unique}.py:denoise", sigma=0.25)
    assert model.identity.items() <= both.identity.items()
    assert both.identity[f"denoiser code {unique}.py"] == model.identity[f"code {unique}.py"]


def test_a_classifier_made_in_python_is_described_too():
    table = np.ones((4, 3))

    def classify(x):
        return np.asarray(x) @ table

    described = describe(classify, name="mine")
    assert described.module(torch.ones(2, 4)).tolist() == [[4.0] * 3] * 2
    assert f"code {os.path.basename(__file__)}" in described.identity
    before = described.identity["arrays"]
    table[0, 0] = 5
    assert identify(classify)["arrays"] != before


def test_packages_that_supply_a_part_are_named_with_their_version():
    described = describe(torch.nn.Linear(2, 2))
    assert described.identity["class"] == "torch.nn.modules.linear.Linear"
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression().fit(np.eye(4), [0, 1, 0, 1])
    assert "package scikit-learn" in describe(fitted).identity
    assert describe(fitted).class_names == ("0", "1")
