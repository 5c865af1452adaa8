"""How time and memory grow: with n, the size of the image, the number of classes and of inputs."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

import torch

from bench import memory
from bench.contenders import ART, SIGMA, Contender, Round, Stand, sampler_contender, unavailable
from bench.networks import build
from bench.rounds import ratio, take_turns
from bench.table import Cell, Table
from bench.targets import Check
from smoothcert.sampling import Sampler
from smoothcert.sampling.chunks import chunk_size

Clock = Callable[[], float]
MEMORY_SLACK = 1.1  # peak memory at the largest n over that at the smallest, at most


def with_n(counts: Sequence[int], *, repeats: int, clock: Clock) -> tuple[Table, list[Check]]:
    """Time against n, beside ART, on the small bundled network: the fewest forward passes to hide behind."""
    table = Table(
        "Time against n (digits network, 8x8)",
        ("n0 + n", "smoothcert, s", "microseconds a sample", "ART, s", "x ART"),
    )
    checks = []
    for count in counts:
        stand = Stand(build("digits"), Round(n0=count // 10, n=count - count // 10, batch_size=1024))
        own, art = sampler_contender(stand.network, "torch", "float32", "cpu"), Contender(ART)
        rows = {c.label: stand.round(c) for c in (own, art) if not unavailable(c)}
        seconds = take_turns(rows, repeats=repeats, clock=clock)
        mine = statistics.median(seconds[own.label])
        cells: list[Cell] = [count, mine, 1e6 * mine / count]
        name = f"digits network, n0 + n = {count:,}: never slower than ART at equal n"
        if art.label in seconds:
            times = ratio(seconds[art.label], seconds[own.label])
            cells += [statistics.median(seconds[art.label]), times]
            checks.append(Check(name, times >= 1.0, f"{times:.2f} times as fast"))
        else:
            cells += [None, None]
            checks.append(Check(name, None, str(unavailable(art))))
        table.rows.append(cells)
    return table, checks


def with_image_size(sides: Sequence[int], *, samples: int, repeats: int, clock: Clock) -> Table:
    """Time against the side of the image, and what the sampler costs beyond the bare loop."""
    table = Table("Time against the size of the image (ResNet-20)", _beside_bare_columns("side, pixels"))
    for side in sides:
        # Whole chunks of noise, as nearly all of a real n are.
        size = Round(n0=chunk_size((3, side, side)), n=samples, batch_size=max(8, min(256, 2**20 // (3 * side * side))))
        table.rows.append(_beside_bare(side, Stand(build("resnet20", side=side), size), repeats, clock))
    return table


def with_classes(classes: Sequence[int], *, samples: int, repeats: int, clock: Clock) -> Table:
    """Time against the number of classes: softmax, votes and checks look at every one of them."""
    table = Table("Time against the number of classes (ResNet-20, 32x32)", _beside_bare_columns("classes"))
    for count in classes:
        size = Round(n0=samples // 2, n=samples - samples // 2, batch_size=min(256, samples // 2))
        table.rows.append(_beside_bare(count, Stand(build("resnet20", num_classes=count), size), repeats, clock))
    return table


def with_inputs(inputs: Sequence[int], *, n: int, repeats: int, clock: Clock) -> Table:
    """Time against the number of inputs at a small n, one after the other and in shared batches."""
    table = Table(
        f"Time against the number of inputs (digits network, n0 + n = {n})",
        ("inputs", "one by one, ms an input", "shared batches, ms an input", "x one by one"),
    )
    network = build("digits")
    sampler = Sampler(network.module, sigma=SIGMA, num_classes=network.num_classes)
    n0 = n // 4
    for count in inputs:
        images = torch.rand((count, *network.shape), generator=torch.Generator().manual_seed(0))

        def alone(images: torch.Tensor = images) -> None:
            for image in images:
                sampler.sample(image, n0=n0, n=n - n0, seed=0)

        def together(images: torch.Tensor = images) -> None:
            for _ in sampler.run(sampler.sampling(image, n0=n0, n=n - n0, seed=0) for image in images):
                pass

        seconds = take_turns({"alone": alone, "together": together}, repeats=repeats, clock=clock)
        each = {name: 1e3 * statistics.median(own) / count for name, own in seconds.items()}
        gain = ratio(seconds["alone"], seconds["together"])
        table.rows.append([count, each["alone"], each["together"], gain])
    return table


def with_batch_size(
    sizes: Sequence[int], backends: Sequence[str], *, samples: int, repeats: int, clock: Clock
) -> Table:
    """Throughput against the batch size, by backend; each column relative to its best."""
    backends = [backend for backend in backends if not unavailable(Contender("sampler", backend))]
    table = Table("Throughput against the batch size (ResNet-20, 32x32), best of a column = 1", ("batch", *backends))
    network = build("resnet20")
    stands = {size: Stand(network, Round(n0=samples // 2, n=samples - samples // 2, batch_size=size)) for size in sizes}
    columns = []
    for backend in backends:
        classifier = stands[sizes[0]].classifier(backend, "float32")
        for stand in stands.values():
            stand.share(backend, "float32", classifier)
        contender = sampler_contender(network, backend, "float32", "cpu")
        runs = {str(size): stand.round(contender) for size, stand in stands.items()}
        seconds = take_turns(runs, repeats=repeats, clock=clock)
        best = min(statistics.median(own) for own in seconds.values())
        columns.append([best / statistics.median(own) for own in seconds.values()])
    table.rows = [[size, *cells] for size, *cells in zip(sizes, *columns, strict=True)]
    return table


def memory_with_n(counts: Sequence[int], *, threads: int) -> tuple[Table, list[Check]]:
    """Peak memory against n: of the whole process, with Python and its libraries."""
    table = Table(
        "Peak memory against n (linear classifier, 32x32, batches of 256)", ("n0 + n", "smoothcert, MB", "ART, MB")
    )
    art = Contender(ART)
    for count in counts:
        size = Round(n0=count // 10, n=count - count // 10, batch_size=256)
        cells: list[Cell] = [count, memory.peak("linear", Contender("sampler"), size, threads=threads)]
        cells.append(None if unavailable(art) else memory.peak("linear", art, size, threads=threads))
        table.rows.append(cells)
    table.notes.append("ART holds all noisy copies at once.")
    peaks = [row[1] for row in table.rows]
    name = "peak memory independent of n"
    if any(not isinstance(value, float) for value in peaks):
        return table, [Check(name, None, "not measured: a row failed")]
    times = max(peaks) / min(peaks)  # type: ignore[type-var]
    return table, [Check(name, times <= MEMORY_SLACK, f"{times:.2f} times from {counts[0]:,} to {counts[-1]:,}")]


def _beside_bare_columns(what: str) -> tuple[str, ...]:
    return (what, "ms a sample", "x own bare loop")


def _beside_bare(what: int, stand: Stand, repeats: int, clock: Clock) -> list[Cell]:
    own = sampler_contender(stand.network, "torch", "float32", "cpu")
    seconds = take_turns({c.label: stand.round(c) for c in (own, own.counterpart)}, repeats=repeats, clock=clock)
    mine = seconds[own.label]
    return [what, 1e3 * statistics.median(mine) / stand.size.samples, ratio(seconds[own.counterpart.label], mine)]
