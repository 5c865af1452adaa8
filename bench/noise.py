"""What a number of noise costs beside PyTorch's ``normal_``, and whether very many have the right distribution."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import numpy as np
import torch
from scipy.stats import chi2

from bench.rounds import interval, ratio, take_turns
from bench.table import Table
from bench.targets import Check
from smoothcert.discrete_gaussian import DiscreteGaussian, discrete_gaussian
from smoothcert.lattice import IMAGE_STEP, Lattice
from smoothcert.sampling.chunks import chunk_size
from smoothcert.sampling.lattice_noise import draw
from smoothcert.sampling.noise import NoisyInput

TARGET = 0.9
SHAPES = ((3, 32, 32), (3, 224, 224))
LATTICES = ((IMAGE_STEP, 0.25), (IMAGE_STEP, 0.5), (IMAGE_STEP, 1.0), (1 / 32_768, 0.05))
_HELD_TO_TARGET = (IMAGE_STEP, 0.25)
_AT_ONCE = 2**22


def noise_speed(*, repeats: int, clock: Callable[[], float], device: str = "cpu") -> tuple[Table, list[Check]]:
    """Chunks drawn into kept memory, and the copies made of them, each beside floating point."""
    table = Table(
        "Noise on one core" if device == "cpu" else f"Noise on {device}",
        ("input", "noise", "drawn, ns", "x normal_", "95% interval", "added, ns", "x floating point"),
    )
    checks = []
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for shape in SHAPES:
            x = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0)).to(device) / 255
            sources = {"normal_": NoisyInput(x, sigma=0.25, seed=0, content_hash="")}
            for step, sigma in LATTICES:
                name = f"step 1/{1 / step:.0f}, sigma {sigma:g}"
                sources[name] = NoisyInput(x, sigma=sigma, seed=0, content_hash="", lattice=Lattice(step))
            drawn = take_turns({n: _drawing(s) for n, s in sources.items()}, repeats=repeats, clock=clock)
            added = take_turns({n: _adding(s) for n, s in sources.items()}, repeats=repeats, clock=clock)
            values = chunk_size(shape) * x.numel()
            for name in sources:
                times = 1 / ratio(drawn["normal_"], drawn[name])
                low, high = interval(drawn[name], drawn["normal_"])
                size = "x".join(map(str, shape))
                table.rows.append(
                    [
                        size,
                        name,
                        1e9 * statistics.median(drawn[name]) / values,
                        times,
                        f"{low:.2f} to {high:.2f}",
                        1e9 * statistics.median(added[name]) / values,
                        1 / ratio(added["normal_"], added[name]),
                    ]
                )
                if device == "cpu" and name == f"step 1/{1 / _HELD_TO_TARGET[0]:.0f}, sigma {_HELD_TO_TARGET[1]:g}":
                    what = f"noise of a {size} image at sigma 0.25: at most {TARGET:g} of the time of normal_"
                    checks.append(Check(what, times <= TARGET, f"{times:.2f} [{low:.2f}, {high:.2f}]"))
    finally:
        torch.set_num_threads(before)
    table.notes.append("Drawn: a chunk into memory that is kept. Added: the noisy copies made of it, as float32.")
    return table, checks


def _drawing(source: NoisyInput) -> Callable[[], object]:
    noise = torch.empty((source.chunk, *source.x.shape), dtype=source._noise.dtype, device=source.x.device)
    return lambda: _finished(source._noise.fill(noise, "pilot", 0), source)


def _adding(source: NoisyInput) -> Callable[[], object]:
    out = torch.empty((source.chunk, *source.x.shape), device=source.x.device)
    source.write(out, "pilot", 0)
    return lambda: _finished(source.write(out, "pilot", 0), source)


def _finished(_: None, source: NoisyInput) -> None:
    """Wait for the device."""
    if source.x.device.type == "cuda":
        torch.cuda.synchronize()


def noise_distribution(values: int) -> tuple[Table, list[Check]]:
    """Chi-square over all cells that expect ten draws, and the rest of each tail together."""
    table = Table(
        f"Distribution of {values:,} draws of lattice noise",
        ("step", "sigma", "cells", "groups", "chi-square", "p-value"),
    )
    checks = []
    for step, sigma in LATTICES[:3]:
        distribution = discrete_gaussian(step, sigma)
        statistic, groups = chi_square(distribution, values)
        p_value = float(chi2.sf(statistic, groups - 1))
        table.rows.append([f"1/{1 / step:.0f}", sigma, distribution.cells, groups, statistic, p_value])
        what = f"{values:,} draws at sigma {sigma:g} have the exact distribution (p above 0.001)"
        checks.append(Check(what, p_value > 1e-3, f"p = {p_value:.3f}"))
    return table, checks


def chi_square(distribution: DiscreteGaussian, values: int) -> tuple[float, int]:
    """The statistic and its number of groups."""
    counts = np.zeros(distribution.cells, dtype=np.int64)
    out = np.empty(_AT_ONCE, dtype=distribution.dtype)
    for key, start in enumerate(range(0, values, _AT_ONCE)):
        part = out[: min(_AT_ONCE, values - start)]
        draw(distribution.table, key, part)
        counts += np.bincount(part.astype(np.int64) + distribution.largest, minlength=distribution.cells)
    edges = np.array([0, *(int(t) for t in distribution.thresholds), 2**64], dtype=object)
    expected = values * np.diff(edges).astype(float) / 2**64
    group = np.floor(np.cumsum(expected) / 10.0).astype(np.int64)
    group = np.minimum(group, group.max() - 1)
    present, group = np.unique(group, return_inverse=True)
    found, wanted = (np.bincount(group, weights=w, minlength=len(present)) for w in (counts, expected))
    return float(np.sum((found - wanted) ** 2 / wanted)), len(present)
