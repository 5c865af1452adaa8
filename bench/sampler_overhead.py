"""What sampling costs beyond the forward passes: its throughput against a bare loop over ready-made batches.

All rows run in one process and take turns, so that a busy machine slows them alike; a ratio is the median
over the repeats of two runs made next to each other. Weights are random: they do not change the time::

    python bench/sampler_overhead.py --model resnet20 --batch-size 256 --batches 8 --repeats 5 --threads 2
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from smoothcert.models.cifar import CIFAR_MEAN, CIFAR_STD, CifarResNet
from smoothcert.models.normalize import normalized
from smoothcert.sampling import Sampler

BARE = "bare loop, contiguous"
BARE_CHANNELS_LAST = "bare loop, channels-last"
SAMPLER = "smoothcert sampler"


def build(name: str) -> tuple[nn.Module, tuple[int, ...], int]:
    """A network with its input shape and number of classes."""
    if name == "resnet20":
        return normalized(CifarResNet(20, width=20), CIFAR_MEAN, CIFAR_STD).eval(), (3, 32, 32), 10
    if name == "linear":
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval(), (1, 8, 8), 10
    import timm

    return timm.create_model(name, pretrained=False).eval(), (3, 224, 224), 1000


def bare_loop(module: nn.Module, batches: list[Tensor]) -> Callable[[], None]:
    @torch.inference_mode()
    def run() -> None:
        for batch in batches:
            out = module(batch)
        out.sum().item()  # waits for the device

    return run


def measure(rows: dict[str, Callable[[], object]], repeats: int, clock: Callable[[], float]) -> dict[str, list[float]]:
    """Seconds of every row, repeat by repeat, after a round that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    for repeat in range(repeats + 1):
        for name, run in rows.items():
            start = clock()
            run()
            if repeat:
                seconds[name].append(clock() - start)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet20", help="resnet20, linear, or the name of a timm model at 224")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--cpu-time", action="store_true", help="for a shared machine; with --threads 1")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    module, shape, num_classes = build(args.model)
    module.to(args.device)
    x = torch.rand(shape)
    ready = [(x + 0.25 * torch.randn(args.batch_size, *shape)).to(args.device) for _ in range(min(args.batches, 4))]
    loop = [ready[i % len(ready)] for i in range(args.batches)]
    loop_channels_last = [batch.contiguous(memory_format=torch.channels_last) for batch in ready]
    loop_channels_last = [loop_channels_last[i % len(ready)] for i in range(args.batches)]
    sampler = Sampler(module, sigma=0.25, num_classes=num_classes, batch_size=args.batch_size)
    n = args.batch_size * (args.batches - 1)
    seconds = measure(
        {
            BARE: bare_loop(module, loop),
            BARE_CHANNELS_LAST: bare_loop(module, loop_channels_last),
            SAMPLER: lambda: sampler.sample(x, n0=args.batch_size, n=n, seed=0),
        },
        args.repeats,
        time.process_time if args.cpu_time else time.perf_counter,
    )
    print(f"{args.model} on {args.device}, batch {args.batch_size}, {args.threads} threads, {args.repeats} repeats")
    for name, own in seconds.items():
        rate = args.batch_size * args.batches / statistics.median(own)
        ratios = [reference / mine for reference, mine in zip(seconds[BARE], own, strict=True)]
        same = [reference / mine for reference, mine in zip(seconds[BARE_CHANNELS_LAST], own, strict=True)]
        print(
            f"  {name:26} {rate:10.1f} samples/s   {statistics.median(ratios):6.1%} of contiguous   "
            f"{statistics.median(same):6.1%} of channels-last   ({min(same):.1%} to {max(same):.1%})"
        )


if __name__ == "__main__":
    main()
