"""Train FFDNet at half size, and then the classifier behind it, towards the scores of the clean picture.

::

    python studies/finetune.py --photos FOLDER --denoiser-weights ffdnet_color.safetensors --out tuned

The stability objective of Salman et al. (2020), https://arxiv.org/abs/2003.01908: photographs without labels, and what
the untouched EfficientNet-Lite0 says of each. First the denoiser alone, before the classifier as it is; then both. No
picture that is certified may be among the photographs. One pair serves both noise levels. It goes on where it was
stopped, and writes ``denoiser.safetensors``, ``denoiser_both.safetensors`` and ``classifier_both.safetensors``.
"""

import argparse
import copy
import random
import time
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite0 import classifier
from half_size_ffdnet import HalfSizeFFDNet
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import interpolate, kl_div

from smoothcert.backends.fold import fold_batch_norms

SIGMAS = (0.25, 0.25, 0.5)
SIZE, BATCH = 224, 16
ZOOM = (0.6, 1.0)
"""Side of a crop, as a share of the shorter side of its photograph."""
SIDES = (256, 512)
"""Photographs are scaled to these shorter sides, where they are larger."""
FIRST = 1 / 3
"""Share of the steps in which the denoiser alone learns."""
RATES = {"denoiser": 2e-4, "classifier": 1e-4}
AVERAGED = 0.998
"""How slowly the weights that are saved follow those that learn."""


class Pair(nn.Module):
    """What learns: a denoiser and a classifier."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        self.denoiser = HalfSizeFFDNet(SIGMAS[0])
        self.denoiser.load_state_dict(load_file(weights))
        self.classifier = classifier().eval()  # the statistics of its batch norms stay


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, nargs="+", help="a folder may be given several times")
    parser.add_argument("--denoiser-weights", type=Path, required=True, help="FFDNet for colour images")
    parser.add_argument("--out", type=Path, required=True, help="folder of the weights")
    parser.add_argument("--steps", type=int, default=1_800, help="over all starts")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="of the denoiser")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options)


def train(options: argparse.Namespace) -> None:
    """Take the steps that are left."""
    options.out.mkdir(parents=True, exist_ok=True)
    state_file = options.out / "state.pt"
    pair = Pair(options.denoiser_weights).to(memory_format=torch.channels_last)
    teacher = fold_batch_norms(classifier().eval()).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW([{"params": getattr(pair, name).parameters(), "name": name} for name in RATES])
    averaged, done, seconds = copy.deepcopy(pair.state_dict()), 0, 0.0
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        pair.load_state_dict(state["pair"])
        optimizer.load_state_dict(state["optimizer"])
        averaged, done, seconds = state["averaged"], state["done"], state["seconds"]
    photos = [read(folder) for folder in options.photos]
    print([len(folder) for folder in photos], f"pictures; {done} steps done", flush=True)
    alone, losses, saved = round(FIRST * options.steps), [], time.monotonic()
    for step in range(done, options.steps):
        both = step >= alone
        share = (step - alone) / (options.steps - alone) if both else step / alone
        pair.classifier.requires_grad_(both)
        for group in optimizer.param_groups:
            group["lr"] = RATES[group["name"]] * (1 - 0.98 * share) * min(1.0, share * 50 + 0.02)
        optimizer.zero_grad()
        loss = divergence(pair, teacher, crops(photos), bfloat16=options.precision == "bfloat16")
        loss.backward()
        nn.utils.clip_grad_norm_(pair.parameters(), 5.0)
        optimizer.step()
        with torch.no_grad():
            for name, value in pair.state_dict().items():
                if value.is_floating_point():
                    averaged[name].lerp_(value, 1 - min(AVERAGED, 0.9 + step / 1e4))
        losses.append(loss.item())
        now = time.monotonic()
        if step + 1 in (alone, options.steps) or now - saved > 60:
            seconds += now - saved
            print(
                f"{step + 1} steps, {seconds / 60:.1f} min, divergence {np.mean(losses):.4f}, both {both}", flush=True
            )
            keep(options.out, averaged, both)
            state = {"pair": pair.state_dict(), "optimizer": optimizer.state_dict(), "averaged": averaged}
            torch.save({**state, "done": step + 1, "seconds": seconds}, state_file.with_suffix(".partial"))
            state_file.with_suffix(".partial").replace(state_file)
            losses, saved = [], now


def divergence(pair: Pair, teacher: nn.Module, clean: Tensor, *, bfloat16: bool) -> Tensor:
    """From the scores of clean pictures to those of denoised ones, mean of the batch, nats."""
    sigma = torch.tensor(random.choices(SIGMAS, k=len(clean)))[:, None, None, None]
    with torch.no_grad():
        wanted = teacher(clean).softmax(1)
    pair.denoiser.sigma = sigma / 2.0  # the 2x2 averages carry half the noise
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        denoised = pair.denoiser(clean + sigma * torch.randn_like(clean))
    return kl_div(pair.classifier(denoised.float()).log_softmax(1), wanted, reduction="batchmean")


def keep(out: Path, averaged: dict[str, Tensor], both: bool) -> None:
    """Write the weights of the stage that is going on."""
    for part in ("denoiser", "classifier") if both else ("denoiser",):
        file = out / f"{part}{'_both' if both else ''}.safetensors"
        prefix = f"{part}."
        kept = {name: value.contiguous() for name, value in averaged.items() if name.startswith(prefix)}
        save_file({name.removeprefix(prefix): value for name, value in kept.items()}, file)


def read(folder: Path) -> list[np.ndarray]:
    """Every picture of a folder, at each of the sizes it is large enough for."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in {".jpg", ".jpeg", ".png", ".webp"}:
            continue
        image = Image.open(path).convert("RGB")
        shorter = min(image.size)
        for side in [side for side in SIDES if side <= shorter] or [shorter]:
            size = tuple(round(length * side / shorter) for length in image.size)
            found.append(np.asarray(image.resize(size, Image.Resampling.LANCZOS)))
    return found


def crops(photos: list[list[np.ndarray]]) -> Tensor:
    """Random crops in [0, 1], half of them mirrored, half of them mixed with another."""
    batch = torch.stack([crop(random.choice(random.choice(photos))) for _ in range(BATCH)])
    share = torch.tensor([random.random() if random.random() < 0.5 else 1.0 for _ in range(BATCH)])[:, None, None, None]
    return (share * batch + (1 - share) * batch.roll(1, 0)).contiguous(memory_format=torch.channels_last)


def crop(image: np.ndarray) -> Tensor:
    """A square of a picture, shape ``(3, SIZE, SIZE)``."""
    side = round(min(image.shape[:2]) * random.uniform(*ZOOM))
    top, left = (random.randrange(length - side + 1) for length in image.shape[:2])
    square = torch.from_numpy(image[top : top + side, left : left + side].copy()).permute(2, 0, 1).float() / 255
    scaled = interpolate(square[None], size=(SIZE, SIZE), mode="bilinear", antialias=True)[0]
    return scaled.flip(2) if random.random() < 0.5 else scaled


if __name__ == "__main__":
    main()
