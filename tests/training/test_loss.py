"""The loss against NumPy, written from the paper's definition: one image and one copy at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from smoothcert.training import Recipe
from smoothcert.training.loss import noisy_loss


def by_definition(logits: np.ndarray, labels: np.ndarray, *, consistency: float, entropy: float) -> float:
    """Of logits (copies, batch, classes), in float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    p = np.exp(shifted) / np.exp(shifted).sum(axis=-1, keepdims=True)
    copies, batch, classes = p.shape
    total = 0.0
    for image in range(batch):
        mean = [sum(p[copy, image, k] for copy in range(copies)) / copies for k in range(classes)]
        cross_entropy = sum(-math.log(p[copy, image, labels[image]]) for copy in range(copies)) / copies
        divergence = sum(
            mean[k] * math.log(mean[k] / p[copy, image, k]) for copy in range(copies) for k in range(classes)
        )
        spread = -sum(m * math.log(m) for m in mean)
        total += cross_entropy + consistency * divergence / copies + entropy * spread
    return total / batch


def example(copies: int, *, scale: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(copies)
    logits = scale * generator.normal(size=(copies, 5, 4)).astype(np.float32)
    return logits, generator.integers(0, 4, size=5)


@pytest.mark.parametrize(("copies", "consistency", "entropy"), [(2, 10.0, 0.5), (3, 1.0, 0.0), (5, 0.25, 2.0)])
def test_the_loss_is_that_of_the_paper(copies, consistency, entropy):
    logits, labels = example(copies)
    recipe = Recipe(sigma=0.25, consistency=consistency, entropy=entropy, draws=copies)
    loss = noisy_loss(torch.tensor(logits).reshape(-1, 4), torch.tensor(labels), recipe)
    expected = by_definition(logits, labels, consistency=consistency, entropy=entropy)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_without_consistency_it_is_the_cross_entropy_alone():
    logits, labels = example(1)
    loss = noisy_loss(torch.tensor(logits[0]), torch.tensor(labels), Recipe(sigma=0.25, entropy=5.0))
    assert loss.item() == pytest.approx(by_definition(logits, labels, consistency=0.0, entropy=0.0), rel=1e-5)


def test_equal_copies_cost_no_consistency():
    logits, labels = example(1)
    twice = torch.tensor(np.concatenate([logits[0], logits[0]]))
    recipe = Recipe(sigma=0.25, consistency=1e6, entropy=0.0)
    one = noisy_loss(torch.tensor(logits[0]), torch.tensor(labels), Recipe(sigma=0.25))
    assert noisy_loss(twice, torch.tensor(labels), recipe).item() == pytest.approx(one.item(), abs=1e-1)


def test_certain_copies_that_disagree_give_finite_gradients():
    logits = torch.tensor([[500.0, 0.0, -500.0], [0.0, 500.0, -500.0]], requires_grad=True)
    loss = noisy_loss(logits, torch.tensor([0]), Recipe(sigma=0.25, consistency=10.0))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()
    assert logits.grad.abs().sum() > 0


def test_it_is_computed_in_float32_whatever_the_logits_are():
    logits, labels = example(2)
    half = torch.tensor(logits).reshape(-1, 4).bfloat16()
    recipe = Recipe(sigma=0.25, consistency=1.0)
    loss = noisy_loss(half, torch.tensor(labels), recipe)
    assert loss.dtype == torch.float32
    assert loss.item() == noisy_loss(half.float(), torch.tensor(labels), recipe).item()
