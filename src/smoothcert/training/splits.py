"""Which images are trained on and which accuracy is measured on, settled before any but the first is decoded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from smoothcert.data import Dataset, load_data
from smoothcert.errors import DataError, InvalidArgumentError
from smoothcert.models.cifar import CIFAR_MEAN

HELD_OUT = 2_000
"""The most images that are held out of the training images."""
_HELD_OUT_SHARE = 20
_SMALLEST_SIDE = 8  # the network halves the sides twice, and batch norm wants more than one value a channel
_IN_SPLITS = ("cifar10", "hf", "digits")  # data that have the splits train and test by themselves


@dataclass(frozen=True, eq=False)
class Splits:
    """The inputs to train on and to measure accuracy on.

    Args:
        data: The data to train on.
        kept: Positions in it that are trained on.
        test_data: The data to measure accuracy on; ``data`` itself where some of it is held out.
        tested: Positions in it.
        tested_on: What people are told about it.
        num_classes: Number of classes of both.
        shape: Shape ``(C, H, W)`` of the first image, hence of all.
        held_out_every: Of how many images of ``data`` one is held out, if any.
    """

    data: Dataset
    kept: Sequence[int]
    test_data: Dataset
    tested: Sequence[int]
    tested_on: str
    num_classes: int
    shape: tuple[int, ...]
    held_out_every: int | None = None

    def header(self) -> dict[str, str]:
        """What the header of a weights file says about the images trained on."""
        about = {
            "data": self.data.name,
            "data_fingerprint": self.data.source_fingerprint,
            "image_shape": "x".join(map(str, self.shape)),
        }
        indices = self.data.indices
        step = indices[1] - indices[0] if len(indices) > 1 else 1
        if indices == list(range(indices[0], indices[-1] + 1, max(step, 1))):
            about["data_indices"] = f"{indices[0]}:{indices[-1] + 1}:{step}"
        if self.held_out_every is not None:
            about["held_out_every"] = str(self.held_out_every)
        return about


def choose_splits(
    data: str | Dataset,
    *,
    test_data: str | Dataset | None = None,
    split: str | None = None,
    test_split: str | None = None,
    image_size: int | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
) -> Splits:
    """Open the data and check all that labels and the first images tell.

    Args:
        data: Name of the training images, or an opened set.
        test_data: Name of the images to measure accuracy on, or an opened set; None holds some out, or takes
            ``test_split`` of ``data``, which for ``cifar10`` is its test split.
        split: Split of ``data``.
        test_split: Split of ``test_data``.
        image_size: Side of the crop, where names are given.
        image_column: Column of the images, where names are given.
        label_column: Column of the labels, where names are given.

    Raises:
        InvalidArgumentError: An argument means nothing here, or the images are not what the network takes.
        DataError: The data cannot be opened, or labels are absent or not those of the classes.
    """

    def opened(source: str | Dataset, part: str | None, usual: str) -> Dataset:
        if not isinstance(source, str):
            return source
        if part is None and source.partition(":")[0] in _IN_SPLITS:
            part = usual
        return load_data(
            source, split=part, image_size=image_size, image_column=image_column, label_column=label_column
        )

    training = opened(data, split, "train")
    if test_data is None and (test_split is not None or data == "cifar10"):
        test_data = data
    num_classes = _count_classes(training)
    shape = _colour_shape(training)
    everything = range(len(training))
    if test_data is not None:
        if not isinstance(test_data, str) and test_split is not None:
            raise InvalidArgumentError(f"test_split is for test_data given by name; got {test_split!r}")
        tests = opened(test_data, test_split, "test")
        _check_tests(tests, training, num_classes=num_classes, shape=shape)
        return Splits(training, everything, tests, range(len(tests)), tests.name, num_classes, shape)
    every = max(_HELD_OUT_SHARE, math.ceil(len(training) / HELD_OUT))
    kept = [position for position in everything if position % every]
    if not kept:
        raise DataError(f"{training.name} holds a single image; one is held out, and none is left to train on")
    about = f"one in {every} of {training.name}, not trained on"
    return Splits(training, kept, training, everything[::every], about, num_classes, shape, every)


def _count_classes(data: Dataset) -> int:
    """Number of classes of ``data``, each label being one of them."""
    largest = max(_all_labels(data))
    found = data.num_classes or largest + 1
    if found < 2:
        raise DataError(f"{data.name} must have at least 2 classes to tell apart; got {found}")
    data.check_labels(found)
    return found


def _all_labels(data: Dataset) -> list[int]:
    """All labels, none of them absent."""
    labels = []
    for position in range(len(data)):
        if (label := data.label(position)) is None:
            raise DataError(f"{data.id(position)} in {data.name} has no label; training needs one for every image")
        labels.append(label)
    return labels


def _colour_shape(data: Dataset) -> tuple[int, ...]:
    shape = data.load(0).x.shape
    if len(shape) != 3 or shape[0] != len(CIFAR_MEAN):
        raise InvalidArgumentError(
            f"data must be colour images, the kind this network takes, of shape (3, H, W); got {shape} in {data.name}"
        )
    if min(shape[1:]) < _SMALLEST_SIDE:
        raise InvalidArgumentError(
            f"data must be images of at least {_SMALLEST_SIDE} pixels a side; got {shape[1]}x{shape[2]} in {data.name}"
        )
    return shape


def _check_tests(tests: Dataset, training: Dataset, *, num_classes: int, shape: tuple[int, ...]) -> None:
    if tests.source_fingerprint == training.source_fingerprint and not set(tests.indices).isdisjoint(training.indices):
        raise InvalidArgumentError(f"test_data must hold other images than data; got {tests.name} for both")
    ours, theirs = training.class_names, tests.class_names
    if ours is not None and theirs is not None and ours != theirs:
        raise InvalidArgumentError(
            f"test_data must have the {len(ours)} classes of data ({_few(ours)}); "
            f"got {len(theirs)} ({_few(theirs)}) in {tests.name}"
        )
    _all_labels(tests)  # raises where one is absent
    tests.check_labels(num_classes)
    if (first := tests.load(0).x.shape) != shape:
        raise InvalidArgumentError(
            f"test_data must have images of shape {shape}, that of data; got {first} in {tests.name}"
        )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
