"""What a weights file says of its training, against what it is certified with."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from smoothcert.errors import DataError

if TYPE_CHECKING:
    from smoothcert.data import Dataset

_SIGMA_TOLERANCE = 1e-5  # a sigma that went through float32 is the same sigma


def training_notes(metadata: Mapping[str, str], *, name: str, sigma: float | None, data: Dataset) -> tuple[str, ...]:
    """What a reader of the run must know about how its base classifier was trained.

    Files of other origin may hold anything under the same keys; what cannot be understood is passed over.

    Args:
        metadata: The header of the weights file.
        name: Name of the base classifier.
        sigma: Standard deviation of the noise the run certifies with; None where a denoiser removes the noise before
            the classifier, so that its own training noise says nothing.
        data: What is certified.

    Returns:
        A sentence each, without its full stop; none if there is nothing to say.
    """
    notes = []
    trained = _number(metadata.get("sigma"))
    if trained is not None and sigma is not None and not math.isclose(trained, sigma, rel_tol=_SIGMA_TOLERANCE):
        notes.append(f"{name} was trained under noise of sigma {trained:g}, not {sigma:g}")
    shape = re.fullmatch(r"\d+x(\d+x\d+)", metadata.get("image_shape", ""))
    if shape is not None and (size := _image_size(data)) not in (shape[1], None):
        notes.append(f"{name} was trained on images of {shape[1]} pixels, not {size}")
    if (seen := _trained_on(metadata, data)) > 0:
        which = "all inputs are" if seen == len(data) else f"{seen:,} of {len(data):,} inputs are"
        notes.append(
            f"{which} among the images {name} was trained on, so its certified accuracy here is not that on new images"
        )
    return tuple(notes)


def _trained_on(metadata: Mapping[str, str], data: Dataset) -> int:
    """Number of inputs that were trained on, as far as the header tells; all where the data are the same."""
    if metadata.get("data_fingerprint", "") != data.source_fingerprint:
        return 0
    found = re.fullmatch(r"(\d{1,12}):(\d{1,12}):([1-9]\d{0,11})", metadata.get("data_indices", ""))
    if found is None:
        return len(data)
    opened = range(*map(int, found.groups()))
    seen = [index for index in data.indices if index in opened]
    every = metadata.get("held_out_every", "")
    if not re.fullmatch(r"[1-9]\d{0,11}", every):
        return len(seen)
    return sum(opened.index(index) % int(every) != 0 for index in seen)


def _image_size(data: Dataset) -> str | None:
    """Height and width of the first image; None where it cannot be read."""
    try:
        return "x".join(map(str, data.load(0).x.shape[1:]))
    except DataError:
        return None


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
