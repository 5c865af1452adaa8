"""The parts of ``sweep``: its runs, its radii, its rows and its table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from smoothcert.analysis import BoundsTable, Sweep, bounds_table
from smoothcert.cli.answers import Row
from smoothcert.cli.options import names, numbers
from smoothcert.cli.printing import proportion_text, table_text
from smoothcert.cli.sampling import sampling_session
from smoothcert.errors import InvalidArgumentError
from smoothcert.runs import Run, certify_run

_POINTS = 17
_MARK = "{sigma}"


def levels(text: str) -> dict[str, float]:
    """Noise levels by the way they were written, which is how files are named: 0.50 is not 0.5 there."""
    return dict(zip(names("sigmas", text), numbers("sigmas", text), strict=True))


def certify_each(
    sigmas: dict[str, float],
    *,
    model_template: str | None,
    weights_template: str | None,
    data: str | None,
    folder: Path,
    quiet: bool,
    options: dict[str, Any],
) -> list[Path]:
    """Certify the model of each sigma under noise of that sigma, one after the other; gives the run folders.

    Raises:
        InvalidArgumentError: If the model or the data are not named, or nothing depends on sigma.
    """
    if model_template is None or data is None:
        raise InvalidArgumentError("sigmas needs model-template and data, to know what to certify")
    if _MARK not in f"{model_template}{weights_template}":
        raise InvalidArgumentError(
            f"model-template or weights-template must hold {_MARK}: a model serves the sigma it was trained at; got "
            f"{model_template!r} and {weights_template!r}"
        )
    paths = []
    for written, sigma in sigmas.items():
        out = folder / f"sigma_{written}"
        weights = None if weights_template is None else weights_template.replace(_MARK, written)
        with sampling_session(out, quiet=quiet) as reporter:
            certify_run(
                model_template.replace(_MARK, written),
                data,
                out=out,
                sigma=sigma,
                weights=weights,
                reporter=reporter,
                **options,
            )
        paths.append(out)
    return paths


def open_tables(paths: Sequence[Path], *, alpha: float | None) -> list[BoundsTable]:
    """Bounds of the runs in these folders."""
    return [bounds_table(Run.open(path), alpha=alpha) for path in paths]


def default_radii(tables: Sequence[BoundsTable]) -> list[float]:
    """The radii all imported logs hold, or steps from 0 to four times the largest sigma."""
    if grids := [set(table.answers.radii) for table in tables if table.answers.radii]:
        return sorted(set.intersection(*grids)) or [0.0]
    farthest = 4.0 * max((table.sigma for table in tables), default=0.25)
    return [float(radius) for radius in np.linspace(0.0, farthest, _POINTS)]


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
        }
        for point in found.points
        for sigma, share in zip(found.sigmas, point.accuracies, strict=True)
    ]


def text(found: Sweep) -> str:
    """One line a radius, one column a sigma, and the rule of thumb."""
    body = [
        [
            f"{point.radius:g}",
            *(proportion_text(share.count, share.inputs, share.ci_low, share.ci_high) for share in point.accuracies),
            "—" if point.best is None else f"{point.best:g}",
        ]
        for point in found.points
    ]
    kept = "the class kept" if found.threshold is None else f"{found.measure} > {found.threshold:g}"
    return "\n".join(
        [
            f"certified accuracy, {kept}, by the {found.bound} bound [95% interval over the inputs]",
            table_text(["radius", *(f"sigma {sigma:g}" for sigma in found.sigmas), "best"], body, numeric_from=0),
            f"{found.rule} (picked on the inputs it is reported for)",
        ]
    )
