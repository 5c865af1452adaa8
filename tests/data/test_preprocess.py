from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from smoothcert.data.preprocess import Preprocess
from smoothcert.errors import DataError, InvalidArgumentError
from torchvision_ops import import_torchvision


@pytest.fixture(scope="module")
def torchvision():
    return import_torchvision()


def encoded(image, kind="PNG"):
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def random_image(height, width, mode="RGB"):
    pixels = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize("shape", [(40, 60), (61, 33), (32, 32), (20, 25), (151, 149), (24, 200)])
@pytest.mark.parametrize(("resize", "crop"), [(32, 28), (37, 32), (24, 24)])
def test_resize_and_crop_equal_torchvision(torchvision, shape, resize, crop):
    from torchvision import transforms

    image = random_image(*shape)
    steps = [transforms.Resize(resize), transforms.CenterCrop(crop), transforms.ToTensor()]
    expected = transforms.Compose(steps)(image).numpy()
    got = Preprocess(image_size=crop, resize=resize)(encoded(image), name="image")
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("interpolation", ["nearest", "bicubic", "lanczos"])
def test_other_filters_equal_torchvision(torchvision, interpolation):
    from torchvision import transforms

    image = random_image(61, 53)
    mode = transforms.InterpolationMode(interpolation)
    steps = [transforms.Resize(37, interpolation=mode), transforms.CenterCrop(32), transforms.ToTensor()]
    expected = transforms.Compose(steps)(image).numpy()
    got = Preprocess(image_size=32, resize=37, interpolation=interpolation)(encoded(image), name="image")
    np.testing.assert_array_equal(got, expected)
    assert not np.array_equal(got, Preprocess(image_size=32, resize=37)(encoded(image), name="image"))


def test_without_sizes_pixels_are_divided_by_255_and_nothing_else():
    image = random_image(5, 7)
    got = Preprocess()(encoded(image), name="image")
    assert got.flags.c_contiguous
    np.testing.assert_array_equal(got, np.asarray(image, dtype=np.float32).transpose(2, 0, 1) / np.float32(255))


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (10, 12), (24, 32), (7, 300)])
@pytest.mark.parametrize("crop", [24, (24, 32), (32, 24)])
def test_crop_alone_is_just_covered(shape, crop):
    preprocess = Preprocess(image_size=crop)
    assert preprocess(encoded(random_image(*shape)), name="image").shape == (3, *preprocess.crop)


def test_crop_alone_leaves_an_image_of_its_size_untouched():
    image = random_image(8, 8)
    np.testing.assert_array_equal(
        Preprocess(image_size=8)(encoded(image), name="i"), Preprocess()(encoded(image), name="i")
    )


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK"])
def test_every_mode_becomes_rgb(mode):
    kind = "TIFF" if mode == "CMYK" else "PNG"
    image = random_image(6, 6).convert(mode)
    got = Preprocess()(encoded(image, kind), name="image")
    assert got.shape == (3, 6, 6)
    np.testing.assert_array_equal(
        got, np.asarray(image.convert("RGB"), np.float32).transpose(2, 0, 1) / np.float32(255)
    )


def test_sixteen_bits_keep_their_brightness():
    levels = np.array([[0, 128, 129], [40_000, 65_406, 65_535]], dtype=np.uint16)
    got = Preprocess(channels=1)(encoded(Image.fromarray(levels)), name="deep.png")
    np.testing.assert_array_equal(np.rint(got[0] * 255), [[0, 0, 1], [156, 254, 255]])


@pytest.mark.parametrize(
    "broken", [b"", b"no image", encoded(random_image(64, 64))[:800], encoded(random_image(64, 64), "JPEG")[:600]]
)
def test_unreadable_image_is_named(broken):
    with pytest.raises(DataError, match=r"image folder/broken\.png cannot be read: \S"):
        Preprocess()(broken, name="folder/broken.png")


def test_image_smaller_than_the_crop_is_named():
    with pytest.raises(DataError, match=r"thin\.png is 32x32 when scaled, less than the crop of \(24, 40\)"):
        Preprocess(image_size=(24, 40), resize=32)(encoded(random_image(32, 32)), name="thin.png")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 0}, "image_size must be an integer, at least 1; got 0"),
        ({"image_size": (8, -1)}, "image_size must be an integer, at least 1; got -1"),
        ({"resize": 0}, "resize must be an integer, at least 1; got 0"),
        ({"interpolation": "cubic"}, "interpolation must be one of .*bicubic.*got 'cubic'"),
        ({"image_size": 224, "resize": 200}, "resize.*at least image_size 224; got 200"),
    ],
)
def test_bad_sizes(arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        Preprocess(**arguments)
