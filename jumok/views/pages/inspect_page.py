"""A data set on one page: figures, remarks, images of each class, and images that look the same."""

from __future__ import annotations

import html
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jumok.files import write_atomically
from jumok.language import translate
from jumok.views.pages.html_file import fill_page, make_data_url, make_encodable, mark_language, name_program
from jumok.views.raster import ImageLike, as_pillow

__all__ = ["Sheet", "Thumb", "write_inspect_page"]

THUMB_PIXELS = 160
"""Longest side of a thumbnail."""


@dataclass(frozen=True)
class Thumb:
    """An image on the page.

    Args:
        image: its pixels.
        caption: such as its name.
        note: a second line.
    """

    image: ImageLike
    caption: str
    note: str = ""


@dataclass(frozen=True)
class Sheet:
    """Images under one heading.

    Args:
        heading, text: what they are.
        thumbs: the images.
        share: of all images, from 0 to 1, shown as a bar; None: no bar.
    """

    heading: str
    text: str
    thumbs: Sequence[Thumb]
    share: float | None = None


def write_inspect_page(
    path: str | os.PathLike[str],
    title: str,
    figures: Sequence[tuple[str, str]],
    remarks: Sequence[str],
    sheets: Sequence[Sheet],
) -> None:
    """Write the page.

    Args:
        path: of the HTML file.
        title: the heading.
        figures: (value, what it is).
        remarks: lines on what deserves attention.
        sheets: images under their headings.
    Raises:
        JumokError: the file cannot be written.
    """
    parts = {
        "figures": "".join(f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for value, name in figures),
        "remarks": "".join(f"<li>{_text(remark)}</li>" for remark in remarks),
        "sheets": "\n".join(map(_sheet, sheets)),
        "made": _text(name_program()),
    }
    page = fill_page(["inspect_page.html"], ["page.css", "inspect_page.css"], [], make_encodable(title), **parts)
    write_atomically(Path(path), page)


def _sheet(sheet: Sheet) -> str:
    bar = ""
    if sheet.share is not None:
        name = translate("{share} of all images", share=f"{sheet.share:.1%}")
        bar = f'<meter min="0" max="1" value="{sheet.share:.4f}" aria-hidden="true"></meter>'
        bar = f'<p class="share quiet small">{_text(name)}{bar}</p>'
    thumbs = "".join(map(_thumb, sheet.thumbs))
    head = f"<h2{mark_language(sheet.heading)}>{_text(sheet.heading)}</h2><p class='quiet'>{_text(sheet.text)}</p>{bar}"
    return f'<section><div class="heading">{head}</div><div class="thumbs">{thumbs}</div></section>'


def _thumb(thumb: Thumb) -> str:
    picture = as_pillow(thumb.image)
    name = _text(thumb.caption)
    note = f"<span class='quiet'>{_text(thumb.note)}</span>" if thumb.note else ""
    hard = ' class="hard"' if max(picture.size) < THUMB_PIXELS else ""
    image = f'<img{hard} src="{make_data_url(picture, THUMB_PIXELS)}" alt="{name}">'
    return f"<figure>{image}<figcaption title='{name}'{mark_language(thumb.caption)}>{name}{note}</figcaption></figure>"


def _text(value: str) -> str:
    return html.escape(make_encodable(value), quote=True)
