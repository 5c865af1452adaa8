from __future__ import annotations

import subprocess
import sys

import pytest

from smoothcert.errors import MissingDependencyError, ModelError
from smoothcert.models import MODEL_NAMES, load_model, resolve_model


@pytest.mark.parametrize("name", ["", "nonsense", "digits:8", "digits:", "timm", "timm:", "resnet50:timm", "DIGITS"])
def test_unknown_name_lists_every_known_form(name):
    with pytest.raises(ModelError) as caught:
        resolve_model(name)
    assert all(form in str(caught.value) for form in MODEL_NAMES)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("package", ["timm", "torchvision", "transformers"])
def test_absent_extra_is_named_with_its_pip_line(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    name = {"transformers": "hf"}.get(package, package) + ":anything"
    with pytest.raises(MissingDependencyError, match=rf"pip install 'smoothcert\[{package}\]'"):
        resolve_model(name)


def test_load_model_is_the_module_of_resolve_model():
    module, resolved = load_model("digits"), resolve_model("digits").module
    assert not module.training
    assert all(a.equal(b) for a, b in zip(module.parameters(), resolved.parameters(), strict=True))


def test_importing_models_and_data_imports_neither_torch_nor_extras():
    code = (
        "import sys, smoothcert.models, smoothcert.data;"
        "smoothcert.data.load_data('digits').load(0);"
        "print([m for m in ('torch', 'torchvision', 'timm', 'transformers', 'datasets') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
