"""The parts of ``sweep``: its runs, its radii, its rows and its table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from smoothcert._check import check_sigma
from smoothcert.analysis import BoundsTable, Sweep, bounds_table, sweep
from smoothcert.certify import certify_run
from smoothcert.cli.options import names, numbers, open_runs
from smoothcert.cli.printing import Row, number_text, proportion_text, table_text
from smoothcert.cli.sampling import sampling_session
from smoothcert.errors import InvalidArgumentError, ModelError
from smoothcert.spec import RunSpec
from smoothcert.urls import AnyPath

_POINTS = 17
_MOST_STEPS = 20
_MARK = "{sigma}"


def levels(text: str) -> dict[str, float]:
    """Noise levels by the way they were written, which is how files are named: 0.50 is not 0.5 there.

    Raises:
        InvalidArgumentError: If one is not a positive number, or is there twice.
    """
    found = [check_sigma(sigma) for sigma in numbers("sigmas", text)]
    if len(set(found)) < len(found):
        raise InvalidArgumentError(f"sigmas must be given once each; got {text!r}")
    return dict(zip(names("sigmas", text), found, strict=True))


def certify_each(sigmas: dict[str, float], spec: RunSpec, *, folder: AnyPath, quiet: bool) -> list[AnyPath]:
    """Certify the model of each sigma under noise of that sigma, one after the other; gives the run folders.

    Args:
        sigmas: Noise levels by the way they were written.
        spec: The run; ``{sigma}`` in what names its model and denoiser stands for each of them.
        folder: Where the run folders are; runs that are there are continued.
        quiet: Whether to show no progress.

    Raises:
        InvalidArgumentError: If the model or the data are not named, or nothing depends on sigma.
        ModelError: If a weights file is not there; nothing is certified before all of them are.
    """
    if spec.model.name is None or spec.data.name is None:
        raise InvalidArgumentError("sigmas needs model and data, to know what to certify")
    patterns = spec.options(parts=("model",))
    if spec.model.denoiser is None and not any(_MARK in pattern for pattern in patterns.values()):
        raise InvalidArgumentError(
            f"model or weights must hold {_MARK}, or a denoiser be named, because a classifier serves the sigma it was "
            f"trained at; got {', '.join(patterns.values())}"
        )
    each = {
        written: spec.vary(sigma=sigma, **{name: text.replace(_MARK, written) for name, text in patterns.items()})
        for written, sigma in sigmas.items()
    }
    for written, own in each.items():
        for name, file in (("weights", own.model.weights), ("denoiser weights", own.model.denoiser_weights)):
            if file is not None and not file.exists():
                raise ModelError(f"{name} of sigma {written}: there is no file {file}")
    paths = []
    for written, own in each.items():
        out = folder / f"sigma_{written}"
        with sampling_session(out, quiet=quiet) as reporter:
            certify_run(own, out=out, reporter=reporter)
        paths.append(out)
    return paths


def open_tables(paths: Sequence[AnyPath], *, alpha: float | None) -> list[BoundsTable]:
    """Bounds of the runs in these folders; several may hold shares of one run."""
    return [bounds_table(run, alpha=alpha) for run in open_runs(paths)]


def default_radii(tables: Sequence[BoundsTable], *, measure: str, threshold: float) -> list[float]:
    """The radii all imported logs hold, or round steps from 0 to where no sigma certifies any input."""
    if grids := [set(table.answers.radii) for table in tables if table.answers.radii]:
        return sorted(set.intersection(*grids)) or [0.0]
    probed = np.linspace(0.0, 4.0 * max((table.sigma for table in tables), default=0.25), _POINTS)
    found = sweep(
        tables, radii=probed, measure=measure, bound="cdf", threshold=threshold
    )  # dual reaches little farther
    reach = max((point.radius for point in found.points if point.best is not None), default=0.0) + 2.0 * float(
        probed[1]
    )
    step = _round_step(reach / _MOST_STEPS)
    return [round(position * step, 10) for position in range(round(np.ceil(reach / step)) + 1)]


def _round_step(at_least: float) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that is at least this."""
    unit = 10.0 ** np.floor(np.log10(at_least))
    return float(next(unit * digit for digit in (1.0, 2.0, 2.5, 5.0, 10.0) if unit * digit >= at_least))


def rows(found: Sweep) -> list[Row]:
    """One flat row a radius and sigma."""
    return [
        {
            "measure": found.measure,
            "bound": found.bound,
            "threshold": found.threshold,
            "radius": point.radius,
            "sigma": sigma,
            "certified_accuracy": share.value,
            "ci_low": share.ci_low,
            "ci_high": share.ci_high,
            "inputs": share.inputs,
            "best": sigma == point.best,
            "tied": sigma in point.tied,
        }
        for point in found.points
        for sigma, share in zip(found.sigmas, point.accuracies, strict=True)
    ]


def text(found: Sweep) -> str:
    """One line a radius, one column a sigma, and the rule of thumb."""
    body = [
        [
            number_text(point.radius),
            *(proportion_text(share.count, share.inputs, share.ci_low, share.ci_high) for share in point.accuracies),
            "—" if point.best is None else f"{point.best:g}",
            ", ".join(f"{sigma:g}" for sigma in point.tied),
        ]
        for point in found.points
    ]
    kept = "the class kept" if found.threshold is None else f"{found.measure} > {number_text(found.threshold)}"
    return "\n".join(
        [
            f"certified accuracy, {kept}, by the {found.bound} bound [95% interval over the inputs]",
            *(f"note: {note}" for note in found.notes),
            table_text(
                ["radius", *(f"sigma {sigma:g}" for sigma in found.sigmas), "best", "not told from it"],
                body,
                numeric_from=0,
            ),
            f"{found.rule} (picked on the inputs it is reported for)",
        ]
    )
