"""One HTML file: how faithful maps are to a model, and how images lose their answer as what is important goes."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from jumok.attention.colour_range import find_colour_end
from jumok.errors import JumokError
from jumok.language import later, translate
from jumok.views.curve_styles import choose_styles
from jumok.views.pages.drawn_page import DrawnPage
from jumok.views.pages.html_file import (
    BUDGET_BYTES,
    PAGE_BYTES,
    as_json,
    make_data_url,
    make_encodable,
    mark_language,
    page_palette,
)
from jumok.views.raster import ImageLike, as_pillow

__all__ = ["FaithfulEntry", "FaithfulPage", "Section", "Steps"]

LARGEST_IMAGE = 512
"""Longer side, in pixels."""


class Section(NamedTuple):
    """One kind of figure, as the page says it.

    Args:
        heading: of the section.
        summary: what the figures are of, in a line.
        header, rows: of a table; the first column names what each row is about.
        lines: what follows from it, one sentence each.
        notes: what else should be known.
        baselines: rows that are only there to be held against.
    """

    heading: str
    summary: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    lines: Sequence[str] = ()
    notes: Sequence[str] = ()
    baselines: Sequence[str] = ()


class Steps(NamedTuple):
    """How an image lost its answer in the order of one map, with one filling.

    Args:
        order: patches, the most important first.
        answers: the probability of the class at each step.
        best: the most probable class at each step, and its probability.
        srg: of this image.
    """

    order: Sequence[int]
    answers: Sequence[float]
    best: Sequence[tuple[str, float]]
    srg: float


@dataclass(frozen=True)
class FaithfulEntry:
    """One image on the page.

    Args:
        name: as the page shows it; any text.
        image: as the model is given it.
        ratio: of width to height, as it is shown.
        target: the class whose probability is followed.
        grid: rows and columns of the patches.
        gone: how many patches are gone at each step.
        methods, baselines: by map, the value of each patch.
        filled: by filling, the image with everything replaced; None where that depends on what is left.
        steps: by filling, then by map.
        note: a line under the name, such as the true class.
    """

    name: str
    image: ImageLike
    ratio: float
    target: str
    grid: tuple[int, int]
    gone: Sequence[int]
    methods: Mapping[str, Sequence[float]]
    baselines: Mapping[str, Sequence[float]]
    filled: Mapping[str, ImageLike | None]
    steps: Mapping[str, Mapping[str, Steps]]
    note: str = ""


@dataclass
class _Item:
    """An entry as it goes into the file."""

    shape: dict[str, Any]
    about: dict[str, Any] = field(repr=False)

    @property
    def size(self) -> int:
        return len(as_json(self.about).encode())


class FaithfulPage(DrawnPage[_Item]):
    """A page of images that entries are added to one by one, under what was measured.

    Args:
        title: the heading; any text.
        budget: bytes that the file should not exceed. The first entry is kept in any case; later ones that do not fit
            are left out, and the page says how many.
    """

    template, styles = "faithful_page.html", ("page.css", "faithful_page.css")
    scripts = ("page_parts.js", "page_paint.js", "faithful_chart.js", "faithful_page.js")
    unit, drawn = "image", later("images")

    def __init__(self, title: str, *, budget: int = BUDGET_BYTES) -> None:
        super().__init__(title, budget=budget)
        self.sections: list[Section] = []
        self.first = ""
        self.left_out = 0
        self._size = PAGE_BYTES

    def add(self, entry: FaithfulEntry) -> None:
        """Pack one entry, unless it is more than the budget has room for.

        Raises:
            JumokError: other maps, fillings, patches or steps than the first entry's, or an image that is none.
        """
        item = _pack(entry)
        if self._items and item.shape != self._items[0].shape:
            raise JumokError(
                f"{make_encodable(entry.name)}: wanted the maps, fillings, grid and steps of the first one"
            )
        if self._items and self._size + item.size > self.budget:
            self.left_out += 1
            return
        self._size += item.size
        self._items.append(item)

    def report(self, sections: Sequence[Section], *, first: str) -> None:
        """Say what was measured, above the images.

        Args:
            sections: in order.
            first: the map that the page opens with.
        """
        self.sections, self.first = list(sections), first

    def _describe(self) -> tuple[dict[str, Any], list[str]]:
        shape = self._items[0].shape
        styles = choose_styles(shape["methods"], shape["baselines"])
        about = {
            **shape,
            "palette": page_palette(),
            "styles": [styles[name] for name in (*shape["methods"], *shape["baselines"])],
            "first": self.first,
            "left": self.left_out,
            "entries": [item.about for item in self._items],
        }
        return about, []

    def _write_parts(self) -> dict[str, str]:
        return {"sections": "\n".join(map(_write_section, self.sections))}


# -- what was measured ----------------------------------------------------------------------------


def _write_section(section: Section) -> str:
    lines = "".join(f"<li>{_text(line)}</li>" for line in section.lines)
    notes = "".join(f'<p class="quiet small">{_text(note)}</p>' for note in section.notes)
    heading, tongue = _text(section.heading), mark_language(section.heading)
    return (
        f'<section class="measured" aria-label="{heading}"><h2{tongue}>{heading}</h2>'
        f'<p class="quiet">{_text(section.summary)}</p>{f"<ul>{lines}</ul>" if lines else ""}{notes}'
        f"{_write_table(section) if section.rows else ''}</section>"
    )


def _write_table(section: Section) -> str:
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in section.header)
    kinds = [' class="baseline"' if row[0] in section.baselines else "" for row in section.rows]
    rows = "".join(f"<tr{kind}>{_write_row(row)}</tr>" for kind, row in zip(kinds, section.rows, strict=True))
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="board" role="group" aria-label="{translate("Figures")}" tabindex="0">{table}</div>'


def _write_row(row: Sequence[str]) -> str:
    name, *cells = row
    return f'<th scope="row">{_text(name)}</th>' + "".join(f"<td>{_text(cell)}</td>" for cell in cells)


def _text(text: str) -> str:
    return html.escape(make_encodable(text))


# -- images ---------------------------------------------------------------------------------------


def _pack(entry: FaithfulEntry) -> _Item:
    names = (*entry.methods, *entry.baselines)
    shape = {
        "methods": [*map(make_encodable, entry.methods)],
        "baselines": [*map(make_encodable, entry.baselines)],
        "fillings": list(entry.steps),
        "grid": list(entry.grid),
        "gone": [int(count) for count in entry.gone],
    }
    about = {
        "name": make_encodable(entry.name),
        "note": make_encodable(entry.note),
        "target": make_encodable(entry.target),
        "ratio": round(entry.ratio, 4),
        "image": make_data_url(as_pillow(entry.image), LARGEST_IMAGE),
        "filled": [_pack_filling(entry.filled[filling]) for filling in entry.steps],
        "heats": [_pack_heat({**entry.methods, **entry.baselines}[name]) for name in names],
        "steps": [[_pack_steps(steps[name]) for name in names] for steps in entry.steps.values()],
    }
    return _Item(shape, about)


def _pack_filling(image: ImageLike | None) -> dict[str, str] | None:
    """A colour where the image is of one; else the image."""
    if image is None:
        return None
    picture = as_pillow(image)
    colours = picture.getcolors(maxcolors=1)
    if colours:
        return {"colour": "#{:02x}{:02x}{:02x}".format(*_take_rgb(picture))}
    return {"image": make_data_url(picture, LARGEST_IMAGE)}


def _take_rgb(picture: Image.Image) -> tuple[int, int, int]:
    red, green, blue = np.asarray(picture)[0, 0].tolist()
    return red, green, blue


def _pack_heat(values: Sequence[float]) -> dict[str, Any]:
    """8 bits of the largest value by size, of a nearly even map of twice its mean; 0 is the middle of both signs."""
    numbers = np.asarray(values, dtype=np.float64)
    signed = bool((numbers < 0).any())
    top = float(np.abs(numbers).max(initial=0)) or 1.0
    top = top if signed else find_colour_end(top, float(numbers.mean()), numbers.size).value
    codes = np.rint(127 * numbers / top + 127) if signed else np.rint(255 * numbers / top)
    return {"codes": _encode(codes.astype(np.uint8)), "signed": signed}


def _pack_steps(steps: Steps) -> dict[str, Any]:
    """The most probable class stands once for all steps that it holds on to."""
    names = list(dict.fromkeys(make_encodable(name) for name, _ in steps.best))
    return {
        "order": _encode(np.asarray(steps.order, dtype="<u2")),
        "answers": [round(float(value), 4) for value in steps.answers],
        "names": names,
        "best": [[names.index(make_encodable(name)), round(float(share), 4)] for name, share in steps.best],
        "srg": round(float(steps.srg), 4),
    }


def _encode(values: np.ndarray[Any, Any]) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")
