"""The figure of a sweep over sigma: certified accuracy over the radius, and the best sigma at each."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from smoothcert.analysis import Sweep
from smoothcert.report.style import INK, PAPER, RC, SOFT_INK, colors


def sweep_figure(found: Sweep) -> Figure:
    """Draw certified accuracy over the radius with its 95% band for each sigma, the best sigma below.

    Open circles are the sigmas that the inputs do not tell from the best.
    """
    radii = np.array([point.radius for point in found.points])
    shades = colors(found.sigmas)
    with mpl.rc_context(RC):
        figure = Figure(figsize=(4.8, 4.8), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1.3]})
        for position, (sigma, shade) in enumerate(zip(found.sigmas, shades, strict=True)):
            shares = [point.accuracies[position] for point in found.points]
            low, value, high = (np.array([getattr(s, end) for s in shares]) for end in ("ci_low", "value", "ci_high"))
            above.fill_between(radii, low, high, color=shade, alpha=0.15, linewidth=0.0)
            above.plot(radii, value, color=shade, linewidth=1.8, label=f"sigma {sigma:g}")
        above.set_ylim(0.0, 1.02)
        above.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        above.set_ylabel("certified accuracy")
        kept = "class unchanged" if found.threshold is None else f"{found.measure} > {found.threshold:g}, {found.bound}"
        above.set_title(kept)
        above.legend(loc="upper right")
        held = [point for point in found.points if point.best is not None]
        below.plot([p.radius for p in held], [p.best for p in held], color=INK, linewidth=0.6, alpha=0.5)
        for sigma, shade in zip(found.sigmas, shades, strict=True):
            for own, face in (
                ([point.radius for point in held if point.best == sigma], shade),
                ([point.radius for point in held if sigma in point.tied], PAPER),
            ):
                below.plot(
                    own, [sigma] * len(own), "o", color=shade, markerfacecolor=face, markersize=3.5, clip_on=False
                )
        below.set_yscale("log")
        below.set_yticks(found.sigmas, [f"{sigma:g}" for sigma in found.sigmas])
        below.minorticks_off()
        below.set_ylim(found.sigmas[0] / 1.4, found.sigmas[-1] * 1.4)
        below.set_ylabel("best sigma")
        below.set_xlabel("radius")
        below.set_title("open: not told from the best by these inputs", fontsize=8.0, color=SOFT_INK, loc="right")
        below.set_xlim(radii[0], radii[-1])
    return figure
