"""One HTML file: several models beside each other, their figures, and where each looked in the same images."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from jumok.attention import AttentionMap, Glimpses, Sampled
from jumok.attention.colour_range import find_colour_end
from jumok.errors import JumokError
from jumok.files import write_atomically
from jumok.language import later, translate
from jumok.views.pages.comparison_table import Column, Measure, escape, write_table
from jumok.views.pages.html_file import fill_page, make_encodable, mark_language, name_program
from jumok.views.palette import SEQUENTIAL
from jumok.views.raster import ImageLike, as_pillow, find_cells, find_opacity, fit

__all__ = ["IMAGES", "QUESTIONS", "Cell", "Column", "ComparisonPage", "Measure", "PageWords", "heat_layer"]

SMALLEST_PICTURE, LARGEST_PICTURE = 160, 240
"""Pixels of the longer side of a picture on the page."""
JPEG_QUALITY = 88
SIGNS = {True: "✓", False: "✗"}
"""Of right and wrong, which must not be told by colour alone."""
OUTLINED = 0.4
"""Share of the opacity that is left to what has an outline, which says more."""
TRUE_OUTLINE_RGB = (0x2F, 0xD0, 0xFF)
"""Colour of the true place's outline."""


@dataclass(frozen=True)
class Cell:
    """What one model made of one image.

    Args:
        heat: one row over the image; None where the model tells nothing of where it looked.
        said: the class that it named, with its probability.
        right: whether that is so.
        note: shown when the cell is pointed at.
        method: that drew the heat, for the head of the column.
    """

    heat: AttentionMap | None
    said: str
    right: bool
    note: str = ""
    method: str = ""


class PageWords(NamedTuple):
    """What things are called on the page.

    Args:
        rows: what stands in the rows of the grid.
        right, wrong: what is said of what a model said.
        parts: the heading of the table of kinds of test.
    """

    rows: str
    right: str
    wrong: str
    parts: str


IMAGES = PageWords(
    later("image"), later("classified correctly"), later("classified wrongly"), later("By kind of image")
)
QUESTIONS = PageWords(
    later("question"), later("answered correctly"), later("answered wrongly"), later("By kind of question")
)


class ComparisonPage:
    """A page of tables and one grid: images or questions down, models across. They are added one by one.

    Args:
        title, lead: the heading, and a paragraph under it.
        headings: of the figures, in order, with what the best is: "most", "least" or "" for neither.
        columns: the models, in order; baselines are in the table alone.
        words: what things are called.
    """

    def __init__(
        self, title: str, lead: str, headings: Mapping[str, str], columns: Sequence[Column], words: PageWords = IMAGES
    ) -> None:
        self.title, self.lead, self.headings, self.columns, self.words = title, lead, headings, columns, words
        self._rows: list[str] = []
        self._methods: list[list[str]] = [[] for _ in self.models]
        self._signed = False  # whether any map goes below 0

    @property
    def models(self) -> list[Column]:
        """The columns of the grid."""
        return [column for column in self.columns if not column.error and not column.baseline]

    def add(
        self, name: str, label: str, image: ImageLike, mask: Tensor | None, found: Sequence[Cell], *, question: str = ""
    ) -> None:
        """Add one image, or one question about an image.

        Args:
            name: of the image.
            label: its true class, or the right answer.
            image: uint8 (3, height, width) or a Pillow image.
            mask: (height, width) bool, the true place; None where there is none.
            found: for each of `models`, in order.
            question: that was asked; empty for none.
        Raises:
            JumokError: another number of cells than models, or a map that does not lie in an image.
        """
        if len(found) != len(self.models):
            raise JumokError(f"got {len(found)} maps for {len(self.models)} models: wanted one for each")
        for methods, cell in zip(self._methods, found, strict=True):
            if cell.heat is not None and cell.method and cell.method not in methods:
                methods.append(cell.method)
        self._signed |= any(cell.heat is not None and bool((cell.heat.weights < 0).any()) for cell in found)
        photo = fit(as_pillow(image), smallest=SMALLEST_PICTURE, largest=LARGEST_PICTURE)
        ratio = photo.width / photo.height
        outline = "" if mask is None else f'<img class="truth" alt="" src="{_uri(_outline(mask, photo.size), "PNG")}">'
        head = f'<th scope="row">{_row_head(name, label, question, outline)}</th>'
        row = "".join(map(_cell, found, [photo.size] * len(found)))
        source = _uri(photo, "WEBP")
        self._rows.append(f'<tr data-photo="{source}" data-ratio="{ratio:.4f}">{head}{row}</tr>')

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the page, whole or not at all.

        Raises:
            JumokError: the file cannot be written.
        """
        text = fill_page(
            ("comparison.html",),
            ("page.css", "comparison.css"),
            ("comparison.js",),
            make_encodable(self.title),
            lead=escape(self.lead),
            table=write_table(self.columns, self.headings),
            parts=self._parts(),
            rows_are=escape(translate(self.words.rows)),
            right=escape(translate(self.words.right)),
            wrong=escape(translate(self.words.wrong)),
            below=f". {escape(translate('Weights below 0 are not shown.'))}" if self._signed else "",
            heads="".join(map(_head, self.models, self._methods)),
            rows="\n".join(self._rows),
            grid="" if self._rows else "hidden",
            own_style="" if self.words is QUESTIONS else f".grid {{ --models: {len(self.models)}; }}",
            made=escape(name_program()),
        )
        write_atomically(Path(path), text)

    def _parts(self) -> str:
        """The table of kinds of test; nothing where there are none."""
        kinds = {name: "most" for column in self.models for name in column.parts}
        if not kinds:
            return ""
        columns = [Column(column.name, figures=column.parts) for column in self.models]
        heading, table = escape(translate(self.words.parts)), write_table(columns, kinds, given=True)
        return (
            f'<section class="parts" aria-label="{heading}"><h2>{heading}</h2>'
            f'<div class="board figures" tabindex="0"><table>{table}</table></div></section>'
        )


# -- the grid -------------------------------------------------------------------------------------


def _head(column: Column, methods: Sequence[str]) -> str:
    drawn = translate("map: {names}", names=", ".join(methods)) if methods else translate("no map")
    return (
        f'<th scope="col"><b{mark_language(column.name)}>{escape(column.name)}</b>'
        f'<span class="about">{escape(translate(column.about))}</span>'
        f'<span class="about method">{escape(drawn)}</span></th>'
    )


def _row_head(name: str, label: str, question: str, outline: str) -> str:
    """The photograph's place with its name and class; or with the question about it, and the right answer."""
    shot = f'<div class="shot">{outline}</div>'
    called = f'<p class="name" title="{escape(name)}"{mark_language(name)}>{escape(name)}</p>'
    tongue = mark_language(label)
    if not question:
        return f'{shot}{called}<p class="label"{tongue}>{escape(label)}</p>'
    return (
        f'<div class="asked">{shot}<div>'
        f'<p class="question" dir="auto"{mark_language(question)} title="{escape(question)}">{escape(question)}</p>'
        f'<p class="label" dir="auto"><span class="about">{translate("right answer")}</span>'
        f"<span{tongue}>{escape(label)}</span></p>"
        f"{called}</div></div>"
    )


def _cell(cell: Cell, size: tuple[int, int]) -> str:
    if cell.heat is not None and (cell.heat.lead or len(cell.heat.queries) != 1):
        raise JumokError(f"the grid shows one row over the image, got {cell.heat!r}: choose with .at and .row")
    verdict, spoken = ("right", translate("right")) if cell.right else ("wrong", translate("wrong"))
    title = f' title="{escape(cell.note)}"' if cell.note else ""
    nothing = f'<p class="nothing">{translate("no place to show")}</p>'
    inside = nothing if cell.heat is None else _lay_over(cell.heat, *size)
    sign = f'<i role="img" aria-label="{spoken}">{SIGNS[cell.right]}</i>'
    said = f'<p class="said {verdict}" dir="auto">{sign} <span{mark_language(cell.said)}>{escape(cell.said)}</span></p>'
    return f'<td><div class="shot"{title}>{inside}</div>{said}</td>'


def _lay_over(heat: AttentionMap, width: int, height: int) -> str:
    """The heat as a picture of its own, which the page lays over the photograph, and the outlines on top."""
    source = _uri(heat_layer(heat, width, height), "WEBP")
    return f'<img class="heat" alt="" src="{source}">{_marks(heat, width, height)}'


def heat_layer(attention: AttentionMap, width: int, height: int) -> Image.Image:
    """The heat of one row over an image, smoothed; where there is none, nothing covers the image.

    Colours are linear in the weight, from 0 to the largest, of a nearly even map to twice its mean; opacity is that of
    every picture. Weights below 0 count as 0.

    Returns:
        RGBA, of that size.
    """
    import matplotlib

    values = _lay_heat(attention, height, width).clip(min=0)
    top = find_colour_end(float(values.max()), float(values.mean()), len(attention.keys)).value
    share = np.asarray(values / top if top > 0 else values, dtype=np.float32)
    rgba = matplotlib.colormaps[SEQUENTIAL](share)
    rgba[..., 3] = find_opacity(share) * (OUTLINED if isinstance(attention.keys, Glimpses | Sampled) else 1)
    return Image.fromarray((rgba * 255).round().astype(np.uint8), "RGBA")


def _lay_heat(attention: AttentionMap, height: int, width: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """The row's weights on the pixels; keys finer than these are averaged, not skipped."""
    rows, columns = find_cells(attention.keys) or (1, 1)
    if rows <= height and columns <= width:
        return np.asarray(attention.image(height, width, smooth=True)[0].numpy(force=True), dtype=np.float32)
    heat = attention.image(rows, columns)
    return np.asarray(F.interpolate(heat[None], (height, width), mode="area")[0, 0].numpy(force=True), dtype=np.float32)


def _marks(attention: AttentionMap, width: int, height: int) -> str:
    """Outlines of what has one: the glimpses in their order, the window that was read."""
    keys = attention.keys
    drawn = ""
    if isinstance(keys, Glimpses):
        boxes = [keys.box(number, height, width) for number in range(len(keys))]
        drawn = "".join(
            f'<rect x="{left}" y="{top}" width="{right - left}" height="{bottom - top}"/>'
            for top, left, bottom, right in boxes
        )
        middles = list(dict.fromkeys(((x + 1) / 2 * width, (y + 1) / 2 * height) for y, x in keys.centres))
        drawn += f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in middles)}"/>'
        drawn += "".join(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{height / 18:.1f}"/>'
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{height / 12:.1f}">{number}</text>'
            for number, (x, y) in enumerate(middles, 1)
        )
    elif isinstance(keys, Sampled):
        corners = " ".join(f"{(x + 1) / 2 * width:.1f},{(y + 1) / 2 * height:.1f}" for y, x in keys.outline())
        drawn = f'<polygon points="{corners}"/>'
    return f'<svg class="marks" viewBox="0 0 {width} {height}" aria-hidden="true">{drawn}</svg>' if drawn else ""


def _outline(mask: Tensor, size: tuple[int, int]) -> Image.Image:
    """The edge of the true place, two pixels wide, on nothing."""
    width, height = size
    there = F.interpolate(mask[None, None].float(), (height, width), mode="nearest")
    edge = (F.max_pool2d(there, 5, stride=1, padding=2) - F.max_pool2d(there, 1)).clamp(0, 1)[0, 0].bool().numpy()
    rgba = np.zeros((height, width, 4), dtype=np.uint8)
    rgba[edge] = (*TRUE_OUTLINE_RGB, 255)
    return Image.fromarray(rgba, "RGBA")


def _uri(image: Image.Image, form: str) -> str:
    stream = io.BytesIO()
    image.save(stream, form, quality=JPEG_QUALITY) if form == "WEBP" else image.save(stream, form, optimize=True)
    return f"data:image/{form.lower()};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
