"""What the command line does to a console: any encoding, nothing that steers it, one line for whatever goes wrong."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from command_line import run_cli
from smoothcert.cli import main
from smoothcert.console import STEERING, any_encoding, one_line, printable, say
from smoothcert.runs import RunStore
from synthetic_runs import synthetic_run

STEER = "\x1b]0;owned\x07\x1b[31m\x9b2J\u202e\r\x7f"
IDS = [f"a{STEER}.png", "=cmd|' /C calc'!A0", "+1+2", "-5", "@SUM(A1)", "日本.png", "two\nlines", "|pipe & 5%_#"]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    """A run whose ids, notes, class names and errors would steer a terminal."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    run = synthetic_run(
        [(20, 1), (60, 0.5), (5, 1), (1, 1), (8, 0.3), (20, 1), (20, 1), (20, 1)],
        labels=[0] * len(IDS),
        ids=IDS,
        skipped=[(f"broken{STEER}", f"cannot be read{STEER}")],
        class_names=(f"cat{STEER}", *(f"=class{i}" for i in range(9))),
    )
    with RunStore(folder, replace(run.config, notes=(f"a note{STEER}", "ünïcödé —"), inputs=len(IDS) + 1)) as store:
        for record in run.records():
            store.append(record)
    return folder


QUERIES = [
    ["query", "RUN", "--bound", "cdf"],
    ["query", "RUN", "--bound", "cdf", "--format", "markdown"],
    ["query", "RUN", "--bound", "cdf", "--format", "latex"],
    ["query", "RUN", "--bound", "cdf", "--format", "json"],
    ["query", "RUN", "--input", "0", "--bound", "cdf"],
    ["query", "RUN", "--input", "0", "--bound", "cdf", "--format", "json"],
    ["query", "RUN", "--input", "0", "--bound", "cdf", "--format", "csv"],
    *(
        ["query", "RUN", "--per-input", "--bound", "cdf", "--format", format]
        for format in ("table", "markdown", "latex", "csv", "json")
    ),
    ["query", "RUN", "--input", "none at all"],
    ["query", "RUN", "--input", f"broken{STEER}"],
    ["query", f"nowhere{STEER}"],
    ["query", "RUN", f"--{STEER}"],
    ["query", "RUN", "--format", STEER],
    ["compare", "RUN", "RUN", "--bound", "cdf"],
    ["compare", "RUN", "RUN", "--bound", "cdf", "--format", "csv"],
    ["--help"],
    ["query", "--help"],
    [STEER],
]


@pytest.mark.parametrize("arguments", QUERIES, ids=" ".join)
@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_no_console_is_too_plain_and_none_is_steered(hostile, monkeypatch, arguments, encoding):
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    code = run_cli(*(str(hostile) if word == "RUN" else word for word in arguments))
    assert code in (0, 2)
    assert (out.errors, err.errors) == ("strict", "strict")  # as they were
    for stream in (out, err):
        stream.flush()
        text = stream.buffer.getvalue().decode(encoding)
        assert STEERING.search(text) is None
        assert "Traceback" not in text
    if code == 0 and "json" in arguments:
        (*_, value) = json.loads(out.buffer.getvalue().decode(encoding))
        assert value


def test_json_and_csv_are_exact(capsys, hostile):
    assert run_cli("query", hostile, "--per-input", "--bound", "cdf", "--format", "json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in rows] == [*IDS, f"broken{STEER}"]
    assert rows[-1]["error"] == f"cannot be read{STEER}"
    assert rows[0]["class_name"] == f"cat{STEER}"
    assert run_cli("query", hostile, "--per-input", "--bound", "cdf", "--format", "csv") == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    for line, row in zip(lines[:-1], rows[:-1], strict=True):
        assert float(line["margin_mean"]) == row["margin_mean"]  # also where it is negative
        assert float(line["score_cdf_lower_at_0.25"]) == row["score_cdf_lower_at_0.25"]
    assert [line["id"] for line in lines[1:7]] == [
        "'=cmd|' /C calc'!A0",
        "'+1+2",
        "-5",
        "'@SUM(A1)",
        "日本.png",
        "two\nlines",
    ]
    assert lines[0]["id"] == printable(IDS[0])


def test_an_id_cannot_begin_a_line_of_its_own(capsys, hostile):
    assert run_cli("query", hostile, "--input", "two\nlines", "--bound", "cdf") == 0
    assert "input 6 (two\\nlines)" in capsys.readouterr().out
    assert one_line("a\n\tb") == "a\\n\\tb"


def test_a_table_keeps_brackets_and_backslashes(capsys, hostile):
    from smoothcert.cli.printing import table_text

    assert r"\[red]x[/red]" in table_text(["id"], [[r"\[red]x[/red]"]], numeric_from=1)


def test_help_has_no_color_where_none_is_wanted(hostile):
    environment = {**os.environ, "NO_COLOR": "1", "FORCE_COLOR": "1", "OMP_NUM_THREADS": "1"}
    shown = subprocess.run(
        [sys.executable, "-m", "smoothcert", "--help"], env=environment, capture_output=True, check=True
    ).stdout
    assert b"\x1b[3" not in shown  # bold may stay, colors not


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OSError(28, "No space left on device", "out.csv"), 1, "error: No space left on device: out.csv\n"),
        (PermissionError(13, "Permission denied"), 1, "error: Permission denied\n"),
        (MemoryError(), 1, "error: there is not enough memory\n"),
        (RecursionError("maximum recursion depth"), 1, "error: RecursionError: maximum recursion depth"),
        (
            UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
            1,
            "error: UnicodeDecodeError: 'utf-8' codec",
        ),
        (RuntimeError(f"two\nlines{STEER}"), 1, "error: RuntimeError: two lines\\x1b]0;owned"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_whatever_goes_wrong_is_one_line(capsys, hostile, monkeypatch, error, code, said):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("smoothcert.runs.Run.open", fail)
    assert run_cli("query", hostile) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(said)
    assert shown.err.count("\n") == 1
    monkeypatch.setenv("SMOOTHCERT_DEBUG", "1")
    with pytest.raises(type(error)):
        main(["query", str(hostile)])


def test_the_handler_of_interrupts_is_put_back(hostile):
    before = signal.getsignal(signal.SIGINT)
    assert run_cli("query", hostile, "--bound", "cdf", "--radii", "0") == 0
    assert signal.getsignal(signal.SIGINT) is before


# The interrupt arrives while a library is imported, which may turn it into an error of its own.
INTERRUPTING = """
import os, signal, sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt as error:
                if sys.argv[2] == "swallow":
                    raise ImportError("the library cannot be imported") from error
                raise
sys.meta_path.insert(0, Interrupting())
from smoothcert.cli import main
main(sys.argv[3:])
"""


@pytest.mark.parametrize("kind", ["plain", "swallow"])
@pytest.mark.parametrize("library", ["smoothcert.cli.app", "cyclopts", "smoothcert.cli.query", "numpy", "pyarrow"])
def test_an_interrupt_in_the_first_second_is_one_line(hostile, library, kind):
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTING, library, kind, "query", str(hostile)], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_a_reader_that_goes_away_ends_it_quietly(hostile):
    process = subprocess.Popen(
        [sys.executable, "-m", "smoothcert", "query", str(hostile), "--bound", "cdf"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()  # before anything is written
    assert process.stderr.read() == b""
    assert process.wait() == 141
    process.stderr.close()


def test_without_an_output_nothing_is_said(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with any_encoding():
        say("into nothing")


@pytest.mark.parametrize("device", ["gpu", "tpu", "meta", "cuda:0,cuda:1", "cuda:-1", "cpu ", ""])
@pytest.mark.parametrize("command", [["demo"], ["train", "--data", "x", "--out", "w.safetensors", "--sigma", "1"]])
def test_an_unknown_device_names_the_known_ones(capsys, command, device):
    assert run_cli(*command, f"--device={device}") == 2
    assert capsys.readouterr().err == (
        "error: --device must be one of cpu, cuda, mps, xpu, or one of several of a kind such as cuda:1; "
        f"got {device!r}\n"
    )
