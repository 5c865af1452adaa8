"""What a figure is, on paper and on the page: panels that draw themselves, their keys, and the numbers behind them.

Every figure is one :class:`Plot`, built once by a function of :mod:`smoothcert.report.gallery`. Two renderers show it:
:func:`smoothcert.report.figures.render` as a Matplotlib figure, :func:`smoothcert.report.svg.chart` as SVG in the page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from matplotlib.axes import Axes

from smoothcert.report.curves import Curve
from smoothcert.report.style import INK


@dataclass(frozen=True)
class Key:
    """One entry of a figure's key.

    Args:
        name: What it stands for: the ``group`` or the ``line`` of curves.
        label: What the reader is told.
        color: Colour as ``#rrggbb``.
        sign: ``"line"``, ``"dot"``, ``"cross"`` or ``"band"``.
        style: Line properties for Matplotlib, where it is a kind of line.
    """

    name: str
    label: str
    color: str = INK
    sign: str = "line"
    style: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def css(self) -> str:
        """The kind of line as a border of the page's style sheet."""
        dashes = self.style.get("linestyle", "-")
        kind = "solid" if isinstance(dashes, str) else "dotted" if dashes[1][0] <= 1 else "dashed"
        width = max(round(1.2 * float(self.style.get("linewidth", 2.4))), 1)
        return f"border-top: {width}px {kind} var(--c)"


@dataclass(frozen=True)
class Panel:
    """One axes of a figure.

    Args:
        title: What is above it.
        alt: What it shows, in a sentence, for those who do not see it.
        draw: Draws on the axes it is given.
        note: Small print below the title.
        keys: What colours mean in this panel alone.
        curves: The curves it draws, for the page's pointer.
        xlabel: What the pointer moves along.
        start: Where it begins.
        measure: The measure it is about, if it is about one: the page shows those of one measure at a time.
    """

    title: str
    alt: str
    draw: Callable[[Axes], None]
    note: str = ""
    keys: tuple[Key, ...] = ()
    curves: tuple[Curve, ...] = ()
    xlabel: str = ""
    start: float = 0.0
    measure: str = ""


@dataclass(frozen=True)
class Plot:
    """A figure.

    Args:
        name: A word that tells it from the others.
        title: What it is about.
        caption: How to read it.
        panels: Its panels, row by row.
        keys: What colours mean in all panels.
        lines: What kinds of lines mean.
        heights: Relative heights of its rows; panels in a column share the horizontal axis.
        width: Width of a panel on paper, in inches.
    """

    name: str
    title: str
    caption: str
    panels: tuple[Panel, ...]
    keys: tuple[Key, ...] = ()
    lines: tuple[Key, ...] = ()
    heights: tuple[float, ...] = (1.0,)
    width: float = 3.6
