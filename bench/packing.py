"""What packing samples of many inputs into full batches gains over one input at a time, at small n.

Both rows run in one process and take turns, so that a busy machine slows them alike::

    python bench/packing.py --model digits --inputs 64
    python bench/packing.py --model resnet20 --inputs 16 --n 100,300,1000 --repeats 2
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from smoothcert.data import load_data
from smoothcert.models import load_model
from smoothcert.models.cifar import CIFAR_MEAN, CIFAR_STD, CifarResNet
from smoothcert.models.normalize import normalized
from smoothcert.sampling import Sampler

N0 = 100


def build(name: str, inputs: int) -> tuple[nn.Module, list[Tensor]]:
    """A network with inputs for it; the weights of resnet20 are random, which does not change the time."""
    if name == "digits":
        data = load_data("digits", split="test", limit=inputs)
        return load_model("digits"), [torch.from_numpy(data.load(at).x) for at in range(len(data))]
    return normalized(CifarResNet(20, width=20), CIFAR_MEAN, CIFAR_STD).eval(), list(torch.rand(inputs, 3, 32, 32))


def seconds_of(run: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    run()
    return clock() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=["digits", "resnet20"], default="digits")
    parser.add_argument("--inputs", type=int, default=64)
    parser.add_argument("--n", default="100,300,1000,2000", help="estimation samples an input; the pilot has 100")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--cpu-time", action="store_true", help="for a shared machine; with --threads 1")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    module, inputs = build(args.model, args.inputs)
    sampler = Sampler(module, sigma=0.25, num_classes=10, device=args.device)
    sampler.sample(inputs[0], n0=N0, n=N0, seed=0)
    print(f"{args.model} on {args.device}, {len(inputs)} inputs, {args.threads} threads, {args.repeats} repeats")
    for n in map(int, args.n.split(",")):

        def alone(n: int = n) -> None:
            for x in inputs:
                sampler.sample(x, n0=N0, n=n, seed=0)

        def packed(n: int = n) -> None:
            for _ in sampler.run(sampler.sampling(x, n0=N0, n=n, seed=0) for x in inputs):
                pass

        clock = time.process_time if args.cpu_time else time.perf_counter
        pairs = [(seconds_of(alone, clock), seconds_of(packed, clock)) for _ in range(args.repeats)]
        samples = len(inputs) * (N0 + n)
        one, many = (samples / statistics.median(own) for own in zip(*pairs, strict=True))
        gain = statistics.median(a / p for a, p in pairs)
        print(f"  n {n:6}   one at a time {one:10,.0f} samples/s   packed {many:10,.0f} samples/s   {gain:5.2f} times")


if __name__ == "__main__":
    main()
