"""What is small beside a forward pass must not wake PyTorch's threads; the forward pass keeps them all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from smoothcert.sampling import Sampler
from smoothcert.sampling._threads import FEW_VALUES, one_thread
from smoothcert.sampling.chunks import content_hash
from smoothcert.sampling.noise import NoisyInput
from smoothcert.sampling.packing import Draw

FEW = torch.empty(FEW_VALUES)


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_one_thread_inside_and_all_of_them_after() -> None:
    with one_thread(FEW):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3


def test_threads_come_back_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), one_thread(FEW):
        raise ZeroDivisionError
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("values", [torch.empty(FEW_VALUES + 1), torch.empty(2, device="meta")])
def test_many_values_and_other_devices_change_nothing(values: Tensor) -> None:
    with one_thread(values):
        assert torch.get_num_threads() == 3


class _Watcher:
    """A reducer, and a base classifier, that note how many threads there are."""

    def __init__(self) -> None:
        self.threads: set[int] = set()

    def add(self, scores: Tensor) -> None:
        self.threads.add(torch.get_num_threads())

    def __call__(self, batch: Tensor) -> Tensor:
        self.threads.add(torch.get_num_threads())
        return batch.flatten(1)[:, :3]


def test_reducers_run_on_one_thread() -> None:
    x = torch.rand(3)
    watcher = _Watcher()
    noisy = NoisyInput(x, sigma=0.5, seed=0, content_hash=content_hash(x))
    draw = Draw(noisy, "pilot", 0, 4, [watcher])
    draw.take(torch.rand(4, 2), torch.ones(4, dtype=torch.bool))
    assert watcher.threads == {1}
    assert draw.left == 0


def test_the_forward_pass_keeps_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = _Watcher()
    softmax, threads_of_softmax = Tensor.softmax, set()

    def watched(self: Tensor, dim: int) -> Tensor:
        threads_of_softmax.add(torch.get_num_threads())
        return softmax(self, dim=dim)

    monkeypatch.setattr(Tensor, "softmax", watched)
    Sampler(watcher, sigma=0.25, num_classes=3).sample(torch.rand(1, 4, 4), n0=16, n=64, seed=0)
    assert watcher.threads == {3}
    assert 1 in threads_of_softmax
    assert torch.get_num_threads() == 3
