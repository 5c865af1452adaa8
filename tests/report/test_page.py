from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from decimal import ROUND_FLOOR, Decimal
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from published_logs import KUMAR, write
from smoothcert.analysis import certified_accuracy, summary
from smoothcert.bounds import ceil_decimals, floor_decimals, split_alpha
from smoothcert.certificate import Certificate
from smoothcert.errors import DataError, InvalidArgumentError, RunError
from smoothcert.report import write_report
from smoothcert.report.inputs import decimals_of, fixed, rounded, unpack
from smoothcert.report.tables import summary_table
from smoothcert.report.wording import accuracy_words, percent, percent_below, percent_interval
from smoothcert.runs import import_log
from synthetic_runs import SyntheticRun, mixed_run, synthetic_run

FULL = {"bounds": ["cdf", "hoeffding"], "radii": [0.0, 0.25, 0.5]}
QUICK = {"bounds": ["cdf"], "radii": [0.0, 0.25], "measures": ["score"]}
EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>&{{ 7*7 }}</title>'
VOID = {"meta", "link", "input", "img", "br", "hr", "path", "use", "rect", "line"}


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))


@pytest.fixture(scope="module")
def run():
    names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    return mixed_run(20, skipped=[("broken.png", "not an image")], class_names=names)


@pytest.fixture(scope="module")
def page(run, tmp_path_factory):
    return write_report([run], tmp_path_factory.mktemp("report") / "report.html", **FULL).read_text()


def test_first_sentence_is_the_answer_of_a_query(run, page):
    (row,) = certified_accuracy(run, measures=["score"], bounds=["cdf"], radii=[0.25], thresholds=[0.5])
    value, interval = accuracy_words(row)
    assert 0.0 < row.certified_accuracy < 1.0
    assert (
        f"20 inputs . At radius 0.25 , {value} (95% CI {interval} ) are right and keep a score above 0.5"
        in Page(page).text
    )


def data_of(page, name):
    """Exact numbers behind a table, row by row."""
    table = json.loads(re.search(rf'id="{name}">.*?class="data">(.*?)</script>', page, re.DOTALL).group(1))
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]


def packed_of(page):
    (text,) = re.findall(r'class="packed">([^<]*)</script>', page)
    return unpack(text)


def known_of(page):
    (text,) = re.findall(r'class="known">(.*?)</script>', page, re.DOTALL)
    return json.loads(text)


def test_every_row_of_a_query_is_there(run, page):
    rows = certified_accuracy(run, bounds=["cdf", "hoeffding"], radii=[0.0, 0.25, 0.5], thresholds=[0.5])
    cells = re.findall(r"<tr><th[^>]*>([^<]*)</th>" + r"<td[^>]*>([^<]*)</td>" * 8 + "</tr>", page)
    exact = data_of(page, "run0-certified")
    for row in rows:
        if row.measure == "score":
            value, interval = accuracy_words(row)
            low, high = interval.rstrip("%").split("–")
            least = percent_below(row.population_lower)
            at = (row.measure, row.bound, "0.5", f"{row.radius:g}")
            assert (*at, value, f"{low}%", f"{high}%", least, "20") in cells
            assert {key: getattr(row, key) for key in exact[0]} in exact


def test_first_inputs_are_there_without_a_script(run, page):
    for record in run.records()[:5]:
        c = Certificate.from_samples(record.samples, alpha=0.001)
        row = re.search(rf'<tr><th scope="row">{record.index}</th>.*?</tr>', page).group()
        cells = re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", row)
        assert cells[1] == record.id
        assert cells[3] == run.config.class_names[c.prediction]
        assert cells[5:7] == [floor_decimals(v) for v in (c.class_radius, c.score.mean)]
        assert cells[7:10] == [floor_decimals(v) for v in c.score.lower([0.0, 0.25, 0.5], bound="cdf")]


def test_every_input_is_packed_with_its_certificate(run, page):
    found, known = packed_of(page), known_of(page)
    grid = known["grid"]
    assert set(known["radii"]) < set(grid)
    assert len(grid) >= 17
    assert found["ids"] == [record.id for record in run.records() if record.samples]
    for row, record in enumerate(run.records()[:20]):
        c = Certificate.from_samples(record.samples, alpha=0.001)
        assert (found["index"][row], found["prediction"][row]) == (record.index, c.prediction)
        assert found["class_radius"][row] == pytest.approx(float(floor_decimals(c.class_radius, 4)) * 1e4)
        for measure in ("score", "margin"):
            own = c.measure(measure)
            assert found[f"smoothed|{measure}"][row] == pytest.approx(1e4 * float(floor_decimals(own.mean, 4)))
            for bound in ("cdf", "hoeffding"):
                for side, cut in (("lower", floor_decimals), ("upper", ceil_decimals)):
                    held = found[f"{side}|{measure}|{bound}"].reshape(-1, len(grid))[row]
                    expected = [1e4 * float(cut(v, 4)) for v in getattr(own, side)(grid, bound=bound)]
                    assert held.tolist() == pytest.approx(expected)
            bins = found[f"histogram|{measure}"].reshape(-1, 2, found["bins"])[row] / 65535
            scores = record.samples.measures[measure].sample
            part = scores.counts[: 1_000 * 7 // 40].sum() / scores.n
            assert bins[1][:7].sum() == pytest.approx(part, abs=1e-3)
            assert bins.sum(axis=1) == pytest.approx([1.0, 1.0], abs=1e-3)


@pytest.mark.parametrize("ends", [(0.0, 1.0), (-1.0, 1.0), (-20.0, 35.5), (0.0, 5e5), (-1e-3, 1e-3)])
def test_rounding_is_downwards_and_never_by_more_than_a_step(ends):
    decimals = decimals_of(ends)
    values = np.concatenate((np.random.default_rng(0).uniform(*ends, 2_000), ends, np.linspace(*ends, 101)))
    found = rounded(values, decimals)
    assert np.abs(found).max() < 2**15
    assert [int(number) for number in found] == [
        int(Decimal(repr(float(value))).scaleb(decimals).to_integral_value(ROUND_FLOOR)) for value in values
    ]
    for number in found[:200]:
        assert float(fixed(int(number), decimals)) <= number / 10.0**decimals + 1e-9


def test_answers_behind_the_fields_are_certified_accuracies(run, page):
    known = known_of(page)
    rows = certified_accuracy(
        run, measures=["margin"], bounds=["hoeffding"], radii=known["radii"], thresholds=known["thresholds"]["margin"]
    )
    answers = known["answers"]["margin|hoeffding"]
    assert [one[:3] for one in answers] == [[*accuracy_words(row), percent_below(row.population_lower)] for row in rows]
    assert [one[3:] for one in answers] == [
        [row.certified_accuracy, row.ci_low, row.ci_high, row.population_lower, row.inputs] for row in rows
    ]


def test_guarantee_limits_and_provenance_are_stated(run, page):
    text = Page(page).text
    for words in (
        "alpha = 0.001",
        "for all radii and thresholds together",
        "not a probability",
        "not the probability of being right",
        "smoothed classifier",
        "arXiv 2207.07209",
        "1 input could not be read and was skipped",
        "broken.png",
        "not an image",
        run.config.weights_hash,
        run.config.data_fingerprint,
        run.config.fingerprint,
        "1,000",
        run.config.created,
    ):
        assert words in text


def test_page_is_self_contained(page):
    parsed = Page(page)
    assert not parsed.unbalanced
    assert not parsed.open
    for tag, attributes in parsed.elements:
        for name in ("src", "href", "xlink:href", "data", "srcset", "action"):
            target = attributes.get(name)
            if target is not None:
                assert target.startswith(("#", "data:")) or (tag == "a" and target.startswith("https://arxiv.org/"))
    outside = re.sub(r'<a href="https://arxiv\.org/[^"]*"', "", page)
    assert re.findall(r"https?://[^\s\"'<]*", outside) == ["http://www.w3.org/2000/svg"]
    assert "@import" not in page
    assert "default-src 'none'" in page
    assert len(page) < 1_000_000


def test_no_identifier_twice_and_every_reference_resolves(page):
    parsed = Page(page)
    names = [a["id"] for _, a in parsed.elements if "id" in a]
    assert len(names) == len(set(names)) > 50
    used = re.findall(r"url\(#([^)]+)\)", page) + [
        a["href"][1:] for _, a in parsed.elements if str(a.get("href")).startswith("#")
    ]
    assert used
    assert set(used) <= set(names)


def test_untrusted_names_stay_text(tmp_path):
    run = synthetic_run(
        [(20.0, 1.0), (8.0, 1.0)],
        labels=[0, 0],
        ids=[EVIL, "safe"],
        skipped=[(EVIL, EVIL)],
        class_names=(EVIL,) * 10,
        model=EVIL,
        path=EVIL,
    )
    text = write_report([run, run], tmp_path / "evil.html", title=EVIL, **QUICK).read_text()
    parsed = Page(text)
    assert not any(tag == "img" or any(name.startswith("on") for name in found) for tag, found in parsed.elements)
    assert "<script>alert" not in text
    assert text.count("</title>") == text.count("<title")
    assert EVIL in " ".join(parsed.texts)


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(synthetic_run([(20.0, 1.0)]), id="one input"),
        pytest.param(synthetic_run([(1.0, 9.0)] * 3), id="all abstained"),
        pytest.param(synthetic_run([(20.0, 1e-3)] * 2, sigma=1.0), id="constant"),
        pytest.param(synthetic_run([(20.0, 1.0), (9.0, 1.0)], labels=[None, 1]), id="one label"),
    ],
)
def test_poor_runs_still_give_a_page(run, tmp_path):
    text = Page(
        write_report(run, tmp_path / "r.html", bounds=["cdf"], radii=[0.0], measures=["margin"]).read_text()
    ).text
    assert "nan" not in text.lower().split()
    assert "What is not guaranteed" in text


def test_run_without_labels_says_so_and_claims_no_accuracy(tmp_path):
    run = synthetic_run([(20.0, 1.0), (20.0, 1.0)], labels=[None, None])
    text = Page(write_report([run], tmp_path / "r.html", **QUICK).read_text()).text
    assert "No input of this run has a label" in text
    assert "are right" not in text
    assert "2 inputs . At radius 0.25 , 100.0%" in text


def test_every_measure_of_the_run_is_shown(tmp_path):
    run = synthetic_run([(20.0, 1.0), (6.0, 1.0), (2.0, 3.0)], more=True)
    text = write_report([run], tmp_path / "r.html", bounds=["cdf"], radii=[0.0, 0.25]).read_text()
    page = Page(text)
    assert not page.unbalanced
    for words in (
        "Lead at each radius, by the cdf bound",
        "lead > 0",
        "Swing at each radius",
        "swing > 0.5",
        "swing > 2.5",
    ):
        assert words in page.text, words
    known = known_of(text)
    assert known["thresholds"]["swing"][0] == -2.0
    assert len(known["answers"]["swing|cdf"]) == 2 * len(known["thresholds"]["swing"])
    (row,) = certified_accuracy(run, measures=["lead"], bounds=["cdf"], radii=[0.25], thresholds=[0.0])
    place = known["thresholds"]["lead"].index(0.0) * 2 + 1
    assert known["answers"]["lead|cdf"][place][:3] == [*accuracy_words(row), percent_below(row.population_lower)]
    found = packed_of(text)
    swing = rounded(Certificate.from_samples(run.rows[1].samples, alpha=0.001).measure("swing").lower([0.0]), 4)
    assert found["ends"]["swing"] == [-2.0, 3.0]
    assert found["lower|swing|cdf"].reshape(3, -1)[1, 0] <= swing[0]


def test_what_was_certified_is_said_before_any_number(page):
    text = Page(page).text
    facts = text[: text.index("At radius")]
    for words in (
        "model beta",
        "data beta, 20 inputs",
        "sigma 0.25",
        "100 pilot + 1,000 estimation",
        "noise in floating",
    ):
        assert words in facts, words
    assert "Voráček and Hein" in text


def test_exact_noise_is_named_with_its_step(run, tmp_path):
    rows = [
        replace(row, samples=None if row.samples is None else replace(row.samples, step=1 / 255, price=1e-6))
        for row in run.rows
    ]
    text = Page(write_report([SyntheticRun(run.config, rows)], tmp_path / "r.html", **QUICK).read_text()).text
    assert "noise exact, on the lattice of step 1/255" in text
    assert "Floating point." not in text
    assert "changed inputs on that lattice" in text
    assert "1e-06 at most, is paid for out of alpha" in text


def test_no_claim_of_the_page_reads_as_a_larger_one(run, tmp_path):
    more = {"radii": [0.1234565], "thresholds": [0.5000005]}
    text = Page(write_report([run], tmp_path / "r.html", **{**QUICK, **more}).read_text()).text
    assert "0.1234565" in text
    assert "0.5000005" in text
    assert "0.123457" not in text
    assert "0.500001" not in text


def test_the_page_says_what_is_true_of_all_such_inputs(run, page):
    (row,) = certified_accuracy(run, measures=["score"], bounds=["cdf"], radii=[0.25], thresholds=[0.5])
    least = percent_below(row.population_lower)
    assert f"Of all such inputs at least {least} are right and keep theirs, with 95% confidence" in Page(page).text
    assert "that is an option of the report" not in page


def test_runs_of_a_page_are_drawn_over_one_another(tmp_path):
    runs = [synthetic_run([(20.0, 1.0)] * 3, path=f"runs/{name}", sigma=s) for name, s in (("a", 0.25), ("b", 0.5))]
    text = write_report(runs, tmp_path / "r.html", bounds=["cdf"], measures=["score"]).read_text()
    (data,) = re.findall(r'id="all-radius".*?class="curves">(.*?)</script>', text, re.DOTALL)
    assert [curve["line"] for curve in json.loads(data)["curves"]] == ["a", "b"]
    assert 'id="all-radius"' not in write_report(runs[:1], tmp_path / "one.html", **QUICK).read_text()


def test_a_page_that_cannot_be_written_harms_nothing(run, tmp_path):
    (tmp_path / "file").write_text("mine")
    for target in (tmp_path / "file" / "r.html", Path("/dev/null")):
        with pytest.raises(RunError, match="cannot write"):
            write_report([run], target, **QUICK)
    assert (tmp_path / "file").read_text() == "mine"
    assert Path("/dev/null").is_char_device()


def test_several_runs_share_one_page(tmp_path):
    runs = [
        synthetic_run([(20.0, 1.0)] * 2, path=f"runs/{name}", sigma=sigma) for name, sigma in (("a", 0.25), ("b", 0.5))
    ]
    text = write_report(runs, tmp_path / "r.html", bounds=["cdf"], measures=["score"]).read_text()
    parsed = Page(text)
    names = [a["id"] for _, a in parsed.elements if "id" in a]
    assert len(names) == len(set(names))
    assert "2 runs side by side" in parsed.text
    assert {"#run0", "#run1"} <= {a.get("href") for tag, a in parsed.elements if tag == "a"}
    assert "radius 0.25 radius 0.5 radius 1" in parsed.text


def test_a_page_of_some_inputs_says_what_it_leaves_out(run, tmp_path):
    more = {**QUICK, "measures": ["score", "margin"]}
    text = write_report([run], tmp_path / "r.html", max_inputs=7, **more).read_text()
    assert packed_of(text)["index"].tolist() == [0, 3, 6, 9, 12, 15, 18]
    assert "This page holds every 3rd of the 20 inputs" in Page(text).text
    answers = known_of(text)["answers"]
    assert {one[7] for one in answers["score|cdf"]} == {20}
    assert {one[7] for one in answers["margin|cdf"]} == {7}
    assert sum(row["inputs"] for row in data_of(text, "run0-classes")) == 20


def test_all_that_is_said_holds_together_where_that_is_asked(run, tmp_path):
    for joint, inputs in (("input", 1), ("dataset", 20)):
        text = write_report([run], tmp_path / "r.html", joint=joint, **{**QUICK, "measures": None}).read_text()
        groups, uppers = 3, 1  # score, margin and the class; of a measure lower and upper bounds
        share = split_alpha(0.001, inputs=inputs) / (groups * (1 + uppers))
        expected = Certificate.from_samples(run.rows[4].samples, alpha=share).margin.lower([0.0, 0.25], bound="cdf")
        found, grid = packed_of(text), known_of(text)["grid"]
        held = found["lower|margin|cdf"].reshape(20, -1)[4, [grid.index(0.0), grid.index(0.25)]]
        assert held.tolist() == rounded(expected, 4).tolist()
        radius = Certificate.from_samples(run.rows[4].samples, alpha=0.001 / inputs / groups).class_radius
        assert found["class_radius"][4] == rounded(np.array([radius]), 4)[0]
        assert "true together with probability at least 1 − alpha" in Page(text).text
    with pytest.raises(InvalidArgumentError, match="joint must be one of each, input, dataset; got 'all'"):
        write_report([run], tmp_path / "r.html", joint="all", **QUICK)


def test_accuracies_stand_side_by_side(run, tmp_path):
    text = Page(write_report([run], tmp_path / "r.html", **QUICK).read_text()).text
    assert "without noise not recorded" in text
    rows = [
        replace(row, samples=None if row.samples is None else replace(row.samples, clean_prediction=row.label))
        for row in run.rows
    ]
    found = write_report([SyntheticRun(run.config, rows)], tmp_path / "r.html", **QUICK).read_text()
    assert "without noise 100.0%" in Page(found).text
    given = [row.samples.votes[row.label] / row.samples.n for row in run.rows if row.samples]
    by_name = {row["accuracy"]: row["value"] for row in data_of(found, "run0-accuracy")}
    assert by_name["under one draw of the noise"] == pytest.approx(np.mean(given))
    assert packed_of(found)["clean"].tolist() == [row.label for row in run.rows if row.samples]


def test_pictures_are_asked_for_and_say_why_there_are_none(run, tmp_path):
    text = write_report([run], tmp_path / "r.html", pictures=3, **QUICK).read_text()
    assert "Pictures: the data could not be loaded: unknown data 'beta'" in Page(text).text
    assert known_of(text)["pictures"] == {}
    assert "data:image/png;" not in write_report([run], tmp_path / "r.html", **QUICK).read_text()


def test_the_only_script_that_runs_is_ours(page):
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page).group(1)
    assert "default-src 'none'" in policy
    (ours,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(ours.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy
    assert set(re.findall(r"<script([^>]*)>", page)) == {
        "",
        *(f' type="application/json" class="{name}"' for name in ("data", "curves", "known")),
        ' type="application/octet-stream" class="packed"',
    }


def test_alpha_of_the_report_is_stated(run, tmp_path):
    text = Page(write_report([run], tmp_path / "r.html", alpha=1e-5, **QUICK).read_text()).text
    assert "alpha = 1e-05" in text
    assert "at most 0.01 of the 20 inputs" in text  # 2e-4, rounded up
    assert "(the run's own: 0.001)" in text


def test_same_runs_same_page_and_nothing_else_in_the_folder(tmp_path):
    run = synthetic_run([(20.0, 1.0)] * 2)
    pages = [write_report([run], tmp_path / "deep" / "r.html", **QUICK).read_bytes() for _ in range(2)]
    assert pages[0] == pages[1]
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["r.html"]


def test_bad_arguments(run, tmp_path):
    with pytest.raises(InvalidArgumentError, match="runs must name at least one; got none"):
        write_report([], tmp_path / "r.html")
    with pytest.raises(InvalidArgumentError, match="bounds must name at least one"):
        write_report([run], tmp_path / "r.html", bounds=[])
    with pytest.raises(InvalidArgumentError, match="out must be a file"):
        write_report([run], tmp_path)
    with pytest.raises(DataError, match="no certified input yet"):
        write_report([synthetic_run([])], tmp_path / "r.html")
    assert list(tmp_path.iterdir()) == []


def test_percentages_never_promise_more():
    assert percent(999, 1000) == "99.9%"
    assert percent(9999, 10000) == "99.9%"
    assert percent(29, 100) == "29.0%"
    assert percent_interval(0.7999, 0.80001) == "79.9–80.1%"


def test_nothing_is_said_of_figures_and_options_that_are_not_there(run, tmp_path):
    unlabelled = synthetic_run([(20.0, 1.0)] * 2, labels=[None, None])
    log = import_log(write(tmp_path, "cifar10-pred_score-noise_0.25.tsv", KUMAR), out=tmp_path / "run")
    said = {
        name: Page(write_report(of, tmp_path / f"{name}.html", **kwargs).read_text(encoding="utf-8")).text
        for name, of, kwargs in (("run", run, QUICK), ("unlabelled", unlabelled, QUICK), ("log", log, {}))
    }
    having = {
        "See the calibration figure": {"run"},
        "--joint dataset": {"run", "unlabelled"},
        "Dotted grey: the class cannot change": {"run", "unlabelled"},
        "bootstrap intervals": {"run", "unlabelled"},
        "the log did not store it": {"log"},
        "an earlier version did not store it": {"run"},
        "wrong or no label": {"run"},
    }
    assert {words: {name for name in said if words in said[name]} for words in having} == having


def test_inputs_that_were_skipped_are_not_among_all():
    skipping = synthetic_run([(20.0, 1.0)], skipped=[("a.png", "no bytes"), ("b.png", "no bytes")])
    said = {n: summary_table("s", summary(skipping), expected=n).rows[0] for n in (1, 3, None)}
    assert said[1] == ("certified inputs", "1", "all of them")
    assert said[3] == ("certified inputs", "1", "3 stored of 3 when finished")
    assert said[None] == ("certified inputs", "1", "3 stored")


def test_names_cannot_turn_the_direction_of_the_text(tmp_path):
    turned = synthetic_run(
        [(20.0, 1.0)], ids=["a\u202egnp.exe"], skipped=[("b\u202e", "no\u202e")], class_names=("c\u202e",) * 10
    )
    text = write_report(turned, tmp_path / "r.html", **QUICK).read_text(encoding="utf-8")
    assert "\u202e" not in text
    assert packed_of(text)["ids"] == [r"a\u202egnp.exe"]
    assert known_of(text)["classNames"][0] == r"c\u202e"
