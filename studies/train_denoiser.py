"""Train the small denoiser for a frozen ImageNet classifier on photographs without labels.

::

    python studies/train_denoiser.py --photos FOLDER --out denoiser.safetensors --minutes 60

First towards the clean pixels, on small crops, then towards the class scores that the classifier gives the clean
picture: the stability objective of Salman et al. (2020), https://arxiv.org/abs/2003.01908. One network serves both
noise levels. The photographs need not be the classifier's: none that is certified may be among them. It goes on where
it was stopped.
"""

import argparse
import random
import time
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite0 import classifier
from PIL import Image
from safetensors.torch import save_file
from small_denoiser import SmallDenoiser
from torch import Tensor
from torch.nn.functional import kl_div

from smoothcert.backends.fold import fold_batch_norms

SIGMAS = (0.25, 0.25, 0.5)
SIDES = (240, 420, 800)
"""Photographs are scaled to these shorter sides, where they are larger."""
PIXELS = {"crop": 64, "batch": 64, "rate": 2e-3}
SCORES = {"crop": 160, "batch": 16, "rate": 3e-4}
PIXEL_SHARE = 0.35
"""Fraction of the time that is spent on the first objective."""
PIXEL_WEIGHT = 10.0
"""Weight of the squared error of pixels beside the divergence of scores."""
AVERAGED = 0.998


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, nargs="+", help="folders; each is taken as often")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60, help="of processor time, over all starts")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options)


def train(options: argparse.Namespace) -> None:
    """Take steps until the time is over, and save the averaged weights."""
    state_file = options.out.with_suffix(".state")
    network = SmallDenoiser().to(memory_format=torch.channels_last)
    averaged = {name: value.detach().clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.AdamW(network.parameters(), lr=PIXELS["rate"], weight_decay=1e-4)
    spent, steps = 0.0, 0
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        averaged, spent, steps = state["averaged"], state["spent"], state["steps"]
    photos = [read(folder) for folder in options.photos]
    print([len(folder) for folder in photos], f"pictures; {spent / 60:.1f} minutes spent", flush=True)
    judge = fold_batch_norms(classifier().eval()).to(memory_format=torch.channels_last)
    for parameter in judge.parameters():
        parameter.requires_grad_(False)
    whole, losses, saved = options.minutes * 60, [], time.monotonic()
    while spent < whole:
        began = time.process_time()
        scores = spent > PIXEL_SHARE * whole
        settings = SCORES if scores else PIXELS
        share = (spent / whole - PIXEL_SHARE) / (1 - PIXEL_SHARE) if scores else spent / whole / PIXEL_SHARE
        for group in optimizer.param_groups:
            group["lr"] = settings["rate"] * (1 - 0.97 * share) * min(1.0, 0.01 + steps / 300)
        optimizer.zero_grad()
        loss = step(network, judge if scores else None, crops(photos, settings["crop"], settings["batch"]))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        with torch.no_grad():
            for name, value in network.state_dict().items():
                averaged[name].lerp_(value, 1 - min(AVERAGED, 0.9 + steps / 1e4))
        losses.append(loss.item())
        steps += 1
        spent += time.process_time() - began
        if time.monotonic() - saved > 60 or spent >= whole:
            print(f"{spent / 60:.1f} min, {steps} steps, loss {np.mean(losses):.4f}, scores {scores}", flush=True)
            state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "averaged": averaged}
            partial = state_file.with_suffix(".partial")
            torch.save({**state, "spent": spent, "steps": steps}, partial)
            partial.replace(state_file)
            save_file({name: value.contiguous() for name, value in averaged.items()}, options.out)
            losses, saved = [], time.monotonic()


def step(network: SmallDenoiser, judge: torch.nn.Module | None, clean: Tensor) -> Tensor:
    """The loss of one batch: squared error alone, or with the divergence from the scores of the clean pictures."""
    sigma = torch.tensor(random.choices(SIGMAS, k=len(clean)))
    noisy = clean + sigma[:, None, None, None] * torch.randn_like(clean)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        network.sigma = sigma
        denoised = network(noisy)
        error = (denoised.float() - clean).square().mean()
        if judge is None:
            return 100 * error
        with torch.no_grad():
            wanted = judge(clean).float().softmax(1)
        found = judge(denoised).float().log_softmax(1)
    return kl_div(found, wanted, reduction="batchmean") + PIXEL_WEIGHT * error


def read(folder: Path) -> list[np.ndarray]:
    """Every picture of a folder, at each of the sizes it is large enough for."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in {".jpg", ".jpeg", ".png", ".webp"}:
            continue
        image = Image.open(path).convert("RGB")
        shorter = min(image.size)
        for side in [side for side in SIDES if side <= shorter] or [max(shorter, SCORES["crop"])]:
            size = tuple(max(SCORES["crop"], round(length * side / shorter)) for length in image.size)
            found.append(np.asarray(image.resize(size, Image.Resampling.LANCZOS)))
    return found


def crops(photos: list[list[np.ndarray]], size: int, count: int) -> Tensor:
    """Random crops in [0, 1], half of them mirrored."""
    batch = []
    for _ in range(count):
        image = random.choice(random.choice(photos))
        top, left = (random.randrange(length - size + 1) for length in image.shape[:2])
        crop = image[top : top + size, left : left + size]
        batch.append(crop[:, ::-1] if random.random() < 0.5 else crop)
    array = np.ascontiguousarray(np.stack(batch).transpose(0, 3, 1, 2))
    return (torch.from_numpy(array).float() / 255).contiguous(memory_format=torch.channels_last)


if __name__ == "__main__":
    main()
