"""Where the random numbers of training come from: the seed and the step alone, so that a run can go on anywhere."""

from __future__ import annotations

from enum import IntEnum

import torch


class Purpose(IntEnum):
    """What a stream of random numbers is for."""

    ORDER = 0
    STEP = 1
    TEST = 2


def stream(seed: int, purpose: Purpose, number: int, device: torch.device | str) -> torch.Generator:
    """A stream of its own for each seed, purpose and number (an epoch or a step), on ``device``."""
    mixed = (seed * 1_000_003 + purpose) * 1_000_000_007 + number
    return torch.Generator(device).manual_seed(mixed % 2**63)
