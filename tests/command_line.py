"""The command line as a person meets it, for the tests of every command."""

from __future__ import annotations

import pytest

from smoothcert.cli import main


def run_cli(*arguments: object) -> int:
    """Run a command; gives its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def ask(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What a command that succeeds writes to standard output."""
    assert run_cli(*arguments) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line with which a command refuses."""
    assert run_cli(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    return captured.err
