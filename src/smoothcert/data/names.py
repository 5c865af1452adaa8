"""The names of data sets, and what loads each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from smoothcert.data.classes import ClassList
from smoothcert.data.dataset import Dataset, InputRange, Source
from smoothcert.data.preprocess import BILINEAR, Preprocess
from smoothcert.errors import DataError, InvalidArgumentError

DATA_NAMES: tuple[str, ...] = (
    "digits",
    "cifar10",
    "parquet:PATH",
    "imagefolder:PATH",
    "hf:NAME",
    "hf:NAME:CONFIG",
)
"""The known forms, as error messages and ``--help`` show them."""

_KINDS = frozenset(form.partition(":")[0] for form in DATA_NAMES)
_BUNDLED = frozenset(form for form in DATA_NAMES if ":" not in form)
_CIFAR10 = "uoft-cs/cifar10"


def load_data(
    name: str,
    *,
    limit: int | None = None,
    stride: int = 1,
    image_size: int | tuple[int, int] | None = None,
    resize: int | None = None,
    interpolation: str = BILINEAR,
    split: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    input_range: InputRange | str | None = None,
    classes: str | Path | Sequence[str] | Mapping[str, str | int] | None = None,
    label_offset: int = 0,
) -> Dataset:
    """Open the data set called ``name``; images are read one by one as they are asked for.

    Images become RGB, are scaled so that the shorter side is ``resize`` pixels, and cropped in the centre to
    ``image_size``; see ``Preprocess``. The bundled digits are grey and always 8x8.

    Args:
        name: One of the forms in ``DATA_NAMES``.
        limit: The most inputs to keep, after the stride.
        stride: Keep every ``stride``-th input, beginning with the first.
        image_size: Side of the square crop, or its ``(height, width)``; None keeps each image's own size.
        resize: Shorter side before the crop; None scales an image just enough to cover the crop.
        interpolation: The filter images are scaled with, such as ``"bicubic"``.
        split: Part of the data set: ``test`` (default) or ``train`` of ``digits``, ``cifar10`` and ``hf:``;
            the files or sub-folder of that name in a ``parquet:`` or ``imagefolder:`` folder.
        image_column: Column of the images, where a table leaves it open.
        label_column: Column of the labels, where a table leaves it open.
        input_range: The lowest and the highest value an input may have, as a pair or ``"LOW,HIGH"``, or ``"none"`` for
            any finite value; None for what the kind of data has, such as ``(0, 1)`` for images.
        classes: Which class is which, where names do not tell: a file, names in the classifier's order, or the
            classifier's class for each class of the data; see ``ClassList.of``.
        label_offset: Added to every label, which then are compared by number.

    Raises:
        DataError: The name is unknown, there is nothing to read, or a label is outside the classes.
        InvalidArgumentError: An argument is outside its domain, or means nothing for this kind of data.

    Example:
        >>> data = load_data("digits", stride=2, limit=3)
        >>> data.indices, data.load(0).x.shape
        ([1197, 1199, 1201], (1, 8, 8))
    """
    kind, colon, target = name.partition(":")
    if kind not in _KINDS or (kind in _BUNDLED) == bool(colon) or (colon and not target):
        raise DataError(f"unknown data {name!r}; known forms are {', '.join(DATA_NAMES)}")
    if kind in ("digits", "imagefolder") and not (image_column is None and label_column is None):
        raise InvalidArgumentError(f"image_column and label_column mean nothing for {name!r}, which has no columns")
    preprocess = Preprocess(image_size=image_size, resize=resize, interpolation=interpolation)
    return Dataset(
        _source(name, target, preprocess, split, image_column, label_column),
        limit=limit,
        stride=stride,
        classes=None if classes is None else ClassList.of(classes),
        label_offset=label_offset,
        input_range=input_range,
    )


def _source(
    name: str,
    target: str,
    preprocess: Preprocess,
    split: str | None,
    image_column: str | None,
    label_column: str | None,
) -> Source:
    # Imported here: each needs a library of its own, and all together they take seconds.
    if name == "digits":
        from smoothcert.data.digits import DigitsSource

        return DigitsSource(split=split or "test", preprocess=preprocess)
    if name.startswith("imagefolder:"):
        from smoothcert.data.image_folder import ImageFolderSource

        return ImageFolderSource(Path(target), preprocess=preprocess, split=split)
    if name.startswith("parquet:"):
        from smoothcert.data.parquet import ParquetSource

        return ParquetSource(
            Path(target),
            preprocess=preprocess,
            split=split,
            image_column=image_column,
            label_column=label_column,
        )
    from smoothcert.data.hugging_face import HuggingFaceSource

    repository, _, config = (_CIFAR10 if name == "cifar10" else target).partition(":")
    return HuggingFaceSource(
        repository,
        config=config or None,
        name=name,
        preprocess=preprocess,
        split=split or "test",
        image_column=image_column,
        label_column=label_column,
    )
