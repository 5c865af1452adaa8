"""From runs to tables and curves: NumPy and SciPy only, no torch, so that stored results can be read anywhere."""

from smoothcert.analysis.bootstrap import Estimate
from smoothcert.analysis.bounds_table import Answers, BoundsTable, Inputs, SkippedInput
from smoothcert.analysis.calibration import Calibration, ReliabilityBin, calibration
from smoothcert.analysis.certified_accuracy import (
    CertifiedAccuracy,
    certified_accuracy,
    certified_fraction,
    class_certified_accuracy,
)
from smoothcert.analysis.compare import Compared, Comparison, Contender, compare
from smoothcert.analysis.correlation import RadiusCorrelation, radius_correlation
from smoothcert.analysis.difference import Difference, paired_difference, unpaired_difference
from smoothcert.analysis.placement import Placement, threshold_placement
from smoothcert.analysis.proportion import Proportion, proportion, proportion_interval
from smoothcert.analysis.sampled_bounds import SampledBounds, bounds_table
from smoothcert.analysis.summary import RunSummary, summary
from smoothcert.analysis.sweep import Sweep, SweepPoint, sweep
from smoothcert.analysis.workers import set_workers

__all__ = [
    "Answers",
    "BoundsTable",
    "Calibration",
    "CertifiedAccuracy",
    "Compared",
    "Comparison",
    "Contender",
    "Difference",
    "Estimate",
    "Inputs",
    "Placement",
    "Proportion",
    "RadiusCorrelation",
    "ReliabilityBin",
    "RunSummary",
    "SampledBounds",
    "SkippedInput",
    "Sweep",
    "SweepPoint",
    "bounds_table",
    "calibration",
    "certified_accuracy",
    "certified_fraction",
    "class_certified_accuracy",
    "compare",
    "paired_difference",
    "proportion",
    "proportion_interval",
    "radius_correlation",
    "set_workers",
    "summary",
    "sweep",
    "threshold_placement",
    "unpaired_difference",
]
