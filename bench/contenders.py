"""What is timed: bare forward passes over ready-made batches, the sampler, and ART, each as a function of one round.

A round is what one certified image costs: ``n0 + n`` samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from bench.networks import Network
from smoothcert.backends import with_backend
from smoothcert.sampling import Sampler

SIGMA = 0.25
_READY = 4  # batches that the bare loop goes round
ART = "art"


@dataclass(frozen=True)
class Contender:
    """One row: ``kind`` is ``bare``, ``sampler`` or ``art``."""

    kind: str
    backend: str = "torch"
    precision: str = "float32"
    channels_last: bool = False

    @property
    def label(self) -> str:
        if self.kind == ART:
            return "ART PyTorchRandomizedSmoothing"
        layout = ", channels-last" if self.channels_last else ""
        return f"{'bare loop' if self.kind == 'bare' else 'smoothcert'}, {self.backend}, {self.precision}{layout}"

    @property
    def counterpart(self) -> Contender:
        """The bare loop with the same forward pass."""
        return Contender("bare", self.backend, self.precision, self.channels_last)


@dataclass(frozen=True)
class Round:
    """How much one round does, and where."""

    n0: int
    n: int
    batch_size: int
    device: str = "cpu"

    @property
    def samples(self) -> int:
        return self.n0 + self.n


BASELINE = Contender("bare")


def sampler_contender(network: Network, backend: str, precision: str, device: str) -> Contender:
    """The sampler, with the memory layout it chooses."""
    torch_backend = backend.startswith("torch")
    layout = network.has_convolutions and torch_backend and (device == "cpu" or precision != "float32")
    return Contender("sampler", backend, precision, layout)


def unavailable(contender: Contender) -> str | None:
    """Why a row cannot be run here."""
    needs = {"onnxruntime": ("onnxruntime", "onnxscript"), "openvino": ("openvino", "onnxscript")}
    packages = ("art",) if contender.kind == ART else needs.get(contender.backend, ())
    absent = [package for package in packages if find_spec(package) is None]
    return f"not measured: {', '.join(absent)} not installed" if absent else None


class Stand:
    """Builds rounds on one network; what a backend made of it is built once and shared.

    Args:
        network: The network.
        size: What a round does.
    """

    def __init__(self, network: Network, size: Round) -> None:
        self.network, self.size = network, size
        self.network.module.to(size.device)
        self._made: dict[tuple[str, str], Callable[[Tensor], Tensor]] = {}
        self._ready: dict[bool, list[Tensor]] = {}

    def round(self, contender: Contender) -> Callable[[], object]:
        """One round of a contender."""
        if contender.kind == "bare":
            return self._bare(contender)
        return self._art() if contender.kind == ART else self._sampler(contender)

    def classifier(self, backend: str, precision: str) -> Callable[[Tensor], Tensor]:
        key = (backend, precision)
        if key not in self._made:
            self._made[key] = with_backend(
                self.network.module,
                backend,
                example_shape=self.network.shape,
                precision=precision,
                device=self.size.device,
            )
        return self._made[key]

    def share(self, backend: str, precision: str, classifier: Callable[[Tensor], Tensor]) -> None:
        """Use what a backend has made of the network already."""
        self._made[backend, precision] = classifier

    def _bare(self, contender: Contender) -> Callable[[], object]:
        classifier = self.classifier(contender.backend, contender.precision)
        batches = self._batches(channels_last=contender.channels_last)
        count, rest = divmod(self.size.samples, self.size.batch_size)
        loop = [batches[i % len(batches)] for i in range(count)] + ([batches[0][:rest]] if rest else [])
        dtype = getattr(torch, contender.precision)

        @torch.inference_mode()
        def run() -> None:
            for batch in loop:
                with torch.autocast(batch.device.type, dtype, enabled=contender.precision != "float32"):
                    out = classifier(batch)
            out.sum().item()  # waits for the device

        return run

    def _sampler(self, contender: Contender) -> Callable[[], object]:
        sampler = Sampler(
            self.classifier(contender.backend, contender.precision),
            sigma=SIGMA,
            num_classes=self.network.num_classes,
            batch_size=self.size.batch_size,
            precision=contender.precision,
            device=self.size.device,
        )
        x = self.network.input()
        return lambda: sampler.sample(x, n0=self.size.n0, n=self.size.n, seed=0)

    def _art(self) -> Callable[[], object]:
        from art.estimators.certification.randomized_smoothing import PyTorchRandomizedSmoothing

        smoothed: Any = PyTorchRandomizedSmoothing(
            model=self.network.module,
            loss=torch.nn.CrossEntropyLoss(),
            input_shape=self.network.shape,
            nb_classes=self.network.num_classes,
            device_type="cpu" if self.size.device == "cpu" else "gpu",
            sample_size=self.size.n0,
            scale=SIGMA,
            alpha=0.001,
        )
        x = self.network.input().numpy()[None]
        return lambda: smoothed.certify(x, n=self.size.n, batch_size=self.size.batch_size)

    def _batches(self, *, channels_last: bool) -> list[Tensor]:
        if channels_last not in self._ready:
            x, rows = self.network.input(), self.size.batch_size
            count = max(1, min(_READY, self.size.samples // rows))
            layout = torch.channels_last if channels_last else torch.contiguous_format
            self._ready[channels_last] = [
                (x + SIGMA * torch.randn(rows, *self.network.shape))
                .to(self.size.device)
                .contiguous(memory_format=layout)
                for _ in range(count)
            ]
        return self._ready[channels_last]
