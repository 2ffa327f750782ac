"""What one-file HTML pages share: their parts from this package, images, and data that stays in its element."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from importlib import metadata, resources
from string import Template
from typing import Any

from PIL import Image

from jumok.attention.colour_range import EVEN, FEW
from jumok.errors import JumokError
from jumok.language import language
from jumok.views import palette
from jumok.views.pages.page_texts import translate_html, translate_script
from jumok.views.raster import fit

BUDGET_BYTES = 30_000_000
"""Of a page, by default."""
PAGE_BYTES = 85_000
"""Of a page's own text, about."""
LARGEST_LOSSLESS = 160
"""Images up to this side, in pixels, are kept as PNG."""


def make_encodable(text: str) -> str:
    """Text that UTF-8 can hold: names of files may have bytes that are none."""
    return text.encode("utf-8", "replace").decode("utf-8")


def clean_text(text: str) -> str:
    """Text that UTF-8 can hold, Korean in whole syllables."""
    return unicodedata.normalize("NFC", make_encodable(text))


HANGUL, KANA = re.compile("[\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3]"), re.compile("[\u3041-\u30ff]")


def mark_language(text: str) -> str:
    """The attribute of an element whose text is in another language than the page; empty where none is seen.

    >>> mark_language("긁힘"), mark_language("scratch")
    (' lang="ko"', '')
    """
    found = "ko" if HANGUL.search(text) else "ja" if KANA.search(text) else language()
    return "" if found == language() else f' lang="{found}"'


def show_blanks(word: str) -> str:
    """A word that can be seen: blanks alone become open boxes, as in pictures.

    >>> show_blanks(" "), show_blanks("a b")
    ('␣', 'a b')
    """
    return word if word.strip() else "\N{OPEN BOX}" * max(len(word), 1)


def as_json(value: Any) -> str:
    """JSON in which nothing can end the script element around it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def make_text_block(name: str, content: str) -> str:
    """A script element that the browser keeps as text and never runs."""
    return f'<script type="text/plain" id="{name}">{content}</script>'


def hash_script(text: str) -> str:
    """How a content security policy names the one script, or style, that it lets through."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


@cache
def read_asset(name: str) -> str:
    """A file of this package, as text."""
    return resources.files("jumok.views.pages").joinpath(name).read_text("utf-8")


def fill_page(
    templates: Iterable[str],
    styles: Iterable[str],
    scripts: Iterable[str],
    title: str,
    *,
    own_style: str = "",
    **parts: str,
) -> str:
    """A page from the names of its files in this package, in the language of now; its policy lets nothing else run.

    Args:
        templates, styles, scripts: names of files in this package; the page has them one after the other.
        title: any text.
        own_style: further rules of this page.
        parts: what else the templates name, as HTML.
    """
    style = "\n".join([palette_style(), *map(read_asset, styles), own_style]).rstrip()
    script = "\n".join(map(read_asset, scripts))
    parts |= {
        "title": html.escape(title),
        "title_lang": mark_language(title),
        "script": script,
        "script_texts": _write_texts(script),
        "mark": read_asset("page_mark.svg").strip(),
    }
    hashes = {"style_hash": hash_script(style), "script_hash": hash_script(script)}
    head = Template(read_asset("page_head.html")).substitute(
        title=parts["title"], language=language(), style=style, **hashes
    )
    return Template(translate_html("".join(map(read_asset, templates)))).substitute(parts, head=head.rstrip())


def _write_texts(script: str) -> str:
    """What the script says in another language than English, for page_parts.js; nothing where that is the language."""
    texts = translate_script(script)
    return make_text_block("page-texts", as_json(texts)) + "\n" if texts else ""


def check_budget(budget: int) -> None:
    """Refuse what is not a size of a file.

    Raises:
        JumokError: less than 1 byte.
    """
    if budget < 1:
        raise JumokError(f"a page's budget is a number of bytes, got {budget}")


def make_data_url(image: Image.Image, longest: int, *, lossless: int = LARGEST_LOSSLESS, form: str = "JPEG") -> str:
    """An image with its bytes as its address.

    Args:
        image: RGB.
        longest: side, in pixels; larger images are scaled down.
        lossless: images up to this side are kept without loss, as PNG, so that their pixels stay hard.
        form: of all others, JPEG or WEBP.
    """
    options: dict[str, Any] = {"quality": 86}
    if max(image.size) <= lossless:
        form, options = "PNG", {"optimize": True}
    buffer = io.BytesIO()
    fit(image, smallest=1, largest=longest).save(buffer, form, **options)
    return f"data:image/{form.lower()};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


@cache
def page_palette() -> dict[str, Any]:
    """The colours of the pictures, for a page's scripts to use the same."""
    from matplotlib import colormaps

    return {
        "sequential": colormaps[palette.SEQUENTIAL](range(256), bytes=True)[:, :3].tobytes().hex(),
        "diverging": colormaps[palette.DIVERGING](range(256), bytes=True)[:, :3].tobytes().hex(),
        "power": palette.HEAT_POWER,
        "grain": palette.GRAIN,
        "strongest": palette.STRONGEST_HEAT,
        "even": EVEN,
        "few": FEW,
        "line": palette.LINE_COLOURS[0],
        "belowZero": palette.BELOW_ZERO,
        "hard": LARGEST_LOSSLESS,
    }


def palette_style() -> str:
    """The colours of the pictures, for a page's style to use the same on a light ground."""
    colours = {
        "ink": palette.INK,
        "quiet": palette.QUIET,
        "line": palette.PALE,
        "accent": palette.PLUS,
        "gold": palette.GOLD_LINK,
        "right": palette.RIGHT_ANSWER,
        "heat": _blend_heat(),
    }
    return f":root {{ {' '.join(f'--{name}: {colour};' for name, colour in colours.items())} }}"


def _blend_heat() -> str:
    """The colours of heat from least to most, as a gradient for a legend."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    stops = [to_hex(colormaps[palette.SEQUENTIAL](step / 5)) for step in range(6)]
    return f"linear-gradient(90deg, {', '.join(stops)})"


def name_program() -> str:
    """The program and its version."""
    try:
        return f"jumok {metadata.version('jumok')}"
    except metadata.PackageNotFoundError:
        return "jumok"
