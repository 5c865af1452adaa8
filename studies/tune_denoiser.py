"""Tune FFDNet at half size towards the scores that a frozen classifier gives the clean picture.

::

    python studies/tune_denoiser.py --photos FOLDER --denoiser-weights ffdnet_color.safetensors --out tuned.safetensors

The stability objective of Salman et al. (2020), https://arxiv.org/abs/2003.01908: photographs without labels, and what
EfficientNet-Lite0 says of each. No picture that is certified may be among the photographs. One denoiser serves both
noise levels. It goes on where it was stopped.
"""

import argparse
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
RATE = 2e-4
AVERAGED = 0.998
"""How slowly the weights that are saved follow those that learn."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, nargs="+", help="a folder may be given several times")
    parser.add_argument("--denoiser-weights", type=Path, required=True, help="FFDNet for colour images")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1_300, help="over all starts")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="of the denoiser")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options)


def train(options: argparse.Namespace) -> None:
    """Take the steps that are left."""
    state_file = options.out.with_suffix(".state")
    denoiser = HalfSizeFFDNet(SIGMAS[0])
    denoiser.load_state_dict(load_file(options.denoiser_weights))
    denoiser.to(memory_format=torch.channels_last)
    judge = fold_batch_norms(classifier().eval()).to(memory_format=torch.channels_last).requires_grad_(False)
    optimizer = torch.optim.AdamW(denoiser.parameters())
    averaged = {name: value.detach().clone() for name, value in denoiser.named_parameters()}
    done, seconds = 0, 0.0
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        denoiser.load_state_dict(state["denoiser"])
        optimizer.load_state_dict(state["optimizer"])
        averaged, done, seconds = state["averaged"], state["done"], state["seconds"]
    photos = [read(folder) for folder in options.photos]
    print([len(folder) for folder in photos], f"pictures; {done} steps done", flush=True)
    losses, saved = [], time.monotonic()
    for step in range(done, options.steps):
        share = step / options.steps
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - 0.98 * share) * min(1.0, share * 50 + 0.02)
        optimizer.zero_grad()
        loss = divergence(denoiser, judge, crops(photos), bfloat16=options.precision == "bfloat16")
        loss.backward()
        nn.utils.clip_grad_norm_(denoiser.parameters(), 5.0)
        optimizer.step()
        with torch.no_grad():
            for name, value in denoiser.named_parameters():
                averaged[name].lerp_(value, 1 - min(AVERAGED, 0.9 + step / 1e4))
        losses.append(loss.item())
        now = time.monotonic()
        if step + 1 == options.steps or now - saved > 60:
            seconds += now - saved
            print(f"{step + 1} steps, {seconds / 60:.1f} min, divergence {np.mean(losses):.4f}", flush=True)
            save_file({name: value.contiguous() for name, value in averaged.items()}, options.out)
            state = {"denoiser": denoiser.state_dict(), "optimizer": optimizer.state_dict(), "averaged": averaged}
            torch.save({**state, "done": step + 1, "seconds": seconds}, state_file.with_suffix(".partial"))
            state_file.with_suffix(".partial").replace(state_file)
            losses, saved = [], now


def divergence(denoiser: HalfSizeFFDNet, judge: nn.Module, clean: Tensor, *, bfloat16: bool) -> Tensor:
    """From the scores of clean pictures to those of denoised ones, mean of the batch, nats."""
    sigma = torch.tensor(random.choices(SIGMAS, k=len(clean)))[:, None, None, None]
    wanted = judge(clean).softmax(1)
    denoiser.sigma = sigma / 2.0  # the 2x2 averages carry half the noise
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        denoised = denoiser(clean + sigma * torch.randn_like(clean))
    return kl_div(judge(denoised.float()).log_softmax(1), wanted, reduction="batchmean")


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
