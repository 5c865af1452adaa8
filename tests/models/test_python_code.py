from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from smoothcert.errors import ModelError
from smoothcert.models import resolve_model

CODE = """
from torch import nn
from beside_{unique} import CLASSES

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(4, CLASSES), nn.Dropout(0.5))

def factory(): return Net()
def factory_of_a_factory(): return factory
def classify(x): return x.flatten(1)[:, :3]
def on_arrays(x): return x.reshape(len(x), -1)[:, :3].astype("float64")
def given_more(x, temperature=1.0): return x.flatten(1)[:, :3] / temperature
class Callable:
    def __call__(self, x): return x.flatten(1)[:, :3]
a_callable = Callable()
class Two(Net):
    def forward(self, x, y): return super().forward(x)
def fails_later(): return lambda x: x.nothing()
def wants(number): return Net()
def lazy(): return nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
def fails(): raise OSError("no disk")
def returns_text(): return "net"
instance = Net()
"""


@pytest.fixture
def file(tmp_path, monkeypatch, request):
    unique = abs(hash(request.node.name))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    (tmp_path / f"beside_{unique}.py").write_text("CLASSES = 3\n")
    path = tmp_path / f"net_{unique}.py"
    path.write_text(CODE.format(unique=unique))
    return path


NAMES = ["factory_of_a_factory", "instance", "classify", "on_arrays", "given_more", "Callable", "a_callable"]


@pytest.mark.parametrize("attribute", NAMES)
def test_a_name_may_be_a_classifier_or_what_makes_one(file, attribute):
    model = resolve_model(f"python:{file}:{attribute}")
    assert model.module(torch.zeros(5, 1, 2, 2)).shape == (5, 3)
    assert not model.module.training


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        (
            "Two",
            r"Two\.forward\(\) missing 1 required positional argument: 'y' \(Two in net_.*\.py, line \d+",
        ),
        ("fails_later", r"AttributeError: .* object has no attribute 'nothing' \(net_.*\.py, line \d+\)"),
        ("wants", "returned a Net for a batch: a factory must not require arguments"),
    ],
)
def test_what_fails_on_the_first_batch_is_one_line_that_says_where(file, attribute, message):
    model = resolve_model(f"python:{file}:{attribute}")
    with pytest.raises(ModelError, match=message) as caught:
        model.module(torch.zeros(5, 1, 2, 2))
    assert "\n" not in str(caught.value)


SCRIPTS = {
    "required": ("p.add_argument('dataset'); p.parse_args()", "parses command-line arguments .*required: dataset"),
    "unknown": ("import sys; sys.argv.append('--other'); p.parse_args()", "unrecognized arguments: --other"),
    "ends": ("raise SystemExit(3)", r"ended the program \(exit code 3\)"),
    "help": ("p.parse_args(['--help'])", r"ended the program \(exit code 0\)"),
}


@pytest.mark.parametrize("kind", SCRIPTS)
def test_scripts_that_read_the_command_line_are_named(tmp_path, monkeypatch, kind, capsys):
    code, message = SCRIPTS[kind]
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", ["smoothcert", "certify", "--sigma", "0.25"])
    path = tmp_path / f"script_{kind}.py"
    path.write_text(f"import argparse\np = argparse.ArgumentParser()\n{code}\n")
    with pytest.raises(ModelError, match=rf"script_{kind}\.py.*{message}"):
        resolve_model(f"python:{path}:build")
    assert sys.argv == ["smoothcert", "certify", "--sigma", "0.25"]
    assert capsys.readouterr().err == ""


def test_lazy_layers_take_weights(file, tmp_path):
    with pytest.raises(ModelError, match=r"1\.weight has no shape yet"):
        resolve_model(f"python:{file}:lazy")
    torch.save({"1.weight": torch.zeros(3, 4), "1.bias": torch.zeros(3)}, tmp_path / "w.pt")
    model = resolve_model(f"python:{file}:lazy", weights=tmp_path / "w.pt")
    assert model.module(torch.ones(1, 1, 2, 2)).tolist() == [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize("attribute", ["factory", "Net"])
def test_file_and_module_forms_give_the_same_kind_of_classifier(file, monkeypatch, attribute):
    from_file = resolve_model(f"python:{file}:{attribute}")
    monkeypatch.chdir(file.parent)
    from_module = resolve_model(f"python:{file.stem}:{attribute}")
    for model in (from_file, from_module):
        assert not model.module.training
        assert model.module(torch.zeros(5, 1, 2, 2)).shape == (5, 3)
        assert model.num_classes is None
        assert len(model.weights_hash) == 64
    assert from_file.weights_hash != from_module.weights_hash  # other random weights


def test_weights_are_loaded_into_what_the_factory_returns(file, tmp_path):
    torch.save({"1.weight": torch.zeros(3, 4), "1.bias": torch.tensor([1.0, 2.0, 3.0])}, tmp_path / "w.pt")
    model = resolve_model(f"python:{file}:factory", weights=tmp_path / "w.pt")
    assert model.module(torch.ones(1, 1, 2, 2)).tolist() == [[1.0, 2.0, 3.0]]


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("fails", "failed with OSError: no disk"),
        ("returns_text", "must be or return a classifier.*; it returned a str"),
        ("absent", "has no function 'absent'"),
    ],
)
def test_bad_factories_are_named(file, attribute, message):
    with pytest.raises(ModelError, match=message):
        resolve_model(f"python:{file}:{attribute}")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("python:no_colon", "must read python:package.module:factory"),
        ("python::factory", "must read python:package.module:factory"),
        ("python:module:", "must read python:package.module:factory"),
        ("python:gone/net.py:factory", "gone/net.py does not exist"),
        ("python:no_such_package.module:factory", "importing no_such_package.module failed with ModuleNotFound"),
    ],
)
def test_bad_targets_are_named(monkeypatch, target, message):
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(ModelError, match=message):
        resolve_model(target)


def test_code_that_does_not_import_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    (tmp_path / "broken.py").write_text("1 / 0\n")
    with pytest.raises(ModelError, match=r"broken\.py failed with ZeroDivisionError"):
        resolve_model(f"python:{tmp_path / 'broken.py'}:factory")


def test_factory_may_return_any_module(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert isinstance(resolve_model("python:torch.nn:Identity").module[0], nn.Identity)
