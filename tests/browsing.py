"""A browser for the tests of the page: Chromium where there is one, and what a page did that it should not have."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium() -> str:
    """Where Chromium is: named by SMOOTHCERT_CHROMIUM or on the path; the test is skipped where it is nowhere."""
    found = [os.environ.get("SMOOTHCERT_CHROMIUM"), *map(shutil.which, NAMES)]
    for path in found:
        if path:
            return path
    pytest.skip(f"no browser: install Chromium ({', '.join(NAMES)} on the path) or name it in SMOOTHCERT_CHROMIUM")


@contextmanager
def browsing() -> Iterator[Any]:
    """A browser; every page it opens must be silent, load nothing and violate no policy."""
    path = chromium()
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install playwright")
    with playwright.sync_playwright() as started:
        # Without a sandbox, which a container's root has no rights to make: the only pages opened are our own.
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """A page of the report in a tab of its own.

    Args:
        browser: From :func:`browsing`.
        path: The page.
        hash: What follows it in the address.
        options: Of the browser's context: its size, colour scheme and so on.
    """

    def __init__(self, browser: Any, path: Path, *, hash: str = "", **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url.partition(":")[0]))
        self.page.goto(path.as_uri() + hash)
        if options.get("java_script_enabled", True):
            self.page.wait_for_selector("html.ready")

    def __enter__(self) -> Any:
        return self.page

    def __exit__(self, kind: object, *rest: object) -> None:
        self.context.close()
        if kind is None:
            assert self.said == []
            assert self.requests[0] == "file"
            assert set(self.requests[1:]) <= {"data", "blob"}


def saved(page: Any, button: Any) -> tuple[str, bytes]:
    """Name and content of the file that a button saves."""
    with page.expect_download() as started:
        button.click()
    download = started.value
    return download.suggested_filename, Path(download.path()).read_bytes()


def axe_violations(page: Any, *, options: str = "{}") -> list[str]:
    """What axe-core finds wrong: WCAG 2 A and AA, and best practices.

    What figures are made of is left out, for time: they are images with a name.
    """
    package = pytest.importorskip("axe_playwright_python", reason="no axe-core: pip install axe-playwright-python")
    page.evaluate((files(package) / "axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate(f"axe.run({{ exclude: [['svg.chart > g']] }}, {options})")
    assert found["passes"]
    return [
        f"{one['id']}: {one['help']}: {node['html'][:200]}: {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"][:5]
    ]


ONLY_COLORS = "{ runOnly: ['color-contrast'] }"
ONLY_OUTLINE = "{ runOnly: ['landmark-unique', 'heading-order', 'page-has-heading-one', 'aria-valid-attr-value'] }"
