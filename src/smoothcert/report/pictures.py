"""Pictures of inputs, read from the run's data when the page is made, and shown only if they are what was sampled."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from smoothcert.analysis import Inputs
from smoothcert.errors import SmoothcertError
from smoothcert.report.wording import count_words
from smoothcert.runs.config import RunConfig
from smoothcert.typing import AnyArray

MOST_BYTES = 8_000_000
"""Of all pictures of a run together."""
LARGEST = 320
"""Longer side of a picture, in pixels."""
_EXACT = 64  # up to so many pixels a side pictures are kept exactly
_CHANNELS = {1: "L", 3: "RGB"}
_MISSING, _OTHER = "not in the data any more", "of other content than was sampled"
_NO_IMAGE, _NO_ROOM = "not of images", "more than a page takes"


@dataclass(frozen=True)
class Pictures:
    """Pictures of inputs.

    Args:
        urls: By the row of the input on the page, as ``data:`` addresses.
        note: Why there are none, or not all that were asked for; empty where there is nothing to say.
    """

    urls: Mapping[int, str] = field(default_factory=dict)
    note: str = ""


def pictures_of(config: RunConfig, inputs: Inputs, *, at_most: int) -> Pictures:
    """Pictures of the first inputs of the page.

    The data are those the run names, opened as it opened them. A picture whose content is not that which was sampled,
    by its hash, is left out, and so is one that is no image.

    Args:
        config: The run's.
        inputs: The inputs on the page.
        at_most: How many.
    """
    if at_most == 0:
        return Pictures()
    if config.spec.data.name is None or inputs.contents is None:
        return Pictures(note="the run names no data that could be loaded")
    try:
        urls, left_out = _found(config, inputs, at_most)
    except SmoothcertError as error:
        return Pictures(note=f"the data could not be loaded: {error}")
    return Pictures(urls, "; ".join(f"{count_words(n, 'picture')} left out: {why}" for why, n in left_out.items()))


def _found(config: RunConfig, inputs: Inputs, at_most: int) -> tuple[dict[int, str], dict[str, int]]:
    """Pictures by row, and how many were left out why."""
    from smoothcert.data import load_data
    from smoothcert.sampling.chunks import content_hash

    asked = config.spec.data
    options = {name: value for name, value in vars(asked).items() if name != "name" and value is not None}
    data = load_data(str(asked.name), **options)
    positions = {int(index): position for position, index in enumerate(data.indices)}
    urls: dict[int, str] = {}
    left_out: dict[str, int] = {}
    held = 0
    for row in range(min(at_most, len(inputs))):
        try:
            x = data.load(positions[int(inputs.indices[row])]).x
        except (KeyError, SmoothcertError):
            left_out[_MISSING] = left_out.get(_MISSING, 0) + 1
            continue
        url = picture_url(x)
        wrong = content_hash(x) != (inputs.contents or ())[row]
        if url is None or wrong or held + len(url) > MOST_BYTES:
            why = _OTHER if wrong else _NO_IMAGE if url is None else _NO_ROOM
            left_out[why] = left_out.get(why, 0) + 1
            continue
        held += len(url)
        urls[row] = url
    return urls, left_out


def picture_url(x: AnyArray) -> str | None:
    """An input as the address of a picture; None if it is no image ``(C, H, W)`` in ``[0, 1]``.

    Small images are kept exactly, larger ones as JPEG, scaled down where they are larger than a screen shows.
    """
    if x.ndim != 3 or x.shape[0] not in _CHANNELS or x.min() < 0.0 or x.max() > 1.0:
        return None
    from PIL import Image

    pixels = np.moveaxis(np.rint(255.0 * x).astype(np.uint8), 0, -1)
    image = Image.fromarray(pixels[..., 0] if x.shape[0] == 1 else pixels)
    image.thumbnail((LARGEST, LARGEST))
    buffer = io.BytesIO()
    exact = max(image.size) <= _EXACT
    if exact:
        image.save(buffer, "PNG", optimize=True)
    else:
        image.save(buffer, "JPEG", quality=85)
    return f"data:image/{'png' if exact else 'jpeg'};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
