from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, norm
from torch import nn

import smoothcert as sc
from sampling.networks import Probit, SmallConvolutions
from smoothcert.errors import InvalidArgumentError, ModelError
from smoothcert.prediction import most_voted
from smoothcert.sampling import ConfidenceWarning

IMAGES = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def smoothed():
    return sc.SmoothedClassifier(SmallConvolutions(), sigma=0.25, num_classes=5)


def test_the_contract(smoothed):
    certificate = smoothed.certify(IMAGES[0], n0=100, n=400, alpha=0.01, seed=0)
    assert isinstance(certificate, sc.Certificate)
    assert 0 <= certificate.prediction < 5
    assert isinstance(certificate.abstained, bool)
    assert certificate.class_radius >= 0.0
    assert (certificate.n0, certificate.n, certificate.alpha, certificate.sigma) == (100, 400, 0.01, 0.25)
    assert certificate.score.lower([0.0, 0.25, 0.5], bound="cdf").shape == (3,)


def test_a_batch_gives_what_its_inputs_give_alone(smoothed):
    batch = smoothed.sample(IMAGES, n0=50, n=100, seed=4)
    assert len(batch) == 3
    for image, samples in zip(IMAGES, batch, strict=True):
        alone = smoothed.sample(image.numpy(), n0=50, n=100, seed=4)
        assert alone.prediction == samples.prediction
        assert (alone.score, alone.margin) == (samples.score, samples.margin)
        assert np.array_equal(alone.votes, samples.votes)
    reversed_batch = smoothed.sample(IMAGES.flip(0), n0=50, n=100, seed=4)
    assert [s.score.sample for s in reversed_batch] == [s.score.sample for s in batch[::-1]]
    certificates = smoothed.certify(IMAGES, n0=50, n=100, alpha=0.01, seed=4)
    assert [c.prediction for c in certificates] == [s.prediction for s in batch]
    assert smoothed.sample(IMAGES[:0], n0=50, n=100) == []


def test_certify_is_certificate_of_sample(smoothed):
    samples = smoothed.sample(IMAGES[0], n0=100, n=400, seed=7)
    one = sc.Certificate.from_samples(samples, alpha=0.05)
    other = smoothed.certify(IMAGES[0], n0=100, n=400, alpha=0.05, seed=7)
    assert one.class_radius == other.class_radius
    assert np.array_equal(one.score.lower([0.0, 0.1]), other.score.lower([0.0, 0.1]))


def test_certified_bounds_hold_for_a_network_with_known_scores():
    x, radii = torch.full((20,), 0.5), np.array([0.0, 0.125, 0.25, 0.5])
    probit = Probit((20,), tau=0.25, bias=0.0)
    probit.bias = 0.4 - float(probit.u(x[None]))
    g = sc.SmoothedClassifier(probit, sigma=0.25, num_classes=2, input_ndim=1)
    certificate = g.certify(x, n0=1_000, n=20_000, alpha=0.001, seed=0)
    truth = norm.cdf((0.4 - radii) / np.hypot(0.25, 0.25))
    for bound in ("dual", "cdf", "hoeffding"):
        assert np.all(certificate.score.lower(radii, bound=bound) <= truth)
    assert np.all(certificate.score.lower(radii, bound="cdf") >= truth - 0.09)
    assert np.all(certificate.score.lower(radii, bound="dual") >= truth - 0.03)
    assert np.all(certificate.score.upper(radii, bound="cdf") >= norm.cdf((0.4 + radii) / np.hypot(0.25, 0.25)))
    assert 0.35 < certificate.class_radius <= 0.4  # the distance to the boundary is 0.4


def test_predict_abstains_by_the_binomial_test(smoothed):
    x = torch.full((4,), 0.5)
    even = Probit((4,), tau=0.5, bias=0.0)
    even.bias = -float(even.u(x[None]))
    tie = sc.SmoothedClassifier(even, sigma=0.25, num_classes=2, input_ndim=1)
    assert tie.predict(x, n=1_000, alpha=0.001, seed=0) == sc.ABSTAIN == -1
    sure = Probit((4,), tau=0.5, bias=-3.0)
    sure = sc.SmoothedClassifier(sure, sigma=0.25, num_classes=2, input_ndim=1)
    assert sure.predict(x, n=100, seed=0) == 1
    labels = sure.predict(torch.stack([x, x]), n=100)
    assert labels.dtype == np.int64
    assert labels.tolist() == [1, 1]


@pytest.mark.parametrize("votes", [[60, 40, 0], [70, 30, 5], [3, 0, 0], [0, 0, 12], [20, 55, 21], [0, 1, 0]])
@pytest.mark.parametrize("alpha", [0.5, 0.05, 0.001])
def test_most_voted_is_procedure_predict(votes, alpha):
    ranked = sorted(votes, reverse=True)
    p_value = binomtest(ranked[0], ranked[0] + ranked[1], 0.5).pvalue
    expected = votes.index(ranked[0]) if p_value <= alpha else -1
    assert most_voted(np.array(votes), alpha=alpha) == expected


def test_predict_is_rarely_wrong():
    # The worst case: two classes equally likely, so that any answer is wrong.
    rng = np.random.default_rng(0)
    first = rng.binomial(100, 0.5, size=2_000)
    answers = {k: most_voted(np.array([k, 100 - k]), alpha=0.05) != sc.ABSTAIN for k in set(first)}
    answered = sum(answers[k] for k in first)
    assert binomtest(answered, 2_000, 0.05, alternative="greater").pvalue > 1e-3
    assert answered > 0


def test_too_few_samples_warn_before_sampling():
    def never(batch):
        raise AssertionError("sampled before the warning")

    g = sc.SmoothedClassifier(never, sigma=0.25, num_classes=2)
    with pytest.raises(ConfidenceWarning, match=r"n=9 samples can never certify a class at alpha=0\.001"):
        g.certify(IMAGES[0], n0=10, n=9, alpha=0.001)


def test_inputs_of_any_shape():
    rows = torch.rand(2, 6, generator=torch.Generator().manual_seed(0)) * 10 - 5
    g = sc.SmoothedClassifier(nn.Linear(6, 3), sigma=1.0, num_classes=3, input_ndim=1, input_range=None)
    assert g.sample(rows[0], n0=10, n=20).n == 20
    assert len(g.sample(rows, n0=10, n=20)) == 2


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(8, 8), r"x must have 3 dimensions, or 4 for a batch; got shape \(8, 8\)"),
        (torch.zeros(1, 1, 3, 8, 8), r"got shape \(1, 1, 3, 8, 8\)"),
        (np.zeros((3, 8, 8), np.uint8), "divide images by 255"),
        (torch.full((3, 8, 8), 2.0), r"^x must lie in \[0, 1\]"),
        (torch.stack([torch.zeros(3, 8, 8), torch.full((3, 8, 8), torch.nan)]), "^input 1 of the batch: x must be"),
    ],
)
def test_unusable_inputs(smoothed, x, message):
    with pytest.raises(InvalidArgumentError, match=message):
        smoothed.certify(x, n0=10, n=100, alpha=0.05)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"alpha": 0.7}, "alpha must be"), ({"n": 0}, "n must be"), ({"n0": 0}, "n0 must be"), ({"seed": 0.5}, "seed")],
)
def test_arguments_of_certify(smoothed, arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        smoothed.certify(IMAGES[0], **{"n0": 10, "n": 100, "alpha": 0.05} | arguments)


def test_constructor_checks():
    with pytest.raises(InvalidArgumentError, match="sigma must be"):
        sc.SmoothedClassifier(nn.Linear(2, 2), sigma=-1.0, num_classes=2)
    with pytest.raises(InvalidArgumentError, match="input_ndim must be"):
        sc.SmoothedClassifier(nn.Linear(2, 2), sigma=1.0, num_classes=2, input_ndim=0)
    with pytest.raises(ModelError, match="set num_classes=5 if that is right"):
        sc.SmoothedClassifier(SmallConvolutions(), sigma=0.25, num_classes=10).predict(IMAGES[0])


def test_images_get_exact_noise_without_asking_and_the_certificate_pays_for_it():
    image = torch.randint(0, 256, (3, 8, 8), generator=torch.Generator().manual_seed(0)) / 255
    g = sc.SmoothedClassifier(SmallConvolutions(), sigma=0.25, num_classes=5)
    samples = g.sample(image, n0=50, n=200)
    assert (samples.step, samples.offset) == (1 / 255, 0.0)
    certificate = g.certify(image, n0=50, n=200, alpha=0.01)
    assert certificate.alpha == 0.01
    # A price that is the whole of alpha leaves nothing, and one of half of it is as half of alpha.
    half, paid = (
        sc.Certificate.from_samples(samples, **k)
        for k in ({"alpha": 0.005, "price": 0.0}, {"alpha": 0.01, "price": 0.005})
    )
    assert np.array_equal(half.score.lower([0.0, 0.1]), paid.score.lower([0.0, 0.1]))
    with pytest.raises(InvalidArgumentError, match="alpha must be above its price"):
        sc.Certificate.from_samples(samples, alpha=0.01, price=0.01)


def test_the_lattice_can_be_named_or_declined():
    row = torch.tensor([3.0, -1.0, 7.0, 2.0])
    options = {"sigma": 2.0, "num_classes": 3, "input_ndim": 1, "input_range": None}
    module = nn.Linear(4, 3)
    assert sc.SmoothedClassifier(module, **options, lattice=1.0).sample(row, n0=10, n=20).step == 1.0
    assert sc.SmoothedClassifier(module, **options).sample(row, n0=10, n=20).step is None
    image = torch.zeros(3, 8, 8)
    g = sc.SmoothedClassifier(SmallConvolutions(), sigma=0.25, num_classes=5, lattice=None)
    assert g.sample(image, n0=10, n=20).step is None
    with pytest.raises(InvalidArgumentError, match="lattice must be a finite step above 0"):
        sc.SmoothedClassifier(module, **options, lattice=-1.0)


def test_measures_of_ones_own_are_certified_like_the_others():
    truth = sc.Measure("truth", 0.0, 1.0, lambda scores, classes: scores[:, classes], of="label")
    doubt = sc.Measure("doubt", 0.0, 1.0, lambda scores, classes: 1 - scores[:, classes])
    g = sc.SmoothedClassifier(SmallConvolutions(), sigma=0.25, num_classes=5, measures=["score", truth, doubt])
    one = g.certify(IMAGES[0], n0=50, n=200, alpha=0.01, label=3)
    assert list(one.measures) == ["score", "truth", "doubt"]
    assert float(one.measure("doubt").lower(0.0)[0]) < 1 - float(one.score.lower(0.0)[0])
    several = g.sample(IMAGES, n0=50, n=200, label=[3, 1, 4])
    alone = [g.sample(image, n0=50, n=200, label=label) for image, label in zip(IMAGES, [3, 1, 4], strict=True)]
    assert [s.measure("truth") for s in several] == [s.measure("truth") for s in alone]
    with pytest.raises(InvalidArgumentError, match=r"^input 2 of the batch: measure truth is of the true label, which"):
        g.sample(IMAGES, n0=50, n=200, label=iter([3, 1]))
    for same in (np.int64(3), np.array(3), torch.tensor(3), [3], torch.tensor([3])):
        assert g.sample(IMAGES[0], n0=50, n=200, label=same) == alone[0]
        assert g.sampler.sample(IMAGES[0], n0=50, n=200, seed=0, label=3) == alone[0]
    assert g.sampler.sample(IMAGES[0], n0=50, n=200, seed=0, label=np.int64(3)) == alone[0]


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ([0, 1], r"^label must be one class for each of the 3 inputs; got 2$"),
        (torch.arange(4), r"^label must be one class for each of the 3 inputs; got 4$"),
        (1.0, r"^label must be the number of a class; got 1\.0$"),
        ([0, 1, 1.7], r"^input 2 of the batch: label must be the number of a class; got 1\.7$"),
        (True, "^label must be the number of a class; got True$"),
        ("ab", "^label must be the number of a class; got 'ab'$"),
        (object, "^label must be a class, or one for each input"),
    ],
)
def test_labels_are_whole_numbers_one_for_each_input(label, message):
    g = sc.SmoothedClassifier(SmallConvolutions(), sigma=0.25, num_classes=5)
    with pytest.raises(InvalidArgumentError, match=message):
        g.certify(IMAGES, n0=10, n=20, alpha=0.4, label=label)


def test_measures_of_ones_own_leave_the_scores_alone_and_look_at_one_row_at_a_time():
    def compute(scores, classes):
        return scores.mul_(0.5)[:, classes]

    def among(scores, classes):
        return scores[:, classes].mean(dim=0, keepdim=True).expand(len(scores), -1)

    half = sc.Measure("half", 0.0, 1.0, compute)
    plain, beside = (
        sc.SmoothedClassifier(SmallConvolutions(), sigma=0.25, num_classes=5, measures=measures).sample(
            IMAGES[0], n0=50, n=200
        )
        for measures in (["score", "lead"], [half, "score", "lead"])
    )
    assert plain.measure("score") == beside.measure("score")
    assert plain.lead == beside.lead
    mean = sc.Measure("mean", 0.0, 1.0, among)
    g = sc.SmoothedClassifier(SmallConvolutions(), sigma=0.25, num_classes=5, measures=[mean])
    with pytest.raises(InvalidArgumentError, match="measure mean must depend on nothing but the row it is computed"):
        g.sample(IMAGES[0], n0=50, n=200)


@pytest.mark.parametrize("ask", ["certify", "predict", "decide"])
def test_an_alpha_below_the_price_of_the_noise_is_refused(ask):
    g = sc.SmoothedClassifier(SmallConvolutions(), sigma=0.25, num_classes=5)
    question = {"threshold": 0.5, "radius": 0.1} if ask == "decide" else {}
    with pytest.raises(InvalidArgumentError, match=r"alpha must be above its price of .*; got 1e-15$"):
        getattr(g, ask)(torch.zeros(3, 8, 8), alpha=1e-15, **question)
