"""Numbers for people: a lower bound is floored, an upper bound ceiled, never rounded to nearest."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal


def floor_decimals(value: float, decimals: int = 3) -> str:
    """``value`` with ``decimals`` digits after the point, rounded down.

    Example:
        >>> floor_decimals(0.99951), floor_decimals(0.6), floor_decimals(-0.0004), floor_decimals(float("inf"))
        ('0.999', '0.600', '-0.001', 'inf')
    """
    return _quantized(value, decimals, ROUND_FLOOR)


def ceil_decimals(value: float, decimals: int = 3) -> str:
    """``value`` with ``decimals`` digits after the point, rounded up.

    Example:
        >>> ceil_decimals(0.99901), ceil_decimals(-0.0004)
        ('1.000', '0.000')
    """
    return _quantized(value, decimals, ROUND_CEILING)


def _quantized(value: float, decimals: int, rounding: str) -> str:
    exact = Decimal(repr(float(value)))  # the shortest decimal that is this float: 0.6 stays 0.6
    if not exact.is_finite():
        return str(float(value))
    rounded = exact.quantize(Decimal(1).scaleb(-decimals), rounding=rounding)
    return f"{abs(rounded) if rounded == 0 else rounded:f}"
