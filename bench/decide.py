"""One question over real CIFAR-10 test images, each stopped as soon as it is settled, against 100,000 samples an image.

python bench/decide.py --images 30
python bench/decide.py --images 200 --stride 50 --backend onnxruntime --full 2      # two images in full, for the time
python bench/decide.py --images 500 --stride 10 --question margin:0@0.25 --device cuda
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch

import smoothcert
from smoothcert.backends import BACKENDS, with_backend
from smoothcert.data import load_data
from smoothcert.decision import DEFAULT_MAX_N, DEFAULT_N0, Question
from smoothcert.models import load_model
from smoothcert.sampling import Sampler
from smoothcert.stopping import UntilDecided

SHARED = Path(__file__).resolve().parents[2] / "shared"
IMAGES = SHARED / "data" / "cifar10" / "test.parquet"
WEIGHTS = SHARED / "models" / "cifar10_resnet20_sigma0.25.safetensors"
PUBLISHED = 100_000  # samples an image in Cohen et al. and Kumar et al.
ANSWERS = ("certified", "refuted", "undecided")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--question", default="score:0.5@0.25")
    parser.add_argument("--images", type=int, default=30)
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("--sigma", type=float, default=0.25)
    parser.add_argument("--n0", type=int, default=DEFAULT_N0)
    parser.add_argument("--max-n", type=int, default=DEFAULT_MAX_N)
    parser.add_argument("--alpha", type=float, default=0.001)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--backend", choices=BACKENDS, default="torch")
    parser.add_argument("--full", type=int, default=0, metavar="K", help="sample K of the images 100,000 times as well")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    if not (IMAGES.is_file() and WEIGHTS.is_file()):
        sys.exit(f"skipped: needs {IMAGES.name} and {WEIGHTS.name} beside the project (../shared), which are not here")
    torch.set_num_threads(args.threads)
    smoothcert.keep_freed_memory()

    data = load_data(f"parquet:{IMAGES}", limit=args.images, stride=args.stride)
    module = load_model("cifar:resnet20", weights=WEIGHTS)
    model = with_backend(module, args.backend, example_shape=(3, 32, 32), device=args.device)
    sampler = Sampler(model, sigma=args.sigma, num_classes=10, device=args.device, batch_size=args.batch_size)
    until = UntilDecided(question=Question.parse(args.question), n0=args.n0, max_n=args.max_n, alpha=args.alpha)
    sampler.sample(data.load(0).x, n0=1, n=1, seed=1)  # finds the batch size
    start = time.perf_counter()
    jobs = (until.answer(sampler, data.load(at).x, seed=0) for at in range(len(data)))
    decisions = dict(sampler.run(jobs))
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    for at in range(args.full):
        sampler.sample(data.load(at).x, n0=args.n0, n=PUBLISHED, seed=0)
    in_full = (time.perf_counter() - start) / max(args.full, 1)

    samples = np.array([decisions[at].samples for at in range(len(data))])
    right = [d.answer == "certified" and d.prediction == data.label(at) for at, d in decisions.items()]
    shares = ", ".join(f"{a} {np.mean([d.answer == a for d in decisions.values()]):.1%}" for a in ANSWERS)
    print(f"{until.question} on {len(data)} CIFAR-10 test images, sigma {args.sigma:g}, {args.backend}, {args.device}")
    print(f"  answers       {shares}; right and certified {np.mean(right):.1%}")
    deciles = ", ".join(f"{value:,.0f}" for value in np.percentile(samples, [10, 50, 90, 100]))
    print(f"  samples       mean {samples.mean():,.0f}; 10%, 50%, 90%, most: {deciles}")
    print(f"  ratio         {PUBLISHED / samples.mean():,.1f} times fewer than {PUBLISHED:,}")
    print(f"  wall time     {seconds:.1f} s, {samples.sum() / seconds:,.0f} samples/s")
    if args.full:
        times = in_full * len(data) / seconds
        print(f"  in full       {in_full:.1f} s an image, {times:,.1f} times as long as a decision ({args.full} timed)")


if __name__ == "__main__":
    main()
