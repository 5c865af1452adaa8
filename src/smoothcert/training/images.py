"""The training images: all of them in memory, as bytes, in an order and with crops that the seed fixes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from smoothcert.data import Dataset
from smoothcert.errors import DataError

_BORDER = 8  # the border random crops come from is an eighth of the side: 4 pixels of 32


@dataclass(frozen=True, eq=False)
class Images:
    """Decoded images and their labels.

    Args:
        pixels: Shape ``(count, C, H, W)``, uint8.
        labels: Shape ``(count,)``, int64.
    """

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> Images:
        """Return the images on ``device``.

        Raises:
            DataError: They do not fit into its memory.
        """
        try:
            return Images(self.pixels.to(device), self.labels.to(device))
        except torch.cuda.OutOfMemoryError as error:
            raise DataError(
                f"{_size(len(self), self.pixels[0].shape)} do not fit into the memory of {device}; take fewer, "
                "a smaller image_size, or another device"
            ) from error

    def spread(self, most: int) -> Images:
        """At most so many of the images, from all over: folders hold them class after class."""
        every = -(-len(self) // most)
        return Images(self.pixels[::every], self.labels[::every])

    def sha256(self) -> str:
        """Hash of the shape, every pixel and every label; hex."""
        digest = hashlib.sha256(repr(tuple(self.pixels.shape)).encode())
        for part in (self.pixels, self.labels):
            digest.update(part.cpu().contiguous().numpy().data)
        return digest.hexdigest()


def read_images(data: Dataset, positions: Sequence[int], *, shape: tuple[int, ...]) -> Images:
    """Decode the inputs of ``data`` at ``positions``.

    Args:
        data: The data set, with a label for each input.
        positions: Which of its inputs, at least one.
        shape: The shape ``(C, H, W)`` each must have.

    Raises:
        DataError: An image cannot be read or has another shape, or all together do not fit into memory.
    """
    labels = torch.tensor([data.label(position) for position in positions], dtype=torch.int64)
    try:
        pixels = torch.empty((len(positions), *shape), dtype=torch.uint8)
    except RuntimeError as error:
        raise DataError(
            f"{_size(len(positions), shape)} of {data.name} do not fit into memory, where training holds them all; "
            "take fewer, or a smaller image_size"
        ) from error
    for place, position in enumerate(positions):
        example = data.load(position)
        if example.x.shape != shape:
            raise DataError(
                f"{example.id} in {data.name} has shape {example.x.shape}, the first image {shape}; "
                "give image_size to crop all to one"
            )
        # Eight bits in, eight bits out: pixels were divided by 255 to become floats.
        pixels[place] = torch.from_numpy(np.rint(example.x * 255).astype(np.uint8))
    return Images(pixels, labels)


def crop_and_mirror(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Cut each image at random out of itself within a border of zeros, and mirror every other one at random.

    Args:
        pixels: Shape ``(batch, C, H, W)``.
        generator: Where the randomness comes from; on the device of the pixels.

    Returns:
        The same shape and type, channels last in memory.
    """
    batch, _, height, width = pixels.shape
    device = pixels.device
    border = (max(1, height // _BORDER), max(1, width // _BORDER))
    padded = torch.nn.functional.pad(pixels, (border[1], border[1], border[0], border[0]))
    tops, lefts = (
        torch.randint(2 * side + 1, (batch, 1), generator=generator, device=device) + torch.arange(size, device=device)
        for side, size in zip(border, (height, width), strict=True)
    )
    mirrored = torch.rand(batch, 1, generator=generator, device=device) < 0.5
    columns = torch.where(mirrored, lefts.flip(1), lefts)
    chosen = torch.arange(batch, device=device)[:, None, None]
    return padded[chosen, :, tops[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _size(count: int, shape: Sequence[int]) -> str:
    return f"{count:,} images of {'x'.join(map(str, shape))} ({count * np.prod(shape) / 1e9:,.1f} GB)"
