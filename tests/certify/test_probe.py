"""Classifiers that are not what certificates assume: each is refused or noted, and none that is right is."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from runs.synthetic import ArraySource
from smoothcert import SmoothedClassifier, smoothing
from smoothcert.certify import RunSpec, certify_run
from smoothcert.data import Dataset
from smoothcert.errors import ModelError
from smoothcert.runs import Run
from smoothcert.sampling import ConfidenceWarning
from smoothcert.sampling import probe as probing
from smoothcert.sampling.classifier import BaseClassifier
from smoothcert.sampling.probe import Watch, probe

from .test_engine import Listening
from .tiny_model import Brightness, tiny_model

SPEC = RunSpec.of(sigma=0.25, n=200, n0=20, device="cpu")
BATCH = (
    torch.rand((4, 1, 4, 4), generator=torch.Generator().manual_seed(0)) + torch.arange(4.0).reshape(-1, 1, 1, 1) / 4
)


class FirstRow(Brightness):
    """Answers for all as for the first."""

    def forward(self, x):
        return super().forward(x)[:1].expand(len(x), -1)


class LastRow(Brightness):
    """Answers for all as for the last."""

    def forward(self, x):
        return super().forward(x)[-1:].expand(len(x), -1)


class ByPosition(Brightness):
    """Adds what depends on the place in the batch."""

    def forward(self, x):
        return super().forward(x) + torch.arange(len(x))[:, None] * torch.tensor([0.0, 0.1, 0.0])


class BySize(Brightness):
    """Adds what depends on the size of the batch."""

    def forward(self, x):
        return super().forward(x) + torch.tensor([0.0, 0.1, 0.0]) * len(x)


class Neighbours(Brightness):
    """Takes a little from the mean of the batch."""

    def forward(self, x):
        return super().forward(0.9 * x + 0.1 * x.mean(dim=0, keepdim=True))


class OnlyMany(Brightness):
    """Answers with the mean of the batch where it is larger than any that a look at a few rows has."""

    def forward(self, x):
        y = super().forward(x)
        return y if len(x) <= 16 else y.mean(dim=0, keepdim=True).expand_as(y)


class Writing(Brightness):
    """Writes to the batch it is given."""

    def forward(self, x):
        return super().forward(x.mul_(0.5))


class HeldInTraining(nn.BatchNorm2d):
    """Stays in training mode."""

    def train(self, mode=True):
        return super().train(True)


class HeldDropout(nn.Dropout):
    """Stays in training mode."""

    def train(self, mode=True):
        return super().train(True)


class Counting(Brightness):
    """Drifts by a little with every batch."""

    step = 0.0002

    def __init__(self):
        super().__init__()
        self.seen = itertools.count()

    def forward(self, x):
        return super().forward(x) + self.step * next(self.seen) * torch.tensor([1.0, 0.0, 0.0])


class Fixed(Brightness):
    """Takes batches of four only, as an exported graph with a fixed batch does."""

    def forward(self, x):
        return super().forward(x.reshape(4, 1, 4, 4))


def spread(*layers):
    """The layers, then the classifier."""
    torch.manual_seed(0)
    return nn.Sequential(*layers, Brightness())


DEPENDENT = {
    "first row": FirstRow(),
    "last row": LastRow(),
    "position": ByPosition(),
    "size": BySize(),
    "mean of the batch": Neighbours(),
    "batch norm without statistics": spread(nn.BatchNorm2d(1, track_running_stats=False, affine=False)),
    "batch norm in training mode": spread(HeldInTraining(1, affine=False, track_running_stats=False)),
    "batch norm behind dropout": spread(HeldDropout(0.2), HeldInTraining(1, affine=False)),
    "batch norm with running statistics": spread(HeldInTraining(1, affine=False)),
}
RIGHT = {
    "brightness": Brightness(),
    "batch norm": spread(nn.BatchNorm2d(1)),
    "layer norm": spread(nn.LayerNorm((1, 4, 4))),
    "dropout": spread(nn.Dropout(0.5)),
    "half precision inside": nn.Sequential(Brightness(), nn.Softmax(dim=1), nn.LogSoftmax(dim=1)),
}


def look(module, *, num_classes=3):
    return probe(BaseClassifier(module, num_classes=num_classes), BATCH)


@pytest.mark.parametrize("name", DEPENDENT)
def test_rows_that_depend_on_each_other_are_seen(name):
    found = look(DEPENDENT[name])
    assert found.is_dependent
    assert found.is_random == ("dropout" in name)


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_is_left_alone(name):
    found = look(RIGHT[name])
    assert not found.is_dependent
    assert not found.is_random
    assert not found.drifts
    assert found.company < found.allowed / 10


@pytest.mark.parametrize(
    "module", [spread(HeldDropout(0.2)), spread(HeldDropout(0.5)), nn.Sequential(Brightness(), HeldDropout(0.3))]
)
def test_dropout_is_random_but_not_dependent(module):
    found = look(module)
    assert found.is_random
    assert not found.is_dependent
    assert not found.drifts


@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_scores_near_one_hide_nothing(scale):
    class Noisy(Brightness):
        def forward(self, x):
            return super().forward(x) * scale + torch.randn(len(x), 3)

    class Company(Brightness):
        def forward(self, x):
            return super().forward(0.99 * x + 0.01 * x.mean(dim=0, keepdim=True)) * scale

    assert look(Noisy()).is_random
    assert look(Company()).is_dependent
    assert not look(Brightness(40.0 * scale)).is_dependent


def test_random_numbers_of_another_library_cannot_be_told_from_state():
    class Elsewhere(Brightness):
        def forward(self, x):
            import numpy as np

            return super().forward(x) + torch.from_numpy(np.random.normal(size=(len(x), 3))).float()  # noqa: NPY002

    assert look(Elsewhere()).drifts


@pytest.mark.parametrize("step", [0.0, 0.01])
def test_state_is_seen(step):
    class Stateful(Counting):
        pass

    Stateful.step = step
    assert look(Stateful()).drifts == (step > 0.0)


def test_a_classifier_with_state_is_refused_before_anything_is_written(tmp_path):
    class Fast(Counting):
        step = 0.01

    with pytest.raises(ModelError, match="keeps state from batch to batch, or draws random numbers that are not PyT"):
        certify_run(SPEC, out=tmp_path / "run", model=tiny_model(Fast()), data=Dataset(ArraySource()))
    assert not (tmp_path / "run").exists()


def test_the_probe_leaves_random_numbers_and_modes_alone():
    torch.manual_seed(5)
    module = spread(HeldDropout(0.5), nn.BatchNorm2d(1)).train()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    look(module)
    assert torch.equal(torch.get_rng_state(), before)
    assert module.training
    assert module[1].training


def test_a_size_that_fails_is_said():
    with pytest.raises(ModelError, match="given 1 rows, failed with RuntimeError: shape"):
        look(Fixed())


def test_a_dependent_classifier_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(
        ModelError, match=r"by its company: .* must score every input by itself, .* --allow-unstable .* goes on"
    ):
        certify_run(SPEC, out=tmp_path / "run", model=tiny_model(FirstRow()), data=Dataset(ArraySource()))
    assert not (tmp_path / "run").exists()


def test_on_request_it_is_certified_and_noted(tmp_path):
    spec, listening = SPEC.vary(allow_unstable=True), Listening()
    run = certify_run(spec, out=tmp_path, model=tiny_model(FirstRow()), data=Dataset(ArraySource()), reporter=listening)
    (note,) = run.config.notes
    assert note.startswith("the base classifier scores an input by its company")
    assert note in listening.notes
    assert len(run) == 12


@pytest.mark.parametrize("inputs", [1, 2, 12])
def test_one_input_is_enough_to_see_it(tmp_path, inputs):
    with pytest.raises(ModelError, match="by its company"):
        certify_run(SPEC, out=tmp_path, model=tiny_model(BySize()), data=Dataset(ArraySource(inputs)))


def test_a_random_classifier_is_noted_and_watched(tmp_path):
    class Both(Counting):
        def forward(self, x):
            return super().forward(torch.nn.functional.dropout(x, 0.2, training=True))

    with pytest.raises(ModelError, match="drifts"):
        certify_run(SPEC.vary(batch_size=8), out=tmp_path, model=tiny_model(Both()), data=Dataset(ArraySource()))
    (note,) = Run.open(tmp_path).config.notes
    assert note.startswith("the base classifier is random")


def test_a_random_classifier_can_be_continued(tmp_path):
    model, data = tiny_model(spread(HeldDropout(0.2))), Dataset(ArraySource(unreadable=[5]))
    run = certify_run(SPEC.vary(on_unreadable="skip"), out=tmp_path, model=model, data=data)
    assert any(note.startswith("the base classifier is random") for note in run.config.notes)
    assert len(certify_run(SPEC.vary(on_unreadable="skip"), out=tmp_path, model=model, data=data)) == 12


def test_a_drifting_classifier_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(probing, "_SHARE", 1e9)  # look after every batch
    with pytest.raises(ModelError, match="the base classifier drifts: scores of the same rows moved by"):
        certify_run(SPEC.vary(batch_size=8), out=tmp_path, model=tiny_model(Counting()), data=Dataset(ArraySource()))
    kept = len(Run.open(tmp_path))
    assert kept < 12


def test_drift_is_seen_at_the_end_of_a_short_run(tmp_path):
    with pytest.raises(ModelError, match="drifts"):
        certify_run(SPEC.vary(batch_size=8), out=tmp_path, model=tiny_model(Counting()), data=Dataset(ArraySource()))


def test_drift_is_left_alone_on_request(tmp_path):
    spec = SPEC.vary(batch_size=8, allow_unstable=True)
    assert len(certify_run(spec, out=tmp_path, model=tiny_model(Counting()), data=Dataset(ArraySource()))) == 12


def test_the_watch_takes_a_small_share_of_the_time():
    passes = []

    class Slow(Brightness):
        def forward(self, x):
            passes.append(len(x))
            return super().forward(x)

    clock = itertools.count()
    watch = Watch(BaseClassifier(Slow(), num_classes=3), BATCH)
    watch._clock = lambda: float(next(clock))  # a look takes one second, and so does asking whether it is time
    for _ in range(2_000):
        watch.glance()
    assert 1 < len(passes) <= 2_000 / 200


class Failing(Brightness):
    """Fails on an image of one class, in the middle of a run."""

    def __init__(self, kind=IndexError):
        super().__init__()
        self.kind, self.batches = kind, 0

    def forward(self, x):
        self.batches += 1
        if self.batches > 60:
            raise self.kind("index 7 is out of bounds\nand more")
        return super().forward(x)


@pytest.mark.parametrize("kind", [IndexError, RuntimeError, KeyError, AttributeError, AssertionError])
def test_an_exception_in_mid_run_is_one_line_that_names_the_input(tmp_path, kind):
    spec = SPEC.vary(batch_size=64, n=2_000)
    with pytest.raises(ModelError, match=rf"input \d+ \(array \d+\): the base classifier failed .*{kind.__name__}"):
        certify_run(spec, out=tmp_path, model=tiny_model(Failing(kind)), data=Dataset(ArraySource()))
    assert len(Run.open(tmp_path)) < 12


@pytest.mark.parametrize("name", DEPENDENT)
def test_the_python_interface_refuses_it_too(name):
    g = SmoothedClassifier(DEPENDENT[name], sigma=0.25, num_classes=3, device="cpu")
    for x in (BATCH[1].clamp(0.0, 1.0), BATCH.clamp(0.0, 1.0), iter([BATCH[2].clamp(0.0, 1.0)])):
        with pytest.raises(ModelError, match=r"by its company|keeps state"):
            g.certify(x, n0=10, n=200)
    on_request = SmoothedClassifier(DEPENDENT[name], sigma=0.25, num_classes=3, allow_unstable=True)
    assert on_request.certify(BATCH[1].clamp(0.0, 1.0), n0=10, n=200).n == 200


def test_the_python_interface_looks_once_per_shape(monkeypatch):
    looks = []
    real = smoothing.probe
    monkeypatch.setattr(smoothing, "probe", lambda *of, **by: looks.append(tuple(of[1].shape)) or real(*of, **by))
    g = SmoothedClassifier(Brightness(), sigma=0.25, num_classes=3)
    for side in (4, 4, 6):
        g.decide(torch.rand(3, 1, side, side), threshold=0.5, radius=0.1)
    assert looks == [(4, 1, 4, 4), (4, 1, 6, 6)]


def test_batches_as_large_as_those_to_come_are_looked_at(tmp_path):
    rows = torch.rand(1, 4, 4)
    with pytest.raises(ModelError, match="scores an input by its company"):
        SmoothedClassifier(OnlyMany(), sigma=0.25, num_classes=3).certify(rows, n0=20, n=200)
    with pytest.raises(ModelError, match="scores an input by its company"):
        SmoothedClassifier(OnlyMany(), sigma=0.25, num_classes=3).decide(rows, threshold=0.5, radius=0.1)
    SmoothedClassifier(OnlyMany(), sigma=0.25, num_classes=3, batch_size=16).certify(rows, n0=20, n=200)
    SmoothedClassifier(Brightness(), sigma=0.25, num_classes=3, batch_size=10**9).certify(rows, n0=20, n=200)
    with pytest.raises(ModelError, match="scores an input by its company"):
        certify_run(SPEC, out=tmp_path / "run", model=OnlyMany(), data=Dataset(ArraySource()))


def test_a_look_at_a_large_batch_makes_do_with_the_memory_there_is():
    class Narrow(OnlyMany):
        def forward(self, x):
            if len(x) > 40:
                raise RuntimeError("out of memory")
            return super().forward(x)

    assert probe(BaseClassifier(Narrow(), num_classes=3), BATCH, most=128).is_dependent
    with pytest.raises(ModelError, match="given 128 rows, failed with ValueError: no"):
        probe(BaseClassifier(lambda x: Brightness()(x) if len(x) < 128 else fail(), num_classes=3), BATCH, most=128)


def fail():
    raise ValueError("no")


def test_a_classifier_may_write_to_its_batch(tmp_path):
    found = look(Writing())
    assert (found.is_dependent, found.is_random, found.drifts) == (False, False, False)
    images = torch.rand(3, 1, 4, 4).numpy()
    before = images.copy()

    class Held(ArraySource):
        def read(self, index):
            return images[index]

    certify_run(SPEC, out=tmp_path / "run", model=Writing(), data=Dataset(Held(3)))
    assert (images == before).all()
    g = SmoothedClassifier(nn.Sequential(Halved(), Brightness()), sigma=0.25, num_classes=3)
    records = Run.open(tmp_path / "run").records()
    assert [g.sample(x, n0=20, n=200).votes.tolist() for x in images] == [r.samples.votes.tolist() for r in records]


class Halved(nn.Module):
    def forward(self, x):
        return x * 0.5


@pytest.mark.parametrize(
    ("module", "outputs"),
    [(nn.Sequential(Brightness(), nn.Sigmoid()), "logits"), (nn.Sequential(Brightness(), nn.Sigmoid()), "labels")],
)
def test_a_sigmoid_among_logits_is_noted(module, outputs):
    with pytest.warns(ConfidenceWarning, match=r"lies in \[0, 1\] and was taken for logits: if it ends in a sigmoid"):
        SmoothedClassifier(module, sigma=0.25, num_classes=3, outputs=outputs).predict(torch.rand(1, 4, 4))
    assert probe(BaseClassifier(module, num_classes=3, outputs=outputs), BATCH).notes()
    assert not probe(BaseClassifier(module[0], num_classes=3, outputs=outputs), BATCH).notes()


def test_the_python_interface_warns_of_random_classifiers():
    g = SmoothedClassifier(spread(HeldDropout(0.3)), sigma=0.25, num_classes=3)
    with pytest.warns(ConfidenceWarning, match="the base classifier is random"):
        g.predict(torch.rand(1, 4, 4))
