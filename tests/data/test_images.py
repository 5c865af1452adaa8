"""Every real image, as a person would see it."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from smoothcert.data import load_data
from smoothcert.data.images import FORMATS, MAX_PIXELS
from smoothcert.data.preprocess import Preprocess
from smoothcert.errors import DataError, InvalidArgumentError

COLOUR = (10, 20, 30)
PLAIN = Image.new("RGB", (4, 4), COLOUR)
HALF_RED = Image.new("RGBA", (4, 4), (255, 0, 0, 128))


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(width, height, depth, kind, rows):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def first_pixel(image, channels=3):
    x = Preprocess(channels=channels)(image, name="image")
    return np.rint(x[:, 0, 0] * 255).astype(int).tolist()


def levels(*values, kind=np.uint16):
    return Image.fromarray(np.full((2, 2), values[0], dtype=kind))


SEEN = [
    ("transparent", encoded(HALF_RED), [255, 127, 127], {"transparency laid on white"}),
    ("WebP", encoded(HALF_RED, "WEBP", lossless=True), [255, 127, 127], {"transparency laid on white"}),
    ("transparent grey", encoded(Image.new("LA", (4, 4), (0, 0))), [255] * 3, {"transparency", "grey repeated"}),
    ("palette", encoded(PLAIN.quantize(4)), list(COLOUR), set()),
    ("transparent palette", encoded(PLAIN.quantize(4), transparency=0), [255] * 3, {"transparency laid"}),
    ("transparent colour", encoded(PLAIN, transparency=COLOUR), [255] * 3, {"transparency laid"}),
    ("CMYK JPEG", encoded(PLAIN.convert("CMYK"), "JPEG", quality=100), list(COLOUR), {"CMYK converted"}),
    ("CMYK TIFF", encoded(PLAIN.convert("CMYK"), "TIFF"), list(COLOUR), {"CMYK converted"}),
    ("black and white", encoded(Image.new("1", (4, 4), 1)), [255] * 3, {"grey repeated"}),
    ("16 bits", encoded(levels(40_000)), [156] * 3, {"more than 8 bits", "grey repeated"}),
    ("16 bits TIFF", encoded(levels(40_000), "TIFF"), [156] * 3, {"more than 8 bits", "grey repeated"}),
    ("16 bits PGM", b"P5 1 1 65535\n" + struct.pack(">H", 40_000), [156] * 3, {"more than 8 bits", "grey repeated"}),
    ("10 bits PGM", b"P5 1 1 1023\n" + struct.pack(">H", 1023), [255] * 3, {"more than 8 bits", "grey repeated"}),
    ("16 bits colour", png(1, 1, 16, 2, b"\0" + struct.pack(">3H", 40_000, 0, 65_535)), [156, 0, 255], {"more than 8"}),
    *(
        (
            f"several frames {kind}",
            encoded(PLAIN, kind, save_all=True, append_images=[Image.new("RGB", (4, 4), "white")], **options),
            list(COLOUR),
            {"only the first of several frames"},
        )
        for kind, options in (("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {}))
    ),
]


@pytest.mark.parametrize(("image", "pixel", "said"), [case[1:] for case in SEEN], ids=[case[0] for case in SEEN])
def test_what_a_person_sees_and_what_is_said_of_it(image, pixel, said):
    assert first_pixel(image) == pixel
    phrases = Preprocess().conversions(image)
    assert len(phrases) == len(said)
    assert all(any(phrase.startswith(start) for phrase in phrases) for start in said)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_orientation_is_applied(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:8, :12] = 200
    image = encoded(Image.fromarray(pixels), kind, exif=exif, **({"quality": 100} if kind != "PNG" else {}))
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(image))).convert("RGB"))
    got = Preprocess()(image, name="image")
    np.testing.assert_array_equal(np.rint(got * 255), expected.transpose(2, 0, 1))
    assert bool(Preprocess().conversions(image)) == (orientation > 1)


def test_a_damaged_exif_block_leaves_the_image_as_it_is_stored():
    image = encoded(Image.new("L", (4, 4), 9), "JPEG", exif=b"Exif\0\0garbage")
    assert first_pixel(image) == [9, 9, 9]


@pytest.mark.parametrize(("channels", "said"), [(1, {"colours made grey"}), (3, set())])
def test_colour_for_a_grey_model(channels, said):
    assert Preprocess(channels=channels)(encoded(PLAIN), name="image").shape == (channels, 4, 4)
    assert Preprocess(channels=channels).conversions(encoded(PLAIN)) == said
    assert first_pixel(encoded(PLAIN), channels=1) == [18]  # ITU-R 601


@pytest.mark.parametrize("channels", [0, 2, 4, True, "3"])
def test_other_channels_are_refused(channels):
    with pytest.raises(InvalidArgumentError, match="channels must be 1, for grey images, or 3"):
        Preprocess(channels=channels)


@pytest.mark.parametrize("mode", ["RGB", "LA", "P", "CMYK", "1"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos", "nearest"])
def test_every_value_is_on_the_lattice_whatever_is_done_to_the_image(mode, interpolation):
    pixels = np.random.default_rng(0).integers(0, 256, (31, 37, 3), dtype=np.uint8)
    image = encoded(Image.fromarray(pixels).convert(mode), "TIFF" if mode == "CMYK" else "PNG")
    preprocess = Preprocess(image_size=17, resize=23, interpolation=interpolation)
    x = preprocess(image, name="image")
    lattice = np.arange(256, dtype=np.float32) / np.float32(255)
    assert np.isin(x, lattice).all()
    assert (lattice == (np.arange(256) * preprocess.lattice).astype(np.float32)).all()


@pytest.mark.parametrize(
    "image",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n",
        b"%PDF-1.4\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        encoded(PLAIN, "ICO"),
        encoded(PLAIN, "PDF"),
        encoded(PLAIN, "EPS"),
        encoded(PLAIN, "TGA"),
    ],
)
def test_other_formats_are_refused_whatever_the_file_is_called(image, tmp_path, monkeypatch):
    import subprocess

    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: pytest.fail("a program was started"))
    (tmp_path / "cat.png").write_bytes(image)
    data = load_data(f"imagefolder:{tmp_path}")
    with pytest.raises(DataError, match=r"cat\.png cannot be read: it is none of " + ", ".join(FORMATS)):
        data.load(0)
    assert len(data.fingerprint) == 64


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("kind", FORMATS)
def test_truncated_images_are_refused(kind, share):
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    image = encoded(Image.fromarray(pixels), kind)
    with pytest.raises(DataError, match="image x cannot be read: "):
        Preprocess()(image[: int(len(image) * share)], name="x")


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (12_000, 12_000), (70_000, 1), (2**31 - 1, 1)])
def test_size_is_checked_before_memory_is_asked_for(width, height):
    assert width * height > MAX_PIXELS or max(width, height) > 2**16
    with pytest.raises(DataError, match=r"must have at most 134,217,728 pixels|exceeds limit"):
        Preprocess()(png(width, height, 8, 0, b"\0"), name="bomb")


@pytest.mark.parametrize("image", [levels(0.5, kind=np.float32), levels(40_000, kind=np.int32)])
def test_values_whose_white_is_not_known_are_refused(image):
    with pytest.raises(DataError, match="must have 8 or 16 bits a channel; it has 32"):
        Preprocess()(encoded(image, "TIFF"), name="deep")


def test_notes_count_conversions_among_the_chosen(tmp_path):
    for number, image in enumerate([HALF_RED, PLAIN, HALF_RED, Image.new("L", (4, 4))]):
        (tmp_path / f"{number}.png").write_bytes(encoded(image))
    assert load_data(f"imagefolder:{tmp_path}").notes == (
        "1 of 4 images: grey repeated in three channels",
        "2 of 4 images: transparency laid on white",
    )
    assert load_data(f"imagefolder:{tmp_path}", limit=2).notes == ("1 of 2 images: transparency laid on white",)
