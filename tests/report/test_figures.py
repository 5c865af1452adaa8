from __future__ import annotations

import inspect

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from smoothcert import report
from smoothcert.analysis import bounds_table, certified_accuracy
from smoothcert.certificate import Certificate
from smoothcert.errors import DataError, InvalidArgumentError, RunError
from smoothcert.report import (
    accuracy_over_radius_figure,
    accuracy_over_threshold_figure,
    calibration_figure,
    correlation_figure,
    distribution_figure,
    save_figure,
)
from smoothcert.report.style import BOUND_LINES, RADIUS_COLORS, colors
from synthetic_runs import beta_samples, mixed_run, synthetic_run

RUNS = {
    "mixed": mixed_run(15),
    "one input": synthetic_run([(20.0, 1.0)]),
    "all abstained": synthetic_run([(1.0, 9.0)] * 4),
    "all the same": synthetic_run([(20.0, 1e-3)] * 3),
}
FIGURES = {
    "threshold": lambda run, **more: accuracy_over_threshold_figure(
        run, radii=[0.0, 0.25], bounds=["cdf", "hoeffding"], **more
    ),
    "radius": lambda run, **more: accuracy_over_radius_figure(
        run, thresholds=[0.5], radii=np.linspace(0.0, 1.0, 5), bounds=["cdf"], **more
    ),
    "correlation": correlation_figure,
    "calibration": calibration_figure,
    "distribution": lambda run, **more: distribution_figure(run, radii=np.array([0.0, 0.5]), bound="cdf", **more),
}
MAGIC = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


@pytest.fixture(scope="module")
def tables():
    return {name: bounds_table(run) for name, run in RUNS.items()}


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("figure", FIGURES)
def test_every_figure_draws_every_run(tables, figure, run, tmp_path):
    drawn = FIGURES[figure](tables[run])
    for ending, magic in MAGIC.items():
        if ending != ".png" and run != "mixed":
            continue  # the drawing is the same; writing three files of each is only slow
        path = save_figure(drawn, tmp_path / "new folder" / f"figure{ending}")
        assert path.read_bytes().startswith(magic)


def test_curves_are_the_certified_accuracies(tables):
    thresholds = np.linspace(0.0, 1.0, 11)
    figure = accuracy_over_threshold_figure(
        tables["mixed"], radii=[0.0, 0.25], measures=["margin"], bounds=["cdf", "hoeffding"], thresholds=thresholds
    )
    lines = [line for line in figure.axes[0].lines if str(line.get_gid()).startswith("curve-")]
    asked = [(radius, bound) for bound in ("cdf", "hoeffding") for radius in (0.0, 0.25)]
    assert len(lines) == len(asked)
    for line, (radius, bound) in zip(lines, asked, strict=True):
        rows = certified_accuracy(
            tables["mixed"], measures=["margin"], bounds=[bound], radii=[radius], thresholds=thresholds
        )
        assert line.get_ydata().tolist() == [row.certified_accuracy for row in rows]
        assert line.get_color() == RADIUS_COLORS[[0.0, 0.25].index(radius)]
        assert line.is_dashed() == (bound == "hoeffding")


@pytest.mark.parametrize("figure", FIGURES)
def test_every_figure_is_drawn_on_axes_of_the_callers(tables, figure):
    own = FIGURES[figure](tables["mixed"])
    theirs = Figure(figsize=(9.0, 3.0))
    axes = theirs.subplots(1, len(own.axes))
    assert FIGURES[figure](tables["mixed"], ax=axes) is theirs
    for mine, given in zip(own.axes, axes, strict=True):
        assert mine.get_xlabel() == given.get_xlabel()
        assert len(mine.lines) == len(given.lines)
    assert any(ax.get_legend() for ax in axes) == bool(own.legends or any(ax.get_legend() for ax in own.axes))
    with pytest.raises(InvalidArgumentError, match=f"as many axes as the figure has panels, {len(axes)}; got 1"):
        FIGURES[figure](tables["mixed"], ax=axes[0])


def test_the_certificate_of_one_input_is_drawn():
    certificate = Certificate.from_samples(beta_samples(20.0, 1.0, more=True), alpha=0.001)
    figure = report.certificate_figure(certificate, radii=np.array([0.0, 0.2]))
    assert [ax.get_title() for ax in figure.axes] == ["score", "margin", "swing", "lead"]
    for ax, measure in zip(figure.axes, ("score", "margin", "swing", "lead"), strict=True):
        own = certificate.measure(measure)
        drawn = [line.get_ydata().tolist() for line in ax.lines[:2]]
        assert drawn == [own.lower([0.0, 0.2]).tolist(), own.upper([0.0, 0.2]).tolist()]
    theirs = Figure().subplots()
    report.certificate_figure(certificate, measures=["lead"], bounds=["dual", "cdf"], ax=theirs)
    assert len(theirs.lines) == 2 * 2 + 1


def test_one_panel_takes_one_axes(tables):
    theirs = Figure().subplots()
    distribution_figure(tables["mixed"], radii=np.array([0.0, 0.5]), bound="cdf", measures=["score"], ax=theirs)
    assert theirs.get_title() == "score"


def test_every_public_figure_takes_axes():
    for name in report.__all__:
        if name.endswith("_figure") and name != "save_figure":
            assert "ax" in inspect.signature(getattr(report, name)).parameters, name


def test_two_runs_over_one_another(tables):
    other = bounds_table(mixed_run(15, seed=3, sigma=0.5))
    asked = {"radii": np.linspace(0.0, 1.0, 5), "thresholds": [0.5], "bounds": ["cdf", "hoeffding"]}
    both = accuracy_over_radius_figure([tables["mixed"], other], names=["one", "two"], measures=["score"], **asked)
    drawn = [line for line in both.axes[0].lines if str(line.get_gid()).startswith("curve-")]
    assert [line.get_color() for line in drawn] == [drawn[0].get_color()] * 2  # the same threshold
    assert [line.is_dashed() for line in drawn] == [False, True]  # another run
    for line, table in zip(drawn, (tables["mixed"], other), strict=True):
        rows = certified_accuracy(table, measures=["score"], bounds=["cdf"], radii=asked["radii"], thresholds=[0.5])
        assert line.get_ydata().tolist() == [row.certified_accuracy for row in rows]
    assert {"one", "two"} <= {text.get_text() for text in both.legends[0].get_texts()}
    for figure in FIGURES:
        FIGURES[figure]([tables["mixed"], other], names=["one", "two"])
    by_class = accuracy_over_radius_figure([tables["mixed"], other], measures=[], **asked)
    assert len(by_class.axes[0].lines) == 2


def test_runs_in_one_figure_are_few_and_have_names(tables):
    with pytest.raises(InvalidArgumentError, match="at most 4; got 5"):
        FIGURES["threshold"]([tables["mixed"]] * 5, names="abcde")
    for names in (["a"], ["a", "a"]):
        with pytest.raises(InvalidArgumentError, match="names must be one for each run"):
            FIGURES["threshold"]([tables["mixed"]] * 2, names=names)


def test_names_are_no_formulas(tables, tmp_path):
    names = [r"cost $\\frac{1}$", "a_b^c $x"]
    for figure in FIGURES:
        drawn = FIGURES[figure]([tables["mixed"]] * 2, names=names)
        save_figure(drawn, tmp_path / "figure.svg")
    texts = [text.get_text() for text in FIGURES["radius"]([tables["mixed"]] * 2, names=names).legends[0].get_texts()]
    assert r"cost \$\\frac{1}\$" in texts


def test_a_notebook_shows_a_figure(tables):
    assert FIGURES["calibration"](tables["mixed"])._repr_png_().startswith(b"\x89PNG")


def test_lines_tell_the_bounds_apart():
    looks = {(str(line["linestyle"]), line["linewidth"]) for line in BOUND_LINES.values()}
    assert len(looks) == len(BOUND_LINES)
    assert BOUND_LINES["cdf"]["linestyle"] == BOUND_LINES["dual"]["linestyle"] == "-"
    assert BOUND_LINES["dual"]["linewidth"] > 2 * BOUND_LINES["cdf"]["linewidth"]


def test_many_radii_get_many_colors():
    assert len(set(colors([float(i) for i in range(12)]))) == 12


def test_nobody_elses_settings_change(tables):
    before = dict(mpl.rcParams)
    correlation_figure(tables["mixed"])
    assert dict(mpl.rcParams) == before


def test_the_same_figure_twice_is_the_same_file(tables, tmp_path):
    for ending in (".svg", ".pdf"):
        files = [
            save_figure(FIGURES["calibration"](tables["mixed"]), tmp_path / f"{i}{ending}").read_bytes() for i in (1, 2)
        ]
        assert files[0] == files[1]


def test_unknown_format_is_refused(tables, tmp_path):
    with pytest.raises(InvalidArgumentError, match=r"path of a figure must end in .png, .svg, .pdf; got .*jpg"):
        save_figure(FIGURES["calibration"](tables["mixed"]), tmp_path / "figure.jpg")


def test_what_cannot_be_written_is_one_sentence_and_harms_nothing(tables, tmp_path):
    drawn = FIGURES["calibration"](tables["mixed"])
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError, match="cannot write"):
        save_figure(drawn, tmp_path / "file" / "figure.png")
    assert (tmp_path / "file").read_text() == "mine"


def test_figures_of_unlabelled_runs():
    run = synthetic_run([(20.0, 1.0), (4.0, 1.0)], labels=[None, None])
    correlation_figure(run)
    for figure in ("threshold", "radius"):
        assert FIGURES[figure](run).axes[0].get_ylabel() == "fraction certified"
    with pytest.raises(DataError, match="calibration needs labels"):
        calibration_figure(run)
