"""An encoded image to 8-bit pixels, as a person would see it."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from smoothcert.data.paths import read_bytes
from smoothcert.errors import DataError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""What is decoded, whatever a file is called; others, such as PostScript, would start other programs."""
SUFFIXES = frozenset({".apng", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm"})
SUFFIXES |= {".ppm", ".tif", ".tiff", ".webp"}
MAX_PIXELS, MAX_SIDE = 2**27, 2**16
"""The most pixels an image may have, in all and along a side; more are refused before memory is asked for."""

CONVERSIONS = {
    "deep": "more than 8 bits a channel reduced to 8",
    "cmyk": "CMYK converted to RGB without its colour profile",
    "alpha": "transparency laid on white",
    "turned": "turned upright as the EXIF orientation says",
    "frames": "only the first of several frames used",
    "grey": "grey repeated in three channels",
    "colour": "colours made grey",
}
"""What may be done to an image, as it is said of some images."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112
_GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N")
_ALPHA_MODES = ("RGBA", "RGBa", "LA", "La", "PA")


def decode(image: bytes | Path | Image.Image, *, name: str, channels: int) -> Image.Image:
    """Decode an image: its first frame, upright, transparency laid on white, 8 bits a channel.

    Args:
        image: The encoded image, the file that holds it, or a decoded one.
        name: What an error calls it.
        channels: 3 for colours, 1 for grey.

    Raises:
        DataError: It is none of the known formats, damaged, too large, or has values whose white is not known.
    """
    with _opened(image, name) as found:
        found.load()
        turn = _TURNS.get(_orientation(found))
        eight = _flat(_eight_bits(found, name)).convert("RGB" if channels == 3 else "L")
        return eight if turn is None else eight.transpose(turn)


def conversions(image: bytes | Path | Image.Image, *, channels: int) -> frozenset[str]:
    """Return which of ``CONVERSIONS`` an image goes through, from its header; none if it is damaged."""
    if isinstance(image, Path):
        image = read_bytes(image, name=f"image {image}")
    try:
        with _opened(image, "") as found:
            kinds = {
                "deep": found.mode.startswith("I") or _is_deep(found, image),
                "cmyk": found.mode == "CMYK",
                "alpha": found.mode in _ALPHA_MODES or "transparency" in found.info,
                "turned": _may_be_turned(found, image) and _orientation(found) in _TURNS,
                "frames": bool(getattr(found, "is_animated", False)),
                "grey": channels == 3 and found.mode in _GREY_MODES,
                "colour": channels == 1 and found.mode not in _GREY_MODES,
            }
    except Exception:  # reading it will say why
        return frozenset()
    return frozenset(kind for kind, applies in kinds.items() if applies)


@contextmanager
def _opened(image: bytes | Path | Image.Image, name: str) -> Iterator[Image.Image]:
    """Open an image; whatever goes wrong while it is open is said of it."""
    if isinstance(image, Image.Image):
        yield image
        return
    encoded = read_bytes(image, name=f"image {name}") if isinstance(image, Path) else image
    try:
        with warnings.catch_warnings():
            # Pillow's own limit is lower, and warns only; damaged EXIF blocks of readable images warn as well.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(encoded), formats=FORMATS) as found:
                if found.width * found.height > MAX_PIXELS or max(found.size) > MAX_SIDE:
                    raise DataError(
                        f"image {name} must have at most {MAX_PIXELS:,} pixels, and {MAX_SIDE:,} along a side; it has "
                        f"{found.width}x{found.height}"
                    )
                yield found
    except DataError:
        raise
    except UnidentifiedImageError as error:
        what = "it is empty" if not encoded else f"it is none of {', '.join(FORMATS)}"
        raise DataError(f"image {name} cannot be read: {what}") from error
    except Exception as error:  # Pillow's decoders raise many kinds on broken files
        reason = str(error) or type(error).__name__
        raise DataError(f"image {name} cannot be read: {reason}") from error


def _eight_bits(image: Image.Image, name: str) -> Image.Image:
    if image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM")):
        raise DataError(
            f"image {name} must have 8 or 16 bits a channel; it has 32, and which value is white is not known"
        )
    if not image.mode.startswith("I"):
        return image
    levels = np.asarray(image).astype(np.int64)
    return Image.fromarray(((np.clip(levels, 0, 65535) + 128) // 257).astype(np.uint8))


def _flat(image: Image.Image) -> Image.Image:
    """The image without transparency: what it shows on white."""
    if image.mode not in _ALPHA_MODES and "transparency" not in image.info:
        return image
    if image.mode == "RGBa":
        rgba = image.convert("RGBA")
    else:
        rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a damaged block: viewers show the image as it is stored
        return 1


def _may_be_turned(image: Image.Image, encoded: object) -> bool:
    """Whether to look for an orientation; in a PNG it can come last, and looking for it decodes the whole image."""
    return image.format != "PNG" or not isinstance(encoded, bytes) or b"eXIf" in encoded or "exif" in image.info


def _is_deep(image: Image.Image, encoded: object) -> bool:
    """Whether this has colours of 16 bits a channel, of which Pillow keeps the upper 8."""
    if image.format == "PNG" and isinstance(encoded, bytes):
        return encoded[24:25] == b"\x10"
    bits = getattr(image, "tag_v2", {}).get(258, (8,))
    return bool(max(bits if isinstance(bits, tuple) else (bits,)) > 8)
