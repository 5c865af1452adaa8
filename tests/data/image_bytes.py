"""Small encoded images whose content says which they are."""

from __future__ import annotations

import io

from PIL import Image


def solid(value: int, size: tuple[int, int] = (4, 4)) -> bytes:
    """A PNG of one grey value, (width, height)."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (value, value, value)).save(buffer, "PNG")
    return buffer.getvalue()
