"""Training a network under Gaussian noise, from the images to a weights file that says how it was made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from smoothcert._check import check_choice
from smoothcert._version import __version__
from smoothcert.certify.prepare import choose_device
from smoothcert.data import Dataset
from smoothcert.errors import InvalidArgumentError
from smoothcert.files import disk_errors, write_atomically
from smoothcert.models.cifar import CifarResNet, cifar_network
from smoothcert.models.weights import fit_weights, read_weights, state_dict_sha256, to_safetensors
from smoothcert.progress import Reporter
from smoothcert.runs.config import now
from smoothcert.training.accuracy import noisy_accuracy
from smoothcert.training.checkpoint import check_out, checkpoint_path, sole_writer
from smoothcert.training.images import Images, read_images
from smoothcert.training.loop import Trainer
from smoothcert.training.recipe import Recipe
from smoothcert.training.splits import Splits, choose_splits

PRECISIONS = ("float32", "bfloat16")
GLANCE = 2_000
"""Images the accuracy after an epoch is measured on, at most."""
_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Trained:
    """A finished training run.

    Args:
        path: The weights file.
        noisy_accuracy: Accuracy on images not trained on, one noise draw each.
        test_images: How many of them.
        metadata: The header of the weights file.
    """

    path: Path
    noisy_accuracy: float
    test_images: int
    metadata: dict[str, str]


def train(
    data: str | Dataset,
    *,
    recipe: Recipe,
    out: Path | str,
    test_data: str | Dataset | None = None,
    split: str | None = None,
    test_split: str | None = None,
    image_size: int | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    weights: Path | str | None = None,
    precision: str | None = None,
    device: str | None = None,
    checkpoint_seconds: float = 60.0,
    reporter: Reporter | None = None,
) -> Trained:
    """Train a classifier under noise and write it to ``out``; the same call goes on after an interruption.

    Order, crops and noise of a step depend on the seed and the step alone, so a run that was interrupted ends
    in the weights of one that was not, up to the order in which the hardware adds. All images are held in
    memory, a byte a channel. The global random numbers of PyTorch are left as they were.

    The header of the file holds ``sigma``, ``arch``, ``recipe``, ``seed``, ``precision``,
    ``initial_weights_sha256``, what was trained on (``data``, ``data_fingerprint``, ``data_sha256``,
    ``data_indices``, ``held_out_every``, ``image_shape``), ``noisy_accuracy`` on ``test_images`` images of
    ``test_data``, and versions; ``certify`` compares sigma, the data and the image size with its own.

    Args:
        data: Name of the training images, or an opened set.
        recipe: How to train.
        out: The weights file, ``.safetensors``.
        test_data: Images to measure accuracy on, of the same classes. By default the split ``test`` of
            ``cifar10``, and of anything else every 20th training image or fewer, at most 2,000, which are then
            not trained on.
        split: Split of ``data``, where it is a name; ``train`` (default) of ``cifar10`` and ``hf:``.
        test_split: Split of ``test_data``, likewise; given alone, the one of ``data``.
        image_size: Side of the centre crop of every image, in pixels, where data are names; None for images
            that are all alike.
        image_column: Column of the images, where data are names and have several.
        label_column: Column of the labels, likewise.
        weights: Weights to begin with, of the same network; random without them.
        precision: ``float32`` or ``bfloat16`` (autocast); by default bfloat16 on a GPU.
        device: ``cpu``, ``cuda``, ...; by default a GPU if there is one.
        checkpoint_seconds: Seconds between checkpoints beside ``out``; one is also written after each epoch, and
            on Ctrl-C at once.
        reporter: Is told about epochs.

    Raises:
        InvalidArgumentError: An argument is outside its domain.
        DataError: Images cannot be read, have no labels or differ in shape, or do not fit into memory.
        ModelError: The architecture is unknown, the weights do not fit, or training diverges.
        RunError: ``out`` exists or another process works on it, its checkpoint is of another run, or the disk
            refuses.
    """
    reporter = reporter or Reporter()
    out = Path(out)
    if out.suffix != _SUFFIX:
        raise InvalidArgumentError(f"out must be a file that ends in {_SUFFIX}; got {out}")
    check_out(out)
    if precision is not None:
        check_choice("precision", precision, PRECISIONS)
    if not checkpoint_seconds >= 0:
        raise InvalidArgumentError(f"checkpoint_seconds must be a number, at least 0; got {checkpoint_seconds!r}")
    place = _place(device)
    precision = precision or ("bfloat16" if place.type == "cuda" else "float32")
    splits = choose_splits(
        data,
        test_data=test_data,
        split=split,
        test_split=test_split,
        image_size=image_size,
        image_column=image_column,
        label_column=label_column,
    )
    network = _first_network(recipe, num_classes=splits.num_classes, weights=weights)
    with sole_writer(out):
        training, tests = _read(splits, reporter)
        about = splits.header() | {
            "recipe": recipe.to_json(),
            "data_sha256": training.sha256(),
            "initial_weights_sha256": state_dict_sha256(network),
            "precision": precision,
        }
        identity = ("recipe", "data_fingerprint", "data_sha256", "initial_weights_sha256", "precision")
        trainer = Trainer(
            network,
            training.to(place),
            recipe,
            device=place,
            precision=precision,
            checkpoint=checkpoint_path(out),
            identity={name: about[name] for name in identity},
            checkpoint_seconds=checkpoint_seconds,
        )
        tests = tests.to(place)
        glance = tests.spread(GLANCE)
        reporter.note(
            f"{len(training):,} images x {recipe.epochs} epochs on {place}, {precision}; accuracy under noise is of "
            f"{len(glance):,} images of {splits.tested_on}"
        )
        trainer.run(glance, reporter=reporter)
        accuracy = noisy_accuracy(trainer.classifier, tests, sigma=recipe.sigma, seed=recipe.seed)
        metadata = about | {
            "sigma": repr(recipe.sigma),
            "arch": recipe.arch,
            "seed": str(recipe.seed),
            "noisy_accuracy": f"{accuracy:.6f}",
            "test_data": splits.tested_on,
            "test_images": str(len(tests)),
            "smoothcert": __version__,
            "torch": torch.__version__,
            "created": now(),
        }
        with disk_errors(out.parent):
            write_atomically(out, to_safetensors(network, metadata))
            checkpoint_path(out).unlink(missing_ok=True)
    return Trained(out, accuracy, len(tests), metadata)


def _place(device: str | None) -> torch.device:
    name = choose_device(device)
    try:
        return torch.empty(0, device=name).device  # with its index, and it exists
    except (RuntimeError, AssertionError) as error:
        raise InvalidArgumentError(f"device must be one that PyTorch can use here; got {name!r}: {error}") from error


def _first_network(recipe: Recipe, *, num_classes: int, weights: Path | str | None) -> CifarResNet:
    """The network training begins with; its random weights are drawn on the CPU, whatever the device."""
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would seed every GPU's generator too.
        torch.default_generator.manual_seed(recipe.seed)
        network = cifar_network(recipe.arch, width=recipe.width, num_classes=num_classes)
    if weights is not None:
        fit_weights(network, read_weights(Path(weights)).state_dict(), source=f"weights file {weights}")
    return network


def _read(splits: Splits, reporter: Reporter) -> tuple[Images, Images]:
    """Decode the images to train on, and those to measure accuracy on."""
    reporter.note(f"reading {len(splits.data):,} images of {splits.data.name}")
    training = read_images(splits.data, splits.kept, shape=splits.shape)
    return training, read_images(splits.test_data, splits.tested, shape=splits.shape)
