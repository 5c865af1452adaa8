"""Images that noise does not hide: red ones and blue ones, 8x8, with a little texture each."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from smoothcert.progress import Reporter
from smoothcert.training import Recipe, Trained, train


def pixels(index: int, label: int, *, size: int = 8) -> np.ndarray:
    """An image (size, size, 3), uint8, of its own for each index; its class is the channel that is bright."""
    image = np.random.default_rng(index).integers(0, 90, (size, size, 3), dtype=np.uint8)
    image[..., 2 * label] += 150
    return image


def write_table(
    path: Path, *, count: int, first: int = 0, size: int = 8, classes: int = 2, labels: list[int | None] | None = None
) -> str:
    """A Parquet file of such images, classes in turns; returns its name as data."""
    labels = [index % classes for index in range(count)] if labels is None else labels
    cells = []
    for index in range(count):
        buffer = io.BytesIO()
        Image.fromarray(pixels(first + index, index % 2, size=size)).save(buffer, "PNG")
        cells.append({"bytes": buffer.getvalue(), "path": None})
    pq.write_table(pa.table({"image": cells, "label": pa.array(labels, pa.int64())}), path)
    return f"parquet:{path}"


def write_folder(path: Path, *, counts: dict[str, int]) -> str:
    """A folder for each class name, classes of even number red and others blue; returns its name as data."""
    for label, (name, count) in enumerate(counts.items()):
        (path / name).mkdir(parents=True)
        for index in range(count):
            Image.fromarray(pixels(1000 * label + index, label % 2)).save(path / name / f"{index:03}.png")
    return f"imagefolder:{path}"


def recipe(**changes: Any) -> Recipe:
    """A recipe that takes a second or less."""
    settings: dict[str, Any] = {"sigma": 0.25, "arch": "resnet8", "width": 4, "epochs": 2, "batch_size": 16}
    return Recipe(**(settings | changes))


def train_small(data: str, out: Path, *, changes: dict[str, Any] | None = None, **options: Any) -> Trained:
    """Train by that recipe on the CPU."""
    return train(data, recipe=recipe(**(changes or {})), out=out, device="cpu", **options)


class Listening(Reporter):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


class Interrupting(Listening):
    """Ctrl-C in place of the note that begins so."""

    def __init__(self, at: str) -> None:
        super().__init__()
        self.at = at

    def note(self, message: str) -> None:
        super().note(message)
        if message.startswith(self.at):
            raise KeyboardInterrupt
