"""Train the bundled digits classifier under Gaussian noise: half a minute on one core.

    python scripts/train_digits.py [--out FILE]

Trains on the training split of ``digits`` only, 1,197 images by other writers than the 600 test images. Each
image is turned, scaled and shifted a little and then given fresh noise (Cohen et al. 2019,
https://arxiv.org/abs/1902.02918). On one platform and PyTorch version, the same seed gives the same file.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from smoothcert.data import load_data
from smoothcert.models.digits import DIGITS_WEIGHTS, DigitsNet

SIGMA = 0.25
SEED = 0
EPOCHS = 200
BATCH_SIZE = 100
LEARNING_RATE = 6e-3
WEIGHT_DECAY = 1e-2
ROTATION, SCALE, SHIFT = 0.2, 0.15, 0.2  # radians; fraction of the size; fraction of half the width
NOISY_DRAWS = 50
DEFAULT_OUT = Path(__file__).parents[1] / "src/smoothcert/models/assets" / DIGITS_WEIGHTS


def tensors(split: str) -> tuple[Tensor, Tensor]:
    """Return all images ``(n, 1, 8, 8)`` and labels ``(n,)`` of a split."""
    data = load_data("digits", split=split)
    examples = [data.load(position) for position in range(len(data))]
    return torch.from_numpy(np.stack([e.x for e in examples])), torch.tensor([e.label for e in examples])


def jitter(x: Tensor) -> Tensor:
    """Turn, scale and shift each image by its own small random amounts."""

    def uniform(*shape: int) -> Tensor:
        return 2 * torch.rand(*shape) - 1

    angle, scale = ROTATION * uniform(len(x)), 1 + SCALE * uniform(len(x))
    cos, sin = angle.cos() * scale, angle.sin() * scale
    matrix = torch.stack([cos, -sin, sin, cos], dim=1).reshape(-1, 2, 2)
    theta = torch.cat([matrix, SHIFT * uniform(len(x), 2, 1)], dim=2)
    grid = nn.functional.affine_grid(theta, list(x.shape), align_corners=False)
    return nn.functional.grid_sample(x, grid, align_corners=False)


def train(images: Tensor, labels: Tensor) -> DigitsNet:
    """Train from scratch and return the network in eval mode."""
    torch.manual_seed(SEED)
    net = DigitsNet()
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=WEIGHT_DECAY)
    batches = len(images) // BATCH_SIZE
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=EPOCHS * batches)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(images))[: batches * BATCH_SIZE].view(batches, BATCH_SIZE):
            x = jitter(images[chosen])
            loss = nn.functional.cross_entropy(net(x + SIGMA * torch.randn_like(x)), labels[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return net.eval()


@torch.inference_mode()
def accuracy(net: DigitsNet, images: Tensor, labels: Tensor, *, sigma: float, draws: int = 1) -> float:
    """Return the fraction of right answers over ``draws`` noise draws an image."""
    noisy = (images + sigma * torch.randn_like(images) for _ in range(draws))
    return float(np.mean([(net(x).argmax(1) == labels).double().mean().item() for x in noisy]))


def write(out: Path, net: DigitsNet, metadata: dict[str, str]) -> None:
    """Write the weights with a sorted header; safetensors alone orders metadata at random."""
    content = save({key: tensor.contiguous() for key, tensor in net.state_dict().items()}, metadata)
    size = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + size]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + size :])


def main() -> None:
    """Train, measure on the test split, write the weights and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="safetensors file to write")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    net = train(*tensors("train"))
    images, labels = tensors("test")
    clean = accuracy(net, images, labels, sigma=0.0)
    noisy = accuracy(net, images, labels, sigma=SIGMA, draws=NOISY_DRAWS)
    metadata = {
        "architecture": "smoothcert.models.digits.DigitsNet",
        "data": "scikit-learn digits, images 0 to 1196",
        "sigma": str(SIGMA),
        "seed": str(SEED),
        "recipe": (
            f"Gaussian augmentation; AdamW, one cycle to {LEARNING_RATE}, weight decay {WEIGHT_DECAY}, "
            f"{EPOCHS} epochs, batches of {BATCH_SIZE}; rotation {ROTATION} rad, scale {SCALE}, shift {SHIFT}"
        ),
        "test_data": "scikit-learn digits, images 1197 to 1796",
        "test_accuracy_clean": f"{clean:.4f}",
        "test_accuracy_noisy": f"{noisy:.4f}",
        "torch": torch.__version__,
    }
    write(out, net, metadata)
    print(f"accuracy on {len(labels)} test images: {clean:.4f} clean, {noisy:.4f} under noise of sigma {SIGMA}")
    print(f"wrote {out} ({out.stat().st_size:,} bytes)")


if __name__ == "__main__":
    main()
