from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest

from smoothcert.analysis import bounds_table, certified_accuracy
from smoothcert.errors import DataError, InvalidArgumentError
from smoothcert.report import (
    accuracy_over_radius_figure,
    accuracy_over_threshold_figure,
    calibration_figure,
    correlation_figure,
    distribution_figure,
    save_figure,
)
from smoothcert.report.style import BOUND_LINES, RADIUS_COLORS, colors
from synthetic_runs import mixed_run, synthetic_run

RUNS = {
    "mixed": mixed_run(15),
    "one input": synthetic_run([(20.0, 1.0)]),
    "all abstained": synthetic_run([(1.0, 9.0)] * 4),
    "all the same": synthetic_run([(20.0, 1e-3)] * 3),
}
FIGURES = {
    "threshold": lambda run: accuracy_over_threshold_figure(run, radii=[0.0, 0.25], bounds=["cdf", "hoeffding"]),
    "radius": lambda run: accuracy_over_radius_figure(
        run, thresholds=[0.5], radii=np.linspace(0.0, 1.0, 5), bounds=["cdf"]
    ),
    "correlation": correlation_figure,
    "calibration": calibration_figure,
    "distribution": lambda run: distribution_figure(run, radii=np.array([0.0, 0.5]), bound="cdf"),
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
    asked = [(radius, bound) for radius in (0.0, 0.25) for bound in ("cdf", "hoeffding")]
    assert len(lines) == len(asked)
    for line, (radius, bound) in zip(lines, asked, strict=True):
        rows = certified_accuracy(
            tables["mixed"], measures=["margin"], bounds=[bound], radii=[radius], thresholds=thresholds
        )
        assert line.get_ydata().tolist() == [row.certified_accuracy for row in rows]
        assert line.get_color() == RADIUS_COLORS[[0.0, 0.25].index(radius)]
        assert line.is_dashed() == (bound == "hoeffding")


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
    with pytest.raises(InvalidArgumentError, match=r"path must end in .png, .svg, .pdf; got .*jpg"):
        save_figure(FIGURES["calibration"](tables["mixed"]), tmp_path / "figure.jpg")


def test_figures_of_unlabelled_runs():
    run = synthetic_run([(20.0, 1.0), (4.0, 1.0)], labels=[None, None])
    correlation_figure(run)
    with pytest.raises(DataError, match="calibration needs labels"):
        calibration_figure(run)
