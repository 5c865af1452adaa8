from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smoothcert.data import load_data
from smoothcert.errors import DataError
from smoothcert.training.accuracy import noisy_accuracy
from smoothcert.training.images import Images, crop_and_mirror, read_images
from smoothcert.training.streams import Purpose, stream

from .synthetic import pixels, write_folder, write_table


def windows(image: np.ndarray) -> dict[bytes, tuple[int, int, bool]]:
    """Every crop of an image (C, H, W) within its border of zeros, mirrored or not, by its bytes."""
    _, height, width = image.shape
    down, right = max(1, height // 8), max(1, width // 8)
    padded = np.pad(image, ((0, 0), (down, down), (right, right)))
    found = {}
    for top in range(2 * down + 1):
        for left in range(2 * right + 1):
            window = padded[:, top : top + height, left : left + width]
            found[window.tobytes()] = (top, left, False)
            found[window[:, :, ::-1].tobytes()] = (top, left, True)
    return found


@settings(max_examples=15, deadline=None)
@given(height=st.integers(8, 20), width=st.integers(8, 20), seed=st.integers(0, 2**32))
def test_every_crop_is_a_window_of_the_padded_image_mirrored_or_not(height, width, seed):
    images = torch.randint(1, 256, (6, 3, height, width), generator=torch.Generator().manual_seed(seed)).byte()
    cropped = crop_and_mirror(images, torch.Generator().manual_seed(seed + 1))
    assert (cropped.shape, cropped.dtype) == (images.shape, torch.uint8)
    for image, crop in zip(images.numpy(), cropped.numpy(), strict=True):
        assert crop.tobytes() in windows(image)


def test_all_crops_occur_about_as_often_and_half_are_mirrored():
    image = np.random.default_rng(0).integers(1, 256, (3, 8, 8), dtype=np.uint8)
    count = 3600
    cropped = crop_and_mirror(torch.tensor(image).repeat(count, 1, 1, 1), torch.Generator().manual_seed(0))
    known = windows(image)
    assert len(known) == 18
    seen = [known[crop.tobytes()] for crop in cropped.numpy()]
    for window in known.values():
        assert abs(seen.count(window) - count / 18) < 5 * (count / 18) ** 0.5


def test_crops_differ_between_images_and_follow_the_generator():
    image = torch.randint(1, 256, (1, 3, 16, 16), generator=torch.Generator().manual_seed(0)).byte()
    batch = image.repeat(32, 1, 1, 1)
    one, two, other = (crop_and_mirror(batch, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert len({crop.numpy().tobytes() for crop in one}) > 10
    assert one.is_contiguous(memory_format=torch.channels_last)


def test_images_are_read_as_the_bytes_they_were(tmp_path):
    data = load_data(write_table(tmp_path / "a.parquet", count=6))
    images = read_images(data, [4, 1], shape=(3, 8, 8))
    assert images.labels.tolist() == [0, 1]
    for place, index in enumerate((4, 1)):
        np.testing.assert_array_equal(images.pixels[place].permute(1, 2, 0), pixels(index, index % 2))


def test_the_hash_is_of_shape_pixels_and_labels(tmp_path):
    data = load_data(write_table(tmp_path / "a.parquet", count=4))
    images = read_images(data, range(4), shape=(3, 8, 8))
    stored = b"(4, 3, 8, 8)" + images.pixels.numpy().tobytes() + images.labels.numpy().tobytes()
    assert images.sha256() == hashlib.sha256(stored).hexdigest()
    relabelled = Images(images.pixels, 1 - images.labels)
    reshaped = Images(images.pixels.reshape(4, 3, 4, 16), images.labels)
    assert len({images.sha256(), relabelled.sha256(), reshaped.sha256()}) == 3


def test_an_image_of_another_shape_is_named(tmp_path):
    folder = write_folder(tmp_path / "images", counts={"blue": 2, "red": 2})
    from PIL import Image

    Image.new("RGB", (9, 8)).save(tmp_path / "images" / "red" / "001.png")
    with pytest.raises(DataError, match=r"red/001\.png .* shape \(3, 8, 9\), the first image \(3, 8, 8\); give image_"):
        read_images(load_data(folder), range(4), shape=(3, 8, 8))


def test_more_images_than_memory_holds_are_refused_with_their_size(tmp_path, monkeypatch):
    data = load_data(write_table(tmp_path / "a.parquet", count=3))

    def full(*shape, **options):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(torch, "empty", full)
    message = r"3 images of 3x224x224 \(0\.0 GB\) of parquet:.* do not fit into memory, .* smaller image_size"
    with pytest.raises(DataError, match=message):
        read_images(data, range(3), shape=(3, 224, 224))


def test_more_images_than_the_device_holds_are_refused_with_their_size():
    class Full(torch.Tensor):
        def to(self, *place):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    images = Images(torch.zeros(3, 3, 8, 8, dtype=torch.uint8).as_subclass(Full), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(DataError, match=r"3 images of 3x8x8 .* do not fit into the memory of cuda:0; take fewer"):
        images.to(torch.device("cuda:0"))


@pytest.mark.parametrize(("most", "kept"), [(10, range(10)), (5, range(0, 10, 2)), (4, range(0, 10, 3))])
def test_a_glance_is_spread_over_the_images(most, kept):
    labels = torch.arange(10)
    assert Images(labels, labels).spread(most).labels.tolist() == list(kept)


def test_noisy_accuracy_is_the_fraction_right_under_the_seeds_own_noise():
    generator = torch.Generator().manual_seed(3)
    images = Images(
        torch.randint(0, 256, (700, 3, 4, 4), generator=generator).byte(),
        torch.randint(0, 2, (700,), generator=generator),
    )

    class Brighter(torch.nn.Module):
        def forward(self, x):
            assert not self.training
            means = x.mean(dim=(2, 3))
            return means[:, :2]

    noise = stream(9, Purpose.TEST, 0, "cpu")
    right = 0
    for first in (0, 500):
        clean = (images.pixels[first : first + 500].float() / 255).contiguous(memory_format=torch.channels_last)
        noisy = clean + 0.5 * torch.empty_like(clean).normal_(generator=noise)
        means = noisy.double().mean(dim=(2, 3))
        right += int(((means[:, 1] > means[:, 0]).long() == images.labels[first : first + 500]).sum())
    model = Brighter().train()
    assert noisy_accuracy(model, images, sigma=0.5, seed=9) == right / 700
    assert noisy_accuracy(model, images, sigma=0.5, seed=9) != noisy_accuracy(model, images, sigma=0.5, seed=10)


def test_streams_differ_by_seed_purpose_and_number():
    streams = [(seed, purpose, number) for seed in (0, 1) for purpose in Purpose for number in (0, 1, 2)]
    drawn = {torch.rand(4, generator=stream(*which, "cpu")).numpy().tobytes() for which in streams}
    assert len(drawn) == len(streams)
