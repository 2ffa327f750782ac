"""The texts of pages: those of their HTML are translated as a page is filled, those of their scripts go with it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from jumok.language import translate

__all__ = ["find_html_texts", "find_script_texts", "translate_html", "translate_script"]

SHOWN = re.compile(
    r"<style.*?</style>|<script.*?</script>|(?P<before>>)(?P<text>[^<>]+)(?=<)"
    r'|(?P<name>\s(?:title|aria-label|placeholder|aria-roledescription)=")(?P<value>[^"]+)',
    re.DOTALL,
)
"""What a page shows of its HTML, and the names of what is read aloud; the rest is passed over."""
STRING = r'"(?:[^"\\\n]|\\.)+"'
CALL = re.compile(rf"\btranslate\(\s*({STRING})|\btranslateCount\([^\"]*?,\s*({STRING}),\s*({STRING})")
"""The calls of page_parts.js that show a text."""


def find_html_texts(template: str) -> Iterator[str]:
    """The texts of a template, with the $names that are filled in later.

    >>> list(find_html_texts('<p title="Key: I"><b>Made</b> with $made</p>'))
    ['Key: I', 'Made', 'with $made']
    """
    for found in SHOWN.finditer(template):
        if text := _plain(found["text"] or found["value"] or ""):
            yield text


def translate_html(template: str) -> str:
    """A template in the language of now."""
    return SHOWN.sub(_translate_found, template)


def find_script_texts(script: str) -> Iterator[tuple[str, ...]]:
    """The texts that a script shows: (text,) or (singular, plural).

    >>> list(find_script_texts('say(translate("Layer {n}", { n }), translateCount(n, "{count} map", "{count} maps"))'))
    [('Layer {n}',), ('{count} map', '{count} maps')]
    """
    for found in CALL.finditer(script):
        yield tuple(json.loads(each) for each in found.groups() if each)


def translate_script(script: str) -> dict[str, str]:
    """The texts of a script in the language of now, by their English; none where that is the language."""
    texts = {text[0]: translate(text[0]) for text in find_script_texts(script)}
    return {text: translated for text, translated in texts.items() if translated != text}


def _translate_found(found: re.Match[str]) -> str:
    before, text = found["before"] or found["name"], found["text"] or found["value"]
    if not text or not _plain(text):
        return found[0]
    return f"{before}{text.replace(text.strip(), translate(_plain(text)))}"


def _plain(text: str) -> str:
    return " ".join(text.split())
