"""The names of data sets, and what loads each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from smoothcert.data.classes import ClassList
from smoothcert.data.dataset import Dataset, InputRange, Source
from smoothcert.data.paths import user_path
from smoothcert.errors import DataError, InvalidArgumentError

if TYPE_CHECKING:
    from smoothcert.data.preprocess import Preprocess

DATA_NAMES: tuple[str, ...] = (
    "digits",
    "cifar10",
    "imagefolder:PATH",
    "audiofolder:PATH",
    "parquet:PATH",
    "npz:FILE",
    "csv:FILE",
    "hf:NAME",
    "hf:NAME:CONFIG",
    "python:FILE.py:FACTORY",
)
"""The known forms, as error messages and ``--help`` show them."""

_KINDS = frozenset(form.partition(":")[0] for form in DATA_NAMES)
_BUNDLED = frozenset(form for form in DATA_NAMES if ":" not in form)
_CIFAR10 = "uoft-cs/cifar10"


@dataclass(frozen=True, kw_only=True)
class _Options:
    """How a source is opened; see ``load_data``."""

    split: str | None
    image_column: str | None
    label_column: str | None
    preprocess: Preprocess
    allow_outside: bool


def load_data(
    name: str,
    *,
    limit: int | None = None,
    stride: int = 1,
    split: str | None = None,
    image_size: int | tuple[int, int] | None = None,
    resize: int | None = None,
    interpolation: str = "bilinear",
    channels: int | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    input_range: InputRange | str | None = None,
    classes: str | Path | Sequence[str] | Mapping[str, str | int] | ClassList | None = None,
    label_offset: int = 0,
    allow_outside: bool = False,
) -> Dataset:
    """Open the data set called ``name``; inputs are read one by one as they are asked for.

    Images are decoded as a person sees them, scaled so that the shorter side is ``resize`` pixels, and cropped in the
    centre to ``image_size``; see ``Preprocess``. The bundled digits are always 8x8. Sounds are one channel of 16-bit
    samples. Arrays and columns of numbers are taken as they are, except that arrays of 8-bit whole numbers are images
    and divided by 255.

    Args:
        name: One of the forms in ``DATA_NAMES``.
        limit: The most inputs to keep, after the stride.
        stride: Keep every ``stride``-th input, beginning with the first.
        split: Part of the data set: ``test`` (default) or ``train`` of ``digits``, ``cifar10`` and ``hf:``; the files
            or sub-folder of that name in a folder; the arrays ``x_SPLIT`` and ``y_SPLIT`` of ``npz:``.
        image_size: Side of the square crop, or its ``(height, width)``; None keeps each image's own size.
        resize: Shorter side before the crop; None scales an image just enough to cover the crop.
        interpolation: The filter images are scaled with, such as ``"bicubic"``.
        channels: 3 makes images coloured, 1 grey, which should be what the classifier takes; None leaves digits grey
            and makes all others coloured.
        image_column: Column of the images or sounds, where a table leaves it open.
        label_column: Column of the labels, where a table leaves it open.
        input_range: The lowest and the highest value an input may have, as a pair or ``"LOW,HIGH"``, or ``"none"`` for
            any finite value; None for what the kind of data has, such as ``(0, 1)`` for images.
        classes: Which class is which, where names do not tell: a file, names in the classifier's order, or the
            classifier's class for each class of the data; see ``ClassList.of``.
        label_offset: Added to every label, which then are compared by number.
        allow_outside: Whether paths that stand in the data may lead out of the data's own folder.

    Raises:
        DataError: The name is unknown, there is nothing to read, or a label is outside the classes.
        InvalidArgumentError: An argument is outside its domain, or means nothing for this kind of data.
        MissingDependencyError: A package is needed that is not installed; the message says which extra installs it.

    Example:
        >>> data = load_data("digits", stride=2, limit=3)
        >>> data.indices, data.load(0).x.shape
        ([1197, 1199, 1201], (1, 8, 8))
    """
    kind, colon, target = name.partition(":")
    if kind not in _KINDS or (kind in _BUNDLED) == bool(colon) or (colon and not target):
        raise DataError(f"unknown data {name!r}; known forms are {', '.join(DATA_NAMES)}")
    # Imported here and below: each needs a library of its own, and all together they take seconds.
    from smoothcert.data.preprocess import Preprocess

    options = _Options(
        split=split,
        image_column=image_column,
        label_column=label_column,
        preprocess=Preprocess(
            image_size=image_size,
            resize=resize,
            interpolation=interpolation,
            channels=(1 if kind == "digits" else 3) if channels is None else channels,
        ),
        allow_outside=allow_outside,
    )
    for option in _MEANINGLESS.get(kind, ()):
        if getattr(options, option) is not None:
            raise InvalidArgumentError(f"{option} means nothing for {name!r}; got {getattr(options, option)!r}")
    if kind in ("csv", "audiofolder") and image_size is not None:
        raise InvalidArgumentError(f"image_size means nothing for {name!r}, which holds no images; got {image_size!r}")
    return Dataset(
        _OPENERS[kind](target, name, options),
        limit=limit,
        stride=stride,
        classes=None if classes is None else ClassList.of(classes),
        label_offset=label_offset,
        input_range=input_range,
    )


def _digits(target: str, name: str, options: _Options) -> Source:
    from smoothcert.data.digits import DigitsSource

    return DigitsSource(split=options.split or "test", preprocess=options.preprocess)


def _folder(target: str, name: str, options: _Options) -> Source:
    from smoothcert.data.folder import FolderSource
    from smoothcert.data.objects import readers

    kind = name.partition(":")[0]
    return FolderSource(
        user_path(target),
        kind=kind,
        reader=readers(options.preprocess)["sound" if kind == "audiofolder" else "image"](),
        split=options.split,
        label_column=options.label_column,
        allow_outside=options.allow_outside,
    )


def _parquet(target: str, name: str, options: _Options) -> Source:
    from smoothcert.data.objects import readers
    from smoothcert.data.parquet import open_parquet

    return open_parquet(
        user_path(target),
        readers=readers(options.preprocess),
        split=options.split,
        image_column=options.image_column,
        label_column=options.label_column,
        allow_outside=options.allow_outside,
    )


def _npz(target: str, name: str, options: _Options) -> Source:
    from smoothcert.data.arrays import open_npz

    return open_npz(user_path(target), name=name, split=options.split, size=options.preprocess.crop)


def _csv(target: str, name: str, options: _Options) -> Source:
    from smoothcert.data.arrays import open_csv

    return open_csv(user_path(target), name=name, label_column=options.label_column)


def _hugging_face(target: str, name: str, options: _Options) -> Source:
    from smoothcert.data.hugging_face import open_hugging_face
    from smoothcert.data.objects import readers

    whole = name == "cifar10" or user_path(target).exists()  # a folder's own name may have a colon
    repository, _, config = (_CIFAR10, "", "") if name == "cifar10" else (target, "", "")
    if not whole:
        repository, _, config = target.partition(":")
    return open_hugging_face(
        repository,
        name=name,
        readers=readers(options.preprocess),
        config=config or None,
        split=options.split,
        image_column=options.image_column,
        label_column=options.label_column,
        allow_outside=options.allow_outside,
    )


def _python(target: str, name: str, options: _Options) -> Source:
    from smoothcert.data.objects import python_source

    return python_source(
        target,
        name=name,
        preprocess=options.preprocess,
        image_column=options.image_column,
        label_column=options.label_column,
    )


_OPENERS: dict[str, Callable[[str, str, _Options], Source]] = {
    "digits": _digits,
    "cifar10": _hugging_face,
    "hf": _hugging_face,
    "imagefolder": _folder,
    "audiofolder": _folder,
    "parquet": _parquet,
    "npz": _npz,
    "csv": _csv,
    "python": _python,
}
_MEANINGLESS: dict[str, tuple[str, ...]] = {
    "digits": ("image_column", "label_column"),
    "imagefolder": ("image_column",),
    "audiofolder": ("image_column",),
    "npz": ("image_column", "label_column"),
    "csv": ("image_column", "split"),
    "python": ("split",),
}
"""Options that a kind of data has no use for, whose absence from it is said rather than passed over."""
