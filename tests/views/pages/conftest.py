"""A browser for the tests of pages."""

from functools import cache

import pytest
from browser_visit import CHROME


class Browser:
    """One for all pages, since it takes seconds to start; its loop of events would be in the way of other tests."""

    running = chrome = None

    def open(self):
        playwright = pytest.importorskip(
            "playwright.sync_api", reason="the browser tests need playwright (the dev extra)"
        )
        if self.chrome is None:
            self.running = playwright.sync_playwright().start()
            self.chrome = self.running.chromium.launch(executable_path=CHROME, args=["--no-sandbox", "--disable-gpu"])
        return self.chrome

    def close(self):
        if self.chrome is not None:
            self.chrome.close()
        if self.running is not None:
            self.running.stop()
        self.running = self.chrome = None


BROWSER = Browser()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item, nextitem):
    """Close the browser after the last test of pages."""
    yield
    if nextitem is None or nextitem.path.parent != item.path.parent:
        BROWSER.close()


@pytest.fixture(scope="module")
def contexts():
    """Browser contexts by their options, each made once."""
    chrome, made = BROWSER.open(), []

    def make(width=1280, height=860, **options):
        made.append(chrome.new_context(viewport={"width": width, "height": height}, offline=True, **options))
        return made[-1]

    yield cache(make)
    for each in made:
        each.close()


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
