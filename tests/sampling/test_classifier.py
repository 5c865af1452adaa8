from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from sampling.networks import SmallConvolutions
from smoothcert.errors import InvalidArgumentError, ModelError
from smoothcert.sampling.classifier import BaseClassifier

BATCH = torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda b: (b, b), "must return a tensor; got tuple"),
        (lambda b: torch.zeros(len(b), 7), r"\(8, 5\); got shape \(8, 7\), torch.float32; set num_classes=7"),
        (lambda b: torch.zeros(len(b)), r"logits of shape .* got shape \(8,\), torch.float32$"),
        (lambda b: torch.zeros(len(b), 5, 1), r"got shape \(8, 5, 1\)"),
        (lambda b: torch.zeros(3, 5), r"got shape \(3, 5\)"),
        (lambda b: torch.zeros(len(b), 5, dtype=torch.int64), r"torch.int64$"),
        (lambda b: torch.zeros(len(b), 5).to_sparse(), "must return a dense tensor; got one that is torch.sparse_coo"),
        (lambda b: torch.full((len(b), 5), float("nan")), "finite logits.*; got NaN or infinite .*first batch"),
        (lambda b: torch.tensor([[0.0] * 4 + [float("inf")]] * len(b)), "finite logits"),
        (lambda b: torch.full((len(b), 5), float("-inf")), "finite logits"),
        (lambda b: torch.rand(len(b), 5).softmax(dim=1), 'must return logits.*softmax, or declare outputs="probab'),
        (lambda b: b @ torch.zeros(99, 5), r"failed on a float32 batch of shape \(8, 3, 8, 8\) on cpu: mat1"),
    ],
)
def test_outputs_that_are_not_logits_are_refused(value, message):
    with pytest.raises(ModelError, match=message):
        BaseClassifier(value, num_classes=5).probe(BATCH)


def test_a_class_that_is_ruled_out_has_the_score_0():
    logits = torch.tensor([[0.0, 1.0, float("-inf")]] * 8)
    classifier = BaseClassifier(lambda batch: logits, num_classes=3)
    classifier.probe(BATCH)
    scores, valid = classifier.scores(BATCH)
    assert valid.all()
    torch.testing.assert_close(scores, torch.tensor([[0.268941, 0.731059, 0.0]] * 8))


@pytest.mark.parametrize(
    "value",
    [
        lambda b: torch.randn(len(b), 5),
        lambda b: torch.full((len(b), 5), 0.3),
        lambda b: torch.tensor([[1.5, -0.5, 0.0, 0.0, 0.0]] * len(b)),
        lambda b: torch.full((len(b), 5), float("nan")),
    ],
)
def test_declared_probabilities_must_be_probabilities(value):
    classifier = BaseClassifier(value, num_classes=5, outputs="probabilities")
    with pytest.raises(ModelError, match="must return probabilities: rows in"):
        classifier.probe(BATCH)


def test_probabilities_are_used_as_they_are():
    values = torch.rand(8, 5).softmax(dim=1)
    classifier = BaseClassifier(lambda batch: values, num_classes=5, outputs="probabilities")
    classifier.probe(BATCH)
    assert torch.equal(classifier.scores(BATCH)[0], values)
    one_hot = torch.eye(5)[:4]
    hard = BaseClassifier(lambda batch: one_hot, num_classes=5, outputs="probabilities")
    hard.probe(BATCH[:4])


@pytest.mark.parametrize("shape", [(8,), (8, 1)])
def test_one_logit_is_that_of_the_second_class(shape):
    logit = torch.linspace(-90, 90, 8)
    classifier = BaseClassifier(lambda batch: logit.reshape(shape), num_classes=2, outputs="logit")
    classifier.probe(BATCH)
    scores, valid = classifier.scores(BATCH)
    assert torch.allclose(scores, torch.stack([torch.zeros(8), logit], dim=1).softmax(dim=1), atol=1e-6)
    assert bool(valid.all())
    with pytest.raises(ModelError, match=r"logit of shape \(batch, 1\) = \(8, 1\); got shape \(8, 2\), torch.float32$"):
        BaseClassifier(lambda batch: torch.rand(8, 2), num_classes=2, outputs="logit").probe(BATCH)


def test_labels_that_apply_together_have_scores_of_their_own():
    logits = torch.randn(8, 5, generator=torch.Generator().manual_seed(0)) * 4
    classifier = BaseClassifier(lambda batch: logits, num_classes=5, outputs="labels")
    classifier.probe(BATCH)
    assert torch.equal(classifier.scores(BATCH)[0], logits.sigmoid())
    broken = BaseClassifier(lambda batch: logits * torch.nan, num_classes=5, outputs="labels")
    with pytest.raises(ModelError, match="finite logits"):
        broken.probe(BATCH)


@pytest.mark.parametrize(
    ("outputs", "value"),
    [
        *((outputs, value) for outputs in ("logits", "probabilities") for value in (math.nan, math.inf)),
        ("probabilities", -math.inf),
    ],
)
def test_invalid_rows_are_told_apart_and_reported_with_their_stage(outputs, value):
    returned = torch.full((8, 5), 0.2)
    returned[3, 2] = value
    classifier = BaseClassifier(lambda batch: returned, num_classes=5, outputs=outputs)
    _, valid = classifier.scores(BATCH)
    assert valid.tolist() == [True] * 3 + [False] + [True] * 4
    classifier.require_valid(valid[4:], "the pilot samples")
    with pytest.raises(ModelError, match="during the pilot samples"):
        classifier.require_valid(valid, "the pilot samples")


def test_float16_overflow_says_so():
    classifier = BaseClassifier(lambda b: torch.full((8, 5), torch.inf), num_classes=5, precision="float16")
    with pytest.raises(ModelError, match="65504, try bfloat16"):
        classifier.probe(BATCH)


def test_eval_mode_inside_and_every_submodule_restored():
    module = SmallConvolutions().train()
    module.norm.eval()  # frozen by its owner
    before = {name: m.training for name, m in module.named_modules()}
    running_mean = module.norm.running_mean.clone()
    classifier = BaseClassifier(module, num_classes=5)
    with classifier.evaluating():
        assert not any(m.training for m in module.modules())
        assert torch.equal(classifier.scores(BATCH)[0], classifier.scores(BATCH)[0])  # no dropout
    assert {name: m.training for name, m in module.named_modules()} == before
    assert torch.equal(module.norm.running_mean, running_mean)
    with pytest.raises(KeyError), classifier.evaluating():
        raise KeyError
    assert {name: m.training for name, m in module.named_modules()} == before


def test_the_mode_comes_back_by_the_modules_own_method():
    class Merging(nn.Linear):
        merged = False

        def train(self, mode=True):
            self.merged = not mode
            return super().train(mode)

    module = nn.Sequential(nn.Flatten(), Merging(192, 5), nn.Sequential(Merging(5, 5))).train()
    module[2].eval()
    with BaseClassifier(module, num_classes=5).evaluating():
        assert module[1].merged
    assert not module[1].merged
    assert module[2][0].merged
    assert [m.training for m in module.modules()] == [True, True, True, False, False]


def test_a_buffer_that_is_written_again_is_not_what_is_counted():
    kept = torch.zeros(8, 5)

    def overwriting(batch):
        return kept.copy_(torch.eye(5)[batch.flatten(1).sum(1).long() % 5])

    classifier = BaseClassifier(overwriting, num_classes=5, outputs="probabilities")
    first = classifier.scores(BATCH)[0]
    held = first.clone()
    classifier.scores(BATCH.flip(0) + 1.0)
    assert torch.equal(first, held)


def test_a_device_without_values_is_refused_and_nothing_moved_there():
    module = SmallConvolutions()
    with pytest.raises(InvalidArgumentError, match="device must be one that computes; got 'meta'"):
        BaseClassifier(module, num_classes=5, device="meta")
    assert not any(p.is_meta for p in module.parameters())


def test_precision_is_that_of_the_forward_pass_only():
    module = SmallConvolutions().eval()
    exact = BaseClassifier(module, num_classes=5).scores(BATCH)[0]
    reduced = BaseClassifier(module, num_classes=5, precision="bfloat16").scores(BATCH)[0]
    assert reduced.dtype == torch.float32
    assert not torch.equal(exact, reduced)
    assert torch.allclose(exact, reduced, atol=0.01)
    assert torch.allclose(reduced.sum(dim=1), torch.ones(8), atol=1e-6)


def test_scores_need_no_gradient():
    assert BaseClassifier(SmallConvolutions(), num_classes=5).scores(BATCH)[0].is_inference()


def test_device_is_where_the_parameters_are():
    assert BaseClassifier(nn.Linear(2, 2), num_classes=2).device == torch.device("cpu")
    assert BaseClassifier(nn.Linear(2, 2, device="meta"), num_classes=2).device == torch.device("meta")
    assert BaseClassifier(nn.Flatten(), num_classes=2).device == torch.device("cpu")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"module": 3}, "base_classifier must be a torch module or a function of a batch; got int"),
        ({"num_classes": 1}, "num_classes must be an integer, at least 2; got 1"),
        ({"num_classes": 2.0}, "num_classes must be"),
        ({"outputs": "scores"}, "outputs must be one of logits, probabilities, logit, labels; got 'scores'"),
        ({"outputs": "logit", "num_classes": 3}, "one logit tells two classes apart; got num_classes=3"),
        ({"precision": "half"}, "precision must be one of float32, bfloat16, float16; got 'half'"),
        ({"device": "toaster"}, "device must be one that PyTorch can use here; got 'toaster'"),
        ({"device": "cuda:99"}, "device must be"),
    ],
)
def test_arguments_out_of_their_domain(arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        BaseClassifier(**{"module": nn.Linear(2, 2), "num_classes": 2} | arguments)
