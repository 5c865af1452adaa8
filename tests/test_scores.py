from __future__ import annotations

import hashlib

import pytest
import torch

from smoothcert.errors import InvalidArgumentError
from smoothcert.scores import DEFAULT_MEASURES, MARGIN, SCORE, Measure, choose_measures, load_measure

FILE = """
from beside import TOP
from smoothcert.scores import Measure

def compute(scores, classes):
    return 1 - scores[:, classes]

doubt = Measure("doubt", 0.0, TOP, compute, of="label")
number = 3
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "beside.py").write_text("TOP = 1.0\n")
    path = tmp_path / "own_measures.py"
    path.write_text(FILE)
    return path


def test_built_in_measures_have_names():
    assert DEFAULT_MEASURES == ("score", "margin", "lead")
    assert choose_measures(DEFAULT_MEASURES) == ((SCORE, MARGIN), True)
    assert choose_measures("margin") == ((MARGIN,), False)
    assert choose_measures(["vote", "lead"]) == ((), True)
    assert choose_measures([SCORE, "score"]) == ((SCORE,), False)


def test_a_measure_is_loaded_from_a_file_of_the_users_own(file):
    measure = load_measure(f"python:{file}:doubt")
    assert (measure.name, measure.lower, measure.upper, measure.of) == ("doubt", 0.0, 1.0, "label")
    assert measure.source_hash == hashlib.sha256(FILE.encode()).hexdigest()
    assert measure.compute(torch.tensor([[0.75, 0.25]]), torch.tensor([0])).tolist() == [[0.25]]
    assert [m.name for m in choose_measures(["score", f"python:{file}:doubt"])[0]] == ["score", "doubt"]


def test_a_measure_is_loaded_from_a_module(file, monkeypatch):
    monkeypatch.chdir(file.parent)
    assert load_measure("python:own_measures:doubt").name == "doubt"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("scores", "measure must be one of score, margin, lead, vote, or python:file.py:name; got 'scores'"),
        ("python:", "or python:file.py:name; got 'python:'"),
        ("python:doubt", "or python:file.py:name"),
        ("python:absent.py:doubt", "must name a file that exists; got absent.py"),
        ("python:no_such_module:doubt", "importing no_such_module failed with ModuleNotFoundError"),
        ("python:{file}:number", "number of .* must be a smoothcert.Measure; got int"),
        ("python:{file}:other", "must be a smoothcert.Measure; got NoneType"),
    ],
)
def test_names_that_are_no_measure(file, name, message):
    with pytest.raises(InvalidArgumentError, match=message):
        load_measure(name.format(file=file))


def test_code_that_fails_says_how(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("1 / 0\n")
    with pytest.raises(InvalidArgumentError, match=r"importing .*broken.py failed with ZeroDivisionError"):
        load_measure(f"python:{path}:x")


def test_two_measures_cannot_share_a_name():
    with pytest.raises(InvalidArgumentError, match="two that are called 'own'"):
        choose_measures([Measure("own", 0, 1, SCORE.compute), Measure("own", 0, 2, SCORE.compute)])
    with pytest.raises(InvalidArgumentError, match="two that are called 'score'"):
        choose_measures([Measure("score", 0, 2, SCORE.compute)])
    with pytest.raises(InvalidArgumentError, match="at least one; got none"):
        choose_measures([])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "Own"}, "name must be lower-case letters"),
        ({"name": ""}, "name must be"),
        ({"name": "lead"}, "none of lead, vote, class; got 'lead'"),
        ({"lower": 1.0}, r"measure own must have a finite range, lower < upper; got \[1.0, 1.0\]"),
        ({"upper": float("inf")}, "finite range"),
        ({"lower": -1e308, "upper": 1e308}, "finite range"),
        ({"upper": "1"}, "finite range"),
        ({"upper": None}, "finite range"),
        ({"lower": 1e6, "upper": 1e6 + 1}, "float32, which is too coarse for values in"),
        ({"upper": 5e-324}, "float32, which is too coarse for values in"),
        ({"lower": float("nan")}, "finite range"),
        ({"of": "winner"}, "of the prediction, of the label, or of a class by its number; got 'winner'"),
        ({"of": -1}, "got -1"),
    ],
)
def test_measures_that_cannot_be(arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        Measure(**{"name": "own", "lower": 0.0, "upper": 1.0, "compute": SCORE.compute} | arguments)
