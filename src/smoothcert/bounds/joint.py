"""Many statements at once: what each must be made at so that all hold together."""

from __future__ import annotations

from smoothcert._check import check_alpha, check_count


def split_alpha(
    alpha: float, *, radii: int = 1, thresholds: int = 1, measures: int = 1, sides: int = 1, inputs: int = 1
) -> float:
    """Failure probability of each statement, so that all of them hold together with probability ``1 - alpha``.

    The union bound: ``alpha`` divided by the number of statements. Count only what a bound is not simultaneous over
    already: the CDF, Clopper-Pearson and Hoeffding bounds need no split over radii and thresholds.

    Args:
        alpha: Failure probability of the statements together, in ``(0, 1/2]``.
        radii: Number of radii.
        thresholds: Number of thresholds, where each has its own certified radius.
        measures: 2 for score and margin.
        sides: 2 for lower and upper bounds.
        inputs: Number of inputs, to claim a whole data set. Without it expect up to ``alpha * inputs`` wrong inputs.

    Raises:
        InvalidArgumentError: If a count is not a positive integer or ``alpha`` is outside its domain.

    Example:
        >>> round(split_alpha(0.001, radii=5, measures=2), 6)
        0.0001
    """
    total = 1
    counts = {"radii": radii, "thresholds": thresholds, "measures": measures, "sides": sides, "inputs": inputs}
    for name, count in counts.items():
        total *= check_count(name, count)
    return check_alpha(alpha) / total
