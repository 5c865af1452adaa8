"""Batches of many inputs: full, in order, and with the same noise and scores as one input at a time."""

from __future__ import annotations

import pytest
import torch

from sampling.networks import Corners
from sampling.test_sampler import Failing, Limited, same
from smoothcert.errors import InvalidArgumentError, ModelError
from smoothcert.sampling import BatchSizeWarning, Sampler
from smoothcert.sampling.growing import Kept, draw_checked

INPUTS = torch.rand(9, 12, generator=torch.Generator().manual_seed(0))


def sampler(module=None, **options):
    return Sampler(module or Corners(4), **{"sigma": 0.25, "num_classes": 4} | options)


def recorded(own, x, portions):
    """A job that draws portions one after the other and returns all their scores."""
    noisy, kept, at = own.noisy(x, seed=0), Kept(), 0
    for count in portions:
        yield from draw_checked(noisy, own.classifier, "estimation", at, count, [kept])
        at += count
    return torch.cat(kept.portions)


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1_000])
def test_every_input_gets_the_scores_it_gets_alone(batch_size):
    portions = [[32, 32, 32], [1], [300, 5], [64] * 4, [7] * 20, [256], [100, 3], [50], [2, 2, 2]]
    together = sampler(batch_size=batch_size)
    results = dict(together.run(recorded(together, x, p) for x, p in zip(INPUTS, portions, strict=True)))
    assert sorted(results) == list(range(9))
    for position, (x, p) in enumerate(zip(INPUTS, portions, strict=True)):
        noisy = together.noisy(x, seed=0)
        expected = Corners(4)(noisy.copies("estimation", 0, sum(p))).softmax(dim=1)
        assert torch.equal(results[position], expected)


@pytest.mark.parametrize("batch_size", [5, 64, 10_000])
def test_samples_of_many_inputs_are_those_of_each_alone(batch_size):
    together = sampler(batch_size=batch_size)
    packed = dict(together.run(together.sampling(x, n0=60, n=300, seed=3) for x in INPUTS))
    for position, x in enumerate(INPUTS):
        assert same(packed[position], sampler().sample(x, n0=60, n=300, seed=3))


def test_batches_are_full_while_there_are_inputs_to_begin():
    module = Corners(4)
    own = sampler(module, batch_size=64)
    own.noisy(INPUTS[0], seed=0)  # the probe
    module.sizes.clear()
    list(own.run(recorded(own, x, [32, 16, 24]) for x in INPUTS))
    assert sum(module.sizes) == 9 * 72
    last_begun = next(at for at, size in enumerate(module.sizes) if size < 64)
    assert sum(module.sizes[:last_begun]) >= 6 * 72  # only what is left when nothing can be begun runs in less
    assert set(module.sizes[:last_begun]) == {64}


def test_inputs_are_begun_only_when_a_batch_has_room():
    begun, finished = [], []
    own = sampler(batch_size=50)

    def jobs():
        for position, x in enumerate(INPUTS):
            begun.append(position)
            yield recorded(own, x, [100] if position == 1 else [20])

    for position, _ in own.run(jobs()):
        finished.append(position)
        assert len(begun) - len(finished) <= 3
    assert finished[:2] == [0, 2] or finished[0] == 0
    assert sorted(finished) == list(range(9))


def test_progress_counts_the_samples_of_all_inputs():
    done = []
    own = sampler(batch_size=64)
    list(own.run((own.sampling(x, n0=60, n=300, seed=3) for x in INPUTS), progress=done.append))
    assert sum(done) == 9 * 360
    assert set(done[:-6]) <= {62, 63, 64}  # the others of its rows are inputs without noise
    assert sum(done[:-6]) > 63.5 * len(done[:-6])
    assert max(done) == 64


def test_inputs_of_other_shapes_take_turns():
    shapes = [(12,), (12,), (6, 4), (6, 4), (12,)]
    inputs = [torch.full(shape, 0.1 * at) for at, shape in enumerate(shapes)]
    own = sampler(batch_size=64)
    results = dict(own.run(own.sampling(x, n0=20, n=70, seed=0) for x in inputs))
    for position, x in enumerate(inputs):
        assert same(results[position], sampler().sample(x, n0=20, n=70, seed=0))


def test_memory_that_runs_out_changes_nothing():
    module = Limited(4)
    own = sampler(module, batch_size=100)
    with pytest.warns(BatchSizeWarning):
        results = dict(own.run(own.sampling(x, n0=30, n=90, seed=0) for x in INPUTS))
    for position, x in enumerate(INPUTS):
        assert same(results[position], sampler().sample(x, n0=30, n=90, seed=0))


def test_an_error_reaches_the_job_of_its_input_only():
    # Failing returns NaN for noisy copies far above 0.2 in the first value; the zeros never get there.
    inputs = [torch.zeros(12), torch.full((12,), 1.0), torch.zeros(12) + 0.01]
    own = sampler(Failing(4), batch_size=1_000, sigma=0.05)
    ended = []

    def named(position, job):
        try:
            yield from job
        except ModelError:
            ended.append(position)

    list(own.run(named(at, recorded(own, x, [200, 50])) for at, x in enumerate(inputs)))
    assert ended == [1]


def test_an_input_that_cannot_be_used_stops_the_run():
    own = sampler()
    with pytest.raises(InvalidArgumentError, match=r"x must lie in \[0, 1\]"):
        list(own.run(own.sampling(x, n0=5, n=5, seed=0) for x in (INPUTS[0], INPUTS[1] + 5)))


def test_no_jobs_no_results():
    assert list(sampler().run([])) == []


@pytest.mark.parametrize("company", [1, 3, 9])
def test_filled_batches_have_one_size_and_change_no_result(company):
    module = Corners(4)
    own = sampler(module, batch_size=64)
    own.noisy(INPUTS[0], seed=0)  # the probe
    module.sizes.clear()
    results = dict(own.run((own.sampling(x, n0=30, n=90, seed=0) for x in INPUTS[:company]), fill=True))
    assert set(module.sizes) == {64}
    for position, samples in results.items():
        assert same(samples, sampler().sample(INPUTS[position], n0=30, n=90, seed=0))


def test_a_batch_size_can_be_fixed_after_the_first_inputs():
    own = sampler()
    assert own.planned_batch_size is None
    own.noisy(INPUTS[0], seed=0)
    assert own.planned_batch_size == 512
    own.fix_batch_size(7)
    own.noisy(INPUTS[0], seed=0)
    assert own.planned_batch_size == own.batch_size == 7
