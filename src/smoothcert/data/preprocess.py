"""An encoded image to a float array: RGB, scaled, cropped, in ``[0, 1]``."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from smoothcert._check import check_choice, check_count
from smoothcert.errors import DataError, InvalidArgumentError

BILINEAR = "bilinear"
STEP = 1 / 255
"""Every value of a prepared image is one of ``k / 255`` in float32, ``k`` from 0 to 255: scaling is done in 8 bits."""

INTERPOLATIONS: tuple[str, ...] = tuple(known.name.lower() for known in Image.Resampling)
"""The filters an image can be scaled with, all antialiased except ``nearest``."""

_DEEP_MODES = ("I", "F")  # 16- and 32-bit greys, which Pillow's conversion to RGB would clip at 255


def content_hash(image: bytes | Path) -> str:
    """SHA-256 of an encoded image, or of the file that holds it; a ``DataError`` says why there is none."""
    if isinstance(image, bytes):
        return hashlib.sha256(image).hexdigest()
    try:
        with image.open("rb") as opened:
            digest = hashlib.sha256()
            while block := opened.read(2**20):
                digest.update(block)
    except OSError as error:
        raise DataError(f"image {image} cannot be read: {error}") from error
    return digest.hexdigest()


@dataclass(frozen=True)
class Preprocess:
    """Scale the shorter side, crop the centre, divide by 255: the usual evaluation transform, by Pillow.

    Scaling truncates the longer side, as in torchvision. Images of any other mode are converted to RGB, dropping
    transparency; orientation tags are not applied.

    Args:
        image_size: Side of the square crop in pixels, or its ``(height, width)``; None crops nothing.
        resize: Shorter side before the crop, in pixels; None scales just enough to cover the crop, and
            nothing where there is no crop.
        interpolation: The filter it is scaled with, one of ``INTERPOLATIONS``.

    Raises:
        InvalidArgumentError: A size is not a positive integer, the crop is larger than the shorter side, or
            the filter is unknown.
    """

    image_size: int | tuple[int, int] | None = None
    resize: int | None = None
    interpolation: str = BILINEAR

    def __post_init__(self) -> None:
        check_choice("interpolation", self.interpolation, INTERPOLATIONS)
        for side in self.crop or ():
            check_count("image_size", side)
        if self.resize is not None:
            check_count("resize", self.resize)
            if self.crop is not None and min(self.crop) > self.resize:
                raise InvalidArgumentError(
                    f"resize, the side before the crop, must be at least image_size {min(self.crop)}; got {self.resize}"
                )

    @property
    def crop(self) -> tuple[int, int] | None:
        """Height and width of the crop."""
        return (self.image_size, self.image_size) if isinstance(self.image_size, int) else self.image_size

    def __call__(self, image: bytes | Path, *, name: str) -> npt.NDArray[np.float32]:
        """Decode and transform an image.

        Args:
            image: The encoded image, or the file that holds it.
            name: What an error calls it.

        Returns:
            Shape ``(3, H, W)``, float32 in ``[0, 1]``.

        Raises:
            DataError: The image cannot be read, or is smaller than the crop after scaling.
        """
        try:
            with Image.open(io.BytesIO(image) if isinstance(image, bytes) else image) as opened:
                deep = opened.mode.startswith(_DEEP_MODES)
                rgb = opened.convert("RGB")
        except Exception as error:  # Pillow's decoders raise many kinds on broken files
            raise DataError(f"image {name} cannot be read: {error}") from error
        if deep:
            raise DataError(f"image {name} must have 8 bits a channel; it has more")
        pixels = np.asarray(self._crop(self._scale(rgb), name), dtype=np.float32)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)) / np.float32(255)

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
