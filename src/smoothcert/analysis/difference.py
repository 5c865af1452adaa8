"""The difference of two fractions of inputs with its confidence interval, for the same inputs and for others."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy.special import ndtri

from smoothcert._check import check_count
from smoothcert.analysis.proportion import CONFIDENCE
from smoothcert.errors import InvalidArgumentError

PAIRED, UNPAIRED = "tango", "newcombe"
_Z = float(ndtri((1.0 + CONFIDENCE) / 2.0))
_TOLERANCE = 1e-12


@dataclass(frozen=True)
class FractionDifference:
    """A difference of two fractions and its two-sided 95% interval over the draw of the inputs.

    Both intervals are score intervals: approximate, with coverage close to 95% also for few inputs and for fractions at
    0 and 1. They say nothing about the noise; ``alpha`` does that.

    Args:
        value: The second fraction minus the first.
        ci_low: Lower end of the interval.
        ci_high: Upper end of the interval.
        inputs: Inputs the fractions are of: pairs, or those of the second where there are no pairs.
        method: ``"tango"`` for the same inputs, ``"newcombe"`` for different ones.
    """

    value: float
    ci_low: float
    ci_high: float
    inputs: int
    method: str


def paired_difference(*, only_first: int, only_second: int, inputs: int) -> FractionDifference:
    """Difference of two fractions of the same inputs, from the inputs that have only one of the two properties.

    Tango's interval: all differences that a score test of the multinomial model does not reject at 5%.

    Args:
        only_first: Inputs with the first property and not the second.
        only_second: Inputs with the second and not the first.
        inputs: All inputs, at least 1.

    Raises:
        InvalidArgumentError: If the counts are negative or more than the inputs.

    References:
        Tango (1998), Statistics in Medicine 17(8), 891-908,
        https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;2-B.

    Example:
        >>> found = paired_difference(only_first=2, only_second=12, inputs=50)
        >>> found.value, round(found.ci_low, 3), round(found.ci_high, 3)
        (0.2, 0.061, 0.345)
    """
    total = check_count("inputs", inputs)
    first = check_count("only_first", only_first, at_least=0)
    second = check_count("only_second", only_second, at_least=0)
    if first + second > total:
        raise InvalidArgumentError(f"only_first + only_second must be at most inputs = {total}; got {first + second}")
    value = (second - first) / total

    def statistic(d: float) -> float:
        """How many standard errors the observed difference lies above ``d``; decreasing in ``d``."""
        # The larger root is the most likely P(first and not second) among those with difference d.
        b = (2 * total - second + first) * d - second - first
        c = -first * d * (1.0 - d)
        apart = (math.sqrt(max(b * b - 8.0 * total * c, 0.0)) - b) / (4.0 * total)
        variance = total * (2.0 * apart + d * (1.0 - d))
        gap = second - first - total * d
        if gap == 0.0:
            return 0.0
        return gap / math.sqrt(variance) if variance > 0.0 else math.copysign(math.inf, gap)

    return FractionDifference(value, *_interval(statistic, value), total, PAIRED)


def unpaired_difference(first: int, first_inputs: int, second: int, second_inputs: int) -> FractionDifference:
    """Difference of the fractions ``second / second_inputs - first / first_inputs`` of independent inputs.

    Newcombe's hybrid of the two Wilson intervals.

    Raises:
        InvalidArgumentError: If a count is outside its inputs.

    References:
        Newcombe (1998), Statistics in Medicine 17(8), 873-890, method 10,
        https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I.

    Example:
        >>> found = unpaired_difference(48, 80, 56, 70)
        >>> round(found.value, 4), round(found.ci_low, 4), round(found.ci_high, 4)
        (0.2, 0.0524, 0.3339)
    """
    (p, p_low, p_high), (q, q_low, q_high) = _wilson(first, first_inputs), _wilson(second, second_inputs)
    low = q - p - math.hypot(q - q_low, p_high - p)
    high = q - p + math.hypot(q_high - q, p - p_low)
    return FractionDifference(q - p, max(low, -1.0), min(high, 1.0), int(second_inputs), UNPAIRED)


def _interval(statistic: Callable[[float], float], value: float) -> tuple[float, float]:
    """Ends of the differences whose statistic lies within 1.96 of 0; the statistic is 0 at ``value``."""
    from scipy.optimize import brentq  # not at the top: it would double the start of every command

    low, high = -1.0 + _TOLERANCE, 1.0 - _TOLERANCE
    below, above = low, high
    if statistic(low) > _Z:
        below = brentq(lambda d: statistic(d) - _Z, low, min(value, high), xtol=_TOLERANCE)
    if statistic(high) < -_Z:
        above = brentq(lambda d: statistic(d) + _Z, max(value, low), high, xtol=_TOLERANCE)
    return max(min(below, value), -1.0), min(max(above, value), 1.0)


def _wilson(count: int, inputs: int) -> tuple[float, float, float]:
    from scipy.stats import binomtest  # not at the top: it would double the start of every command

    total = check_count("inputs", inputs)
    successes = check_count("count", count, at_least=0)
    if successes > total:
        raise InvalidArgumentError(f"count must be at most inputs = {total}; got {successes}")
    interval = binomtest(successes, total).proportion_ci(CONFIDENCE, method="wilson")
    return successes / total, float(interval.low), float(interval.high)
