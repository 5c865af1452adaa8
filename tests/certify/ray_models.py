"""Classifiers for workers on a cluster: slow ones, and one that takes its process with it."""

from __future__ import annotations

import os
import signal
import time

from torch import Tensor

from .tiny_model import Brightness


class Slow(Brightness):
    """Takes its time for every batch."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.__dict__["seconds"] = seconds  # no part of what identifies it

    def forward(self, x: Tensor) -> Tensor:
        time.sleep(self.seconds)
        return super().forward(x)


class Crashing(Brightness):
    """Crashes the process that runs it on a marked input; see ``runs.synthetic.MarkedSource``."""

    def forward(self, x: Tensor) -> Tensor:
        if bool((x[:, 0, 0, 0] > 3.0).any()):
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().forward(x)
