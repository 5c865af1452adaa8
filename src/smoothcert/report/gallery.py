"""All figures there are, one function each, as plots that both renderers show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from smoothcert.analysis import (
    BoundsTable,
    Compared,
    Sweep,
    calibration,
    radius_correlation,
)
from smoothcert.analysis.certified_accuracy import CLASS
from smoothcert.analysis.decided import ANSWERS, DecidedSummary
from smoothcert.analysis.placement import ALL, PLACEMENTS, Streamed, threshold_placement
from smoothcert.bounds import bound_named, exact_text
from smoothcert.certificate import Certificate
from smoothcert.errors import InvalidArgumentError
from smoothcert.report import panels
from smoothcert.report.curves import UNCHANGED, Curve, class_curve, over_radii, over_thresholds
from smoothcert.report.plot import Key, Panel, Plot
from smoothcert.report.style import (
    ANSWER_COLORS,
    BOUND_LINES,
    CLASS_COLOR,
    CLASS_LINE,
    OTHER_LINE,
    PLACEMENT_LINES,
    RIGHT,
    RUN_LINES,
    SPREAD,
    WRONG,
    colors,
)
from smoothcert.report.wording import correlation_words, estimate_words, fraction_words, pairs_words
from smoothcert.typing import FloatArray

MOST_PANELS = 4  # of a comparison


def accuracy_over_threshold(
    tables: Mapping[str, BoundsTable],
    *,
    measures: Sequence[str],
    bounds: Sequence[str],
    radii: Sequence[float],
    thresholds: FloatArray | None = None,
    points: int = 201,
) -> Plot:
    """Certified accuracy over the threshold at several radii; a panel for each measure, a kind of line for each bound.

    With several runs the kind of line is the run, by the first bound.
    """
    lines, asked = _lines(tables, bounds)
    what = fraction_words(tables.values())
    drawn = []
    for measure in measures:
        low, high = next(iter(tables.values())).ends(measure)
        low = 0.0 if (low, high) == (-1.0, 1.0) else low  # a difference: below 0 another class is ahead
        cuts = np.linspace(low, high, points) if thresholds is None else thresholds
        curves = [
            curve
            for name, bound in asked
            for curve in over_thresholds(
                tables[name],
                measure=measure,
                bound=bound,
                radii=radii,
                thresholds=cuts,
                line=lines[name if len(tables) > 1 else bound],
            )
        ]
        drawn.append(_curves_panel(curves, measure, f"{measure} kept above", what, start=(low + high) / 2))
    shades = zip(radii, colors(radii), strict=True)
    return Plot(
        "threshold",
        f"{what.capitalize()} over the confidence that must be kept",
        f"Fraction of inputs that are {'' if what == 'fraction certified' else 'right and '}certified to stay above "
        f"the value on the horizontal axis. Colour: radius of the change. Line: {_line_meaning(tables, bounds)}",
        tuple(drawn),
        tuple(Key(f"radius {exact_text(r)}", f"radius {exact_text(r)}", shade) for r, shade in shades),
        tuple(lines.values()),
    )


def accuracy_over_radius(
    tables: Mapping[str, BoundsTable],
    *,
    thresholds: Mapping[str, Sequence[float]],
    bounds: Sequence[str],
    radii: FloatArray,
) -> Plot:
    """Certified accuracy over the radius, with ``thresholds`` for each measure, beside Cohen's for the class alone.

    With several runs the kind of line is the run, by the first bound, and the class is drawn where no measure is.
    """
    lines, asked = _lines(tables, bounds)
    what = fraction_words(tables.values())
    first, several = next(iter(tables.values())), len(tables) > 1
    with_class = not several and first.answers.class_radius
    drawn = []
    for measure, cuts in thresholds.items():
        curves = [
            curve
            for name, bound in asked
            for curve in over_radii(
                tables[name],
                measure=measure,
                bound=bound,
                thresholds=cuts,
                radii=radii,
                line=lines[name if several else bound],
            )
        ]
        keys = dict.fromkeys((curve.group, curve.color) for curve in curves)
        if with_class:
            curves.append(class_curve(first, radii=radii))
            keys[UNCHANGED, CLASS_COLOR] = None
        drawn.append(
            _curves_panel(curves, measure, "radius", what, start=first.sigma, keys=[Key(g, g, c) for g, c in keys])
        )
    if not thresholds:
        curves = [
            class_curve(table, radii=radii, line=lines[name] if several else None) for name, table in tables.items()
        ]
        drawn.append(
            _curves_panel(
                curves, CLASS, "radius", what, start=first.sigma, keys=[Key(UNCHANGED, UNCHANGED, CLASS_COLOR)]
            )
        )
    right = "" if what == "fraction certified" else "are right and "
    return Plot(
        "radius",
        f"{what.capitalize()} over the size of the change",
        f"Fraction of inputs that {right}keep the confidence named by the colour within the radius on the horizontal "
        + (
            f"axis. Line: {_line_meaning(tables, bounds)}"
            if several
            else f"axis.{' Dotted grey: the class cannot change (Cohen et al. 2019).' if with_class else ''}"
        ),
        tuple(drawn),
        lines=tuple(lines.values()) if thresholds or several else (),
    )


def distribution(tables: Mapping[str, BoundsTable], *, measures: Sequence[str], bound: str, radii: FloatArray) -> Plot:
    """How the certified lower bounds of the inputs spread, over the radius; a colour for each run."""
    shades = dict(zip(tables, colors(list(tables)) if len(tables) > 1 else [SPREAD], strict=True))
    drawn = []
    for measure in measures:
        lower = {name: table.lower(measure=measure, bound=bound, radii=radii) for name, table in tables.items()}
        drawn.append(
            Panel(
                measure,
                f"Spread of the certified {measure} over inputs; the horizontal axis is the radius",
                partial(
                    panels.draw_spread,
                    lower=lower,
                    shades=shades,
                    radii=radii,
                    ends=next(iter(tables.values())).ends(measure),
                    ylabel=f"certified {measure} ({bound})",
                ),
                measure=measure,
            )
        )
    if len(tables) > 1:
        keys = tuple(Key(name, name, shade) for name, shade in shades.items())
    else:
        keys = (
            Key("median", "median", SPREAD),
            Key("half", "middle half", SPREAD, "band", {"alpha": 0.45}),
            Key("most", "middle 90% of inputs", SPREAD, "band", {"alpha": 0.16}),
        )
    return Plot(
        "spread",
        "How confident inputs stay",
        "Certified lower bounds of all inputs, right or wrong: the line is the median, the dark band holds the middle "
        "half of the inputs, the light band the middle 90%.",
        tuple(drawn),
        keys,
    )


def correlation(
    tables: Mapping[str, BoundsTable],
    *,
    measures: Sequence[str],
    bound: str | None = None,
    class_radii: BoundsTable | None = None,
    marks: int | None = None,
) -> Plot:
    """Smoothed measure against class radius, one mark per input; a panel for each run and measure.

    With ``marks`` no more than so many are drawn, every k-th input; correlations are of all.
    """
    drawn, notes = [], []
    for name, table in tables.items():
        for measure in measures:
            found = radius_correlation(table, measure=measure, bound=bound, class_radii=class_radii)
            title = measure if len(tables) == 1 else f"{name}, {measure}"
            drawn.append(
                Panel(
                    title,
                    f"{title}: {found.named} over class radius",
                    partial(panels.draw_correlation, found=found, ends=table.ends(measure), marks=marks),
                    note=f"{correlation_words(found)}{pairs_words(found)}",
                    measure=measure,
                )
            )
            notes.append(
                f"{title[0].upper()}{title[1:]}: Pearson {estimate_words(found.pearson)}, "
                f"Spearman {estimate_words(found.spearman)}; {found.at_largest} of {found.values.size} inputs share "
                "the largest radius."
            )
    return Plot(
        "correlation",
        "Confidence against class radius",
        "One mark per input that is not abstained on. If the class radius told how confident the classifier stays, "
        f"the marks would lie on a line. {' '.join(notes)} The number of samples limits that radius.",
        tuple(drawn),
        (Key("right", "right", RIGHT, "dot"), Key("wrong", "wrong or no label", WRONG, "cross"))
        if any(table.inputs.has_labels for table in tables.values())
        else (Key("wrong", "no label", WRONG, "cross"),),
    )


def reliability(tables: Mapping[str, BoundsTable], *, bins: int = 10) -> Plot:
    """Reliability diagrams of the smoothed score, a panel for each binning and run."""
    drawn, notes = [], []
    for name, table in tables.items():
        for binning, label in (("equal_width", "bins of equal width"), ("equal_mass", "bins of equal size")):
            found = calibration(table, binning=binning, bins=bins)
            title = label if len(tables) == 1 else f"{name}, {label}"
            drawn.append(
                Panel(
                    title,
                    f"{title}: fraction right over mean smoothed score",
                    partial(panels.draw_reliability, found=found),
                    note=f"calibration error {estimate_words(found.error)}",
                )
            )
            notes.append(f"{title[0].upper()}{title[1:]}: expected calibration error {estimate_words(found.error)}.")
    return Plot(
        "calibration",
        "Is the score a probability?",
        "No: a smoothed score is what the network says on average, not the probability of being right. Marks on the "
        f"dashed line would mean it behaves like one on this data. Bars: 95% intervals. {' '.join(notes)}",
        tuple(drawn),
    )


def one_input(certificate: Certificate, *, measures: Sequence[str], bounds: Sequence[str], radii: FloatArray) -> Plot:
    """What is certified about one input over the radius: between its lower and its upper bound; a panel per measure."""
    shades = dict(zip(bounds, colors(list(bounds)), strict=True))
    drawn = []
    for measure in measures:
        own = certificate.measure(measure)
        drawn.append(
            Panel(
                measure,
                f"Certified lower and upper bounds on the {measure} of class {certificate.prediction} over the radius",
                partial(
                    panels.draw_band,
                    bands={bound: (own.lower(radii, bound=bound), own.upper(radii, bound=bound)) for bound in bounds},
                    shades=shades,
                    radii=radii,
                    class_radius=certificate.class_radius,
                    ylabel=f"smoothed {measure}",
                ),
            )
        )
    return Plot(
        "input",
        "What is certified about one input",
        "No change within the radius takes the smoothed value out of the band; dotted: the class radius.",
        tuple(drawn),
        tuple(Key(bound, bound_named(bound).label, shade) for bound, shade in shades.items()),
        (Key(CLASS, "class radius", style=CLASS_LINE),),
    )


def samples_taken(found: DecidedSummary) -> Plot:
    """How many samples the inputs of a decided run took."""
    return Plot(
        "samples",
        "What the answers cost",
        "Noisy samples drawn for each input until its answer was settled: an input far from the threshold takes few.",
        (
            Panel(
                "all inputs",
                "How many inputs took how many samples; the horizontal axis is logarithmic",
                partial(panels.draw_samples, samples=found.samples),
            ),
        ),
        tuple(Key(answer, answer, ANSWER_COLORS[answer], "dot") for answer in ANSWERS),
    )


def placement(
    run: Streamed,
    *,
    measures: Sequence[str],
    radii: Sequence[float] | FloatArray,
    thresholds: Sequence[int],
    alpha: float | None = None,
) -> Plot:
    """Mean CDF bound over the number of thresholds, placed in two ways; a panel for each measure."""
    distances = [float(radius) for radius in radii]
    shades = dict(zip(distances, colors(distances), strict=True))
    drawn = [
        Panel(
            measure,
            f"Mean certified {measure} over the number of thresholds; the horizontal axis is logarithmic",
            partial(
                panels.draw_placement,
                rows=threshold_placement(run, measure=measure, radii=distances, thresholds=thresholds, alpha=alpha),
                shades=shades,
                ylabel=f"mean certified {measure} (cdf)",
            ),
        )
        for measure in measures
    ]
    names = {"equal_mass": "equal mass", "uniform": "uniform", ALL: "all"}
    return Plot(
        "placement",
        "What the CDF bound loses with few thresholds",
        "Mean CDF bound over the inputs by the number of thresholds it reads the survival function at; the thin line "
        "is the bound with all of them (Kumar et al. 2020, Section 4.1).",
        tuple(drawn),
        tuple(Key(f"radius {exact_text(r)}", f"radius {exact_text(r)}", shade) for r, shade in shades.items()),
        tuple(Key(kind, names[kind], style=PLACEMENT_LINES[kind]) for kind in (*PLACEMENTS, ALL)),
    )


def best_sigma(found: Sweep) -> Plot:
    """Certified accuracy over the radius with its 95% band for each sigma, the best sigma below."""
    shades = dict(zip(found.sigmas, colors(found.sigmas), strict=True))
    kept = "class unchanged"
    if found.threshold is not None:
        kept = f"{found.measure} > {exact_text(found.threshold)}, {found.bound}"
    what = "certified accuracy" if found.labelled else "fraction certified"
    return Plot(
        "sweep",
        "The best sigma at each radius",
        "Bands: 95% intervals over the inputs. Open circles: sigmas that these inputs do not tell from the best.",
        (
            Panel(
                kept,
                f"{what.capitalize()} over the radius for each sigma",
                partial(panels.draw_sigmas, found=found, shades=shades, ylabel=what),
            ),
            Panel(
                "",
                "Best sigma at each radius",
                partial(panels.draw_best_sigma, found=found, shades=shades),
                note="open: not told from the best by these inputs",
            ),
        ),
        tuple(Key(f"sigma {sigma:g}", f"sigma {sigma:g}", shade) for sigma, shade in shades.items()),
        heights=(3.0, 1.3),
        width=4.6,
    )


def comparison(found: Compared) -> Plot:
    """Certified accuracies with their 95% intervals above, their differences from the first run below.

    Over the radius with a panel for each threshold, or over the threshold where there is one radius.

    Raises:
        InvalidArgumentError: If there are more thresholds than panels fit, with several radii.
    """
    radii = list(dict.fromkeys(row.radius for row in found.rows))
    thresholds = list(dict.fromkeys(row.threshold for row in found.rows))
    over_threshold = len(radii) == 1 and len(thresholds) > 1
    columns = [None] if over_threshold else thresholds
    if len(columns) > MOST_PANELS:
        raise InvalidArgumentError(
            f"thresholds must be at most {MOST_PANELS} for a figure over several radii; got {len(columns)}"
        )
    shades = dict(zip(found.contenders, colors(found.contenders), strict=True))
    xlabel = f"{found.measure} kept above" if over_threshold else "radius"
    what = "certified accuracy" if found.labelled else "fraction certified"
    drawn = []
    for differences in (False, True):
        for cut in columns:
            if over_threshold:
                title = f"{found.measure}, radius {exact_text(radii[0])}"
            else:
                title = UNCHANGED if cut is None else f"{found.measure} > {exact_text(cut)}"
            about = "difference from the first" if differences else what
            drawn.append(
                Panel(
                    "" if differences else title,
                    f"{title}: {about}; the horizontal axis is the {xlabel}",
                    partial(
                        panels.draw_differences if differences else panels.draw_accuracies,
                        rows=[row for row in found.rows if over_threshold or row.threshold == cut],
                        shades=shades,
                        over_threshold=over_threshold,
                        xlabel=xlabel,
                        ylabel="points above the first" if differences else what,
                    ),
                )
            )
    keys = [
        Key(str(line), f"{line}, the first" if i == 0 and len(shades) > 1 else str(line), shade, "dot")
        for i, (line, shade) in enumerate(shades.items())
    ]
    return Plot(
        "comparison",
        f"{what.capitalize()} side by side",
        "Bars: 95% intervals over the inputs; below, of the difference from the first.",
        tuple(drawn),
        tuple(keys),
        heights=(3.0, 2.0),
        width=3.4,
    )


def _lines(tables: Mapping[str, BoundsTable], bounds: Sequence[str]) -> tuple[dict[str, Key], list[tuple[str, str]]]:
    """The kinds of lines by run or bound, and the pairs of run and bound that are drawn."""
    if len(tables) == 1:
        (name,) = tables
        lines = {
            bound: Key(bound, bound_named(bound).label, style=BOUND_LINES.get(bound, OTHER_LINE)) for bound in bounds
        }
        return lines, [(name, bound) for bound in bounds]
    if len(tables) > len(RUN_LINES):
        raise InvalidArgumentError(f"runs in one figure must be at most {len(RUN_LINES)}; got {len(tables)}")
    lines = {name: Key(name, name, style=style) for name, style in zip(tables, RUN_LINES, strict=False)}
    return lines, [(name, bound) for name in tables for bound in bounds[:1]]


def _line_meaning(tables: Mapping[str, BoundsTable], bounds: Sequence[str]) -> str:
    if len(tables) == 1:
        return "bound. Each bound is a claim of its own."
    return f"run, by the {bounds[0]} bound." if bounds else "run."


def _curves_panel(
    curves: Sequence[Curve], measure: str, xlabel: str, ylabel: str, *, start: float, keys: Sequence[Key] = ()
) -> Panel:
    return Panel(
        measure,
        f"{ylabel.capitalize()}, {measure}; the horizontal axis is the {xlabel}",
        partial(panels.draw_curves, curves=curves, xlabel=xlabel, ylabel=ylabel),
        keys=tuple(keys),
        curves=tuple(curves),
        xlabel=xlabel,
        start=start,
        measure=measure,
    )
