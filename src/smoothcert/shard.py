"""A share of a run's inputs: dealt out in turn, so that shares are equally heavy where the data are sorted."""

from __future__ import annotations

import re
from dataclasses import dataclass

from smoothcert.errors import InvalidArgumentError


@dataclass(frozen=True)
class Shard:
    """One of several shares of a run's inputs, dealt out in turn: of 16 the third has inputs 3, 19, 35 and so on.

    Args:
        number: Which, from 1.
        of: How many there are.

    Example:
        >>> Shard.parse("3/16").positions(40)
        range(2, 40, 16)
    """

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``3/16``.

        Raises:
            InvalidArgumentError: If it has another form, or there is no such share.
        """
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip())
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise InvalidArgumentError(
                f"shard must be written K/N, such as 3/16 for the third of sixteen, with K from 1 to N; got {text!r}"
            )
        return cls(int(match[1]), int(match[2]))

    def positions(self, inputs: int) -> range:
        """Which of so many inputs it has, counted from 0."""
        return range(self.number - 1, inputs, self.of)

    def __str__(self) -> str:
        """In the form that :meth:`parse` reads."""
        return f"{self.number}/{self.of}"
