"""What comes out: dictionaries, tables, plots, and whether two answers are the same one."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import pickle
import subprocess
import sys
import typing
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import smoothcert as sc
from smoothcert.bounds import LeadCertificate
from smoothcert.card import SHOWN
from smoothcert.decision import Decision
from smoothcert.errors import InvalidArgumentError
from smoothcert.samples import StageHistograms

N0, N, LEVELS = 100, 1_000, 1_000


def stages(rng: np.random.Generator, lower: float, a: float) -> StageHistograms:
    pilot, sample = (
        sc.ScoreHistogram.from_samples(lower + (1.0 - lower) * rng.beta(a, 1, n), lower=lower, upper=1.0, levels=LEVELS)
        for n in (N0, N)
    )
    return StageHistograms(pilot, sample)


def drawn(*, seed: int = 0, votes: tuple[int, ...] = (3, 990, 7), lead: bool = True) -> sc.Samples:
    rng = np.random.default_rng(seed)
    return sc.Samples(
        prediction=1,
        sigma=0.5,
        seed=0,
        content_hash="0" * 64,
        pilot_votes=np.array([0, 99, 1]),
        votes=np.array(votes),
        measures={"score": stages(rng, 0.0, 20.0), "margin": stages(rng, -1.0, 20.0)},
        rivals=(2, 0) if lead else (),
        lead=(stages(rng, -1.0, 20.0), stages(rng, -1.0, 30.0)) if lead else (),
        offset=0.01,
        step=1 / 255,
        price=1e-6,
    )


def certified(**changes) -> sc.Certificate:
    return sc.Certificate.from_samples(drawn(**changes), alpha=0.01)


class Cells(HTMLParser):
    """The cells of the tables of a page, and whether every element is closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.open: list[str] = []
        self.ids: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data


def test_a_certificate_as_a_dictionary_is_what_its_calls_return():
    certificate = certified()
    found = certificate.to_dict(radii=(0, 0.25, 0.5), thresholds=(0.5, -2.0), bound="cdf")
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    for name in ("prediction", "abstained", "class_radius", "sigma", "alpha", "price", "n0", "n", "step", "offset"):
        assert found[name] == getattr(certificate, name), name
    assert (found["price"], found["step"], found["offset"]) == (1e-6, 1 / 255, 0.01)
    assert (found["votes"], found["rivals"]) == ([3, 990, 7], [2, 0])
    assert (found["bound"], found["radii"], found["thresholds"]) == ("cdf", [0.0, 0.25, 0.5], [0.5, -2.0])
    assert list(found["measures"]) == certificate.names == ["score", "margin", "vote", "lead"]
    for name, stated in found["measures"].items():
        own = certificate.measure(name)
        assert stated["mean"] == own.mean
        assert stated["lower"] == own.lower([0.0, 0.25, 0.5], "cdf").tolist()
        assert stated["upper"] == own.upper([0.0, 0.25, 0.5], "cdf").tolist()
        assert stated["radius"] == [
            own.radius(0.5, "cdf"),
            None,
        ]  # below the range there is no limit, and no JSON of it
        assert stated["range"] == [{"score": 0.0, "vote": 0.0}.get(name, -1.0), 1.0]


def test_the_dictionary_needs_no_arguments_and_checks_those_it_gets():
    found = certified(lead=False).to_dict()
    assert found["radii"] == [0.0, 0.25, 0.5]
    assert found["bound"] == "dual"
    assert list(found["measures"]) == ["score", "margin", "vote"]
    assert all(one["radius"] == [] for one in found["measures"].values())
    one = certified().to_dict(radii=0.1, thresholds=0.5)
    assert (one["radii"], one["thresholds"]) == ([0.1], [0.5])
    assert one == certified().to_dict(radii=np.array([0.1]), thresholds=np.array([0.5]))
    for wrong in ({"radii": (-1.0,)}, {"thresholds": (float("nan"),)}, {"bound": "best"}):
        with pytest.raises(InvalidArgumentError, match=next(iter(wrong)).removesuffix("s")[:4]):
            certified().to_dict(**wrong)


def test_parts_and_decisions_as_dictionaries():
    certificate = certified()
    for part in (certificate.score, certificate.lead):
        found = part.to_dict(radii=[0.0, 0.1], thresholds=[0.6])
        assert json.loads(json.dumps(found, allow_nan=False)) == found
        assert (found["sigma"], found["alpha"], found["price"], found["offset"]) == (0.5, 0.01, 1e-6, 0.01)
        assert (found["n0"], found["n"], found["bound"]) == (N0, N, "dual")
        assert found["lower"] == part.lower([0.0, 0.1]).tolist()
        assert found["radius"] == [part.radius(0.6)]
    decision = Decision("certified", 1, "score", 0.5, 0.25, 0.001, 100, 32)
    assert decision.to_dict() == {one.name: getattr(decision, one.name) for one in dataclasses.fields(decision)}
    assert json.dumps(decision.to_dict())
    assert repr(decision) == "<Decision: certified, score:0.5@0.25 of class 1; alpha 0.001, n 100 + 32>"


def test_every_answer_is_one_line_with_numbers_rounded_down():
    certificate = certified()
    high = dataclasses.replace(certificate, class_radius=0.99999)
    assert repr(high).startswith("<Certificate: class 1 within radius 0.999; mean score 0.9")
    assert repr(high).endswith("sigma 0.5, alpha 0.01, n 100 + 1,000>")
    assert "class 1, not certified" in repr(certified(votes=(500, 500, 0)))
    assert repr(certificate.score).startswith("<ScoreCertificate: mean 0.9")
    assert repr(certificate.lead).startswith("<LeadCertificate: mean 0.")
    assert "score, margin, lead" in repr(drawn())
    for one in (certificate, certificate.score, certificate.lead, drawn()):
        assert "\n" not in repr(one)
        assert len(repr(one)) < 160


def test_a_notebook_shows_a_certificate_as_a_table_with_a_plot():
    certificate = certified()
    text = certificate._repr_html_()
    page = Cells(text)
    assert page.cells[:6] == ["measure", "mean", "within 0", "within 0.25", "within 0.5", "within 1"]
    assert [cell for cell in page.cells if cell in certificate.names] == certificate.names
    lower = certificate.score.lower([0.0, 0.25, 0.5, 1.0])
    for shown, bound in zip(page.cells[8:12], lower, strict=True):
        assert shown.startswith("≥ ")
        assert float(bound) - 1e-3 < float(shown[2:]) <= float(bound)
    assert text.count("<svg") == 1
    assert certificate._repr_html_() == text  # a notebook that is run again has not changed
    other = Cells(certified(seed=1)._repr_html_())
    assert page.ids
    assert not set(page.ids) & set(other.ids)  # two on a page are two


def test_names_of_measures_are_text_in_the_notebook():
    measures = {"<img src=x onerror=alert(1)>": drawn().score}
    text = sc.Certificate.from_samples(dataclasses.replace(drawn(), measures=measures), alpha=0.01)._repr_html_()
    assert "<img" not in text
    assert "&lt;img" in text


def test_without_the_extra_of_the_report_the_table_is_shown_alone_and_plot_says_what_is_missing():
    code = """
import pickle, sys
sys.modules["matplotlib"] = None
certificate = pickle.load(sys.stdin.buffer)
text = certificate._repr_html_()
assert "<table" in text and "<svg" not in text
try:
    certificate.plot()
except Exception as error:
    assert type(error).__name__ == "MissingDependencyError" and "smoothcert[report]" in str(error), error
else:
    raise SystemExit("drawn")
assert "torch" not in sys.modules
"""
    given = pickle.dumps(certified())
    done = subprocess.run([sys.executable, "-c", code], input=given, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()


def test_a_certificate_plots_itself():
    certificate = certified()
    assert [axes.get_title() for axes in certificate.plot().axes] == ["score", "margin", "lead"]
    one = Figure().subplots()
    assert certificate.plot(one) is one.figure
    assert one.get_title() == "score"
    assert one.lines[0].get_ydata().tolist() == certificate.score.lower(np.linspace(0.0, 2.0, 81)).tolist()
    two = Figure().subplots(1, 2)
    certificate.plot(ax=two, radii=np.array([0.0, 0.1]))
    assert [axes.get_title() for axes in two] == ["score", "margin"]
    certificate.plot(one, measures=["lead"], bounds=["dual", "cdf"])
    assert one.get_title() == "lead"
    with pytest.raises(InvalidArgumentError, match="as many axes as the figure has panels, 2; got 1"):
        certificate.plot(one, measures=["score", "lead"])


def test_several_certificates_are_a_table():
    certificates = sc.Certificates([certified(), certified(seed=1), certified(votes=(500, 500, 0))])
    title, head, *rows = repr(certificates).splitlines()
    assert title == "3 certificates, sigma 0.5, alpha 0.01; measures are means, numbers rounded down"
    assert head.split() == ["class", "class", "radius", "score", "margin", "lead", "samples"]
    assert len({len(line) for line in (head, *rows)}) == 1
    assert rows[2].split()[:3] == ["2", "1", "abstains"]
    page = Cells(certificates._repr_html_())
    assert len(page.cells) == 4 * 7
    assert isinstance(certificates[0], sc.Certificate)
    assert isinstance(certificates[1:], sc.Certificates)
    assert certificates[1:] == certificates[-2:]
    assert "1 certificate," in repr(certificates[:1])
    assert pickle.loads(pickle.dumps(certificates)) == certificates
    frame = pd.DataFrame([one.to_dict() for one in certificates])
    assert frame["abstained"].tolist() == [False, False, True]


def test_a_table_of_many_shows_the_first():
    many = sc.Certificates([certified(lead=False), *[certified()] * (SHOWN + 5)])
    lines = repr(many).splitlines()
    assert len(lines) == 2 + SHOWN + 1
    assert lines[-1] == "... and 6 more"
    assert lines[1].split()[-2:] == ["lead", "samples"]
    assert "... and 6 more" in many._repr_html_()


@pytest.mark.parametrize("made", [drawn, certified])
def test_equal_contents_are_equal_and_hash_alike(made):
    one, same = made(), made()
    assert one is not same
    assert one == same
    assert hash(one) == hash(same)
    assert len({one, same, copy.deepcopy(one), pickle.loads(pickle.dumps(one))}) == 1
    for other in (made(seed=1), made(votes=(4, 989, 7)), made(lead=False), dataclasses.replace(one, offset=0.02)):
        assert one != other
    assert one != "another type"
    reordered = dataclasses.replace(one, measures=dict(reversed(one.measures.items())))
    assert one == reordered
    assert hash(one) == hash(reordered)


def test_every_field_counts():
    certificate = certified()
    changed = {
        "prediction": 0, "abstained": True, "class_radius": 9.0, "sigma": 9.0, "alpha": 0.5, "n0": 9, "n": 9,
        "votes": np.array([1, 2]), "measures": {}, "vote": certificate.score, "lead": None, "rivals": (), "offset": 9.0,
        "step": None, "price": 0.0,
    }  # fmt: skip
    assert set(changed) == {one.name for one in dataclasses.fields(certificate)}
    for name, value in changed.items():
        assert dataclasses.replace(certificate, **{name: value}) != certificate, name
    assert isinstance(certificate.lead, LeadCertificate)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="typing.get_overloads came with Python 3.11")
@pytest.mark.parametrize("name", ["certify", "certify_until", "decide", "predict", "sample"])
def test_an_editor_shows_the_same_arguments_for_one_input_and_for_several(name):
    method = getattr(sc.SmoothedClassifier, name)
    several, given = typing.get_overloads(method)
    real = inspect.signature(method)
    for overload in (several, given):
        found = inspect.signature(overload)
        assert [(one.name, one.default) for one in found.parameters.values()] == [
            (one.name, one.default) for one in real.parameters.values()
        ]
    one, many = inspect.signature(given).return_annotation.split(" | ")
    assert inspect.signature(several).return_annotation == many
    assert one != many
    assert "progress" in real.parameters
