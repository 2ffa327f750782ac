"""Visits of the page of what a model looked at."""

import pytest
import torch
from browser_visit import HOSTILE, Visit, needs_browser
from synthetic_maps import attention, photograph, rollout

from jumok.views.pages.look_page import Entry, Page

pytestmark = needs_browser

GRID = (6, 8)
LAYERS = attention(photograph(), GRID, layers=3, heads=4, special=("cls", "reg1"))
SUMMARY = rollout(LAYERS)
ERROR = max(float(layer.weights[..., 2:].amax()) for layer in LAYERS) / 510 * 1.001


def entry(name="flower.jpg", **changes):
    given = {
        "image": photograph(),
        "prediction": [("꽃", 0.875), (HOSTILE, 0.125)],
    }
    return Entry(name, **{**given, "summary": SUMMARY, "layers": LAYERS, **changes})


class LookVisit(Visit):
    """A visit to a page of images."""

    def point(self, row, column, grid=GRID):
        box = self.page.locator("#stage").bounding_box()
        return (
            box["x"] + (column + 0.5) / grid[1] * box["width"],
            box["y"] + (row + 0.5) / grid[0] * box["height"],
        )

    def hover(self, row, column):
        self.page.mouse.move(*self.point(row, column))

    def click(self, row, column):
        self.page.mouse.click(*self.point(row, column))

    def pixels(self, selector="#heat"):
        """(rows, columns, 4) of a canvas."""
        size, data = self.page.evaluate(
            "s => { const c = document.querySelector(s);"
            " return [[c.height, c.width], [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]]; }",
            selector,
        )
        return torch.tensor(data).view(*size, 4)


def open_page(open_file, *entries, budget=30_000_000, **options):
    page = Page("주목 " + HOSTILE, budget=budget)
    for each in entries or (entry(),):
        page.add(each)
    return open_file(LookVisit, page, **options)


def near(row, wanted, error=ERROR):
    assert torch.tensor(row) == pytest.approx(wanted, abs=error)
