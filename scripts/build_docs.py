"""Build the site: collect the pages, write those that come from the program, run Zensical, set formulas, check links.

``python scripts/build_docs.py`` writes ``site/``. Pages may link to files of the repository outside ``docs/``, such as
``../SECURITY.md`` or the page of a study; they become part of the site. Formulas between dollars become MathML, which
browsers show without a script. Whatever is doubtful, a warning included, is an error.
"""

from __future__ import annotations

import argparse
import base64
import html
import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

ROOT = Path(__file__).resolve().parents[1]
DOCS, STAGE, SITE = ROOT / "docs", ROOT / "build" / "docs", ROOT / "site"
OUTSIDE = Path("project")
"""Folder of the site with what lies outside ``docs/``."""

_LINK = re.compile(r"(?P<open>\]\()(?P<target>[^)\s#]+)(?P<rest>(#[^)\s]*)?\))")
_FENCE = re.compile(r"^ *```")
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def main() -> None:
    """Build the site, or only collect its pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--collect-only", action="store_true", help="write build/docs and stop, for zensical serve")
    arguments = parser.parse_args()
    collect()
    if arguments.collect_only:
        return
    shutil.rmtree(SITE, ignore_errors=True)
    build = subprocess.run([Path(sys.executable).parent / "zensical", "build", "--clean", "--strict"], cwd=ROOT)
    if build.returncode:
        sys.exit("zensical found something to mend, see above")
    pages = sorted(SITE.rglob("*.html"))
    for page in pages:
        page.write_text(with_formulas(page.read_text(encoding="utf-8")), encoding="utf-8")
    index = SITE / "search.json"
    index.write_text(with_words(index.read_text(encoding="utf-8")), encoding="utf-8")
    if broken := broken_links(pages):
        sys.exit("\n".join(broken))
    print(
        f"{len(pages)} pages in {SITE}; its search needs a server: {sys.executable} -m http.server --directory {SITE}"
    )


def collect() -> None:
    """Write everything Zensical reads to ``build/docs``."""
    shutil.rmtree(STAGE, ignore_errors=True)
    for file in sorted(DOCS.rglob("*")):
        if file.is_file():
            _stage(file, file.relative_to(DOCS))
    (STAGE / "reference" / "cli.md").write_text(command_line(), encoding="utf-8")
    for notebook in sorted(STAGE.rglob("*.ipynb")):
        notebook.with_suffix(".md").write_text(from_notebook(notebook), encoding="utf-8")


def _stage(file: Path, place: Path) -> None:
    """Copy a file to its place, and whatever it links to outside ``docs/``."""
    target = STAGE / place
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix != ".md":
        shutil.copyfile(file, target)
        return
    target.write_text("", encoding="utf-8")  # two files may link to each other
    lines, fenced = [], False
    for line in file.read_text(encoding="utf-8").splitlines(keepends=True):
        fenced ^= bool(_FENCE.match(line))
        lines.append(line if fenced else _LINK.sub(lambda link: _relinked(link, file, place), line))
    target.write_text("".join(lines), encoding="utf-8")


def _relinked(link: re.Match[str], file: Path, place: Path) -> str:
    """A link of a page as it is from the page's place in the site."""
    if "://" in link["target"] or link["target"].startswith("mailto:"):
        return link[0]
    linked = (file.parent / link["target"]).resolve()
    if linked.is_relative_to(DOCS):
        there = linked.relative_to(DOCS)
    elif linked.is_file() and linked.is_relative_to(ROOT):
        there = OUTSIDE / linked.relative_to(ROOT)
        _stage(linked, there)
    else:
        sys.exit(f"{file.relative_to(ROOT)} links to {link['target']}, which is no file of the repository")
    return link["open"] + Path(os.path.relpath(there, place.parent)).as_posix() + link["rest"]


def command_line() -> str:
    """The reference of the command line, from the program."""
    from smoothcert.cli.app import app

    for name in app:
        _ = app[name]  # commands are loaded when they are first asked for
    text = app.generate_docs(output_format="markdown", heading_level=1, max_heading_level=2)
    start = text.index("\n## smoothcert ") if "\n## smoothcert " in text else text.index("\n## ")
    lead = (
        f"# Command line\n\nThis page is written by the program itself. {app.help_epilogue}\n\n"
        "`NO_COLOR=1` turns colours off; `smoothcert --install-completion` lets your shell complete commands.\n"
    )
    return lead + text[start:].replace("```console", "```text")


def from_notebook(file: Path) -> str:
    """A notebook as a page, with the outputs that are stored in it."""
    parts = []
    for cell in json.loads(file.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for position, output in enumerate(cell.get("outputs", [])):
            data = output.get("data", {})
            if "text" in output:
                parts.append("```text\n" + "".join(output["text"]).rstrip() + "\n```")
            elif "text/html" in data:
                parts.append(" ".join("".join(data["text/html"]).split()))  # a blank line would end the block
            elif "image/png" in data:
                name = f"{file.stem}-{cell['id']}-{position}.png"
                file.with_name(name).write_bytes(base64.b64decode("".join(data["image/png"])))
                parts.append(f"![figure]({name})")
    parts.insert(1, f"[Download this page as a notebook]({file.name})")
    return "\n\n".join(parts) + "\n"


def with_formulas(page: str) -> str:
    """A page with its formulas as MathML."""
    from latex2mathml.converter import convert

    def formula(found: re.Match[str]) -> str:
        display = "block" if found[2] == "[" else "inline"
        return (
            f'<{found[1]} class="arithmatex">{convert(html.unescape(found[3]).strip(), display=display)}</{found[1]}>'
        )

    return _FORMULA.sub(formula, page)


def with_words(index: str) -> str:
    """The index of the search with formulas as a reader sees them."""
    from latex2mathml.converter import convert

    def words(found: re.Match[str]) -> str:
        return html.unescape(re.sub("<[^>]+>", "", convert(html.unescape(found[1]).strip())))

    read = json.loads(index)
    for item in read["items"]:
        item["text"] = re.sub(r"\\[(\[](.*?)\\[)\]]", words, item["text"], flags=re.DOTALL)
    return json.dumps(read, ensure_ascii=False, separators=(",", ":"))


class _Page(HTMLParser):
    """What a page links to and loads, and what can be linked to in it."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note links and anchors of one element."""
        for name, value in attrs:
            if name in ("href", "src") and value and tag != "base":
                self.links.append(value)
                if tag != "a" and not value.startswith("data:"):
                    self.loaded.append(value)
            elif name in ("id", "name") and value:
                self.anchors.add(value)


def broken_links(pages: list[Path]) -> list[str]:
    """Every link inside the site that leads nowhere, and whatever a page would load from elsewhere."""
    read: dict[Path, _Page] = {}
    for page in pages:
        read[page] = _Page()
        read[page].feed(page.read_text(encoding="utf-8"))
    found = []
    for page, content in read.items():
        if page.name == "404.html":  # its links begin at the root of a server
            continue
        elsewhere = [loaded for loaded in content.loaded if re.match(r"([a-z]+:)?//", loaded)]
        found += [f"{page.relative_to(SITE)} loads {loaded} from elsewhere" for loaded in elsewhere]
        for link in content.links:
            target, anchor = urldefrag(link)
            if re.match(r"[a-z]+:", target):
                continue
            there = (page.parent / unquote(target)).resolve() if target else page
            there = there / "index.html" if there.is_dir() else there
            if not there.is_file():
                found.append(f"{page.relative_to(SITE)} links to {link}, which is not there")
            elif anchor and there in read and not anchor.startswith("__") and anchor not in read[there].anchors:
                found.append(f"{page.relative_to(SITE)} links to {link}, which has no such part")
    return found


if __name__ == "__main__":
    main()
