"""The page in a real browser: every interaction, what it saves, and who can use it."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from browsing import ONLY_COLORS, ONLY_OUTLINE, Visit, axe_violations, browsing, saved
from smoothcert.analysis import bounds_table, certified_accuracy, class_certified_accuracy
from smoothcert.bounds import ceil_decimals, floor_decimals
from smoothcert.certificate import Certificate
from smoothcert.data import load_data
from smoothcert.report import write_report
from smoothcert.report.wording import accuracy_words, percent_below
from smoothcert.sampling.chunks import content_hash
from synthetic_runs import SyntheticRun, mixed_run, mixed_shapes, synthetic_run

RADII = [0.0, 0.25, 0.5]
BOUNDS = ["dual", "cdf"]
INPUTS = 130  # more than are shown at once
NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "=truck")


@pytest.fixture(scope="module")
def browser():
    with browsing() as found:
        yield found


@pytest.fixture(scope="module")
def run():
    """A run of the bundled digits' pictures, with scores made up; the third picture is another than was sampled."""
    made = mixed_run(INPUTS, class_names=NAMES, skipped=[("broken.png", "not an image")])
    data = load_data("digits", limit=INPUTS)
    rows = []
    for position, record in enumerate(made.rows):
        if record.samples is None:
            rows.append(replace(record, index=10_000))
            continue
        content = content_hash(data.load(position + (position == 2)).x)
        samples = replace(record.samples, content_hash=content, step=1 / 255, clean_prediction=(position * 7) % 10)
        rows.append(replace(record, index=data.indices[position], id=f"digits/{position}", samples=samples))
    spec = made.config.spec.vary(data="digits", limit=INPUTS)
    return SyntheticRun(replace(made.config, spec=spec), rows)


@pytest.fixture(scope="module")
def path(run, tmp_path_factory):
    target = tmp_path_factory.mktemp("report") / "report.html"
    return write_report(run, target, bounds=BOUNDS, radii=RADII, pictures=60, thumbnails=True, title="A run of digits")


def certificate(run, index):
    (record,) = [record for record in run.rows if record.index == index]
    return Certificate.from_samples(record.samples, alpha=0.001)


def ask(page, name, value):
    page.locator(f'[data-answer] select[aria-label="{name}"]').select_option(label=value)


def column(page, number):
    return page.locator(f"#run0-inputs tbody tr > :nth-child({number})").all_inner_texts()


def test_the_sentence_answers_every_question_as_python_does(browser, run, path):
    with Visit(browser, path) as page:
        for measure, bound, radius, threshold in (("score", "dual", 0.25, 0.5), ("margin", "cdf", 0.5, 0.4)):
            for name, value in (("measure", measure), ("bound", bound), ("radius", radius), ("threshold", threshold)):
                ask(page, name, f"{value:g}" if isinstance(value, float) else value)
            asked = {"measures": [measure], "bounds": [bound], "radii": [radius], "thresholds": [threshold]}
            (row,) = certified_accuracy(run, **asked)
            value, interval = accuracy_words(row)
            said = page.locator("[data-answer] .statement").inner_text()
            assert said.startswith(f"{INPUTS} inputs. At radius")
            assert value in said
            assert interval in said
            assert page.locator("[data-least]").inner_text() == percent_below(row.population_lower)
            assert f"{bound} bound this holds" in page.locator(".guarantee").inner_text()


def test_the_measure_of_the_sentence_drives_the_page(browser, run, path):
    with Visit(browser, path) as page:
        assert page.locator("#run0-at-score").is_visible()
        assert not page.locator("#run0-at-margin").is_visible()
        assert "score ≥ at 0.25" in page.locator("#run0-inputs thead").inner_text()
        ask(page, "measure", "margin")
        ask(page, "bound", "cdf")
        shown = page.locator("[data-measure]:visible").evaluate_all("all => all.map((one) => one.dataset.measure)")
        assert set(shown) == {"margin"}
        assert "margin ≥ at 0.25" in page.locator("#run0-inputs thead").inner_text()
        assert "margin > " in page.locator("#run0-classes caption").inner_text()
        rows = certified_accuracy(run, measures=["margin"], bounds=["cdf"], radii=RADII, thresholds=[0.0, 0.4, 0.8])
        cells = page.locator("#run0-at-margin tbody td b").all_inner_texts()
        by_radius = [row for radius in RADII for row in rows if row.radius == radius]
        assert cells == [accuracy_words(row)[0] for row in by_radius]
        assert "by the cdf bound" in page.locator("#run0-at-margin caption").inner_text()


def test_inputs_are_sorted_found_and_filtered(browser, run, path):
    table = bounds_table(run)
    with Visit(browser, path) as page:
        assert page.locator("#run0-inputs tbody tr").count() == 100
        assert page.locator("[data-shown]").inner_text() == f"{INPUTS} of {INPUTS} inputs"
        page.locator("[data-more]").click()
        assert page.locator("#run0-inputs tbody tr").count() == INPUTS
        page.get_by_role("button", name="class radius").click()
        assert column(page, 8) == [floor_decimals(v) for v in sorted(table.class_radius())]
        page.get_by_role("button", name="class radius").click()
        assert column(page, 8)[0] == floor_decimals(table.class_radius().max())
        assert page.locator("#run0-inputs th[aria-sort]").get_attribute("aria-sort") == "descending"
        assert page.evaluate("document.activeElement.textContent") == "class radius"
        page.locator("select[data-state]").select_option("wrong")
        wrong = int(np.sum(~table.inputs.right & ~table.inputs.abstained))
        assert page.locator("#run0-inputs tbody tr").count() == wrong > 0
        page.locator("select[data-state]").select_option("")
        page.locator("[data-find]").fill("digits/12 ")
        assert set(column(page, 3)) == {"digits/12", *(f"digits/12{k}" for k in range(10))}
        page.locator("[data-find]").fill("no such input")
        assert page.locator("#run0-inputs tbody tr").count() == 0


def test_inputs_that_the_sentence_does_not_certify_are_listed(browser, run, path):
    with Visit(browser, path) as page:
        page.locator("[data-kept]").check()
        (row,) = certified_accuracy(run, measures=["score"], bounds=["dual"], radii=[0.25], thresholds=[0.5])
        kept = round(row.certified_accuracy * row.inputs)
        assert page.locator("[data-shown]").inner_text() == f"{INPUTS - kept} of {INPUTS} inputs"


def test_kept_to_tests_radii_upward_until_the_first_that_fails(browser, run, path):
    with Visit(browser, path) as page:
        _, content = saved(page, page.locator("#run0-inputs [data-save=json]"))
        grid = page.evaluate("JSON.parse(document.querySelector('script.known').textContent).grid")
    assert len(grid) > len(RADII)
    lower = bounds_table(run).lower(measure="score", bound="dual", radii=grid)
    for row, held in zip(json.loads(content), lower, strict=True):
        above = [*(held > 0.5), False]
        reached = above.index(False)
        assert row["score_dual_kept_to"] == (grid[reached - 1] if reached else None)


def test_an_input_opens_and_says_what_is_certified(browser, run, path):
    with Visit(browser, path) as page:
        index = int(column(page, 1)[1])
        page.get_by_role("button", name=f"Open input {index}", exact=True).click()
        found = certificate(run, index)
        opened = page.locator("dialog#opened")
        assert opened.locator("h2").inner_text() == f"Input {index}"
        text = opened.inner_text()
        name, least = NAMES[found.prediction], floor_decimals(found.score.lower([0.25], bound="dual")[0])
        assert f"smoothed score below {least} for class “{name}” (dual bound" in text
        assert "With probability at least 0.999, no 8-bit image within L2 distance 0.25" in text
        assert f"within L2 distance {floor_decimals(found.class_radius)} of this one another class than" in text
        cells = opened.locator("tbody td").all_inner_texts()
        expected = []
        for radius in RADII:
            expected.append(floor_decimals(found.score.lower([radius], bound="dual")[0]))
            expected.append(floor_decimals(found.score.lower([radius], bound="cdf")[0]))
            expected.append(ceil_decimals(found.score.upper([radius], bound="cdf")[0]))
        assert cells == expected
        opened.locator('.choices [data-name="measure"]').select_option(label="margin")
        assert f"below {floor_decimals(found.margin.lower([0.25], bound='dual')[0])} for class" in opened.inner_text()
        assert "margin" in page.locator("#run0-inputs thead").inner_text()


def test_keyboard_alone_opens_steps_and_closes(browser, path):
    with Visit(browser, path) as page:
        first = page.locator("button.open").first
        second = column(page, 1)[1]
        first.focus()
        page.keyboard.press("Enter")
        title = page.locator("#opened-title")
        assert title.evaluate("node => node === document.activeElement")
        page.keyboard.press("ArrowRight")
        assert title.inner_text() == f"Input {second}"
        page.keyboard.press("ArrowLeft")
        assert title.inner_text() == f"Input {first.inner_text()}"
        assert page.get_by_role("button", name="← Previous").is_disabled()
        page.keyboard.press("Escape")
        assert not page.locator("dialog").is_visible()
        assert first.evaluate("node => node === document.activeElement")
        page.locator("#run0-inputs th button", has_text="result").focus()
        page.keyboard.press("Enter")
        assert page.locator("#run0-inputs th[aria-sort]").inner_text().startswith("result")


def test_an_address_opens_an_input_and_the_page_keeps_it(browser, run, path):
    index = run.rows[120].index
    with Visit(browser, path, hash=f"#input-{index}") as page:
        assert page.locator("#opened-title").inner_text() == f"Input {index}"
        page.get_by_role("button", name="Next →").click()
        assert page.evaluate("location.hash") == f"#input-{run.rows[121].index}"
        page.get_by_role("button", name="Close").click()
        assert page.evaluate("location.hash") == "#run0"
        page.evaluate(f"location.hash = '#input-{run.rows[3].index}'")
        page.wait_for_selector("dialog[open]")
        assert page.locator("#opened-title").inner_text() == f"Input {run.rows[3].index}"
    with Visit(browser, path, hash="#input-99999") as page:
        assert not page.locator("dialog").is_visible()


def test_pictures_are_the_inputs_and_never_others(browser, run, path):
    data = load_data("digits", limit=INPUTS)
    with Visit(browser, path, hash=f"#input-{run.rows[0].index}") as page:
        sources = page.evaluate("JSON.parse(document.querySelector('script.known').textContent).pictures")
        assert set(sources) == {str(row) for row in range(60) if row != 2}
        assert "1 picture left out: of other content than was sampled" in page.locator("body").inner_text()
        read = """async (source) => {
          const picture = new Image();
          picture.src = source;
          await picture.decode();
          const canvas = document.createElement("canvas");
          [canvas.width, canvas.height] = [picture.width, picture.height];
          canvas.getContext("2d").drawImage(picture, 0, 0);
          return [...canvas.getContext("2d").getImageData(0, 0, picture.width, picture.height).data];
        }"""
        for row in (0, 1, 59):
            pixels = np.array(page.evaluate(read, sources[str(row)])).reshape(8, 8, 4)
            assert np.array_equal(pixels[..., 0], np.rint(255 * data.load(row).x[0]))
        noisy = "() => [...document.querySelector('dialog canvas').getContext('2d').getImageData(0, 0, 8, 8).data]"
        page.wait_for_function(f"({noisy})().some((value) => value > 0)")
        before = page.evaluate(noisy)
        page.get_by_role("button", name="Draw another").click()
        after = np.array(page.evaluate(noisy)).reshape(8, 8, 4)
        assert before != after.ravel().tolist()
        assert np.array_equal(after[..., 0], after[..., 1])  # grey stays grey
    with Visit(browser, path) as page:
        assert page.locator("#run0-inputs img.thumbnail").count() == 59


def test_saved_tables_are_what_python_computes(browser, run, path):
    with Visit(browser, path) as page:
        name, content = saved(page, page.locator("#run0-inputs [data-save=csv]"))
        assert name == "run0-inputs.csv"
        rows = list(csv.DictReader(io.StringIO(content.decode())))
        assert len(rows) == INPUTS
        for row in rows[::17]:
            found = certificate(run, int(row["index"]))
            assert float(row["class_radius"]) == float(floor_decimals(found.class_radius, 4))
            assert float(row["smoothed_score"]) == float(floor_decimals(found.score.mean, 4))
            lower = found.score.lower(RADII, bound="dual")
            for radius, value in zip(RADII, lower, strict=True):
                assert float(row[f"score_dual_lower_at_{radius:g}"]) == float(floor_decimals(value, 4))
            predicted = NAMES[found.prediction]
            assert row["prediction"] == (f"'{predicted}" if predicted.startswith("=") else predicted)
        ask(page, "bound", "cdf")
        _, content = saved(page, page.locator("#run0-at-score [data-save=json]"))
        asked = {"measures": ["score"], "bounds": ["cdf"], "radii": RADII, "thresholds": [0.5, 0.7, 0.9]}
        expected = certified_accuracy(run, **asked)
        for row, one in zip(json.loads(content), expected, strict=True):
            assert row == {key: getattr(one, key) for key in row}
        page.locator("summary", has_text="Every bound").click()
        _, content = saved(page, page.locator("#run0-certified [data-save=json]"))
        assert len(json.loads(content)) == 2 * 2 * 3 * 3
        _, content = saved(page, page.locator("#run0-accuracy [data-save=json]"))
        inputs = bounds_table(run).inputs
        by_name = {row["accuracy"]: row for row in json.loads(content)}
        assert by_name["without noise"]["value"] == np.mean(inputs.clean == inputs.labels)
        assert by_name["under one draw of the noise"]["value"] == pytest.approx(inputs.one_draw.mean())
        assert by_name["smoothed"]["value"] == inputs.right.mean()
        assert by_name["abstained"]["value"] == inputs.abstained.mean()


def test_classes_are_counted_sorted_and_saved(browser, run, path):
    with Visit(browser, path) as page:
        ask(page, "threshold", "0.7")
        _, content = saved(page, page.locator("#run0-classes [data-save=json]"))
        table = bounds_table(run)
        lower = table.lower(measure="score", bound="dual", radii=RADII)
        for row in json.loads(content):
            own = table.inputs.labels == NAMES.index(row["class"])
            assert row["inputs"] == own.sum()
            assert row["right"] == (own & table.inputs.right).sum()
            assert row["abstained"] == (own & table.inputs.abstained).sum()
            for j, radius in enumerate(RADII):
                assert row[f"certified_at_{radius:g}"] == (own & table.inputs.right & (lower[:, j] > 0.7)).sum()
        page.locator("#run0-classes th button", has_text="right").click()
        shares = page.locator("#run0-classes tbody tr > :nth-child(3)").all_inner_texts()
        assert shares == sorted(shares, key=lambda text: float(text.rstrip("%")))


def test_figures_are_read_hidden_and_saved(browser, path):
    with Visit(browser, path) as page:
        figure = page.locator("#run0-radius")
        slider = figure.locator("input[type=range]:visible")
        before = figure.locator("output:visible").inner_text()
        slider.focus()
        page.keyboard.press("ArrowRight")
        assert figure.locator("output:visible").inner_text() != before
        rows = figure.locator(".readout:visible tbody tr").count()
        figure.locator(".key", has_text="score > 0.7").click()
        assert figure.locator(".readout:visible tbody tr").count() == rows - 1
        assert figure.locator("svg g.off").count() > 0
        name, content = saved(page, figure.locator("[data-save=svg]"))
        text = content.decode()
        assert name == "run0-radius.svg"
        assert text.startswith("<svg")
        assert "var(" not in text
        assert "<script" not in text
        assert "score &gt; 0.5" in text
        assert "score &gt; 0.7" not in text.partition("<style")[0].rpartition("</svg>")[2]
        name, content = saved(page, figure.locator("[data-save=png]"))
        picture = Image.open(io.BytesIO(content), formats=["PNG"])
        assert picture.width > 1_000
        assert len(picture.convert("RGB").getcolors(2**20)) > 20
    with Visit(browser, path, hash="#input-" + str(load_data("digits").indices[0])) as page:
        for part in ("samples", "bounds"):
            name, content = saved(page, page.locator(f"figure[id$={part}] [data-save=svg]"))
            assert name.endswith(f"{part}.svg")
            assert b"<path" in content
            assert b"var(" not in content


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A page of few inputs: axe-core takes its time over each."""
    target = tmp_path_factory.mktemp("small") / "report.html"
    return write_report(mixed_run(4, class_names=NAMES), target, bounds=["cdf"], radii=RADII, measures=["score"])


@pytest.mark.parametrize(("scheme", "rules"), [("light", "{}"), ("dark", ONLY_COLORS)])
def test_nothing_stands_in_anybodys_way(browser, small, scheme, rules):
    with Visit(browser, small, color_scheme=scheme) as page:
        page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        assert axe_violations(page, options=rules) == []
        page.locator("button.open").first.click()
        assert axe_violations(page, options=rules) == []
        assert page.locator("h1").count() == 1


def test_a_phone_shows_all_of_it(browser, small):
    with Visit(browser, small, viewport={"width": 360, "height": 740}, is_mobile=True) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.locator("button.open").first.click()
        assert page.evaluate("document.querySelector('dialog').scrollWidth") <= 360


def test_it_prints_with_and_without_an_input(browser, small):
    with Visit(browser, small) as page:
        whole = page.pdf()
        page.locator("button.open").first.click()
        one = page.pdf()
        page.emulate_media(media="print")
        assert page.locator("blockquote").first.is_visible()
        assert not page.locator("h1").is_visible()
    pages = [content.count(b"/Type /Page\n") for content in (whole, one)]
    assert whole.startswith(b"%PDF")
    assert pages[0] > pages[1] > 0
    assert min(len(whole), len(one)) > 10_000


def test_without_a_script_the_page_is_read_in_full(browser, run, path):
    with Visit(browser, path, java_script_enabled=False) as page:
        text = page.locator("body").inner_text()
        assert "Margin at each radius" in text
        assert page.locator("#run0-inputs tbody tr").count() == 50
        assert "The first 50 of 130 inputs" in text
        assert not page.locator("[data-save]").first.is_visible()


def test_several_runs_and_hostile_names_in_one_page(browser, tmp_path):
    evil = '"><script>document.title = "no"</script><img src=x onerror="document.title = 1">'
    shapes = mixed_shapes(6)
    runs = [
        synthetic_run(shapes, ids=[f"{evil}{k}" for k in range(6)], class_names=(evil,) * 10, path=path, model=evil)
        for path in ("a", evil)
    ]
    target = write_report(runs, tmp_path / "r.html", bounds=["cdf"], radii=[0.0, 0.25], measures=["score"], title=evil)
    with Visit(browser, target, hash="#run1-input-3") as page:
        assert page.title() == evil
        assert page.locator("#opened-title").inner_text() == "Input 3"
        assert evil in page.locator("dialog").inner_text()
        assert page.locator("img").count() == 0
        page.keyboard.press("Escape")
        assert axe_violations(page, options=ONLY_OUTLINE) == []
        page.locator('#run1 [data-answer] select[aria-label="threshold"]').select_option(label="0.9")
        assert (
            page.locator('#run0 [data-answer] select[aria-label="threshold"]').evaluate(
                "one => one.selectedOptions[0].text"
            )
            == "0.5"
        )


def test_a_log_without_samples_and_one_measure_only(browser, tmp_path):
    run = mixed_run(12)
    path = write_report(
        run, tmp_path / "r.html", bounds=["cdf"], measures=["margin"], radii=[0.0, 0.5], joint="dataset"
    )
    with Visit(browser, path) as page:
        assert "true together with probability at least" in page.locator(".guarantee").inner_text()
        assert page.locator('[data-answer] select[aria-label="measure"] option').all_inner_texts() == ["margin"]
        kept = class_certified_accuracy(run, radii=[0.0])
        assert kept
