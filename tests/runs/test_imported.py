from __future__ import annotations

import os

import pytest

from published_logs import COHEN, KUMAR, MARGIN, write
from smoothcert.errors import DataError, InvalidArgumentError, RunError
from smoothcert.runs import Run, import_log
from smoothcert.runs.imported_log import read_log


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "log.tsv is empty; a log begins with the columns idx label"),
        ("idx,label\n", "line 1: unknown columns idx,label; a log has the columns idx label predict radius"),
        (KUMAR.replace("exp_cdf_25", "exp_median_25"), "line 1: unknown columns exp_median_25; a log has"),
        (KUMAR.replace("exp_cdf_25", "exp_cdf_50"), "line 1: each radius needs exp_cdf_RR and exp_RR once"),
        (KUMAR.replace("exp_cdf_25", "exp_cdf_00"), "line 1: each radius needs"),
        (COHEN.splitlines()[0], "holds no complete row after its header"),
        (COHEN.replace("0.378", "x"), r"log.tsv, line 2: radius must be a finite number; got 'x'"),
        (COHEN.replace("0.378", "nan"), "line 2: radius must be a finite number"),
        (COHEN.replace("0.378", "-0.1"), "line 2: radius must be at least 0"),
        (
            COHEN.replace("\n40\t8\t8", "\n40\teight\t8"),
            "line 4: label must be an integer of at most 9 digits; got 'eight'",
        ),
        (COHEN.replace("\n40\t8\t8", "\n40\t1_0\t1_0"), "line 4: label must be an integer .* got '1_0'"),
        (COHEN.replace("\n40\t", f"\n1{'0' * 30}\t"), "line 4: idx must be an integer of at most 9 digits; got '1000"),
        (COHEN.replace("0.378", "0_1.378"), "line 2: radius must be a finite number; got '0_1.378'"),
        (COHEN.replace("0.378", "9e999"), "line 2: radius must be a finite number; got '9e999'"),
        (KUMAR.replace("exp_cdf_25", "exp_cdf_000"), "line 1: exp_cdf_00 and exp_cdf_000 are both radius 0"),
        (COHEN.replace("\n40\t8\t8", "\n40\t8\t-2"), "line 4: label must be at least 0 and predict at least -1"),
        (COHEN.replace("\n40\t", "\n20\t"), "line 4: input 20 is already in line 3"),
        (COHEN.replace("\n40\t", "\n-40\t"), "line 4: idx must be at least 0"),
        (COHEN.replace("0.95\t1", "0.95\t2"), "line 4: correct must be 1 where predict is the label"),
        (COHEN.replace("\t0.95\t1\t15.7", "\t0.95\t1"), "line 4: 5 columns where the header has 6"),
        (COHEN.replace("\t15.7\n60", "\t15.7\t9\n60"), "line 4: 7 columns where the header has 6"),
        (KUMAR.replace("0.704\t0.52", "0.704\t0.72"), "line 2: a lower bound cannot grow .* exp_cdf_00 is 0.704 and"),
    ],
)
def test_malformed_logs_are_named_by_file_and_line(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_log(write(tmp_path, "log.tsv", text))


def test_a_log_about_other_data_is_refused(tmp_path):
    for text, words in (
        (COHEN.replace("\n40\t8\t8", "\n40\t11\t11"), "input 40 has label 11 .* cifar10 has the classes 0 to 9"),
        (COHEN.replace("\n60\t", "\n60000\t"), "input 60000 is in the log; cifar10 has 10,000"),
    ):
        log = write(tmp_path, "cifar10-sigma_0.25.tsv", text)
        with pytest.raises(DataError, match=words):
            import_log(log, out=tmp_path / "run")
    assert import_log(log, out=tmp_path / "run", data="mine").config.data == "mine"


def test_a_pipe_is_no_log(tmp_path):
    os.mkfifo(tmp_path / "log.tsv")
    with pytest.raises(DataError, match=r"cannot be read as a log: .*pipe"):
        read_log(tmp_path / "log.tsv")


def test_a_missing_log(tmp_path):
    with pytest.raises(DataError, match="cannot be read as a log"):
        read_log(tmp_path / "none.tsv")


def test_rows_come_in_order_with_their_times(tmp_path):
    lines = KUMAR.splitlines()
    log = read_log(write(tmp_path, "log.tsv", "\r\n".join([lines[0], *reversed(lines[1:])])))
    assert log.indices.tolist() == [0, 20, 40, 60]
    assert log.seconds.tolist() == [36.422521, 22.537412, 36.4, 90036.4]
    assert log.lower["hoeffding"][2].tolist() == [0.95, 0.7, 0.5]
    assert log.radii.tolist() == [0.0, 0.25, 1.0]
    assert log.stride == 20
    assert log.abstained == 1


def test_a_cut_last_line_is_left_out_and_named(tmp_path):
    run = import_log(write(tmp_path, "cifar10-sigma_0.25.tsv", COHEN.rstrip("\n")[:-6]), out=tmp_path / "run")
    assert len(run) == 3
    assert "line 5, the last, was cut off in writing and is left out" in run.config.notes
    assert "the log stops after 3 of 500 rows: every fraction is of the 3 it holds" in run.config.notes


def test_a_cut_time_costs_no_row(tmp_path):
    log = read_log(write(tmp_path, "log.tsv", KUMAR.rstrip("\n")[:-9]))
    assert len(log) == 4
    assert log.seconds[-1] != log.seconds[-1]


@pytest.mark.parametrize(
    ("name", "text", "config"),
    [
        ("cifar10-resnet110-sigma_0.50.tsv", COHEN, ("resnet110", "cifar10", 0.5, 10, 500)),
        ("cifar10/resnet110/noise_0.12/test/sigma_0.25", COHEN, ("resnet110", "cifar10", 0.25, 10, 500)),
        ("imagenet/pred_score/noise_0.25", KUMAR, ("unknown", "imagenet", 0.25, 1000, 2500)),
        ("noise_0.25", MARGIN, None),
    ],
)
def test_what_a_name_says(tmp_path, name, text, config):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    log = write(tmp_path, name, text)
    if config is None:
        with pytest.raises(
            InvalidArgumentError, match="measure must be one of score, margin: the columns are the same"
        ):
            import_log(log, out=tmp_path / "run")
        return
    found = import_log(log, out=tmp_path / "run").config
    assert (found.model, found.data, found.sigma, found.num_classes, found.inputs) == config
    assert (found.kind, found.spec.data.stride) == ("imported", 20)


def test_options_overrule_the_name(tmp_path):
    run = import_log(
        write(tmp_path, "log.tsv", MARGIN),
        out=tmp_path / "run",
        measure="margin",
        sigma=0.12,
        data="svhn",
        model="vgg",
        alpha=0.01,
        n=1000,
        n0=10,
        rows=2,
    )
    config = run.config
    assert (config.sigma, config.data, config.model, config.alpha) == (0.12, "svhn", "vgg", 0.01)
    assert (config.n, config.n0, config.inputs, config.num_classes) == (1000, 10, 2, 8)
    assert not any("stops after" in note for note in config.notes)


@pytest.mark.parametrize(
    ("text", "options", "error", "message"),
    [
        (COHEN, {}, InvalidArgumentError, "sigma must be given: the columns do not say it"),
        (COHEN, {"sigma": 0.25, "measure": "score"}, InvalidArgumentError, "this log holds class radii"),
        (COHEN, {"sigma": -1.0}, InvalidArgumentError, "sigma"),
        (COHEN, {"sigma": 0.25, "alpha": 0.7}, InvalidArgumentError, "alpha"),
        (
            MARGIN,
            {"sigma": 0.25, "measure": "score"},
            DataError,
            r"input 0 has a cdf bound outside \[0, 1\], the range",
        ),
        (MARGIN, {"sigma": 0.25, "measure": "certainty"}, InvalidArgumentError, "measure must be one of"),
    ],
)
def test_wrong_options_are_refused(tmp_path, text, options, error, message):
    with pytest.raises(error, match=message):
        import_log(write(tmp_path, "log.tsv", text), out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_the_same_log_again_changes_nothing_and_another_is_refused(tmp_path):
    log = write(tmp_path, "noise_0.25.tsv", KUMAR)
    first = import_log(log, out=tmp_path / "run", measure="score")
    before = {path.name: path.read_bytes() for path in first.path.rglob("*.*") if path.is_file()}
    import_log(log, out=tmp_path / "run", measure="score")
    assert before == {path.name: path.read_bytes() for path in first.path.rglob("*.*") if path.is_file()}
    with pytest.raises(RunError, match=r"holds another run: .*score:.* there and 'margin:"):
        import_log(log, out=tmp_path / "run", measure="margin")


def test_radii_beyond_the_votes_are_named(tmp_path):
    beyond = write(tmp_path, "sigma_0.25.tsv", COHEN.replace("0.95", "0.978"))
    notes = import_log(beyond, out=tmp_path / "run").config.notes
    assert notes[-1] == (
        "the largest class radius, 0.978 or 3.91 sigma, is more than 100,000 votes certify at alpha=0.001, which is "
        "3.81 sigma; it fits alpha=0.01, to be given as alpha"
    )
    assert "largest" not in "".join(import_log(beyond, out=tmp_path / "loose", alpha=0.01).config.notes)


def test_rows_are_plain_columns(tmp_path):
    run = import_log(write(tmp_path, "pred_score-noise_0.25.tsv", KUMAR), out=tmp_path / "run", data="cifar10")
    (table,) = Run.open(run.path).tables()
    assert table["score:cdf:0.25"].to_pylist() == [0.52, None, 0.9, 0.8]
    assert table["prediction"].to_pylist() == [3, None, 8, 1]
    assert table["id"].to_pylist()[1] == "cifar10:20"
    assert run.skipped == []
