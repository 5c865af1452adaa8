"""What goes in: one input as a checked float32 tensor."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from smoothcert.errors import InvalidArgumentError

InputRange = tuple[float, float]
_ROUNDING = 1e-5
"""How far out of its range, in parts of it, an input is called rounded rather than not normalized."""


def check_input_range(input_range: InputRange | None) -> InputRange | None:
    """Return the domain of the inputs as floats ``(low, high)``, or ``None`` for no check.

    Raises:
        InvalidArgumentError: If it is not a pair of numbers in increasing order.
    """
    if input_range is None:
        return None
    try:
        low, high = (float(end) for end in input_range)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(f"input_range must be (low, high) or None; got {input_range!r}") from error
    if not low < high:
        raise InvalidArgumentError(f"input_range must be (low, high) with low < high; got {input_range!r}")
    return low, high


def as_tensor(x: Tensor | npt.ArrayLike) -> Tensor:
    """Return inputs as a float32 tensor, detached, on the device they are on.

    Args:
        x: One input or several, of any shape, with a floating-point dtype.

    Raises:
        InvalidArgumentError: If it is no array or tensor of values, such as a batch ``(x, y)`` of a data loader, or
            its dtype is not floating point; integer images must be scaled by their owner, since guessing the scale
            would silently change what sigma means.
    """
    if isinstance(x, Tensor):
        if x.layout != torch.strided or x.is_meta or x.is_quantized:
            kind = "meta" if x.is_meta else "quantized" if x.is_quantized else str(x.layout).removeprefix("torch.")
            raise InvalidArgumentError(f"x must be a dense tensor of floats; got one that is {kind}")
        tensor = x.detach()
    else:
        tensor = torch.from_numpy(_as_array(x))
    if not tensor.is_floating_point():
        hint = "; divide images by 255, so that they lie in [0, 1]" if tensor.dtype == torch.uint8 else ""
        raise InvalidArgumentError(f"x must have a floating-point dtype; got {tensor.dtype}{hint}")
    return tensor.to(torch.float32)


def _as_array(x: npt.ArrayLike) -> npt.NDArray[np.generic]:
    """A copy, since the caller's may be read-only, in the byte order of this machine."""
    if isinstance(x, np.ma.MaskedArray) and np.ma.is_masked(x):
        raise InvalidArgumentError("x must have a value everywhere; got a masked array with values masked")
    try:
        array = np.array(x)
    except (ValueError, TypeError, RuntimeError) as error:  # NumPy's words for parts of several shapes
        raise InvalidArgumentError(
            f"x must be an array or tensor of floats; got a {type(x).__name__} of parts of several shapes"
        ) from error
    if array.dtype.kind not in "fiub":
        what = f"a {type(x).__name__}; take the array out of it, or give a data set to certify_run"
        got = what if array.dtype.kind == "O" else f"dtype {array.dtype}"
        raise InvalidArgumentError(f"x must be an array or tensor of floats; got {got}")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def check_input(x: Tensor | npt.ArrayLike, *, input_range: InputRange | None) -> Tensor:
    """Return one input as a contiguous float32 tensor, detached.

    Args:
        x: The input, any shape with at least one dimension.
        input_range: Smallest and largest value an input may hold, or ``None`` for any finite value.

    Raises:
        InvalidArgumentError: If it is empty, not floating point, not finite or outside the range.
    """
    tensor = as_tensor(x).contiguous()
    if tensor.ndim == 0 or tensor.numel() == 0:
        raise InvalidArgumentError(f"x must hold at least one value; got shape {tuple(tensor.shape)}")
    if not bool(torch.isfinite(tensor).all()):
        bad = int((~torch.isfinite(tensor)).sum())
        raise InvalidArgumentError(f"x must be finite; got {bad} of {tensor.numel()} values NaN or infinite")
    if input_range is not None:
        low, high = input_range
        smallest, largest = float(tensor.min()), float(tensor.max())
        outside = max(low - smallest, largest - high)
        if 0.0 < outside <= _ROUNDING * (high - low) < math.inf:
            raise InvalidArgumentError(
                f"x must lie in [{low:g}, {high:g}]; got values {outside:.2g} beyond it, as rounding leaves them: "
                "clip x to the range"
            )
        if outside > 0.0:
            raise InvalidArgumentError(
                f"x must lie in [{low:g}, {high:g}]; got values from {smallest:.8g} to {largest:.8g}. "
                "Normalization belongs to the base classifier; for inputs of another domain set input_range, "
                "or None to allow any"
            )
    return tensor
