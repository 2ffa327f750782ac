"""A browser for the tests of pages."""

from functools import cache

import pytest
from browser_visit import CHROME


@pytest.fixture(scope="module")
def contexts():
    """Browser contexts by their options, each made once."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright (the dev extra)")
    with playwright.sync_playwright() as running:
        chrome = running.chromium.launch(executable_path=CHROME, args=["--no-sandbox", "--disable-gpu"])

        def make(width=1280, height=860, **options):
            return chrome.new_context(viewport={"width": width, "height": height}, offline=True, **options)

        yield cache(make)
        chrome.close()


@pytest.fixture
def open_file(contexts, tmp_path):
    """Writes a page and opens it as a visit of the kind given; each must have been quiet when the test ends."""
    opened = []

    def open_written(kind, page, before="", **options):
        page.write(tmp_path / "한글 page.html")
        opened.append(kind(contexts(**options), tmp_path / "한글 page.html", before))
        return opened[-1]

    yield open_written
    for seen in opened:
        seen.close()
