"""Numbers for people: a lower bound is floored, an upper bound ceiled, never rounded to nearest."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal


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


def ceil_digits(value: float, digits: int = 3) -> str:
    """``value`` with ``digits`` digits that count, rounded up: a probability of being wrong.

    Example:
        >>> ceil_digits(1 / 12_000), ceil_digits(0.001), ceil_digits(1.088e-11, 1)
        ('8.34e-05', '0.001', '2e-11')
    """
    rounded = Context(prec=digits, rounding=ROUND_CEILING).create_decimal(repr(float(value)))
    return f"{float(rounded):.{digits}g}"


def exact_text(value: float) -> str:
    """A number as somebody gave it, never with fewer digits: no radius or threshold may read as a larger one.

    What arithmetic adds behind the fifteenth digit is left out where that makes it no larger.

    Example:
        >>> exact_text(0.25), exact_text(0.1234565), exact_text(0.1 * 3), exact_text(0.7 * 3)
        ('0.25', '0.1234565', '0.3', '2.0999999999999996')
    """
    number = float(value)
    for text in (f"{number:g}", f"{number:.15g}"):
        if float(text) == number or (float(text) < number and math.isclose(float(text), number, rel_tol=1e-15)):
            return text
    return repr(number)


def plain_number(value: float) -> float:
    """A number that arithmetic made, without what it adds behind the twelfth digit: a place to ask at.

    Example:
        >>> plain_number(0.1 * 3), plain_number(0.7 * 3)
        (0.3, 2.1)
    """
    return float(f"{float(value):.12g}")


def _quantized(value: float, decimals: int, rounding: str) -> str:
    exact = Decimal(repr(float(value)))  # the shortest decimal that is this float: 0.6 stays 0.6
    if not exact.is_finite():
        return str(float(value))
    rounded = exact.quantize(Decimal(1).scaleb(-decimals), rounding=rounding)
    return f"{abs(rounded) if rounded == 0 else rounded:f}"
