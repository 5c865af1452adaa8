"""Every snippet of the README and the docs runs, page by page, as a reader would run it."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import pytest

import smoothcert
from smoothcert.cli.app import run as run_command

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
NOTEBOOKS = sorted((ROOT / "docs").rglob("*.ipynb"))
FENCE = re.compile(
    r"(?:<!-- not run: (?P<why>[^\n]+?) -->\n)?"
    r"^```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
NOT_RUN = {
    "README.md": ["installs"],
    "docs/how-to/choose-sigma.md": ["needs CIFAR-10 and trained weights"],
    "docs/how-to/cluster.md": ["starts a Ray cluster"],
    "docs/how-to/examples.md": ["needs transformers", "needs transformers"],
    "docs/how-to/object-stores.md": ["needs a bucket"],
    "docs/how-to/results.md": ["needs a published log"],
    "docs/how-to/runs.md": ["starts a Ray cluster"],
    "docs/how-to/share.md": [
        "needs the Hugging Face Hub",
        "needs the Hugging Face Hub",
        "needs an MLflow server",
        "needs an MLflow server",
    ],
    "docs/how-to/training.md": [
        "needs CIFAR-10",
        "needs CIFAR-10",
        "a line of your own loop",
        "needs photos and weights",
        "needs photos and weights",
    ],
    "docs/tutorial/first-certificate.md": ["installs"],
}
"""What is not run, and why; installing and ``make`` are run by whoever tests at all."""


@dataclass(frozen=True)
class Snippet:
    """A fenced block."""

    language: str
    title: str | None
    text: str
    not_run: str | None

    @property
    def commands(self) -> list[list[str]]:
        """Of a shell block: its commands, comments left out and continued lines joined."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [words for line in lines if (words := shlex.split(line, comments=True))]

    @property
    def only_makes(self) -> bool:
        return self.language == "shell" and all(words[0] == "make" for words in self.commands)


def snippets(page: Path) -> Iterator[Snippet]:
    for found in FENCE.finditer(page.read_text(encoding="utf-8")):
        yield Snippet(found["language"], found["title"], found["text"], found["why"])


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """An empty folder to work in, without what a page leaves in the interpreter."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    matplotlib.use("Agg")
    before = set(sys.modules)
    yield tmp_path
    for module in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[module], "__file__", "")):
            del sys.modules[module]


@pytest.mark.parametrize("page", [page for page in PAGES if any(snippets(page))], ids=name)
def test_snippets_run(page, desk):
    names = {"__name__": "__main__"}
    for snippet in snippets(page):
        if snippet.not_run or snippet.only_makes:
            continue
        if snippet.title:
            (desk / snippet.title).write_text(snippet.text, encoding="utf-8")
        elif snippet.language == "python":
            exec(compile(snippet.text, name(page), "exec"), names)
        elif snippet.language == "shell":
            for command, *arguments in snippet.commands:
                assert command == "smoothcert", f"{name(page)} must say why {command} is not run"
                run_command(arguments)


def test_what_is_not_run_is_known():
    found = {name(page): [s.not_run for s in snippets(page) if s.not_run] for page in PAGES}
    assert {page: reasons for page, reasons in found.items() if reasons} == NOT_RUN


def test_every_block_says_what_it_is():
    languages = {(name(page), s.language) for page in PAGES for s in snippets(page)}
    assert {language for _, language in languages} <= {"python", "shell", "text"}, sorted(languages)
    assert sum(1 for page in PAGES for s in snippets(page) if s.language != "text") > 40


def test_commands_that_are_not_run_are_known_to_the_program():
    """Their options at least exist: data and weights are absent, not flags."""
    from smoothcert.cli.app import app

    for page in PAGES:
        for snippet in snippets(page):
            if snippet.not_run and snippet.language == "shell":
                for command, *arguments in snippet.commands:
                    if command == "smoothcert":
                        app.parse_args(arguments, exit_on_error=False, print_error=False)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=name)
def test_notebooks_run(notebook, desk):
    names = {"__name__": "__main__"}
    cells = [cell for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert cells
    for cell in cells:
        exec(compile("".join(cell["source"]), name(notebook), "exec"), names)


def test_the_readme_links_to_files_that_are_there():
    for file in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]:
        for target in re.findall(r"\]\(([^)#\s]+)", file.read_text(encoding="utf-8")):
            assert "://" in target or (file.parent / target).exists(), f"{file.name} links to {target}"


def test_the_architecture_has_the_rooms_there_are():
    from test_architecture import LAYERS

    page = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    rooms = [tuple(one.strip("`/") for one in re.findall(r"`[^`]+`", row)) for row in rows]
    assert rooms == [layer for layer in LAYERS if layer != ("__main__",)]


def test_the_version_to_cite_is_this_one():
    assert f"version: {smoothcert.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


@pytest.fixture
def build():
    """The script behind ``make docs``, but for what Zensical does."""
    spec = importlib.util.spec_from_file_location("build_docs", ROOT / "scripts" / "build_docs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pages_are_collected_with_what_they_link_to(build, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "STAGE", tmp_path)
    build.collect()
    assert "(../project/SECURITY.md" in (tmp_path / "explanation" / "guarantee.md").read_text(encoding="utf-8")
    assert "(../../explanation/guarantee.md#threat-models)" not in (tmp_path / "project" / "SECURITY.md").read_text()
    assert "(../explanation/guarantee.md#threat-models)" in (tmp_path / "project" / "SECURITY.md").read_text()
    assert "## smoothcert certify" in (tmp_path / "reference" / "cli.md").read_text(encoding="utf-8")
    assert "--empty-" not in (tmp_path / "reference" / "cli.md").read_text(encoding="utf-8")
    assert list((tmp_path / "tutorial").glob("notebook-*.png"))


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    written = {page.relative_to(ROOT / "docs").as_posix() for page in PAGES if page.name != "README.md"}
    written |= {notebook.relative_to(ROOT / "docs").with_suffix(".md").as_posix() for notebook in NOTEBOOKS}
    assert set(re.findall(r"[\w/-]+\.md", navigation)) == written | {"reference/cli.md"}


def test_links_that_lead_nowhere_and_what_comes_from_elsewhere_are_found(build, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "SITE", tmp_path)
    page, other = tmp_path / "index.html", tmp_path / "other.html"
    page.write_text('<a href="other.html#there">a</a><a href="https://example.org">b</a><img src="data:,">')
    other.write_text('<h1 id="there"></h1><a href="index.html">a</a>')
    assert build.broken_links([page, other]) == []
    page.write_text('<a href="other.html#gone">a</a><a href="gone.html">b</a><script src="https://example.org/x.js">')
    assert build.broken_links([page, other]) == [
        "index.html loads https://example.org/x.js from elsewhere",
        "index.html links to other.html#gone, which has no such part",
        "index.html links to gone.html, which is not there",
    ]
