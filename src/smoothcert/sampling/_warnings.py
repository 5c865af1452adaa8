"""Warnings raised while sampling, each with its category so that it can be filtered or made an error."""

from __future__ import annotations

import warnings

from smoothcert._check import check_alpha, check_count


class SmoothcertWarning(UserWarning):
    """Base of every warning raised on purpose."""


class ConfidenceWarning(SmoothcertWarning):
    """So few samples that no class can be certified at the failure probability asked for."""


class BatchSizeWarning(SmoothcertWarning):
    """The batch did not fit into memory and was made smaller; the results are the same."""


def warn_if_too_few(*, n: int, alpha: float) -> None:
    """Warn when even ``n`` unanimous samples leave the class uncertified: ``alpha ** (1 / n) <= 1/2``.

    Args:
        n: Number of estimation samples, at least 1.
        alpha: Failure probability in ``(0, 0.5]``.

    Raises:
        InvalidArgumentError: If ``n`` or ``alpha`` is outside its domain.

    Example:
        >>> warn_if_too_few(n=100, alpha=0.001)
    """
    check_count("n", n)
    if check_alpha(alpha) ** (1.0 / n) <= 0.5:
        warnings.warn(
            f"n={n} samples can never certify a class at alpha={alpha:g}: even if all agree, its probability "
            f"is only certified to be above {alpha ** (1.0 / n):.3f}, not above 1/2; draw more samples",
            ConfidenceWarning,
            stacklevel=3,
        )
