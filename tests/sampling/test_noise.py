from __future__ import annotations

import hashlib
from itertools import product

import numpy as np
import pytest
import torch
from scipy import stats

from smoothcert.errors import InvalidArgumentError
from smoothcert.sampling import noise
from smoothcert.sampling.chunks import STAGES, chunk_size, content_hash
from smoothcert.sampling.float_noise import Seeds
from smoothcert.sampling.noise import NoisyInput


def noisy(shape=(3, 8, 8), *, sigma=0.25, seed=0, value=0.5):
    x = torch.full(shape, value)
    return NoisyInput(x, sigma=sigma, seed=seed, content_hash=content_hash(x))


def test_content_hash_is_sha256_of_shape_and_float32_bytes():
    x = np.array([[0.25, 0.1], [0.0, 1.0]])
    by_hand = hashlib.sha256(b"(2, 2)" + x.astype("<f4").tobytes()).hexdigest()
    assert content_hash(x) == content_hash(torch.from_numpy(x)) == by_hand
    assert content_hash(x.T) != by_hand
    assert content_hash(x.reshape(4)) != by_hand


@pytest.mark.parametrize(
    ("shape", "chunk"), [((1,), 256), ((3, 32, 32), 256), ((3, 224, 224), 64), ((3, 4096, 4096), 1)]
)
def test_chunk_is_fixed_by_the_shape(shape, chunk):
    assert chunk_size(shape) == chunk


@pytest.mark.parametrize("shape", [(3, 16, 16), (2,)])
def test_noise_is_gaussian_with_deviation_sigma(shape):
    source = noisy(shape, sigma=0.5, value=0.0)
    values = source.copies("estimation", 0, 100_000 // int(np.prod(shape))).numpy().ravel().astype(np.float64)
    n = values.size
    assert abs(values.mean()) < 4 * 0.5 / np.sqrt(n)
    assert abs(values.var() / 0.25 - 1) < 4 * np.sqrt(2 / n)
    assert abs(stats.kurtosis(values)) < 4 * np.sqrt(24 / n)
    assert stats.kstest(values, "norm", args=(0, 0.5)).pvalue > 1e-3


def test_samples_and_chunks_are_uncorrelated():
    values = noisy((1024,), value=0.0).copies("pilot", 0, 600).numpy()
    correlations = np.corrcoef(values)[np.triu_indices(600, 1)]
    assert np.abs(correlations).max() < 6 / np.sqrt(1024)


def test_noise_is_not_clipped():
    copies = noisy(value=1.0, sigma=2.0).copies("pilot", 0, 10)
    assert copies.min() < 0.0
    assert copies.max() > 1.0


@pytest.mark.parametrize("portion", [1, 7, 64, 256, 300])
def test_any_portions_give_the_same_copies(portion):
    whole = noisy().copies("estimation", 0, 700)
    source = noisy()
    parts = [source.copies("estimation", at, min(portion, 700 - at)) for at in range(0, 700, portion)]
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_chunks_drawn_together_are_the_same_noise(monkeypatch, threads):
    whole = noisy().copies("estimation", 0, 1_500)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    source = noisy()
    parts = [torch.empty(100, 3, 8, 8) for _ in range(15)]
    for i, part in enumerate(parts):
        source.write(part, "estimation", 100 * i, more=1_400 - 100 * i)
    assert torch.equal(torch.cat(parts), whole)
    assert len(source._buffers) == threads  # no more than that is held


def test_a_thread_left_over_by_the_pilot_draws_what_follows_it(monkeypatch):
    whole = noisy().copies("estimation", 0, 256)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    source, filled = noisy(), []
    fill = source._fill
    monkeypatch.setattr(source, "_fill", lambda place, into: (filled.append(place), fill(place, into)))
    source.copies("pilot", 0, 100)
    assert sorted(filled) == [("estimation", 0), ("pilot", 0)]
    assert torch.equal(source.copies("estimation", 0, 256), whole)
    assert len(filled) == 2  # nothing was drawn twice
    source.copies("predict", 0, 100)
    assert filled[2:] == [("predict", 0)]


def test_what_is_drawn_ahead_is_bounded(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    monkeypatch.setattr(noise, "LARGEST_AHEAD_BYTES", 2 * 256 * 3 * 8 * 8 * 4)
    source, few = noisy(), noisy()
    source.write(torch.empty(10, 3, 8, 8), "estimation", 0, more=10_000)
    few.write(torch.empty(10, 3, 8, 8), "estimation", 0, more=100)
    assert (len(source._buffers), len(few._buffers)) == (2, 1)


def test_stages_and_positions_can_be_visited_in_any_order():
    source = noisy()
    later = source.copies("estimation", 500, 20)
    source.copies("pilot", 0, 5)
    assert torch.equal(source.copies("estimation", 0, 600)[500:520], later)


def test_channels_last_changes_the_layout_only():
    plain, other = noisy().copies("pilot", 3, 300), noisy().copies("pilot", 3, 300, channels_last=True)
    assert torch.equal(plain, other)
    assert other.is_contiguous(memory_format=torch.channels_last)
    assert not plain.is_contiguous(memory_format=torch.channels_last)


def test_seed_input_stage_and_chunk_each_give_other_noise():
    base = noisy(value=0.5)
    others = [
        noisy(seed=1).copies("pilot", 0, 256) - 0.5,
        noisy(value=0.25).copies("pilot", 0, 256) - 0.25,
        base.copies("estimation", 0, 256) - 0.5,
        base.copies("pilot", 256, 256) - 0.5,
    ]
    reference = (base.copies("pilot", 0, 256) - 0.5).flatten()
    for other in others:
        assert abs(np.corrcoef(reference, other.flatten())[0, 1]) < 5 / np.sqrt(reference.numel())


def test_sigma_scales_the_same_noise():
    once, twice = noisy(value=0.0, sigma=0.25), noisy(value=0.0, sigma=0.5)
    assert torch.equal(2 * once.copies("pilot", 0, 10), twice.copies("pilot", 0, 10))


def test_no_input_sees_a_chunk_twice_even_in_32_bits():
    seeds = Seeds(0, "input")
    low = {seeds.of(stage, chunk) & 0xFFFFFFFF for stage, chunk in product(STAGES, range(100_000))}
    assert len(low) == len(STAGES) * 100_000
    assert Seeds(0, "input").of("pilot", 3) == seeds.of("pilot", 3)
    assert Seeds(1, "input").of("pilot", 3) != seeds.of("pilot", 3) != Seeds(0, "other").of("pilot", 3)


def test_noise_stays_what_it_is():
    # Runs are resumed by later versions: what a seed means must not change unnoticed.
    assert Seeds(0, content_hash([0.5])).of("estimation", 2) == 5701058224275914059


def test_an_unknown_stage_lists_the_known_ones():
    with pytest.raises(InvalidArgumentError, match=r"stage must be one of pilot, .*got 'warmup'"):
        noisy().copies("warmup", 0, 1)
