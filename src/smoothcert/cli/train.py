"""``smoothcert train``: train a network under noise, to be certified afterwards."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from smoothcert.cli.edge import INTERRUPTED
from smoothcert.cli.options import Device
from smoothcert.console import say
from smoothcert.training.recipe import Recipe

_IMAGES = Parameter(group=Group("Images", sort_key=1))
_RECIPE = Parameter(name="*", negative_bool="no-", group=Group("Recipe", sort_key=2))


def train(
    *,
    data: str,
    out: Path,
    recipe: Annotated[Recipe, _RECIPE],
    test_data: Annotated[str | None, _IMAGES] = None,
    split: Annotated[str | None, _IMAGES] = None,
    test_split: Annotated[str | None, _IMAGES] = None,
    image_size: Annotated[int | None, _IMAGES] = None,
    image_column: Annotated[str | None, _IMAGES] = None,
    label_column: Annotated[str | None, _IMAGES] = None,
    weights: Path | None = None,
    precision: Literal["float32", "bfloat16"] | None = None,
    device: Device = None,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"])] = False,
) -> None:
    """Train a classifier on noisy images and write its weights, to certify as cifar:ARCH.

    An interrupted training goes on with the same command.

    For example:

        smoothcert train --data cifar10 --sigma 0.25 --arch resnet20 --out resnet20.safetensors

    Args:
        data: Training images, in colour: cifar10, parquet:PATH, imagefolder:PATH or hf:NAME.
        out: Weights file to write, ending in .safetensors.
        recipe: How to train.
        test_data: Images accuracy is measured on. Default: cifar10's test split, or images held out.
        split: Split of the training images. Default: train, for cifar10 and hf:.
        test_split: Split of --test-data, or without that of --data.
        image_size: Scale and crop images to this side, in pixels.
        image_column: Column of the images, where there are several.
        label_column: Column of the labels, where there are several.
        weights: Weights file to begin with. Default: random weights.
        precision: Arithmetic of the network. Default: bfloat16 on a GPU, float32 elsewhere.
        quiet: Say only the result and errors.
    """
    from smoothcert import training
    from smoothcert.progress import LineReporter, Reporter

    try:
        trained = training.train(
            data,
            recipe=recipe,
            out=out,
            test_data=test_data,
            split=split,
            test_split=test_split,
            image_size=image_size,
            image_column=image_column,
            label_column=label_column,
            weights=weights,
            precision=precision,
            device=device,
            reporter=Reporter() if quiet else LineReporter(sys.stderr),
        )
    except KeyboardInterrupt:
        say(_interrupted(out), err=True)
        raise SystemExit(INTERRUPTED) from None
    say(f"accuracy under noise {trained.noisy_accuracy:.4f} on {trained.test_images:,} images; {out}")
    say(f"certify it: smoothcert certify --model cifar:{recipe.arch} --weights {out} --sigma {recipe.sigma} ...")


def _interrupted(out: Path) -> str:
    from smoothcert.training.checkpoint import checkpoint_path

    if not (checkpoint := checkpoint_path(out)).exists():
        return "interrupted before the first checkpoint"
    return f"interrupted: {checkpoint} holds what was done; the same command goes on from there"
