"""Denoisers before one ImageNet classifier: accuracy under one noise draw for each image, and what a pass costs.

::

    python studies/denoisers.py --data imagefolder:val --ffdnet ffdnet_color.safetensors --tuned tuned.safetensors

Writes ``results/imagenet/denoisers.md``. Costs are in processor seconds, which other programs hardly change.
"""

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import torch
from steps import HERE, RESULTS, between, fraction, markdown, write_csv

from smoothcert import load_data
from smoothcert.analysis import proportion
from smoothcert.backends import with_backend
from smoothcert.models import resolve_model
from smoothcert.models.denoised import behind_denoiser

SIZE = 224
CLASSIFIER = f"python:{HERE / 'efficientnet_lite0.py'}:classifier"
HALF_SIZE = f"python:{HERE / 'half_size_ffdnet.py'}:denoiser"
HEADER = ("sigma", "denoiser", "images", "accuracy", "ci_low", "ci_high", "images_a_second_eager", "images_a_second")


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
    parser.add_argument("--backend", default="onnxruntime", help="what runs denoiser and classifier, as one graph")
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
            fast = with_backend(model.module, options.backend, example_shape=(3, SIZE, SIZE), num_threads=1)
            with torch.inference_mode():
                right, seconds = one_draw(fast, data, sigma)
                eager = cost(model.module)
            share = proportion(right, inputs=len(data))
            numbers = (share.value, share.ci_low, share.ci_high, 1 / eager, len(data) / seconds)
            rows.append([sigma, title, len(data), *numbers])
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


def one_draw(run, data, sigma: float) -> tuple[int, float]:
    """Images right under noise that is the same for every denoiser, and processor seconds of the passes."""
    right, seconds = 0, 0.0
    for position in range(len(data)):
        item = data.load(position)
        generator = torch.Generator().manual_seed(position)
        noisy = torch.as_tensor(item.x) + sigma * torch.randn(item.x.shape, generator=generator)
        began = time.process_time()
        scores = run(noisy[None])
        seconds += time.process_time() - began
        right += int(scores.argmax()) == item.label
    return right, seconds


def cost(module: torch.nn.Module, repeats: int = 3) -> float:
    """Processor seconds for an image, eager, the least of a few."""
    batch, least = torch.rand(4, 3, SIZE, SIZE), float("inf")
    for _ in range(repeats):
        began = time.process_time()
        module(batch)
        least = min(least, time.process_time() - began)
    return least / len(batch)


def page(rows: list[list]) -> str:
    """The table for people."""
    lines = [
        [f"{sigma:g}", title, fraction(value), between(low, high), f"{eager:.1f}", f"{fast:.1f}"]
        for sigma, title, _, value, low, high, eager, fast in rows
    ]
    header = ["sigma", "denoiser", "accuracy under one draw", "95% interval"]
    header += ["images a second, PyTorch", "images a second, one ONNX graph"]
    return f"""# ImageNet: which denoiser

Written by `studies/denoisers.py`: {rows[0][2]} images that nothing was trained on, one noise draw for each,
the same for all. Costs are passes through denoiser and classifier in a second of one processor core, four images at
a time in PyTorch, one at a time in ONNX Runtime, float32.

{markdown(header, lines)}"""


if __name__ == "__main__":
    main()
