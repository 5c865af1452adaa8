"""An encoded image to a float array: decoded, scaled, cropped, in ``[0, 1]``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from smoothcert._check import check_choice, check_count
from smoothcert.data.images import CONVERSIONS, SUFFIXES, conversions, decode
from smoothcert.errors import DataError, InvalidArgumentError

BILINEAR = "bilinear"
INTERPOLATIONS: tuple[str, ...] = tuple(known.name.lower() for known in Image.Resampling)
"""The filters an image can be scaled with, all antialiased except ``nearest``."""


MOST_PIXELS = 2**14
"""Of a side: an image of more would take gigabytes."""


@dataclass(frozen=True)
class Preprocess:
    """Scale the shorter side, crop the centre, divide by 255: the usual evaluation transform, by Pillow.

    Scaling truncates the longer side, as in torchvision. It is done in 8 bits, so that every value that comes out is
    one of ``k / 255`` in float32. Before, images become what a person sees: upright, transparency on white, 8 bits a
    channel, in colour or in grey.

    Args:
        image_size: Side of the square crop in pixels, or its ``(height, width)``; None crops nothing.
        resize: Shorter side before the crop, in pixels; None scales just enough to cover the crop, and
            nothing where there is no crop.
        interpolation: The filter it is scaled with, one of ``INTERPOLATIONS``.
        channels: 3 for colour, 1 for grey.

    Raises:
        InvalidArgumentError: A size is not a positive integer, the crop is larger than the shorter side, the filter is
            unknown, or there are to be other than 1 or 3 channels.
    """

    image_size: int | tuple[int, int] | None = None
    resize: int | None = None
    interpolation: str = BILINEAR
    channels: int = 3

    what = "image"
    suffixes = SUFFIXES
    lattice = 1 / 255
    input_range = (0.0, 1.0)

    def __post_init__(self) -> None:
        check_choice("interpolation", self.interpolation, INTERPOLATIONS)
        if self.channels not in (1, 3) or isinstance(self.channels, bool):
            raise InvalidArgumentError(f"channels must be 1, for grey images, or 3, for colour; got {self.channels!r}")
        for side in self.crop or ():
            check_count("image_size", side, at_most=MOST_PIXELS)
        if self.resize is not None:
            check_count("resize", self.resize, at_most=MOST_PIXELS)
            if self.crop is not None and min(self.crop) > self.resize:
                raise InvalidArgumentError(
                    f"resize, the side before the crop, must be at least image_size {min(self.crop)}; got {self.resize}"
                )

    @property
    def crop(self) -> tuple[int, int] | None:
        """Height and width of the crop."""
        return (self.image_size, self.image_size) if isinstance(self.image_size, int) else self.image_size

    def __call__(self, image: bytes | Path | Image.Image, *, name: str) -> npt.NDArray[np.float32]:
        """Decode and transform an image.

        Args:
            image: The encoded image, the file that holds it, or a decoded one.
            name: What an error calls it.

        Returns:
            Shape ``(channels, H, W)``, float32 in ``[0, 1]``.

        Raises:
            DataError: The image cannot be read, or is smaller than the crop after scaling.
        """
        eight = self._crop(self._scale(decode(image, name=name, channels=self.channels)), name)
        pixels = np.asarray(eight, dtype=np.float32).reshape(eight.height, eight.width, self.channels)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)) / np.float32(255)

    def begin(self, image: bytes | Path | Image.Image) -> bool:
        """Return True: one image does not depend on another."""
        return True

    def conversions(self, image: bytes | Path | Image.Image) -> frozenset[str]:
        """Return what is done to an image beside scaling, a phrase each; none if it cannot be read."""
        return frozenset(CONVERSIONS[kind] for kind in conversions(image, channels=self.channels))

    def _scale(self, image: Image.Image) -> Image.Image:
        width, height = image.size
        if self.resize is not None:
            target, side = self.resize, min(width, height)
        elif self.crop is not None:
            # The side that needs the larger factor, compared without dividing.
            tall = self.crop[0] * width >= self.crop[1] * height
            target, side = (self.crop[0], height) if tall else (self.crop[1], width)
        else:
            return image
        if target == side:
            return image
        size = (width * target // side, height * target // side)
        return image.resize((max(size[0], 1), max(size[1], 1)), Image.Resampling[self.interpolation.upper()])

    def _crop(self, image: Image.Image, name: str) -> Image.Image:
        if self.crop is None:
            return image
        height, width = self.crop
        if image.height < height or image.width < width:
            raise DataError(
                f"image {name} is {image.height}x{image.width} when scaled, less than the crop of {self.crop}"
            )
        top, left = round((image.height - height) / 2), round((image.width - width) / 2)
        return image.crop((left, top, left + width, top + height))
