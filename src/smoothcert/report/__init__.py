"""From tables and curves to figures for papers and one HTML page for everybody.

Names are loaded when first used: figures need Matplotlib and the page Jinja2 too, which the extra ``report`` installs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from smoothcert.extras import missing

if TYPE_CHECKING:
    from smoothcert.report.figures import (
        accuracy_over_radius_figure,
        accuracy_over_threshold_figure,
        calibration_figure,
        certificate_figure,
        comparison_figure,
        correlation_figure,
        distribution_figure,
        figure_format,
        placement_figure,
        save_figure,
        sweep_figure,
    )
    from smoothcert.report.page import write_report
    from smoothcert.report.svg import certificate_svg

__all__ = [
    "accuracy_over_radius_figure",
    "accuracy_over_threshold_figure",
    "calibration_figure",
    "certificate_figure",
    "certificate_svg",
    "comparison_figure",
    "correlation_figure",
    "distribution_figure",
    "figure_format",
    "placement_figure",
    "save_figure",
    "sweep_figure",
    "write_report",
]

_OPTIONAL = ("matplotlib", "jinja2", "markupsafe")


def __getattr__(name: str) -> Any:
    """Import the home of a public name when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = {"write_report": "page", "certificate_svg": "svg"}.get(name, "figures")
    try:
        value = getattr(import_module(f"{__name__}.{home}"), name)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _OPTIONAL:
            raise
        raise missing(package, error, what="the report" if home == "page" else "a figure", extra="report") from error
    globals()[name] = value
    return value
