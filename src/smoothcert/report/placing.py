"""The figure of threshold placement: what the CDF bound loses with few thresholds, placed in two ways."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from smoothcert.analysis.placement import COUNTS, PLACEMENTS, Streamed, threshold_placement
from smoothcert.report.style import INK, RC, colors
from smoothcert.typing import FloatArray

_LINES = {"equal_mass": "-", "uniform": (0, (4, 2))}


def placement_figure(
    run: Streamed,
    *,
    radii: Sequence[float] | FloatArray,
    measures: Sequence[str] = ("score", "margin"),
    thresholds: Sequence[int] = COUNTS,
    alpha: float | None = None,
) -> Figure:
    """Mean CDF bound over the number of thresholds; the level line is the bound with all of them.

    References:
        Kumar et al. (2020), Section 4.1, https://arxiv.org/abs/2009.08061.
    """
    with mpl.rc_context(RC):
        figure = Figure(figsize=(3.6 * len(measures) + 0.2, 3.4), layout="constrained")
        distances = [float(radius) for radius in radii]
        shades = dict(zip(distances, colors(distances), strict=True))
        for ax, measure in zip(figure.subplots(1, len(measures), squeeze=False)[0], measures, strict=True):
            rows = threshold_placement(run, measure=measure, radii=radii, thresholds=thresholds, alpha=alpha)
            for radius, shade in shades.items():
                own = [row for row in rows if row.radius == radius]
                ax.axhline(own[0].mean_lower, color=shade, linewidth=0.8, alpha=0.5)
                for placement in PLACEMENTS:
                    kept = [row for row in own if row.placement == placement]
                    x, y = [row.thresholds for row in kept], [row.mean_lower for row in kept]
                    ax.plot(x, y, color=shade, linestyle=_LINES[placement], marker="o", markersize=3)
            ax.set_xscale("log")
            ax.set_xlabel("thresholds")
            ax.set_ylabel(f"mean certified {measure} (cdf)")
            ax.set_title(measure)
        handles = [Line2D([], [], color=shade, linewidth=2.0, label=f"radius {r:g}") for r, shade in shades.items()]
        names = {"equal_mass": "equal mass", "uniform": "uniform"}
        handles += [Line2D([], [], color=INK, linestyle=_LINES[p], label=names[p]) for p in PLACEMENTS]  # type: ignore[arg-type]
        handles.append(Line2D([], [], color=INK, linewidth=0.8, alpha=0.5, label="all"))
        figure.legend(handles=handles, loc="outside lower center", ncols=2 * min(len(measures), 2))
    return figure
