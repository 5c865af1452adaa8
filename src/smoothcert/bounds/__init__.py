"""Histograms of scores to certified bounds. NumPy and SciPy only here: no torch, no files, no printing."""

from smoothcert.bounds.bands import clopper_pearson_survival_lower, dkw_survival_lower
from smoothcert.bounds.bulk import lower_bounds
from smoothcert.bounds.cdf import cdf_lower
from smoothcert.bounds.clopper_pearson import class_radius, clopper_pearson_lower, clopper_pearson_upper
from smoothcert.bounds.decide import CERTIFIED, REFUTED, UNDECIDED, SequentialTest
from smoothcert.bounds.dual import dual_lower, dual_shift_above
from smoothcert.bounds.hoeffding import hoeffding_lower
from smoothcert.bounds.joint import split_alpha
from smoothcert.bounds.rounding import ceil_decimals, floor_decimals
from smoothcert.bounds.score_certificate import BOUNDS, ScoreCertificate

__all__ = [
    "BOUNDS",
    "CERTIFIED",
    "REFUTED",
    "UNDECIDED",
    "ScoreCertificate",
    "SequentialTest",
    "cdf_lower",
    "ceil_decimals",
    "class_radius",
    "clopper_pearson_lower",
    "clopper_pearson_survival_lower",
    "clopper_pearson_upper",
    "dkw_survival_lower",
    "dual_lower",
    "dual_shift_above",
    "floor_decimals",
    "hoeffding_lower",
    "lower_bounds",
    "split_alpha",
]
