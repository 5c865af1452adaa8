"""A plot as SVG inside the page: themed by its style sheet, no identifier twice, nothing loaded.

Chosen over Plotly, whose script alone is 4.8 MB in every report: this is some 30 kB a figure, follows light and dark
mode and print, needs no script to be read, and is drawn by the very code that draws the figures for papers.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from smoothcert.certificate import Certificate
from smoothcert.report.gallery import one_input
from smoothcert.report.plot import Key, Panel, Plot
from smoothcert.report.style import INK, PAPER, RADIUS_COLORS, RC, RULE, SOFT_INK, THRESHOLD_COLORS
from smoothcert.typing import FloatArray

WIDTH, HEIGHT = 5.4, 3.6  # inches at 72 units each; half the width of the page, or all of a phone's
MARGINS = {"left": 0.125, "right": 0.98, "bottom": 0.135, "top": 0.97}
_THEME = {
    INK: "--ink",
    SOFT_INK: "--soft",
    RULE: "--rule",
    PAPER: "--paper",
    **{color: f"--radius-{i}" for i, color in enumerate(RADIUS_COLORS)},
    **{color: f"--threshold-{i}" for i, color in enumerate(THRESHOLD_COLORS)},
}


@dataclass(frozen=True)
class Drawing:
    """An SVG element and where its axes lie in it, so that a pointer can be mapped to numbers.

    Args:
        svg: The element, safe to put into HTML.
        box: Left, top, width and height of the axes in units of the view box.
        xlim: Ends of the horizontal axis.
        ylim: Ends of the vertical axis.
    """

    svg: Markup
    box: tuple[float, float, float, float]
    xlim: tuple[float, float]
    ylim: tuple[float, float]


@dataclass(frozen=True)
class ShownPanel:
    """One drawing of the page and, where it has curves, their numbers for the pointer."""

    title: str
    note: str
    drawing: Drawing
    data: dict[str, Any] | None
    measure: str


@dataclass(frozen=True)
class Chart:
    """A figure of the page: drawings side by side under one key."""

    name: str
    title: str
    caption: str
    panels: tuple[ShownPanel, ...]
    groups: tuple[tuple[Key, str], ...]  # each with the measure it is about, if it is about one
    lines: tuple[Key, ...]


def chart(plot: Plot, *, prefix: str) -> Chart:
    """Draw a plot for the page.

    Args:
        plot: The plot.
        prefix: Of every identifier in it, unique on the page.
    """
    name = f"{prefix}-{plot.name}"
    about: dict[Key, str] = dict.fromkeys(plot.keys, "")
    for panel in plot.panels:
        about |= {key: "" if about.get(key, panel.measure) != panel.measure else panel.measure for key in panel.keys}
    return Chart(
        name,
        plot.title,
        plot.caption,
        tuple(_shown(panel, name=f"{name}-{position}") for position, panel in enumerate(plot.panels)),
        tuple(about.items()),
        plot.lines,
    )


def _shown(panel: Panel, *, name: str) -> ShownPanel:
    drawing = inline_svg(panel.draw, name=name, title=panel.alt)
    if not panel.curves:
        return ShownPanel(panel.title, panel.note, drawing, None, panel.measure)
    x = panel.curves[0].x
    data = {
        "box": [round(value, 2) for value in drawing.box],
        "xlim": drawing.xlim,
        "x": [round(float(value), 6) for value in x],
        "xlabel": panel.xlabel,
        "start": int(np.argmin(np.abs(x - panel.start))),
        "curves": [
            {
                "group": curve.group,
                "line": curve.line,
                "y": _permille(curve.y, np.floor),
                "low": _permille(curve.low, np.floor),
                "high": _permille(curve.high, np.ceil),
            }
            for curve in panel.curves
        ],
    }
    return ShownPanel(panel.title, panel.note, drawing, data, panel.measure)


def _permille(values: FloatArray, rounded: np.ufunc) -> list[int]:
    # The nudge undoes the float error of fractions such as 29 / 100; it is far below one input in a data set.
    nudge = 1e-9 if rounded is np.floor else -1e-9
    return [int(value) for value in rounded(1000.0 * values + nudge)]


def themed(color: str) -> str:
    """A colour as a CSS value the page can change with the theme.

    Example:
        >>> themed("#0072b2")
        'var(--radius-0, #0072b2)'
    """
    name = _THEME.get(color.lower())
    return f"var({name}, {color})" if name else color


def certificate_svg(certificate: Certificate, *, prefix: str) -> str:
    """The bounds on the first measure of a certificate over the radius, as an SVG element.

    Args:
        certificate: What is drawn.
        prefix: Of every identifier in it, unique on the page.
    """
    radii = np.linspace(0.0, 4.0 * certificate.sigma, 41)
    plot = one_input(certificate, measures=certificate.names[:1], bounds=["dual"], radii=radii)
    return str(inline_svg(plot.panels[0].draw, name=prefix, title=plot.panels[0].alt).svg)


def inline_svg(draw: Callable[[Axes], None], *, name: str, title: str) -> Drawing:
    """Draw one panel as an SVG element.

    Args:
        draw: Draws on the axes it is given.
        name: Prefix of every identifier in the element; unique on the page.
        title: What the figure shows, in a sentence, for those who do not see it.
    """
    with mpl.rc_context({**RC, "svg.fonttype": "none", "svg.hashsalt": name}):
        figure = Figure(figsize=(WIDTH, HEIGHT))
        axes = figure.subplots(gridspec_kw=MARGINS)  # fixed: panels above one another line up
        draw(axes)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True)
    place = axes.get_position()
    width, height = WIDTH * 72.0, HEIGHT * 72.0
    return Drawing(
        svg=Markup(_clean(buffer.getvalue(), name, title)),  # the title is escaped
        box=(place.x0 * width, (1.0 - place.y1) * height, place.width * width, place.height * height),
        xlim=axes.get_xlim(),
        ylim=axes.get_ylim(),
    )


def _clean(text: str, name: str, title: str) -> str:
    body = text[text.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<style[^>]*>.*?</style>", "", body, flags=re.DOTALL)  # it would reach the whole page
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    body = re.sub(r'(?:xlink:)?href="#', f'href="#{name}-', body)
    body = re.sub(r"(\d+\.\d{2})\d+", r"\1", body)  # a hundredth of a point is below what a screen shows
    body = re.sub(r"#[0-9a-fA-F]{6}\b", lambda found: themed(found.group()), body)
    head = f'<svg class="chart" viewBox="0 0 {WIDTH * 72:g} {HEIGHT * 72:g}" role="img" aria-labelledby="{name}-title">'
    label = f'<title id="{name}-title">{escape(title)}</title>'
    return head + label + body[body.index(">") + 1 :]
