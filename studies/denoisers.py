"""Denoisers before one ImageNet classifier: accuracy under one noise draw for each image, and what a pass costs.

::

    python studies/denoisers.py --data imagefolder:val --ffdnet ffdnet_color.safetensors --tuned tuned.safetensors

Writes ``results/imagenet/denoisers.md``. Costs are in processor seconds, which other programs hardly change.
"""

import argparse
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from steps import HERE, RESULTS, between, fraction, markdown, write_csv

from smoothcert import load_data
from smoothcert.analysis import proportion
from smoothcert.backends import with_backend
from smoothcert.backends.runtimes import has_bfloat16
from smoothcert.models import resolve_model
from smoothcert.models.denoised import behind_denoiser

SIZE, BATCH = 224, 8
CLASSIFIER = f"python:{HERE / 'efficientnet_lite0.py'}:classifier"
HALF_SIZE = f"python:{HERE / 'half_size_ffdnet.py'}:denoiser"
HEADER = ("sigma", "denoiser", "images", "accuracy", "ci_low", "ci_high", "eager", "onnxruntime", "openvino_bfloat16")


class Known(NamedTuple):
    """A denoiser, if any, and how much noise it is for."""

    title: str
    denoiser: str | None = None
    weights: Path | None = None
    highest_sigma: float = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="images that nothing was trained on")
    parser.add_argument("--stride", type=int, default=1, help="every so many-th image")
    parser.add_argument("--ffdnet", type=Path, required=True)
    parser.add_argument("--tuned", type=Path, help="weights by tune_denoiser.py")
    parser.add_argument("--out", type=Path, default=RESULTS / "imagenet")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = load_data(options.data, image_size=SIZE, stride=options.stride)
    rows = []
    for sigma in (0.25, 0.5):
        for title, denoiser, weights, highest_sigma in known(options):
            if sigma > highest_sigma:
                continue
            model = resolve_model(CLASSIFIER)
            if denoiser is not None:
                model = behind_denoiser(model, denoiser, sigma=sigma, weights=weights)
            make = partial(with_backend, model.module, example_shape=(3, SIZE, SIZE), num_threads=1)
            fast = make("onnxruntime")
            with torch.inference_mode():
                right = one_draw(fast, data, sigma)
                speeds = [speed(model.module), speed(fast)]
                if has_bfloat16():
                    speeds.append(speed(make("openvino", precision="bfloat16")))
            share = proportion(right, inputs=len(data))
            rows.append([sigma, title, len(data), share.value, share.ci_low, share.ci_high, *speeds])
            print(*rows[-1], flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    write_csv(options.out / "denoisers.csv", HEADER, rows)
    (options.out / "denoisers.md").write_text(page(rows), encoding="utf-8")


def known(options: argparse.Namespace) -> list[Known]:
    """What is compared."""
    found = [
        Known("none"),
        Known("FFDNet", "ffdnet", options.ffdnet, highest_sigma=75 / 255),
        Known("FFDNet at half size", HALF_SIZE, options.ffdnet),
    ]
    if options.tuned:
        found.append(Known("FFDNet at half size, tuned", HALF_SIZE, options.tuned))
    return found


def one_draw(run, data, sigma: float) -> int:
    """Images right under noise that is the same for every denoiser."""
    right = 0
    for position in range(len(data)):
        item = data.load(position)
        generator = torch.Generator().manual_seed(position)
        noisy = torch.as_tensor(item.x) + sigma * torch.randn(item.x.shape, generator=generator)
        right += int(run(noisy[None]).argmax()) == item.label
    return right


def speed(run, repeats: int = 5) -> float:
    """Images in a second of the processor, the most of a few batches."""
    batch, least = torch.rand(BATCH, 3, SIZE, SIZE), float("inf")
    for _ in range(repeats):
        began = time.process_time()
        run(batch)
        least = min(least, time.process_time() - began)
    return len(batch) / least


def page(rows: list[list]) -> str:
    """The table for people."""
    lines = [
        [f"{sigma:g}", title, fraction(value), between(low, high), *(f"{speed:.1f}" for speed in speeds)]
        for sigma, title, _, value, low, high, *speeds in rows
    ]
    header = ["sigma", "denoiser", "accuracy under one draw", "95% interval", "PyTorch", "ONNX Runtime"]
    header += ["OpenVINO, bfloat16"] * (len(lines[0]) - len(header))
    return f"""# ImageNet: which denoiser

Written by `studies/denoisers.py`: {rows[0][2]} images that nothing was trained on, one noise draw for each,
the same for all. Then passes through denoiser and classifier in a second of one processor core, in batches of {BATCH}.

{markdown(header, lines)}"""


if __name__ == "__main__":
    main()
