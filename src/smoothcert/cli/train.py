"""``smoothcert train``: train a network under noise, to be certified afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from smoothcert.cli.options import Device
from smoothcert.cli.sampling import INTERRUPTED


def train(
    data: Annotated[str, typer.Option(help="cifar10, parquet:PATH, imagefolder:PATH or hf:NAME; colour images.")],
    sigma: Annotated[float, typer.Option(help="Standard deviation of the noise; images lie in [0, 1].")],
    out: Annotated[Path, typer.Option(help="Weights file to write, .safetensors.")],
    arch: Annotated[str, typer.Option(help="resnet20, resnet32, ..., resnet110.")] = "resnet20",
    width: Annotated[int, typer.Option(help="Channels of the first stage.")] = 16,
    epochs: Annotated[int, typer.Option(help="Passes over the images.")] = 30,
    batch_size: Annotated[int, typer.Option(help="Images in a step.")] = 128,
    learning_rate: Annotated[float, typer.Option(help="Its peak; it rises and falls linearly.")] = 0.2,
    warmup: Annotated[float, typer.Option(help="Fraction of the steps over which it rises.")] = 0.15,
    momentum: Annotated[float, typer.Option(help="Of SGD, Nesterov's form.")] = 0.9,
    weight_decay: Annotated[float, typer.Option(help="Of SGD.")] = 5e-4,
    consistency: Annotated[
        float, typer.Option(help="Weight of the consistency term of Jeong and Shin; 0 for none, 10 is usual.")
    ] = 0.0,
    entropy: Annotated[float, typer.Option(help="Weight of its entropy term, where there is consistency.")] = 0.5,
    draws: Annotated[int, typer.Option(help="Noisy copies of an image, where there is consistency.")] = 2,
    augment: Annotated[bool, typer.Option(help="Crop and mirror at random.")] = True,
    seed: Annotated[int, typer.Option(help="Of weights, order, crops and noise.")] = 0,
    test_data: Annotated[
        str | None,
        typer.Option(help="Images accuracy is measured on; default: cifar10's test split, or images held out."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split of --data; default train of cifar10 and hf:.")] = None,
    test_split: Annotated[str | None, typer.Option(help="Split of --test-data, or without that of --data.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Scale and crop images to this side.")] = None,
    image_column: Annotated[str | None, typer.Option(help="Column of the images, where there are several.")] = None,
    label_column: Annotated[str | None, typer.Option(help="Column of the labels, where there are several.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Weights to begin with.")] = None,
    precision: Annotated[
        str | None, typer.Option(help="float32 or bfloat16; default: bfloat16 on a GPU, float32 elsewhere.")
    ] = None,
    device: Device = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only the result and errors.")] = False,
) -> None:
    """Train a classifier on noisy images and write its weights, to certify as cifar:ARCH.

    An interrupted training goes on with the same command.
    """
    import sys

    from smoothcert.progress import LineReporter, Reporter
    from smoothcert.training import Recipe
    from smoothcert.training import train as run

    recipe = Recipe(
        sigma=sigma,
        arch=arch,
        width=width,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        warmup=warmup,
        momentum=momentum,
        weight_decay=weight_decay,
        consistency=consistency,
        entropy=entropy,
        draws=draws,
        augment=augment,
        seed=seed,
    )
    try:
        trained = run(
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
        typer.echo(_interrupted(out), err=True)
        raise typer.Exit(INTERRUPTED) from None
    typer.echo(f"accuracy under noise {trained.noisy_accuracy:.4f} on {trained.test_images:,} images; {out}")
    typer.echo(f"certify it: smoothcert certify --model cifar:{arch} --weights {out} --sigma {sigma} ...")


def _interrupted(out: Path) -> str:
    from smoothcert.training.checkpoint import checkpoint_path

    if not (checkpoint := checkpoint_path(out)).exists():
        return "interrupted before the first checkpoint"
    return f"interrupted: {checkpoint} holds what was done; the same command goes on from there"
