"""From runs to tables and curves: NumPy and SciPy only, no torch, so that stored results can be read anywhere."""

from smoothcert.analysis.best_sigma import Sweep, SweepPoint, sweep
from smoothcert.analysis.bootstrap import Estimate
from smoothcert.analysis.calibration import Calibration, ReliabilityBin, calibration
from smoothcert.analysis.certified_accuracy import (
    CertifiedAccuracy,
    certified_accuracy,
    class_certified_accuracy,
    population_lower,
)
from smoothcert.analysis.compare import Compared, Comparison, Contender, compare
from smoothcert.analysis.correlation import RadiusCorrelation, radius_correlation
from smoothcert.analysis.difference import FractionDifference, paired_difference, unpaired_difference
from smoothcert.analysis.inputs import Inputs, SkippedInput
from smoothcert.analysis.pairing import Pairing, pair_inputs
from smoothcert.analysis.placement import Placement, threshold_placement
from smoothcert.analysis.proportion import Proportion, proportion, proportion_interval
from smoothcert.analysis.source import Source, bounds_table
from smoothcert.analysis.summary import RunSummary, summary
from smoothcert.analysis.table import Askable, BoundsTable
from smoothcert.analysis.workers import set_workers

__all__ = [
    "Askable",
    "BoundsTable",
    "Calibration",
    "CertifiedAccuracy",
    "Compared",
    "Comparison",
    "Contender",
    "Estimate",
    "FractionDifference",
    "Inputs",
    "Pairing",
    "Placement",
    "Proportion",
    "RadiusCorrelation",
    "ReliabilityBin",
    "RunSummary",
    "SkippedInput",
    "Source",
    "Sweep",
    "SweepPoint",
    "bounds_table",
    "calibration",
    "certified_accuracy",
    "class_certified_accuracy",
    "compare",
    "pair_inputs",
    "paired_difference",
    "population_lower",
    "proportion",
    "proportion_interval",
    "radius_correlation",
    "set_workers",
    "summary",
    "sweep",
    "threshold_placement",
    "unpaired_difference",
]
