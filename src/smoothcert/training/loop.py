"""The steps of training, and the checkpoints between them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from smoothcert.errors import InvalidArgumentError, ModelError
from smoothcert.models.cifar import CIFAR_MEAN, CIFAR_STD
from smoothcert.models.normalize import Normalize
from smoothcert.progress import Reporter, duration
from smoothcert.training import checkpoint as checkpoints
from smoothcert.training.accuracy import noisy_accuracy
from smoothcert.training.images import Images, crop_and_mirror
from smoothcert.training.interrupts import interrupts_held
from smoothcert.training.loss import noisy_loss
from smoothcert.training.recipe import Recipe
from smoothcert.training.streams import Purpose, stream

LINE_SECONDS = 30.0
"""Seconds between lines of progress within an epoch."""
_SAFE_WIDTH = 16


class Trainer:
    """A network on its way through a recipe.

    Args:
        network: The network without normalization; trained in place.
        images: What it is trained on, on the device.
        recipe: How.
        device: Where.
        precision: ``float32``, or ``bfloat16`` for the network's products; weights and noise stay float32.
        checkpoint: File of the checkpoint; read if it is there.
        identity: What a checkpoint must agree with.
        checkpoint_seconds: Seconds between checkpoints within an epoch.

    Raises:
        RunError: The checkpoint is of another run.
    """

    def __init__(
        self,
        network: nn.Module,
        images: Images,
        recipe: Recipe,
        *,
        device: torch.device,
        precision: str,
        checkpoint: Path,
        identity: Mapping[str, str],
        checkpoint_seconds: float,
    ) -> None:
        self._layout = _layout(device, width=recipe.width)
        self.network = network.to(device=device, memory_format=self._layout)  # type: ignore[call-overload]
        self.classifier = nn.Sequential(Normalize(CIFAR_MEAN, CIFAR_STD), self.network).to(device)
        self.images = images
        self.recipe = recipe
        self.device = device
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
        self.optimizer = torch.optim.SGD(
            self.network.parameters(),
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=True,
        )
        self.steps_an_epoch = -(-len(images) // recipe.batch_size)
        self.step = 0
        self._whole = True  # False within a step, when the weights may be half of one
        self._path, self._identity, self._every = checkpoint, dict(identity), checkpoint_seconds
        state = checkpoints.load(checkpoint, identity)
        if state is not None:
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step = int(state["step"])
        self._saved_step = self.step

    @property
    def steps(self) -> int:
        """Steps of the whole recipe."""
        return self.steps_an_epoch * self.recipe.epochs

    def run(self, glance: Images, *, reporter: Reporter) -> None:
        """Take the steps that are left, saying after each epoch how accurate the network is under noise.

        Ctrl-C waits for the end of the step and writes a checkpoint.

        Args:
            glance: Images the accuracy is measured on.
            reporter: Is told about epochs, and within long ones now and then.

        Raises:
            ModelError: The weights stopped being finite numbers; the last checkpoint is kept.
            InvalidArgumentError: A step does not fit into the memory of the device.
            RunError: The disk refuses a checkpoint.
        """
        if self.step:
            reporter.note(f"goes on from step {self.step:,} of {self.steps:,} in {self._path}")
        try:
            self._run(glance, reporter)
        except KeyboardInterrupt:
            if self._whole and self.step > self._saved_step:
                self._save()
            raise
        except torch.cuda.OutOfMemoryError as error:
            raise InvalidArgumentError(
                f"batch_size must be one whose steps fit into the memory of {self.device}; got "
                f"{self.recipe.batch_size}, {self.recipe.batch_size * self.recipe.copies} noisy images a step"
            ) from error

    def _run(self, glance: Images, reporter: Reporter) -> None:
        first, begin = self.step, time.monotonic()
        saved = said = begin
        losses: list[Tensor] = []
        with interrupts_held() as interruptible:
            for epoch in range(self.step // self.steps_an_epoch, self.recipe.epochs):
                for batch in self._batches(epoch)[self.step - epoch * self.steps_an_epoch :]:
                    self._whole = False
                    losses.append(self._take_step(batch))
                    self.step += 1
                    self._whole = True
                    interruptible()
                    moment = time.monotonic()
                    ends = self.step % self.steps_an_epoch == 0
                    if ends or moment - saved >= self._every:
                        self._save()
                        saved = moment
                    if ends or moment - said >= LINE_SECONDS:
                        self._check_finite()
                        accuracy = self._accuracy(glance) if ends else ""
                        loss = torch.stack(losses).mean().item()
                        rate = (self.step - first) / max(time.monotonic() - begin, 1e-9)
                        done = f"epoch {self.step / self.steps_an_epoch:.2f} of {self.recipe.epochs}"
                        left = duration((self.steps - self.step) / rate)
                        speed = f"{rate * self.recipe.batch_size:,.0f} images/s, {left} left"
                        reporter.note(f"{done}: loss {loss:.3f}{accuracy}, {speed}")
                        losses.clear()
                        said = moment

    def _batches(self, epoch: int) -> tuple[Tensor, ...]:
        generator = stream(self.recipe.seed, Purpose.ORDER, epoch, "cpu")
        order = torch.randperm(len(self.images), generator=generator).to(self.device)
        return torch.split(order, self.recipe.batch_size)

    def _take_step(self, batch: Tensor) -> Tensor:
        """One step on the images at ``batch``; the loss stays on the device, so that nothing waits for it."""
        self.network.train()
        generator = stream(self.recipe.seed, Purpose.STEP, self.step, self.device)
        pixels, labels = self.images.pixels[batch], self.images.labels[batch]
        if self.recipe.augment:
            pixels = crop_and_mirror(pixels, generator)
        clean = pixels.float().div_(255).repeat(self.recipe.copies, 1, 1, 1)
        clean = clean.contiguous(memory_format=self._layout)
        noise = torch.empty_like(clean).normal_(0.0, self.recipe.sigma, generator=generator)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate(self.step, steps=self.steps)
        with self.autocast:
            logits = self.classifier(clean.add_(noise))
        loss = noisy_loss(logits, labels, self.recipe)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()

    def _accuracy(self, glance: Images) -> str:
        accuracy = noisy_accuracy(self.classifier, glance, sigma=self.recipe.sigma, seed=self.recipe.seed)
        return f", accuracy under noise {accuracy:.3f}"

    def _check_finite(self) -> None:
        """One wait for the device; a loss that is no number makes weights that are none, in the same step."""
        finite = torch.stack([tensor.isfinite().all() for tensor in self.network.state_dict().values()]).all()
        if not finite:
            kept = f"{self._path} holds step {self._saved_step:,}" if self._saved_step else "there is no checkpoint yet"
            raise ModelError(
                f"training diverged: at step {self.step:,} of {self.steps:,} the loss or the weights are no longer "
                f"finite numbers; lower learning_rate, now {self.recipe.learning_rate:g}, or raise warmup, and "
                f"begin anew ({kept})"
            )

    def _save(self) -> None:
        self._check_finite()
        checkpoints.save(
            self._path,
            {
                "identity": self._identity,
                "step": self.step,
                "network": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            },
        )
        self._saved_step = self.step


def _layout(device: torch.device, *, width: int) -> torch.memory_format:
    """Channels last, which is faster, but where a CPU's gradients would be wrong or crash.

    oneDNN's gradient of a 1x1 convolution of stride 2 with channels last writes past its workspace where the
    convolution has fewer channels than a vector register has numbers, 8 or 16:
    https://github.com/uxlfoundation/oneDNN/issues/6035.
    """
    return torch.contiguous_format if device.type == "cpu" and width < _SAFE_WIDTH else torch.channels_last
