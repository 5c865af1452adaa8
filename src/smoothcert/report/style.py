"""How curves look, the same on paper and on the page: the colour says how far, the line says by which bound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_hex

# Okabe and Ito (2008): told apart under every common colour blindness. The page lightens them in dark mode.
RADIUS_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6b6b6b")
# Tol's muted scheme, so that a threshold is never taken for a radius.
THRESHOLD_COLORS = ("#332288", "#aa4499", "#44aa99", "#999933", "#882255")

INK, SOFT_INK, RULE, PAPER = "#1c2126", "#5c6670", "#d9dee3", "#ffffff"
CLASS_COLOR = "#6b6b6b"
CLASS_LINE: dict[str, object] = {"linestyle": (0, (1, 1)), "linewidth": 1.6}
SPREAD = "#0072b2"
RIGHT, WRONG = "#0072b2", "#d55e00"
ANSWER_COLORS = {"certified": RIGHT, "refuted": WRONG, "undecided": CLASS_COLOR}

BOUND_LINES: dict[str, dict[str, object]] = {
    "dual": {"linestyle": "-", "linewidth": 2.6},
    "cdf": {"linestyle": "-", "linewidth": 1.1},
    "hoeffding": {"linestyle": (0, (4, 2)), "linewidth": 1.1},
    "clopper_pearson": {"linestyle": (0, (1, 1.5)), "linewidth": 1.4},
}
OTHER_LINE: dict[str, object] = {"linestyle": (0, (6, 1.5, 1, 1.5)), "linewidth": 1.4}
# Runs in one figure: the colour still says how far.
RUN_LINES: tuple[dict[str, object], ...] = (
    {"linestyle": "-", "linewidth": 2.0},
    {"linestyle": (0, (5, 1.5)), "linewidth": 1.6},
    {"linestyle": (0, (1, 1.2)), "linewidth": 1.6},
    {"linestyle": (0, (6, 1.5, 1, 1.5)), "linewidth": 1.3},
)
PLACEMENT_LINES: dict[str, dict[str, Any]] = {
    "equal_mass": {"linestyle": "-"},
    "uniform": {"linestyle": (0, (4, 2))},
    "all": {"linewidth": 0.8, "alpha": 0.5},
}

RC: Any = {
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.labelsize": 9.0,
    "legend.fontsize": 8.0,
    "axes.edgecolor": SOFT_INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": SOFT_INK,
    "ytick.color": SOFT_INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.linewidth": 0.8,
    "legend.frameon": False,
    "figure.facecolor": PAPER,
    "axes.facecolor": "none",
    "savefig.dpi": 200,
    "pdf.fonttype": 42,  # fonts a reader can select and a printer accepts
    "svg.hashsalt": "smoothcert",  # the same figure twice is the same file
}


def colors(values: Sequence[object], palette: Sequence[str] = RADIUS_COLORS) -> list[str]:
    """One colour per value, in the order of the palette; more values than it has get a graded scale.

    Example:
        >>> colors([0.0, 0.25])
        ['#0072b2', '#d55e00']
    """
    if len(values) <= len(palette):
        return list(palette[: len(values)])
    graded = mpl.colormaps["viridis"]
    return [to_hex(graded(x)) for x in np.linspace(0.0, 0.9, len(values))]
