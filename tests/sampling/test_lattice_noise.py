"""Noise on a lattice: the bits, the distribution, and that nothing but seed, content, stage and number matters."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy import stats

from smoothcert.discrete_gaussian import discrete_gaussian
from smoothcert.errors import InvalidArgumentError
from smoothcert.lattice import IMAGE_STEP, Lattice
from smoothcert.sampling import philox
from smoothcert.sampling.chunks import STAGES, content_hash
from smoothcert.sampling.lattice_noise import chunk_key, draw, draw_on
from smoothcert.sampling.noise import NoisyInput

CPU = torch.device("cpu")
CASES = [(IMAGE_STEP, 0.25), (IMAGE_STEP, 1.0), (1.0, 1.0), (1 / 32_768, 0.05)]


def pixels(shape=(3, 8, 8), seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape).astype(np.float32)) / 255


def noisy(x=None, *, sigma=0.25, seed=0, step=IMAGE_STEP):
    x = pixels() if x is None else x
    return NoisyInput(x, sigma=sigma, seed=seed, content_hash=content_hash(x), lattice=Lattice(step))


def drawn(distribution, key, values):
    out = np.empty(values, dtype=distribution.dtype)
    draw(distribution.table, key, out)
    return out


def slowly(distribution, key, values):
    """What the module's docstring says, one value after the other, against all thresholds."""
    words: Iterator[int] = (int(w) for w in np.random.Philox(key=key).random_raw(2 * values + 8))
    sixteen = [
        word >> shift & 0xFFFF for word in (next(words) for _ in range(-(-values // 4))) for shift in (0, 16, 32, 48)
    ]
    thresholds = distribution.thresholds
    noise = []
    for bits in sixteen[:values]:
        low, high = np.searchsorted(
            thresholds, np.array([bits << 48, (bits << 48) + 2**48 - 1], dtype=np.uint64), "right"
        )
        if low != high:
            low = np.searchsorted(thresholds, np.uint64((bits << 48) + (next(words) >> 16)), "right")
        noise.append(int(low) - distribution.largest)
    return noise


def philox_by_hand(counter, key):
    """Philox4x64-10 in Python's integers."""
    x, k = [counter, 0, 0, 0], [key % 2**64, key >> 64]
    for _ in range(10):
        a, b = 0xD2E7470EE14C6C93 * x[0], 0xCA5A826395121157 * x[2]
        x = [b >> 64 ^ x[1] ^ k[0], b % 2**64, a >> 64 ^ x[3] ^ k[1], a % 2**64]
        k = [(k[0] + 0x9E3779B97F4A7C15) % 2**64, (k[1] + 0xBB67AE8584CAA73B) % 2**64]
    return x


def test_words_of_the_generator_are_philox():
    key = 0xFEDCBA9876543210_0123456789ABCDEF
    assert philox.generator(key).random_raw(8).tolist() == philox_by_hand(1, key) + philox_by_hand(2, key)


@pytest.mark.parametrize(("start", "count"), [(0, 1), (0, 1_000), (3, 2), (4, 4), (5, 77), (1_001, 6)])
def test_words_are_the_same_in_integers_of_pytorch(start, count):
    for key in (0, 1, 2**128 - 1, 0xFEDCBA9876543210_0123456789ABCDEF):
        expected = np.random.Philox(key=key).random_raw(start + count)[start:]
        assert np.array_equal(philox.words(key, start, count, CPU).numpy().view(np.uint64), expected)
        assert np.array_equal(philox.generator(key, start).random_raw(count), expected)


@pytest.mark.parametrize(("step", "sigma"), CASES)
@pytest.mark.parametrize("values", [1, 3, 1_000, 1_003])
def test_draws_are_those_of_the_slow_description(step, sigma, values):
    distribution = discrete_gaussian(step, sigma)
    assert drawn(distribution, 17, values).tolist() == slowly(distribution, 17, values)


@pytest.mark.parametrize(("step", "sigma"), CASES)
@pytest.mark.parametrize("values", [1, 1_003, 2**16, 2**16 + 1, 400_000])
def test_another_device_draws_the_same(step, sigma, values):
    distribution = discrete_gaussian(step, sigma)
    assert np.array_equal(draw_on(distribution, 5, values, CPU).numpy(), drawn(distribution, 5, values))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("step", "sigma"), CASES)
def test_a_gpu_gives_the_same_bits_and_the_same_copies(step, sigma):
    distribution, cuda = discrete_gaussian(step, sigma), torch.device("cuda")
    for values in (1, 1_003, 400_000):
        assert np.array_equal(draw_on(distribution, 5, values, cuda).cpu().numpy(), drawn(distribution, 5, values))
    counters = torch.arange(1, 1_001, device=cuda)
    for blocks in (philox.integer_blocks, philox._compiled_blocks()):
        came = torch.stack(blocks(counters, (7, 9)), dim=1).flatten().cpu().numpy().view(np.uint64)
        assert np.array_equal(came, philox.generator(9 * 2**64 + 7).random_raw(4_000))
    x = torch.from_numpy(Lattice(step).values(np.random.default_rng(0).integers(0, 256, (3, 8, 8))))
    here, there = noisy(x, step=step, sigma=sigma), noisy(x.to(cuda), step=step, sigma=sigma)
    assert torch.equal(there.copies("estimation", 100, 300).cpu(), here.copies("estimation", 100, 300))


@pytest.mark.parametrize(("step", "sigma"), CASES)
def test_draws_have_the_exact_distribution(step, sigma):
    distribution, n = discrete_gaussian(step, sigma), 1_000_000
    noise = drawn(distribution, 1, n).astype(np.int64) + distribution.largest
    counts = np.bincount(noise, minlength=distribution.cells)
    edges = np.array([0, *(int(t) for t in distribution.thresholds), 2**64], dtype=object)
    expected = n * np.diff(edges).astype(float) / 2**64
    # Neighbouring cells together until each group expects 10 draws: the tails are two groups.
    group = np.floor(np.cumsum(expected) / 10.0).astype(int)
    group = np.minimum(group, group.max() - 1)  # what is left over goes to the last whole one
    counts, expected = (np.bincount(group, weights=w)[np.unique(group)] for w in (counts, expected))
    assert len(counts) > (5 if sigma / step < 2 else 100)
    assert stats.chisquare(counts, expected * (counts.sum() / expected.sum())).pvalue > 1e-3


def test_the_tails_are_there():
    # Beyond 4.5 sigma, where 16 bits settle nothing: P = 6.8e-6, so 27 of 4,000,000 and at most 60.
    distribution = discrete_gaussian(IMAGE_STEP, 0.25)
    noise = np.concatenate([drawn(distribution, key, 1_000_000) for key in range(4)]).astype(int)
    beyond = np.abs(noise) > 4.5 * 63.75
    low, high = stats.binom.interval(1 - 1e-4, noise.size, 2 * stats.norm.sf((287 - 0.5) / 63.75))
    assert low <= beyond.sum() <= high
    assert set(np.sign(noise[beyond])) == {-1, 1}


@pytest.mark.parametrize("portion", [1, 7, 64, 256, 300])
def test_any_portions_give_the_same_copies(portion):
    whole = noisy().copies("estimation", 0, 700)
    source = noisy()
    parts = [source.copies("estimation", at, min(portion, 700 - at)) for at in range(0, 700, portion)]
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_any_number_of_threads_gives_the_same_copies(monkeypatch, threads):
    whole = noisy().copies("estimation", 0, 1_500)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert torch.equal(noisy().copies("estimation", 0, 1_500), whole)


def test_blocks_and_escapes_cut_up_otherwise_give_the_same(monkeypatch):
    distribution = discrete_gaussian(IMAGE_STEP, 1.0)
    whole = drawn(distribution, 3, 300_001)
    for block, escapes in ((2**12, 1), (2**14, 10**9), (2**20, 7)):
        monkeypatch.setattr("smoothcert.sampling.lattice_noise._BLOCK", block)
        monkeypatch.setattr("smoothcert.sampling.lattice_noise._ESCAPES", escapes)
        assert np.array_equal(drawn(distribution, 3, 300_001), whole)


def test_channels_last_changes_the_layout_only():
    plain, other = noisy().copies("pilot", 3, 300), noisy().copies("pilot", 3, 300, channels_last=True)
    assert torch.equal(plain, other)
    assert other.is_contiguous(memory_format=torch.channels_last)


def test_copies_are_points_of_the_lattice_as_the_model_gets_them():
    x = pixels()
    copies = noisy(x).copies("pilot", 0, 300).numpy()
    points = np.rint(copies.astype(np.float64) * 255).astype(int)
    assert np.array_equal(copies, points.astype(np.float32) / np.float32(255))
    assert points.min() < 0
    assert points.max() > 255
    noise = points - np.rint(x.numpy() * 255).astype(int)
    assert abs(noise.std() / 63.75 - 1) < 0.02


@pytest.mark.parametrize("step", [0.3, 5.0, 1 / 32_768])
def test_copies_on_other_lattices(step):
    lattice = Lattice(step)
    x = torch.from_numpy(lattice.values(np.random.default_rng(1).integers(-30, 30, 50)))
    source = noisy(x, step=step, sigma=4 * step)
    copies = source.copies("pilot", 0, 200).numpy()
    points, offset = lattice.nearest(copies)
    assert (source.offset, offset) == (0.0, 0.0)
    assert np.array_equal(lattice.values(points), copies)


def test_an_input_between_the_points_is_rounded_and_says_how_far():
    x = pixels()
    moved = x + 0.4 / 255 * (1 - 2 * (x > 0.5).float())
    assert noisy(x).offset == 0.0
    offset = noisy(moved).offset
    assert offset == pytest.approx(float((moved - x).norm()), rel=1e-4)
    copies = noisy(moved).copies("pilot", 0, 20).numpy()
    assert Lattice(IMAGE_STEP).nearest(copies)[1] == 0.0


def test_an_input_that_does_not_fit_is_refused():
    x = torch.full((3, 64, 64), 0.5)
    with pytest.raises(
        InvalidArgumentError, match=r"does not fit a lattice of step 0.2: it lies 11.1 from .*finer step"
    ):
        noisy(x, step=0.2, sigma=0.25)
    assert noisy(x, step=0.25, sigma=0.25).offset == 0.0


def test_the_price_is_that_of_every_value_drawn():
    source = noisy()
    assert source.price(1_000) == pytest.approx(1_000 * 192 * 1_163 / 2**64)
    x = pixels()
    assert NoisyInput(x, sigma=0.25, seed=0, content_hash=content_hash(x)).price(1_000) == 0.0


def test_seed_input_stage_and_chunk_each_give_other_noise():
    def noise(source, stage="pilot", start=0):
        return (source.copies(stage, start, 256) - source.x).flatten().numpy()

    reference = noise(noisy())
    others = [
        noise(noisy(seed=1)),
        noise(noisy(pixels(seed=1))),
        noise(noisy(), "estimation"),
        noise(noisy(), "predict"),
        noise(noisy(), start=256),
    ]
    for other in others:
        assert abs(np.corrcoef(reference, other)[0, 1]) < 5 / np.sqrt(reference.size)


def test_no_two_chunks_share_a_key():
    inputs = [content_hash([float(i)]) for i in range(50_000)]
    keys = {chunk_key(f"0:{own}", "pilot", 0) for own in inputs}
    keys |= {
        chunk_key(f"{seed}:{inputs[0]}", stage, chunk) for seed in range(3) for stage in STAGES for chunk in range(999)
    }
    assert len(keys) == 50_000 + 3 * len(STAGES) * 999 - 1


def test_noise_stays_what_it_is():
    # Runs are resumed by later versions: what a seed means must not change unnoticed.
    assert chunk_key("0:" + content_hash([0.5]), "estimation", 2) == 115227891596219845666134575664974227913
    assert drawn(discrete_gaussian(IMAGE_STEP, 0.25), 12, 8).tolist() == [64, -63, -39, 8, 105, 41, -101, -8]


def test_an_unknown_stage_lists_the_known_ones():
    with pytest.raises(InvalidArgumentError, match=r"stage must be one of pilot, .*got 'warmup'"):
        noisy().copies("warmup", 0, 1)
