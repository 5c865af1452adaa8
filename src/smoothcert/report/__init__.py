"""From tables and curves to figures for papers and one HTML page for everybody."""

from smoothcert.report.figures import (
    accuracy_over_radius_figure,
    accuracy_over_threshold_figure,
    calibration_figure,
    comparison_figure,
    correlation_figure,
    distribution_figure,
    placement_figure,
    save_figure,
    sweep_figure,
)
from smoothcert.report.page import write_report

__all__ = [
    "accuracy_over_radius_figure",
    "accuracy_over_threshold_figure",
    "calibration_figure",
    "comparison_figure",
    "correlation_figure",
    "distribution_figure",
    "placement_figure",
    "save_figure",
    "sweep_figure",
    "write_report",
]
