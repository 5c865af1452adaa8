"""Histograms of scores to certified bounds. NumPy and SciPy only here: no torch, no files, no printing."""

from smoothcert.bounds.cdf import cdf_lower, clopper_pearson_survival_lower, dkw_survival_lower
from smoothcert.bounds.clopper_pearson import (
    TopVotes,
    class_radius,
    clopper_pearson_lower,
    clopper_pearson_upper,
    pairwise_class_radius,
)
from smoothcert.bounds.deal import deal_seed, mirrored_seed
from smoothcert.bounds.dual import dual_lower
from smoothcert.bounds.hoeffding import hoeffding_lower
from smoothcert.bounds.lead import LeadCertificate
from smoothcert.bounds.rounding import ceil_decimals, ceil_digits, exact_text, floor_decimals, plain_number
from smoothcert.bounds.score_certificate import ScoreCertificate
from smoothcert.bounds.sequential import CERTIFIED, REFUTED, UNDECIDED, SequentialTest
from smoothcert.bounds.table import (
    BOUNDS,
    TABLE,
    Bound,
    bound_named,
    certified_radii,
    lower_bounds,
    split_alpha,
    upper_bounds,
)
from smoothcert.bounds.vote_test import VoteTest

__all__ = [
    "BOUNDS",
    "CERTIFIED",
    "REFUTED",
    "TABLE",
    "UNDECIDED",
    "Bound",
    "LeadCertificate",
    "ScoreCertificate",
    "SequentialTest",
    "TopVotes",
    "VoteTest",
    "bound_named",
    "cdf_lower",
    "ceil_decimals",
    "ceil_digits",
    "certified_radii",
    "class_radius",
    "clopper_pearson_lower",
    "clopper_pearson_survival_lower",
    "clopper_pearson_upper",
    "deal_seed",
    "dkw_survival_lower",
    "dual_lower",
    "exact_text",
    "floor_decimals",
    "hoeffding_lower",
    "lower_bounds",
    "mirrored_seed",
    "pairwise_class_radius",
    "plain_number",
    "split_alpha",
    "upper_bounds",
]
