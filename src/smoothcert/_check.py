"""Argument checks shared by the public functions: each names the argument, what was expected and what came."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from smoothcert.errors import InvalidArgumentError

if TYPE_CHECKING:
    from smoothcert.typing import FloatArray


def check_alpha(alpha: float, *, at_most: float = 0.5) -> float:
    """Return ``alpha`` as a float in ``(0, at_most]``, or raise ``InvalidArgumentError``."""
    value = _number("alpha", alpha)
    if not 0.0 < value <= at_most:
        raise InvalidArgumentError(
            f"alpha must be a failure probability in (0, {at_most:g}], for example 0.001; got {alpha!r}"
        )
    return value


def check_sigma(sigma: float) -> float:
    """Return ``sigma`` as a finite positive float, or raise ``InvalidArgumentError``."""
    value = _number("sigma", sigma)
    if not (math.isfinite(value) and value > 0.0):
        raise InvalidArgumentError(
            f"sigma must be a positive finite noise level in input units, for example 0.25; got {sigma!r}"
        )
    return value


MOST_SAMPLES = 10**12
"""Samples of one input: more would take years, and their sums no longer fit the numbers they are kept in."""
MOST_LEVELS = 10**6
"""Cells of a histogram."""


def check_count(name: str, value: int, *, at_least: int = 1, at_most: int | None = None) -> int:
    """Return ``value`` as an int from ``at_least`` to ``at_most``, or raise ``InvalidArgumentError``."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < at_least:
        raise InvalidArgumentError(f"{name} must be an integer, at least {at_least}; got {value!r}")
    if at_most is not None and value > at_most:
        raise InvalidArgumentError(f"{name} must be an integer, at most {at_most:,}; got a larger one")
    return int(value)


def check_radii(radii: float | Sequence[float] | FloatArray, *, name: str = "radii") -> FloatArray:
    """Return finite, non-negative radii as a 1-D float64 array, or raise ``InvalidArgumentError``."""
    try:
        array = np.atleast_1d(np.asarray(radii))
    except (TypeError, ValueError, RuntimeError) as error:  # rows of several lengths; a tensor that has a gradient
        raise InvalidArgumentError(f"{name} must be one number or a flat, non-empty list; got {radii!r}") from error
    if array.dtype.kind not in "iuf":
        raise InvalidArgumentError(f"{name} must be numbers; got {radii!r}")
    if array.ndim != 1 or array.size == 0:
        raise InvalidArgumentError(f"{name} must be one number or a flat, non-empty list; got shape {array.shape}")
    values = array.astype(np.float64)
    if not np.all(np.isfinite(values)) or np.any(values < 0.0):
        raise InvalidArgumentError(f"{name} must be finite and at least 0; got {radii!r}")
    return values


def check_threshold(threshold: float) -> float:
    """Return ``threshold`` as a finite float, or raise ``InvalidArgumentError``."""
    value = _number("threshold", threshold)
    if not math.isfinite(value):
        raise InvalidArgumentError(f"threshold must be finite; got {threshold!r}")
    return value


def check_offset(offset: float) -> float:
    """Return ``offset`` as a finite float of at least 0, or raise ``InvalidArgumentError``."""
    value = _number("offset", offset)
    if not 0.0 <= value < math.inf:
        raise InvalidArgumentError(f"offset must be a finite distance, at least 0; got {offset!r}")
    return value


def check_price(price: float, *, alpha: float) -> float:
    """Return ``price`` as a float in ``[0, alpha)``, or raise ``InvalidArgumentError``."""
    value = _number("price", price)
    if not value >= 0.0:
        raise InvalidArgumentError(f"price must be at least 0; got {price!r}")
    if not value < alpha:
        raise InvalidArgumentError(
            f"alpha must be above its price of {value:.3g}, which is what exact noise from finitely many bits costs; "
            f"got {alpha:g}"
        )
    return value


def check_choice(name: str, value: str, known: Sequence[str]) -> str:
    """Return ``value`` if it is one of ``known``, or raise ``InvalidArgumentError`` listing them."""
    if value not in known:
        raise InvalidArgumentError(f"{name} must be one of {', '.join(known)}; got {value!r}")
    return value


DEVICES = ("cpu", "cuda", "mps", "xpu")
_DEVICE = re.compile(rf"({'|'.join(DEVICES)})(:[0-9]{{1,4}})?")


def check_device(device: str) -> str:
    """Return the name of one device a classifier can run on, or raise ``InvalidArgumentError`` naming the known ones.

    Says nothing about whether this machine has it, which takes PyTorch to know.

    Example:
        >>> check_device("cuda:1")
        'cuda:1'
    """
    if not isinstance(device, str) or _DEVICE.fullmatch(device) is None:
        raise InvalidArgumentError(
            f"device must be one of {', '.join(DEVICES)}, or one of several of a kind such as cuda:1; got {device!r}"
        )
    return device


def _number(name: str, value: float) -> float:
    if isinstance(value, (bool, np.bool_, str, bytes)):
        raise InvalidArgumentError(f"{name} must be a number; got {value!r}")
    try:
        return float(value)
    except OverflowError as error:
        raise InvalidArgumentError(f"{name} must be a number that a float can hold; got a larger one") from error
    except (TypeError, ValueError, RuntimeError) as error:  # the last is PyTorch's, of a tensor of several values
        raise InvalidArgumentError(f"{name} must be a number; got {value!r}") from error
