"""Denoisers before one ImageNet classifier: accuracy under one noise draw for each image, and what a pass costs.

::

    python studies/denoisers.py --data imagefolder:val --ffdnet ffdnet_color.safetensors --small denoiser.safetensors

Writes ``results/imagenet/denoisers.csv``. Costs are in processor seconds, which other programs hardly change.
"""

import argparse
import time
from pathlib import Path

import torch
from steps import HERE, RESULTS, write_csv

from smoothcert import load_data
from smoothcert.analysis import proportion
from smoothcert.backends import with_backend
from smoothcert.models import resolve_model
from smoothcert.models.denoised import behind_denoiser

SIZE = 224
HEADER = ("sigma", "denoiser", "images", "accuracy", "ci_low", "ci_high", "images_a_second_eager", "images_a_second")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="images that no denoiser was trained on")
    parser.add_argument("--limit", type=int, help="the first so many images")
    parser.add_argument("--ffdnet", type=Path, required=True)
    parser.add_argument("--small", type=Path, help="weights by train_denoiser.py")
    parser.add_argument("--backend", default="onnxruntime", help="what runs denoiser and classifier, as one graph")
    parser.add_argument("--out", type=Path, default=RESULTS / "imagenet")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = load_data(options.data, image_size=SIZE, limit=options.limit)
    model = resolve_model(f"python:{HERE / 'efficientnet_lite0.py'}:classifier")
    rows = []
    for sigma in (0.25, 0.5):
        for title, denoiser, weights in known(sigma, options):
            both = model if denoiser is None else behind_denoiser(model, denoiser, sigma=sigma, weights=weights)
            fast = with_backend(both.module, options.backend, example_shape=(3, SIZE, SIZE), num_threads=1)
            with torch.inference_mode():
                right, seconds = one_draw(fast, data, sigma)
                eager = cost(both.module)
            share = proportion(right, inputs=len(data))
            rows.append(
                [sigma, title, len(data), share.value, share.ci_low, share.ci_high, 1 / eager, len(data) / seconds]
            )
            print(*rows[-1], flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    write_csv(options.out / "denoisers.csv", HEADER, rows)


def known(sigma: float, options: argparse.Namespace) -> list[tuple[str, str | None, Path | None]]:
    """Denoisers for a noise level: title, name and weights."""
    found: list[tuple[str, str | None, Path | None]] = [("none", None, None)]
    if sigma <= 75 / 255:
        found.append(("FFDNet", "ffdnet", options.ffdnet))
    found.append(("FFDNet at half size", f"python:{HERE / 'half_size_ffdnet.py'}:denoiser", options.ffdnet))
    if options.small is not None:
        found.append(("small", f"python:{HERE / 'small_denoiser.py'}:denoiser", options.small))
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


if __name__ == "__main__":
    main()
