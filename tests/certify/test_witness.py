"""A run is continued by what began it: code, packages, scores and inputs that changed are named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from runs.synthetic import ArraySource, assert_same_run
from smoothcert.certify import RunSpec, certify_run
from smoothcert.data import Dataset
from smoothcert.errors import RunError
from smoothcert.runs import Run

from .test_engine import Interrupting, Listening
from .tiny_model import Brightness, tiny_model

SPEC = RunSpec.of(sigma=0.25, n=200, n0=20, device="cpu")


def begin(out, *, after=5, model=None, data=None, spec=SPEC):
    """A run that is interrupted after some inputs."""
    with pytest.raises(KeyboardInterrupt):
        certify_run(
            spec,
            out=out,
            model=model or tiny_model(),
            data=data or Dataset(ArraySource()),
            reporter=Interrupting(after),
        )
    return Run.open(out)


def unseen(module=None):
    """A classifier whose code no file shows."""
    return replace(tiny_model(module), identity={"class": "tiny"})


def test_a_run_begins_with_a_witness(tmp_path):
    witness = begin(tmp_path).config.witness
    assert (witness.index, witness.id) == (0, "array 0")
    assert len(witness.logits) == len(witness.predictions) == 20
    assert set(witness.predictions) <= {0, 1, 2}
    assert all(logit > 0.0 for logit in witness.logits)
    assert len(begin(tmp_path / "more", spec=SPEC.vary(n0=50)).config.witness.logits) == 32


def test_another_forward_with_the_same_weights_is_refused(tmp_path):
    class Edited(Brightness):
        def forward(self, x):
            return 0.9 * super().forward(x)

    kept = begin(tmp_path, model=unseen())
    with pytest.raises(
        RunError, match=r"the scores of input 0 \(array 0\) differ from those it began with \(logits by up to 1\d"
    ):
        certify_run(SPEC, out=tmp_path, model=unseen(Edited()), data=Dataset(ArraySource()))
    assert len(Run.open(tmp_path)) == len(kept)
    certify_run(SPEC, out=tmp_path, model=unseen(), data=Dataset(ArraySource()))
    certify_run(SPEC, out=tmp_path / "whole", model=unseen(), data=Dataset(ArraySource()))
    assert_same_run(tmp_path, tmp_path / "whole")


def test_a_finished_run_is_compared_too(tmp_path):
    class Edited(Brightness):
        def forward(self, x):
            return 0.9 * super().forward(x)

    certify_run(SPEC, out=tmp_path, model=unseen(), data=Dataset(ArraySource()))
    with pytest.raises(RunError, match="the scores of input 0"):
        certify_run(SPEC, out=tmp_path, model=unseen(Edited()), data=Dataset(ArraySource()))


@pytest.mark.parametrize("change", [{"batch_size": 7}, {"batch_size": 64}, {"verify_precision": True}])
def test_what_changes_no_result_is_let_through(tmp_path, change):
    begin(tmp_path)
    listening = Listening()
    spec = SPEC.vary(**change)
    certify_run(spec, out=tmp_path, model=tiny_model(), data=Dataset(ArraySource()), reporter=listening)
    assert len(Run.open(tmp_path)) == 12


def test_rounding_is_let_through(tmp_path):
    class Rounding(Brightness):
        def forward(self, x):
            return super().forward(x.double().float() * torch.tensor(1.0 + 2.0**-23))

    begin(tmp_path, model=unseen())
    certify_run(SPEC, out=tmp_path, model=unseen(Rounding()), data=Dataset(ArraySource()))


def test_code_that_changed_is_named(tmp_path):
    model = replace(tiny_model(), identity={"source of net.py": "ab" * 32, "version of timm": "1.0"})
    begin(tmp_path, model=model)
    for identity, message in (
        ({"source of net.py": "cd" * 32, "version of timm": "1.0"}, "holds another run: the source of net.py changed;"),
        (
            {"source of net.py": "ab" * 32, "version of timm": "1.1"},
            "the version of timm is '1.0' there and '1.1' here",
        ),
    ):
        with pytest.raises(RunError, match=message):
            certify_run(SPEC, out=tmp_path, model=replace(model, identity=identity), data=Dataset(ArraySource()))


def test_a_class_that_changed_is_named_where_nothing_else_says_it(tmp_path):
    class Other(Brightness):
        pass

    begin(tmp_path)
    with pytest.raises(RunError, match=r"the class is '.*Brightness' there and '.*Other' here"):
        certify_run(SPEC, out=tmp_path, model=tiny_model(Other()), data=Dataset(ArraySource()))


class Replaced(ArraySource):
    """The same names and the same fingerprint, other images."""

    def __init__(self, *replaced):
        super().__init__()
        self.replaced = replaced

    def digest(self, index):
        return str(index)

    def read(self, index):
        image = super().read(index)
        return np.clip(image + 0.25, 0.0, 1.0) if index in self.replaced else image


@pytest.mark.parametrize("index", [0, 3])
def test_images_that_were_replaced_are_named(tmp_path, index):
    begin(tmp_path, data=Dataset(Replaced()))
    with pytest.raises(RunError, match=rf"input {index} \(array {index}\) is another than the one that was sampled"):
        certify_run(SPEC, out=tmp_path, model=tiny_model(), data=Dataset(Replaced(index)))


def test_an_input_that_can_no_longer_be_read_is_no_change(tmp_path):
    class Gone(Replaced):
        def read(self, index):
            return ArraySource(unreadable=self.replaced).read(index)

    begin(tmp_path, data=Dataset(Replaced()))
    certify_run(SPEC, out=tmp_path, model=tiny_model(), data=Dataset(Gone(0, 1)))
    assert len(Run.open(tmp_path)) == 12


def test_without_a_readable_input_there_is_no_witness(tmp_path):
    data = Dataset(ArraySource(2, unreadable=[0, 1]))
    model = replace(tiny_model(), num_classes=3)
    for _ in range(2):
        run = certify_run(SPEC.vary(on_unreadable="skip"), out=tmp_path, model=model, data=data)
    assert run.config.witness is None
