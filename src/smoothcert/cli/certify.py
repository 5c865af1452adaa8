"""``smoothcert certify``: sample a data set and store what was sampled."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from smoothcert.cli.options import BatchSize, Device, Quiet


class OnUnreadable(str, Enum):
    """What to do with an input that cannot be read."""

    fail = "fail"
    skip = "skip"


def certify(
    model: Annotated[
        str, typer.Option(help="digits, python:module:factory, torchvision:NAME, timm:NAME, hf:NAME, ...")
    ],
    data: Annotated[str, typer.Option(help="digits, cifar10, parquet:PATH, imagefolder:PATH or hf:NAME.")],
    sigma: Annotated[float, typer.Option(help="Standard deviation of the noise; images lie in [0, 1].")],
    out: Annotated[Path, typer.Option(help="Run folder. If it holds the same run, that is continued.")],
    n: Annotated[int | None, typer.Option(help="Estimation samples an input; default: 95000.")] = None,
    n0: Annotated[
        int | None,
        typer.Option(help="Pilot samples an input; they select the class. Default: 5000, with --decide 100."),
    ] = None,
    decide: Annotated[
        str | None,
        typer.Option(
            metavar="MEASURE:THRESHOLD@RADIUS",
            help="Answer one question only, such as score:0.5@0.25, with as few samples as it takes.",
        ),
    ] = None,
    max_n: Annotated[int | None, typer.Option(help="With --decide, at most so many samples; default: 100000.")] = None,
    alpha: Annotated[float, typer.Option(help="Probability that a certificate is wrong.")] = 0.001,
    seed: Annotated[int, typer.Option(help="Seed of the noise.")] = 0,
    weights: Annotated[Path | None, typer.Option(help="Weights, where the model needs a file.")] = None,
    denoiser: Annotated[
        str | None,
        typer.Option(help="Put before the model: ffdnet, diffusers:NAME or python:module:factory, told sigma."),
    ] = None,
    denoiser_weights: Annotated[Path | None, typer.Option(help="Weights, where the denoiser needs a file.")] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many inputs.")] = None,
    stride: Annotated[int, typer.Option(help="Every so many-th input.")] = 1,
    split: Annotated[str | None, typer.Option(help="Split of the data, such as test.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Crop images to this side; default: the model's own.")] = None,
    resize: Annotated[int | None, typer.Option(help="Shorter side before the crop; default: the model's own.")] = None,
    interpolation: Annotated[
        str | None,
        typer.Option(help="Filter it is scaled with, such as bilinear or bicubic; default: the model's own."),
    ] = None,
    image_column: Annotated[str | None, typer.Option(help="Column of the images, if several.")] = None,
    label_column: Annotated[str | None, typer.Option(help="Column of the labels, if several.")] = None,
    levels: Annotated[int, typer.Option(help="Steps of the grid scores are counted on.")] = 10_000,
    outputs: Annotated[str | None, typer.Option(help="What the model returns: logits or probabilities.")] = None,
    precision: Annotated[
        str, typer.Option(help="float32, bfloat16 or float16; part of what is certified.")
    ] = "float32",
    backend: Annotated[
        str,
        typer.Option(
            help="torch, torch-folded, torch-compile, torch-cuda-graphs, onnxruntime or openvino; as precision."
        ),
    ] = "torch",
    verify_precision: Annotated[
        bool, typer.Option("--verify-precision", help="Measure how far precision and backend move scores, and note it.")
    ] = False,
    batch_size: BatchSize = None,
    device: Device = None,
    on_unreadable: Annotated[
        OnUnreadable,
        typer.Option(help="An input that cannot be read stops the run, or is skipped and counted."),
    ] = OnUnreadable.fail,
    quiet: Quiet = False,
) -> None:
    """Sample every input under noise and store it, so that query and report can answer anything later.

    The run can be interrupted, even killed: the same command goes on where it stopped.
    """
    from smoothcert.certify import certify_run
    from smoothcert.cli.sampling import sampling_session

    with sampling_session(out, quiet=quiet) as reporter:
        run = certify_run(
            model,
            data,
            out=out,
            sigma=sigma,
            n=n,
            n0=n0,
            decide=decide,
            max_n=max_n,
            alpha=alpha,
            seed=seed,
            weights=weights,
            denoiser=denoiser,
            denoiser_weights=denoiser_weights,
            limit=limit,
            stride=stride,
            split=split,
            image_size=image_size,
            resize=resize,
            interpolation=interpolation,
            image_column=image_column,
            label_column=label_column,
            levels=levels,
            outputs=outputs,
            precision=precision,
            backend=backend,
            verify_precision=verify_precision,
            batch_size=batch_size,
            device=device,
            on_unreadable=on_unreadable.value,
            reporter=reporter,
        )
    skipped = len(run.skipped)
    typer.echo(f"{len(run)} inputs in {out}" + (f", {skipped} of them skipped as unreadable" if skipped else ""))
