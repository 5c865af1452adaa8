"""What a text is taken as: a path here, a URL of a store, or neither."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from smoothcert.cli import main
from smoothcert.errors import InvalidArgumentError, MissingDependencyError
from smoothcert.runs import Run
from smoothcert.urls import to_path

LOCAL = ["run", "run-14:30", "a:b", "C:\\x", "s3:x", "s3", "x/s3:/y", "a?b#c", "memory:", "~", "b/../c", ":", "s3:/"]


@pytest.mark.parametrize("text", LOCAL)
def test_what_is_no_url_is_a_path_here(text, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s3:").mkdir()
    assert to_path(text) == Path(text)
    assert to_path(Path(text)) == Path(text)


@pytest.mark.skipif(sys.platform == "win32", reason="no colons in names there")
@pytest.mark.parametrize("name", ["run-14:30", "a:b", "C:\\x", "s3:"])
def test_a_folder_whose_name_looks_like_a_url_works_all_the_way(name, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    sampled = ["--model", "digits", "--data", "digits", "--limit", "2", "--sigma", "0.25", "--n0", "10", "--n", "50"]
    commands = [["certify", *sampled, "--out", name]] * 2 + [["check", name], ["query", name, "--bound", "hoeffding"]]
    for command in commands:
        with pytest.raises(SystemExit) as ended:
            main(command)
        assert ended.value.code in (0, None), capsys.readouterr().err
    assert len(Run.open(tmp_path / name)) == 2
    assert [path.name for path in tmp_path.iterdir()].count(name) == 1


def test_files_are_paths_here(tmp_path):
    assert to_path(f"file://{tmp_path}/a b") == tmp_path / "a b"
    assert to_path(f"FILE://{tmp_path}") == tmp_path
    with pytest.raises(InvalidArgumentError, match="three slashes"):
        to_path("file://run")


def test_urls_of_a_store_join_and_name_like_paths():
    path = to_path("memory://bucket/run/")
    assert (str(path), path.name, str(path / "config.json")) == (
        "memory://bucket/run",
        "run",
        "memory://bucket/run/config.json",
    )
    assert to_path(path) is path
    assert str(to_path("S3://Bucket/Run")) == "s3://Bucket/Run"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("s4://bucket/run", r"of a known kind: s3:// \(pip install 'smoothcert\[s3\]'\), gs://"),
        ("://x", "must be like s3://bucket/run"),
        ("simplecache::s3://bucket/run", "must be like s3://bucket/run"),
        ("s3://", "must name a bucket"),
        ("s3:///run", "must name a bucket"),
        ("s3://bucket//run", "must name a bucket"),
        ("s3://bucket/../run", r"without \. or \.\."),
        ("s3://bucket/run?versionId=SECRET", r"must not hold '\?'"),
        ("s3://bucket/run#x", "must not hold '#'"),
        ("s3://bucket/run*", r"must not hold '\*'"),
        ("s3://bucket/a\nb", r"must not hold '\\n'"),
        ("s3://KEY:SECRET@bucket/run", "must not hold credentials"),
        ("s3://KEY:SEC/RET@bucket/run", "must not hold credentials"),
        ("gs://SECRET@bucket/run", "must not hold credentials"),
        ("sftp://user:SECRET@host/run", "must not hold credentials"),
        ("file://user:SECRET@host/run", "three slashes"),
        ("s3:/bucket/run", "begins a URL with two slashes"),
        (Path("s3://bucket/run"), "begins a URL with two slashes"),
    ],
)
def test_what_is_neither_is_refused_without_saying_a_secret(text, said, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidArgumentError, match=said) as refused:
        to_path(text)
    assert "SEC" not in str(refused.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "command",
    [["query", "{}"], ["check", "{}"], ["merge", "{}", "--out", "x"], ["sweep", "{}"], ["query", "x", "--out", "{}"]],
)
def test_no_command_repeats_a_secret(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([word.format("s3://KEY:SECRET@bucket/run") for word in command])
    said = capsys.readouterr().err
    assert (ended.value.code, said.count("\n")) == (2, 1)
    assert "must not hold credentials" in said
    assert "SECRET" not in said


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(MissingDependencyError, match=r"gs:// needs a package: pip install 'smoothcert\[gcs\]'"):
        to_path("gs://bucket/run")
    monkeypatch.setitem(sys.modules, "adlfs", None)
    with pytest.raises(MissingDependencyError, match="adlfs"):
        to_path("az://bucket/run")
