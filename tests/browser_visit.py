"""A page as a visitor has it: a real browser, from file://, with the network off."""

import re
import shutil

import pytest

CHROME = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
needs_browser = pytest.mark.skipif(
    CHROME is None, reason="the browser tests need chromium or google-chrome on the PATH"
)

DRAWN = "() => !window.jumok || window.jumok.shown || !document.querySelector('#alarm')?.hidden"
"""A page that draws itself from packed maps does so after it was loaded; on a busy machine, long after."""

HOSTILE = "</script><img src=x onerror=alert(1)><script>alert(1)</script>"


class Visit:
    """A page that was opened, and what must stay empty."""

    def __init__(self, context, path, before):
        self.page = context.new_page()
        self.page.add_init_script(before)
        self.requests, self.complaints = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append("a dialog") or dialog.dismiss())
        self.page.goto(path.as_uri())
        self.page.wait_for_function(DRAWN, timeout=20_000)

    def until(self, condition="true"):
        """Wait for the drawn state, as the page tells it, and return it."""
        self.page.wait_for_function(
            f"() => {{ const s = window.jumok.shown; return s && ({condition}); }}", timeout=5000
        )
        return self.page.evaluate("window.jumok.shown")

    def text(self, selector):
        return self.page.locator(selector).inner_text()

    def stated_error(self):
        """By how much the weights are off at most, as the page says."""
        return float(re.search(r"off by ([\d.e-]+) at most", self.text("#stored"))[1])

    def brightness(self):
        """Of the ground, red, green and blue together: 0 to 765."""
        colour = self.page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", colour)[:3]))

    def close(self):
        """Close the page, which must have had no complaint and asked for nothing but its own file."""
        assert self.complaints == []
        assert [url for url in self.requests if not url.startswith(("file:", "data:"))] == []
        assert sum(url.startswith("file:") for url in self.requests) == 1
        self.page.close()


def check_light_and_dark(visit):
    """Light and dark follow the visitor."""
    grounds = []
    for scheme in ("light", "dark"):
        page = visit(color_scheme=scheme)
        page.until()
        grounds.append(page.brightness())
    assert grounds[0] > 600
    assert grounds[1] < 120


def check_old_browser(visit):
    """A browser that is too old is told so."""
    page = visit(before="delete window.DecompressionStream;")
    page.page.wait_for_function("() => !document.querySelector('#alarm').hidden")
    assert "too old" in page.text("#alarm")
