"""All that needs a GPU, in about 25 minutes on one H100: networks at four sigma, their runs, ImageNet, the bench.

::

    python studies/gpu.py --runs runs/gpu --train-data parquet:TRAIN --test-data parquet:TEST \\
        --imagenet parquet:VAL --denoiser-weights ffdnet_color.safetensors

Every step goes on where it was stopped; what is trained or sampled already is not done again. Then, anywhere,
``studies/cifar10.py`` and ``studies/imagenet.py`` with the same ``--runs`` write their pages. ``--device cpu`` with a
small ``--config`` shows that it runs.
"""

import argparse
import json
import subprocess
import sys
import time

import cifar10
import imagenet
from steps import HERE, in_a_process

STEPS = ("train", "certify", "imagenet", "bench")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cifar10.add_arguments(parser)
    parser.set_defaults(device="cuda", backend="torch-compile", precision="bfloat16", at_once=4)
    parser.add_argument("--imagenet", help="validation images of ImageNet; none skips that step")
    imagenet.add_arguments(parser)
    parser.add_argument("--steps", default=",".join(STEPS), help="some of " + ", ".join(STEPS))
    options = parser.parse_args()
    config = json.loads(options.config.read_text())
    options.runs.mkdir(parents=True, exist_ok=True)
    for step in options.steps.split(","):
        began = time.monotonic()
        {"train": _train, "certify": _certify, "imagenet": _imagenet, "bench": _bench}[step](config, options)
        print(f"{step}: {time.monotonic() - began:.0f} s", flush=True)


def _train(config: dict, options: argparse.Namespace) -> None:
    cifar10.train(config, options)


def _certify(config: dict, options: argparse.Namespace) -> None:
    for command in cifar10.runs_to_make(config, options):
        in_a_process(*command)


def _imagenet(config: dict, options: argparse.Namespace) -> None:
    if options.imagenet:
        for command in imagenet.runs_to_make(options):
            in_a_process(*command)


def _bench(config: dict, options: argparse.Namespace) -> None:
    """ResNet-110 and ResNet-50 by precision and backend, and noise on the device; kept under ``bench/results``."""
    command = [sys.executable, "-m", "bench", "--only", "gpu", "--save"]
    subprocess.run(command, check=True, cwd=HERE.parent)


if __name__ == "__main__":
    main()
