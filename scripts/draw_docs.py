"""Draw the picture at the head of the docs: what noise and changes of a given L2 size do to an image of 32x32 pixels.

``python scripts/draw_docs.py`` writes ``docs/assets/sizes.png``. The image is drawn here, so that nothing is borrowed.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt

matplotlib.use("Agg")
import matplotlib.pyplot as plt

OUT = Path(__file__).resolve().parents[1] / "docs" / "assets" / "sizes.png"
SIDE, FINE = 32, 8  # pixels, and points drawn per pixel and axis
Image = npt.NDArray[np.float64]


def scene() -> Image:
    """A house on a hill under the sun, shape ``(32, 32, 3)``, in whole 255ths."""
    y, x = np.mgrid[0 : SIDE * FINE, 0 : SIDE * FINE] / FINE
    image = np.stack([0.45 + 0.010 * y, 0.68 + 0.006 * y, 0.95 - 0.002 * y], axis=-1)

    def paint(where: npt.NDArray[np.bool_], colour: tuple[float, float, float]) -> None:
        image[where] = colour

    paint((x - 25) ** 2 + (y - 7) ** 2 < 12, (1.0, 0.85, 0.30))
    paint(y > 21 + 2.5 * np.sin(x / 6 + 2), (0.33, 0.60, 0.27))
    paint((np.abs(x - 13) < 6) & (y > 14) & (y < 25), (0.86, 0.78, 0.66))
    paint((y > 8) & (y <= 14) & (np.abs(x - 13) < (y - 7) * 1.1), (0.66, 0.24, 0.20))
    paint((np.abs(x - 13) < 1.5) & (y > 19) & (y < 25), (0.38, 0.25, 0.18))
    paint((np.abs(np.abs(x - 13) - 4) < 1.2) & (y > 16) & (y < 18.5), (0.30, 0.45, 0.62))
    pixels = image.reshape(SIDE, FINE, SIDE, FINE, 3).mean(axis=(1, 3))
    return np.round(pixels * 255) / 255


def everywhere(size: float) -> Image:
    """A change of this L2 size, spread over all values."""
    direction = np.random.default_rng(0).standard_normal((SIDE, SIDE, 3))
    return size * direction / np.linalg.norm(direction)


def in_one_place(size: float) -> Image:
    """A change of this L2 size, spent on a square of four pixels that darkens."""
    change = np.zeros((SIDE, SIDE, 3))
    change[20:22, 20:22] = -1.0
    return size * change / np.linalg.norm(change)


def noise(sigma: float) -> Image:
    """Gaussian noise."""
    return sigma * np.random.default_rng(1).standard_normal((SIDE, SIDE, 3))


ROWS = (
    ("A change of L2 size R\nspread over the image", "R = {:g}", everywhere, (0.25, 0.5, 1.0, 2.0)),
    ("The same, spent on\nfour pixels", "R = {:g}", in_one_place, (0.25, 0.5, 1.0, 2.0)),
    ("Noise the classifier\naverages over", "sigma = {:g}", noise, (0.12, 0.25, 0.5, 1.0)),
)


def draw() -> None:
    """Write the picture."""
    image = scene()
    columns = 1 + len(ROWS[0][3])
    figure, axes = plt.subplots(len(ROWS), columns, figsize=(9.0, 5.7), facecolor="white")
    for row, (title, label, change, sizes) in zip(axes, ROWS, strict=True):
        row[0].imshow(image, interpolation="nearest")
        row[0].set_ylabel(title, rotation=0, ha="right", va="center", fontsize=10, labelpad=8)
        row[0].set_title("the image", fontsize=10)
        for axis, size in zip(row[1:], sizes, strict=True):
            axis.imshow(np.clip(image + change(size), 0, 1), interpolation="nearest")  # clipped to be shown only
            axis.set_title(label.format(size), fontsize=10)
        for axis in row:
            axis.set(xticks=[], yticks=[])
    figure.tight_layout()
    OUT.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(OUT, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    draw()
