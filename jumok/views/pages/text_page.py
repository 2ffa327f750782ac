"""One HTML file in which each word of a text is shaded by how much it spoke for a class: no script, no server."""

from __future__ import annotations

import html
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jumok.attention import AttentionMap, Tokens
from jumok.errors import JumokError
from jumok.files import write_atomically
from jumok.language import translate
from jumok.views import palette
from jumok.views.pages.html_file import clean_text, fill_page, mark_language, name_program
from jumok.wording import write_percent

__all__ = ["ShadedText", "write_text_page"]

STEPS = 10
"""Shades of each sign: a word's value over the largest one of its text, rounded."""
LEAST_STRENGTH, MOST_STRENGTH = 8, 64
"""Per cent of colour in the weakest and the strongest shade, on which text can still be read."""


@dataclass(frozen=True)
class ShadedText:
    """One text on a page.

    Args:
        text: as it was given; any text.
        relevance: one row over its words, in their order.
        prediction: (class, probability) pairs, best first.
        truth: the true class; "" where it is not known.
        name: of the text.
    """

    text: str
    relevance: AttentionMap
    prediction: Sequence[tuple[str, float]]
    truth: str = ""
    name: str = ""


def write_text_page(path: str | os.PathLike[str], title: str, note: str, texts: Sequence[ShadedText]) -> None:
    """Write the page, whole or not at all.

    Each text is scaled by its own strongest word: shades of two texts cannot be compared, the values that a word shows
    under the pointer can.

    Args:
        path: of the HTML file.
        title: the heading; any text.
        note: under it.
        texts: one or more.
    Raises:
        JumokError: no text, a map over something else than words, or the file cannot be written.
    """
    if not texts:
        raise JumokError("a page needs at least one text: add one before writing")
    parts = {
        "note": html.escape(clean_text(note)),
        "legend": _legend(texts),
        "texts": "\n".join(map(_section, texts)),
        "made": html.escape(name_program()),
    }
    page = fill_page(
        ["text_page.html"], ["page.css", "text_page.css"], [], clean_text(title), own_style=_shades(), **parts
    )
    write_atomically(Path(path), page)


def _shades() -> str:
    """The classes of the shades, as a style."""
    lines = []
    for sign, colour in (("plus", palette.PLUS), ("minus", palette.MINUS)):
        for step in range(1, STEPS + 1):
            share = LEAST_STRENGTH + (MOST_STRENGTH - LEAST_STRENGTH) * (step - 1) // (STEPS - 1)
            lines.append(f".{sign}-{step} {{ background: color-mix(in srgb, {colour} {share}%, transparent); }}")
    return "\n".join(lines)


def _legend(texts: Sequence[ShadedText]) -> str:
    signed = any(float(each.relevance.weights.min()) < 0 for each in texts)
    marks = [f'<mark class="plus-{STEPS}">{translate("spoke for the class")}</mark>']
    marks += [f'<mark class="minus-{STEPS}">{translate("spoke against it")}</mark>'] if signed else []
    return "".join(marks)


def _section(shaded: ShadedText) -> str:
    best = html.escape(", ".join(f"{clean_text(name)} {write_percent(share, 1)}" for name, share in shaded.prediction))
    right = not shaded.truth or shaded.truth == shaded.prediction[0][0]
    named, tongue = html.escape(clean_text(shaded.truth)), mark_language(shaded.truth)
    true_class = f"{translate('true class:')} <span{tongue}>{named}</span>"
    truth = f'<span class="small quiet">{true_class}</span>' if shaded.truth else ""
    sign = "" if not shaded.truth else "✓ " if right else "✗ "
    badge = f'<span class="badge{"" if right else " wrong"}"{mark_language(best)}>{sign}{best}</span>'
    name = f"<h2{mark_language(shaded.name)}>{html.escape(clean_text(shaded.name))}</h2>" if shaded.name else ""
    target = html.escape(clean_text(shaded.relevance.queries.label(0)))
    asked = f'<span class="small quiet">{translate("words for:")} <span{mark_language(target)}>{target}</span></span>'
    heading = f'<div class="heading">{badge}{asked}{truth}</div>'
    return f'<section>{name}{heading}<p class="text"{mark_language(shaded.text)}>{_mark_words(shaded)}</p></section>'


def _mark_words(shaded: ShadedText) -> str:
    """The text with each of its words marked; what is no word, or was not read, stays as it is."""
    keys = shaded.relevance.keys
    if not isinstance(keys, Tokens) or shaded.relevance.weights.shape[:-1] != (1,):
        raise JumokError(f"wanted one row over words, got {tuple(shaded.relevance.weights.shape)}")
    text, place, parts = clean_text(shaded.text), 0, []
    values = shaded.relevance.weights[0].tolist()
    most = max(map(abs, values), default=0.0)
    for word, value in zip(keys.labels(), values, strict=True):
        begin = text.find(word, place) if word else -1
        if begin < 0:
            continue
        parts += [html.escape(text[place:begin]), _mark(word, value, most)]
        place = begin + len(word)
    return "".join([*parts, html.escape(text[place:])])


def _mark(word: str, value: float, most: float) -> str:
    step = round(STEPS * abs(value) / most) if most else 0
    kind = f' class="{"plus" if value > 0 else "minus"}-{step}"' if step else ""
    return f'<mark{kind} title="{value:.3g}">{html.escape(word)}</mark>'
