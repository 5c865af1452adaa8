from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from sampling.networks import Corners, SmallConvolutions
from smoothcert.errors import InvalidArgumentError, ModelError
from smoothcert.histogram import ScoreHistogram
from smoothcert.sampling import BatchSizeWarning, Sampler, content_hash
from smoothcert.sampling.noise import NoisyInput
from smoothcert.scores import MARGIN, SCORE, Measure

X = torch.linspace(0.2, 0.8, 12)


def sampler(module=None, *, num_classes=4, **options):
    return Sampler(module or Corners(num_classes), **{"sigma": 0.25, "num_classes": num_classes} | options)


def same(one, other):
    return (
        one.prediction == other.prediction
        and np.array_equal(one.votes, other.votes)
        and np.array_equal(one.pilot_votes, other.pilot_votes)
        and one.measures == other.measures
        and (one.rivals, one.lead) == (other.rivals, other.lead)
    )


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
def test_batch_size_does_not_change_the_samples(batch_size):
    reference = sampler().sample(X, n0=300, n=1_100, seed=3)
    assert (reference.n0, reference.n) == (300, 1_100)
    assert same(sampler(batch_size=batch_size).sample(X, n0=300, n=1_100, seed=3), reference)


def test_samples_are_those_of_the_numbered_copies():
    module = Corners(4)
    samples = sampler(module, levels=777).sample(X, n0=300, n=700, seed=5)
    noisy = NoisyInput(X, sigma=0.25, seed=5, content_hash=content_hash(X))
    for stage, count, votes in (("pilot", 300, samples.pilot_votes), ("estimation", 700, samples.votes)):
        scores = module(noisy.copies(stage, 0, count)).softmax(dim=1)
        own = samples.score.pilot if stage == "pilot" else samples.score.sample
        k = samples.prediction
        assert own == ScoreHistogram.from_samples(scores[:, k], lower=0, upper=1, levels=777)
        margins = MARGIN.compute(scores, torch.tensor([k]))
        own = samples.margin.pilot if stage == "pilot" else samples.margin.sample
        assert own == ScoreHistogram.from_samples(margins, lower=-1, upper=1, levels=777)
        assert votes.tolist() == np.bincount(scores.argmax(dim=1), minlength=4).tolist()
        if stage == "pilot":
            assert k == scores.double().mean(dim=0).argmax()
    assert samples.content_hash == content_hash(X)
    assert (samples.seed, samples.sigma) == (5, 0.25)


def test_more_samples_continue_fewer():
    few, many = (sampler().sample(X, n0=100, n=n, seed=0) for n in (300, 900))
    assert few.score.pilot == many.score.pilot
    assert np.all(few.votes <= many.votes)
    assert np.all(few.score.sample.counts <= many.score.sample.counts)


def test_samples_grow_in_any_steps():
    own, grown = sampler(batch_size=64), []

    def in_steps():
        growing = own.begin(X, seed=0)
        yield from growing.pilot(50)
        for n in (123, 100, 400, 500):  # asked for fewer it keeps what it has
            yield from growing.grow(n)
            grown.append(growing.samples())
        return growing.samples()

    [(_, stepwise)] = own.run([in_steps()])
    assert [samples.n for samples in grown] == [123, 123, 400, 500]
    assert same(stepwise, own.sample(X, n0=50, n=500, seed=0))
    assert same(grown[2], own.sample(X, n0=50, n=400, seed=0))


@pytest.mark.parametrize("first", [1, 255, 256, 257, 512, 900])  # a chunk is 256 samples
@pytest.mark.parametrize("batch_size", [7, 256])
def test_samples_held_are_not_drawn_again(first, batch_size):
    measures, drawn = ("score", "margin", "lead"), []
    own = sampler(num_classes=6, batch_size=batch_size, measures=measures)
    held = own.sample(X, n0=50, n=first, seed=3)
    grown = own.sample(X, n0=50, n=900, seed=3, held=held, progress=drawn.append)
    whole = sampler(num_classes=6, measures=measures).sample(X, n0=50, n=900, seed=3)
    assert grown == whole
    assert sum(drawn) == 900 - first
    assert (held.n, len(grown.lead)) == (first, 4)  # what was held is not touched


@pytest.mark.parametrize(
    ("other", "asked", "message"),
    [
        ({}, {"x": X + 0.1}, "content_hash"),
        ({}, {"seed": 1}, "seed"),
        ({}, {"n0": 51}, "n0=51"),
        ({}, {"n": 99}, "at most n=99"),
        ({"sigma": 0.5}, {}, "sigma"),
        ({"levels": 50}, {}, "levels"),
        ({"measures": ("score",)}, {}, "measures"),
        ({"measures": ("score", "margin")}, {}, "lead"),
        ({"lattice": 1 / 255}, {}, "step"),
        ({"num_classes": 3}, {}, "classes"),
    ],
)
def test_samples_of_something_else_are_not_continued(other, asked, message):
    held = sampler(**{"lattice": None} | other).sample(X, n0=50, n=100, seed=0)
    with pytest.raises(InvalidArgumentError, match=message):
        sampler(lattice=None).sample(**{"x": X, "n0": 50, "n": 200, "seed": 0, "held": held} | asked)


def test_seed_and_input_change_the_samples_and_the_company_does_not():
    own = sampler()
    first = own.sample(X, n0=100, n=500, seed=0)
    assert not same(first, own.sample(X, n0=100, n=500, seed=1))
    assert not same(first, own.sample(X * 0.999, n0=100, n=500, seed=0))
    assert same(first, own.sample(X.numpy().astype(np.float64), n0=100, n=500, seed=0))


def test_pilot_and_estimation_do_not_share_noise():
    samples = sampler().sample(X, n0=500, n=500, seed=0)
    assert samples.score.pilot != samples.score.sample


class Largest(TorchDispatchMode):
    """Remembers the largest tensor any operation made."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(tensor, torch.Tensor):
                self.numel = max(self.numel, tensor.numel())
        return out


def test_memory_is_bounded_by_the_batch(monkeypatch):
    monkeypatch.setattr("smoothcert.sampling.growing.LARGEST_KEPT_BYTES", 0)
    monkeypatch.setattr("smoothcert.sampling.reducer._GATHERED_VALUES", 500)
    largest = []
    for n in (500, 2_000):
        module = Corners(4)
        with Largest() as mode:
            sampler(module, batch_size=32, levels=100).sample(X, n0=n, n=n, seed=0)
        assert max(module.sizes) == 32
        assert sum(module.sizes) == 3 * n + 1 + 8  # the pilot twice, the input without noise, and the probe
        largest.append(mode.numel)
    assert largest[0] == largest[1] == 256 * 12  # one chunk of noise


@pytest.mark.parametrize("batch_size", [1, 7, 64])
@pytest.mark.parametrize("lattice", [None, 1 / 255])
def test_the_input_without_noise_is_classified_too(batch_size, lattice):
    weights = torch.randn(5, X.numel(), generator=torch.Generator().manual_seed(1))
    seen = []

    def module(x):
        seen.append(x)
        return 40.0 * (x.flatten(1) - 0.5) @ weights.T

    for k in range(5):
        x = torch.round(255 * torch.rand(X.shape, generator=torch.Generator().manual_seed(k))) / 255
        own = sampler(module, num_classes=5, batch_size=batch_size, lattice=lattice)
        found = own.sample(x, n0=20, n=20, seed=0)
        assert found.clean_prediction == int(module(x[None]).argmax())
        assert sum(bool((one == x).flatten(1).all(1).any()) for one in seen[:-1]) == 1
        seen.clear()
        assert own.sample(x, n0=20, n=30, seed=0, held=found).clean_prediction == found.clean_prediction


def test_progress_counts_every_sample_once():
    done = []
    sampler(batch_size=100).sample(X, n0=300, n=450, seed=0, progress=done.append)
    assert sum(done) == 750
    assert max(done) == 100


class Limited(Corners):
    """Runs out of memory above a number of samples."""

    limit = 16
    error: Exception = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    def forward(self, x):
        if len(x) > self.limit:
            raise self.error
        return super().forward(x)


@pytest.mark.parametrize("limit", [16, 3])
@pytest.mark.parametrize(
    "error", [Limited.error, RuntimeError("DefaultCPUAllocator: can't allocate memory"), MemoryError()]
)
def test_out_of_memory_halves_the_batch_and_loses_nothing(error, limit):
    module = Limited(4)
    module.error, module.limit = error, limit
    own = sampler(module, batch_size=100)
    with pytest.warns(BatchSizeWarning) as caught:
        samples = own.sample(X, n0=300, n=500, seed=0)
    assert len(caught) <= 2  # one more if the first few samples did not fit either
    assert same(samples, sampler().sample(X, n0=300, n=500, seed=0))
    assert same(own.sample(X, n0=300, n=500, seed=0), samples)  # and it is remembered: no second warning


def test_a_sample_that_does_not_fit_is_an_error():
    module = Limited(4)
    module.limit = 0
    with pytest.raises(ModelError, match=r"a single sample does not fit into memory: CUDA out of memory"):
        sampler(module).sample(X, n0=10, n=10, seed=0)


@pytest.mark.parametrize("batch_size", [50, 1_000])
def test_a_pilot_too_large_to_keep_is_run_again(monkeypatch, batch_size):
    module = Corners(20)
    x = torch.linspace(0.2, 0.8, 20)
    kept = sampler(module, num_classes=20, batch_size=batch_size).sample(x, n0=1_000, n=10, seed=0)
    assert sum(module.sizes) == 8 + 1 + 1_000 + 10
    module.sizes.clear()
    monkeypatch.setattr("smoothcert.sampling.growing.LARGEST_KEPT_BYTES", 4 * 1_000 * 20 - 1)
    again = sampler(module, num_classes=20, batch_size=batch_size).sample(x, n0=1_000, n=10, seed=0)
    assert sum(module.sizes) == 8 + 1 + 2 * 1_000 + 10
    assert same(kept, again)


@pytest.mark.parametrize("num_classes", [2, 3, 4, 5, 9])
def test_rivals_are_the_strongest_of_the_pilot_and_each_is_counted(num_classes):
    x = torch.linspace(0.2, 0.8, 12)
    module = Corners(num_classes)
    samples = sampler(module, num_classes=num_classes).sample(x, n0=300, n=700, seed=5)
    noisy = NoisyInput(x, sigma=0.25, seed=5, content_hash=content_hash(x))
    pilot, estimation = (
        module(noisy.copies(stage, 0, count)).softmax(dim=1) for stage, count in (("pilot", 300), ("estimation", 700))
    )
    order = pilot.double().mean(dim=0).argsort(descending=True).tolist()
    assert (samples.prediction, samples.rivals) == (order[0], tuple(order[1:4]))
    groups = [[rival] for rival in samples.rivals] + ([order[4:]] if order[4:] else [])
    assert len(samples.lead) == len(groups)
    for stages, group in zip(samples.lead, groups, strict=True):
        for histogram, scores in ((stages.pilot, pilot), (stages.sample, estimation)):
            values = scores[:, order[0]] - scores[:, group].amax(dim=1)
            assert histogram == ScoreHistogram.from_samples(values, lower=-1, upper=1)


def test_measures_are_counted_as_they_are_named():
    rest = Measure("rest", 0.0, 1.0, lambda scores, classes: 1 - scores[:, classes])
    third = Measure("third", 0.0, 1.0, SCORE.compute, of=3)
    truth = Measure("truth", 0.0, 1.0, SCORE.compute, of="label")
    own = sampler(measures=["score", rest, third, truth])
    samples = own.sample(X, n0=50, n=100, seed=0, label=1)
    assert list(samples.measures) == ["score", "rest", "third", "truth"]
    assert (samples.lead, samples.rivals) == ((), ())
    scores = Corners(4)(own.noisy(X, seed=0).copies("estimation", 0, 100)).softmax(dim=1)
    for name, label in (("score", samples.prediction), ("third", 3), ("truth", 1)):
        expected = ScoreHistogram.from_samples(scores[:, label], lower=0, upper=1)
        assert samples.measure(name).sample == expected
    assert samples.measure("rest").sample.mean == pytest.approx(1 - samples.score.sample.mean, abs=1e-3)


@pytest.mark.parametrize(
    ("of", "label", "message"),
    [
        ("label", None, "measure own is of the true label, which must be given; got none"),
        ("label", 4, "measure own must be of one of the 4 classes; got 4"),
        (4, None, "measure own must be of one of the 4 classes; got 4"),
    ],
)
def test_a_measure_of_a_class_that_is_not_there(of, label, message):
    own = sampler(measures=[Measure("own", 0.0, 1.0, SCORE.compute, of=of)])
    with pytest.raises(InvalidArgumentError, match=message):
        own.sample(X, n0=5, n=5, seed=0, label=label)


def test_a_measure_that_leaves_its_range_stops_the_input():
    own = sampler(measures=[Measure("double", 0.0, 1.0, lambda scores, classes: 2 * scores[:, classes])])
    with pytest.raises(InvalidArgumentError, match=r"measure double must return values in .* during the pilot samples"):
        own.sample(X, n0=50, n=5, seed=0)


@pytest.mark.parametrize("num_classes", [2, 21_841])
def test_any_number_of_classes(num_classes):
    x = torch.full((num_classes,), 0.25)
    x[num_classes - 1] = 1.0
    own = sampler(num_classes=num_classes, module=Corners(num_classes, gain=30.0), sigma=0.1)
    samples = own.sample(x, n0=40, n=60, seed=0)
    assert samples.prediction == num_classes - 1
    assert samples.votes.shape == (num_classes,)
    assert samples.votes[num_classes - 1] == samples.n == 60


def test_equal_scores_select_the_first_class():
    samples = sampler(lambda batch: torch.ones(len(batch), 12), num_classes=12).sample(X, n0=300, n=20, seed=0)
    assert samples.prediction == 0
    assert samples.votes.tolist() == [20, *[0] * 11]


def test_a_module_in_training_is_evaluated_and_left_in_training():
    module = SmallConvolutions().train()
    own = Sampler(module, sigma=0.25, num_classes=5)
    x = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
    samples = own.sample(x, n0=50, n=50, seed=0)
    assert all(m.training for m in module.modules())
    assert same(samples, Sampler(module.eval(), sigma=0.25, num_classes=5).sample(x, n0=50, n=50, seed=0))


def test_reduced_precision_gives_a_close_histogram():
    x = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
    exact, reduced = (
        Sampler(SmallConvolutions(), sigma=0.25, num_classes=5, precision=precision).sample(x, n0=64, n=256, seed=0)
        for precision in ("float32", "bfloat16")
    )
    assert exact.prediction == reduced.prediction
    assert abs(exact.score.sample.mean - reduced.score.sample.mean) < 0.005
    assert exact.score.sample != reduced.score.sample


class Viewer(nn.Module):
    """Flattens feature maps with ``view``, which channels-last batches do not allow."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv(x).view(len(x), -1)[:, :5]


@pytest.mark.parametrize(("module", "expected"), [(SmallConvolutions(), True), (Viewer(), False)])
def test_channels_last_where_the_module_takes_it(module, expected):
    own = Sampler(module, sigma=0.25, num_classes=5)
    own.sample(torch.full((3, 8, 8), 0.5), n0=5, n=10, seed=0)
    assert own._plans[3, 8, 8].channels_last is expected


class Failing(Corners):
    """Returns NaN for one noisy copy in a hundred."""

    def forward(self, x):
        return super().forward(x).where(x[:, :1] < X[0] + 2.33 * 0.25, torch.nan)


def test_a_rare_nan_is_found_with_its_stage():
    with pytest.raises(ModelError, match=r"finite logits.*; got NaN or infinite values during the pilot samples"):
        sampler(Failing(4)).sample(X, n0=1_000, n=10, seed=0)
    with pytest.raises(ModelError, match=r"during the estimation samples"):
        sampler(Failing(4)).sample(X, n0=1, n=1_000, seed=0)


def test_declared_probabilities_are_sampled_as_they_are():
    logits, probabilities = Corners(4), lambda batch: Corners(4)(batch).softmax(dim=1)
    one = sampler(logits).sample(X, n0=50, n=80, seed=0)
    assert same(one, sampler(probabilities, outputs="probabilities").sample(X, n0=50, n=80, seed=0))
    with pytest.raises(ModelError, match="must return logits"):
        sampler(probabilities).sample(X, n0=50, n=80, seed=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n0": 0}, "n0 must be an integer, at least 1; got 0"),
        ({"n": 0}, "n must be an integer, at least 1; got 0"),
        ({"n": 10.0}, "n must be"),
        ({"seed": -1}, "seed must be an integer, at least 0; got -1"),
        ({"seed": "a"}, "seed must be"),
        ({"x": X * 255}, r"x must lie in \[0, 1\]"),
    ],
)
def test_arguments_of_sample(arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        sampler().sample(**{"x": X, "n0": 10, "n": 10, "seed": 0} | arguments)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"sigma": 0.0}, "sigma must be"),
        ({"levels": 0}, "levels must be"),
        ({"batch_size": 0}, "batch_size must be an integer, at least 1; got 0"),
        ({"input_range": (1, 0)}, "input_range must be"),
    ],
)
def test_options_of_the_sampler(option, message):
    with pytest.raises(InvalidArgumentError, match=message):
        sampler(**option)


PIXELS = torch.arange(12) * 20 / 255


@pytest.mark.parametrize(
    ("x", "option", "step"),
    [
        (PIXELS, {}, 1 / 255),
        (X, {}, None),
        (PIXELS, {"lattice": None}, None),
        (X, {"lattice": 1 / 32_768}, 1 / 32_768),
        (PIXELS + 1, {"input_range": None}, None),
        (PIXELS, {"sigma": 1e-3}, None),  # the image's own step would be no noise at all
    ],
)
def test_noise_is_on_the_lattice_that_is_named_or_seen(x, option, step):
    samples = sampler(**option).sample(x, n0=20, n=80, seed=0)
    assert samples.step == step
    assert (samples.price > 0) is (step is not None)
    assert (samples.offset > 0) is (x is X and step is not None)
    assert samples.offset < 1e-3


def test_the_price_counts_every_sample():
    samples = sampler().sample(PIXELS, n0=20, n=80, seed=0)
    assert samples.price == pytest.approx(100 * 12 * 1_163 / 2**64)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (0.0, "lattice must be a finite step above 0"),
        (float("nan"), "lattice must be"),
        ("image", "lattice must be"),
        (np.array([0.5, 0.25]), "lattice must be the step of the inputs"),
        (0.5, "must not be larger than sigma; got a step of 0.5 and sigma=0.25"),
        (1e-6, "at least sigma / 65,536"),
    ],
)
def test_lattices_that_are_none(step, message):
    with pytest.raises(InvalidArgumentError, match=message):
        sampler(lattice=step)
