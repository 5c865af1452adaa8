"""From names to what a run needs: a device, images of the right size, a number of classes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from smoothcert.errors import DataError, ModelError, SmoothcertError

if TYPE_CHECKING:
    from smoothcert.data import Dataset
    from smoothcert.models import LoadedModel


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Put the name of an input before the message of an error."""
    try:
        yield
    except SmoothcertError as error:
        raise type(error)(f"{what}: {error}") from error


class Scaling(NamedTuple):
    """How images are scaled and cropped, sizes in pixels."""

    image_size: int | tuple[int, int] | None
    resize: int | None
    interpolation: str


def choose_device(device: str | None) -> str:
    """The device asked for, or a GPU if there is one."""
    import torch

    if device is not None:
        return str(device)
    return "cuda" if torch.cuda.is_available() else "cpu"


def choose_scaling(
    model: LoadedModel, *, image_size: int | None, resize: int | None, interpolation: str | None
) -> Scaling:
    """Sizes and filter as asked, else as the model says of itself; its resize belongs to its own image size only."""
    from smoothcert.data.preprocess import BILINEAR

    used = interpolation or model.interpolation or BILINEAR
    if image_size is not None or model.input_size is None or len(model.input_size) != 3:
        return Scaling(image_size, resize, used)
    height, width = model.input_size[1:]
    return Scaling(height if height == width else (height, width), resize or model.resize, used)


def class_names(model: LoadedModel, data: Dataset, *, num_classes: int) -> tuple[str, ...] | None:
    """Names of the classes: the model's own, else the data's if there is one for each class."""
    if model.class_names is not None:
        return model.class_names
    names = data.class_names
    return names if names is not None and len(names) == num_classes else None


def count_classes(model: LoadedModel, data: Dataset) -> int:
    """Number of classes the model tells apart: as it says of itself, else of its output for a readable input.

    Raises:
        ModelError: If it does not return rows of class scores.
        DataError: If no input can be read.
    """
    if model.num_classes is not None:
        return model.num_classes
    import torch

    for position in range(len(data)):
        try:
            x = data.load(position).x
        except DataError:
            continue
        with torch.inference_mode():
            returned = model.module(torch.from_numpy(x)[None])
        if not isinstance(returned, torch.Tensor) or returned.ndim != 2:
            came = tuple(returned.shape) if isinstance(returned, torch.Tensor) else type(returned).__name__
            raise ModelError(f"model {model.name} must return class scores of shape (batch, num_classes); got {came}")
        return int(returned.shape[1])
    raise DataError(f"no input of {data.name} can be read")
