"""The language of help, pages and what is printed: English, or Korean from a catalogue of texts.

Texts are written in English where they are used, and looked up as they are shown. `make texts` finds all of them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import resources
from typing import Any

from jumok.errors import JumokError

__all__ = [
    "CATALOGUES",
    "LANGUAGES",
    "Later",
    "find_language",
    "join_later",
    "language",
    "later",
    "later_count",
    "later_noun",
    "list_later",
    "parts_of",
    "put_together",
    "read_catalogue",
    "read_printed",
    "speaking",
    "take_apart",
    "translate",
    "translate_count",
]

LANGUAGES = {"en": "English", "ko": "한국어"}
CATALOGUES = ("jumok", "printed")
"""Files of texts: help and pages; and what is printed, which is read where something is printed alone."""
NAMES = re.compile(r"\{(\w+)\}")
PLAIN = re.compile(r"(?:[^{}]|\{\w+\})*")
"""A text with nothing but {names} in it."""
VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")
"""Of the environment, that tell a user's language; the first that is set counts."""

_chosen: list[str] = []
"""Languages asked for, the innermost last; for the whole process, as pages may be written in any of its threads."""
_made: dict[str, tuple[str, str, Mapping[str, str]]] = {}
"""By English texts that are translated later: the entry, its English, and what takes the places of its names."""


def find_language(environment: Mapping[str, str]) -> str:
    """The language that the locale asks for, English where jumok does not speak it.

    >>> find_language({"LANG": "ko_KR.UTF-8"}), find_language({"LANG": "ko_KR.UTF-8", "LC_ALL": "C"})
    ('ko', 'en')
    """
    locale = next((environment[name] for name in VARIABLES if environment.get(name)), "")
    code = locale.partition(".")[0].partition("_")[0].lower()
    return code if code in LANGUAGES else "en"


def language() -> str:
    """The code of the language to show texts in now."""
    return _chosen[-1] if _chosen else find_language(os.environ)


@contextmanager
def speaking(code: str | None) -> Iterator[None]:
    """Show texts in a language within the block.

    Args:
        code: one of `LANGUAGES`; None: as before.
    Raises:
        JumokError: another one.
    """
    if code is not None and code not in LANGUAGES:
        known = " or ".join(f"{each} ({name})" for each, name in LANGUAGES.items())
        raise JumokError(f"no texts in the language {code!r}: choose {known}")
    _chosen.append(code or language())
    try:
        yield
    finally:
        _chosen.pop()


class Later(str):
    """A text in English that is translated where it is shown, unlike a name that happens to read the same."""

    __slots__ = ()


def later(text: str, **values: str) -> Later:
    """A text in English that is translated where it is shown: in help, and texts that stand in constants.

    What it was made of is kept for as long as the process lives: for texts that are known beforehand, not for each of
    many things.

    Args:
        text: as it stands in the catalogue; with {names} where there are values.
        values: what takes the places of the names; those that are `Later` are translated, too.
    """
    return _keep(text, text, values)


def later_count(count: int, one: str, many: str, **values: str) -> Later:
    """A text about a number of things that is translated where it is shown; it stands where the text says {count}.

    >>> later_count(2, "{count} image is blank", "{count} images are blank")
    '2 images are blank'
    """
    return _keep(one, one if count == 1 else many, {"count": f"{count:,}", **values})


def later_noun(count: int, noun: str) -> Later:
    """What things are called, of which there are so many: the plural is given, and has an s more.

    >>> later_noun(2, "images"), later_noun(1, "images")
    ('images', 'image')
    """
    return later(noun.removesuffix("s") if count == 1 else noun)


def _keep(entry: str, text: str, values: Mapping[str, str]) -> Later:
    made = text.format(**values) if values else text
    if made not in values.values():
        _made[made] = (entry, text, values)
    return Later(made)


def join_later(sign: str, texts: Sequence[str]) -> str:
    """Texts with a sign between, each of which is translated where they are shown; names among them stay as they are.

    >>> join_later("; ", ["on", "auto"])
    'on; auto'
    """
    if len(texts) == 1:  # perhaps a name, which is no `Later`
        return texts[0]
    names = [f"text{number}" for number in range(len(texts))]
    return later(sign.join(f"{{{name}}}" for name in names), **dict(zip(names, texts, strict=True)))


def list_later(texts: Sequence[str]) -> str:
    """Texts as they are listed in a sentence, each of which is translated where they are shown.

    >>> list_later(["copying", "guessing", "looking up"])
    'copying, guessing and looking up'
    """
    *others, last = texts
    if not others:
        return join_later("", [last])
    return later("{others} and {last}", others=join_later(", ", others), last=last)


def take_apart(text: str) -> Any:
    """What a text that is translated later is made of, as plain values for a file; a name stays a text.

    >>> take_apart(later("{name} is late", name="a.png"))
    {'entry': '{name} is late', 'text': '{name} is late', 'values': {'name': 'a.png'}}
    """
    if not isinstance(text, Later):
        return text
    entry, english, values = _made.get(text, (text, text, {}))
    return {"entry": entry, "text": english, "values": {name: take_apart(value) for name, value in values.items()}}


def put_together(parts: Any) -> str:
    """The text that `take_apart` took apart.

    Raises:
        ValueError: other values, as of a damaged file.
    """
    if isinstance(parts, str):
        return parts
    try:
        entry, text, given = parts["entry"], parts["text"], parts["values"]
        values = {name: put_together(value) for name, value in given.items()}
        whole = all(PLAIN.fullmatch(each) and set(NAMES.findall(each)) <= set(values) for each in (entry, text))
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("no text that was taken apart") from error
    if not whole or (entry != text and "count" not in values):
        raise ValueError("no text that was taken apart")
    return _keep(entry, text, values)


def parts_of(made: str) -> Iterator[str]:
    """The texts that the catalogue must have for a text to be translated whole."""
    entry, _, values = _made.get(made, (made, made, {}))
    yield entry
    for value in values.values():
        if isinstance(value, Later):
            yield from parts_of(value)


def translate(text: str, **values: object) -> str:
    """A text in the language of now, itself where there is no other.

    Args:
        text: in English, as it stands in the catalogue; with {names} where there are values.
        values: what takes the places of the names.

    >>> translate("{name}, whole", name="a.png")
    'a.png, whole'
    """
    entries = _entries()
    if entries and not values and text not in entries and text in _made:
        entry, text, made_of = _made[text]
        values = {name: translate(value) if isinstance(value, Later) else value for name, value in made_of.items()}
        text = entries.get(entry, text)
    found = entries.get(text, text)
    return found.format(**values) if values else found


def translate_count(count: int, one: str, many: str, **values: object) -> str:
    """A text about a number of things, which stands where it says {count}.

    >>> translate_count(1, "{count} image", "{count} images"), translate_count(1200, "{count} image", "{count} images")
    ('1 image', '1,200 images')
    """
    found = _entries().get(one) or (one if count == 1 else many)
    return found.format(count=f"{count:,}", **values)


def _entries() -> Mapping[str, str]:
    return {} if language() == "en" else _load(language())


@cache
def _load(code: str) -> dict[str, str]:
    return read_catalogue(_read_file(code, CATALOGUES[0]))


def _read_file(code: str, name: str) -> str:
    return resources.files("jumok").joinpath(f"locale/{code}/LC_MESSAGES/{name}.po").read_text("utf-8")


def read_printed() -> Mapping[str, str]:
    """All texts in the language of now by their English, those of what is printed too; of plurals by both forms."""
    return {} if language() == "en" else _load_printed(language())


@cache
def _load_printed(code: str) -> dict[str, str]:
    texts = (_read_file(code, name) for name in CATALOGUES)
    return {english: said for text in texts for english, said in read_catalogue(text, plurals=True).items()}


def read_catalogue(text: str, *, plurals: bool = False) -> dict[str, str]:
    """The finished entries of a gettext catalogue (.po), by their English text; of a plural, by its singular.

    Babel, which writes the catalogue, takes ten times as long to be imported as this takes to read it.

    Args:
        text: of the catalogue.
        plurals: those of plurals by the plural form, too.
    """
    entries = {}
    for block in text.split("\n\n"):
        if "\n#, fuzzy" not in f"\n{block}":
            fields = _read_entry(block)
            translated = fields.get("msgstr") or fields.get("msgstr[0]")
            names = ("msgid", "msgid_plural") if plurals else ("msgid",)
            if translated:
                entries.update({fields[name]: translated for name in names if fields.get(name)})
    return entries


def _read_entry(block: str) -> dict[str, str]:
    """The strings of one entry by their keyword; their escapes are those of JSON."""
    fields: dict[str, str] = {}
    keyword = ""
    for line in block.splitlines():
        if line.startswith("#"):
            continue
        before, quote, rest = line.partition('"')
        keyword = before.strip() or keyword
        fields[keyword] = fields.get(keyword, "") + json.loads(quote + rest)
    return fields
